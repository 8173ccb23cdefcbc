# The same as CI: style, lints, docs, tests, the quick demo.
check:
    bash .ci/run

# Release binaries for this machine, under dist/.
release:
    bash scripts/release.sh
