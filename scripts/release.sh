#!/usr/bin/env bash
# Builds release binaries for Linux into dist/: for this machine's C library, and static (musl) where that
# target is installed (rustup target add x86_64-unknown-linux-musl; needs musl-gcc for the C parts).
set -euo pipefail
cd "$(dirname "$0")/.."

version=$(cargo metadata --no-deps --format-version 1 | sed -n 's/.*"name":"polycl","version":"\([^"]*\)".*/\1/p')
host=$(rustc -vV | sed -n 's/^host: //p')
musl="${host%%-*}-unknown-linux-musl"

pack() { # target
    cargo build --profile dist -p polycl --locked --target "$1"
    mkdir -p dist
    tar -czf "dist/polycl-$version-$1.tar.gz" -C "${CARGO_TARGET_DIR:-target}/$1/dist" polycl \
        -C "$PWD" README.md CHANGELOG.md LICENSE-MIT LICENSE-APACHE
    (cd dist && sha256sum "polycl-$version-$1.tar.gz" > "polycl-$version-$1.tar.gz.sha256")
    echo "dist/polycl-$version-$1.tar.gz"
}

pack "$host"
if [ -d "$(rustc --print sysroot)/lib/rustlib/$musl" ] && command -v musl-gcc >/dev/null; then
    pack "$musl"
else
    echo "no static binary: $musl or musl-gcc is not installed" >&2
fi
