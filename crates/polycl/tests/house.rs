//! The laws of the house, and its map: see ARCHITECTURE.md.

mod common {
    pub mod sources;
}

use std::collections::BTreeSet;
use std::path::PathBuf;

use common::sources::{code, read, root, sources};
use toml::Table;

/// A crate, the crates of ours that it may use, and dependencies that it must not have.
struct Law {
    name: &'static str,
    uses: &'static [&'static str],
    never: &'static [&'static str],
}

const TERMINAL: [&str; 3] = ["clap", "indicatif", "signal-hook"];

const LAWS: [Law; 12] = [
    Law { name: "base", uses: &[], never: &["glam", "burn"] },
    Law { name: "image", uses: &["base"], never: &["burn", "zarrs"] },
    Law { name: "data", uses: &["base", "image"], never: &["burn"] },
    Law { name: "metrics", uses: &["base", "image"], never: &["burn"] },
    Law { name: "phantom", uses: &["base", "image", "metrics"], never: &["burn"] },
    Law { name: "weights", uses: &["base"], never: &["burn", "glam"] },
    Law { name: "kernels", uses: &[], never: &["burn", "serde"] },
    Law {
        name: "nn",
        uses: &["base", "data", "image", "kernels", "metrics", "weights"],
        never: &["clap", "indicatif", "signal-hook", "ureq"],
    },
    Law {
        name: "app",
        uses: &["base", "data", "image", "metrics", "nn", "phantom", "weights"],
        never: &["clap", "indicatif", "signal-hook", "burn"],
    },
    Law {
        name: "serve",
        uses: &["app", "base", "data", "image", "metrics", "nn", "phantom"],
        never: &["clap", "indicatif", "signal-hook", "burn", "ureq"],
    },
    Law { name: "fixtures", uses: &[], never: &["burn"] },
    Law {
        name: "",
        uses: &["app", "base", "data", "image", "metrics", "nn", "phantom", "serve"],
        never: &["burn", "axum", "tokio"],
    },
];

impl Law {
    fn package(&self) -> String {
        if self.name.is_empty() { "polycl".to_owned() } else { format!("polycl-{}", self.name) }
    }

    fn folder(&self) -> PathBuf {
        root().join("crates").join(self.package())
    }
}

/// The folders of crates and the laws are the same, so that no crate is without one.
#[test]
fn every_crate_has_a_law() {
    let folders = std::fs::read_dir(root().join("crates")).unwrap();
    let folders: BTreeSet<String> =
        folders.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(folders, LAWS.iter().map(Law::package).collect());
}

/// The packages that a crate is built with, on any machine, under whatever name; tests may use more.
fn dependencies(manifest: &Table) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (key, value) in manifest {
        let Some(table) = value.as_table() else { continue };
        match key.as_str() {
            "dependencies" | "build-dependencies" => {
                let package = |(name, told): (&String, &toml::Value)| {
                    let renamed = told.get("package").and_then(toml::Value::as_str);
                    renamed.unwrap_or(name).to_owned()
                };
                found.extend(table.iter().map(package));
            }
            "target" => {
                let targets = table.values().filter_map(toml::Value::as_table);
                found.extend(targets.flat_map(dependencies));
            }
            _ => {}
        }
    }
    found
}

#[test]
fn crates_use_what_they_may() {
    for law in &LAWS {
        let manifest: Table = read(&law.folder().join("Cargo.toml")).parse().unwrap();
        let used = dependencies(&manifest);
        for name in &used {
            let ours = name.strip_prefix("polycl-");
            assert!(ours.is_none_or(|own| law.uses.contains(&own)), "{} must not use {name}", law.package());
            assert!(!law.never.contains(&name.as_str()), "{} must not use {name}", law.package());
        }
        for terminal in TERMINAL.iter().filter(|_| !law.name.is_empty()) {
            assert!(!used.contains(*terminal), "{} must not use {terminal}", law.package());
        }
    }
}

/// Everything that talks to a person, ends the process or holds for the whole of it is the binary's.
#[test]
fn libraries_neither_print_nor_exit() {
    let loud = [
        "println!",
        "eprintln!",
        "print!(",
        "dbg!(",
        "stdout()",
        "stderr()",
        "process::exit",
        "std::process::{exit",
        "process::abort",
        "panic::set_hook",
        "env::set_var",
        "build_global",
    ];
    for law in LAWS.iter().filter(|law| !law.name.is_empty()) {
        // Tests say what they skip.
        let is_test = |path: &PathBuf| path.components().any(|part| part.as_os_str() == "tests");
        for path in sources(&law.folder().join("src")).into_iter().filter(|path| !is_test(path)) {
            let text = read(&path);
            for line in code(&text).lines().filter(|line| !line.trim_start().starts_with("//")) {
                let found =
                    loud.iter().find(|word| line.contains(*word) && !line.contains("process::{Command"));
                assert!(found.is_none(), "{}: {line}", path.display());
                let files = law.name == "kernels" && line.contains("std::fs");
                assert!(!files, "kernels know no files: {line}");
            }
        }
    }
}

/// The binary turns arguments into requests and outcomes into words: what is more belongs into the app.
#[test]
fn the_binary_stays_small() {
    let files = sources(&root().join("crates/polycl/src"));
    let lines: usize = files.iter().map(|path| read(path).lines().count()).sum();
    assert!(lines <= 4500, "{lines} lines");
}

/// A crate is built as it is: no file of another one is included.
#[test]
fn no_file_belongs_to_two_crates() {
    let crates = LAWS.iter().map(Law::folder).chain([root().join("fuzz")]);
    let files = crates.flat_map(|folder| sources(&folder).into_iter().map(move |p| (folder.clone(), p)));
    for (folder, path) in files.filter(|(_, path)| !path.ends_with("tests/house.rs")) {
        let text = read(&path);
        for (line, name) in text.lines().filter_map(|line| Some((line, included(line)?))) {
            let file = path.parent().unwrap().join(name).canonicalize();
            assert!(file.is_ok_and(|file| file.starts_with(&folder)), "{}: {line}", path.display());
        }
    }
}

/// The file that a line includes: the first text in quotes behind the word for it.
fn included(line: &str) -> Option<&str> {
    let words = ["#[path", "include!(", "include_str!(", "include_bytes!("];
    let rest = words.iter().find_map(|word| Some(line.split_once(word)?.1))?;
    Some(rest.split('"').nth(1).unwrap_or_default())
}

/// Every file and folder that the map names is there. In its blocks without a language a line that does not begin with a
/// space names a folder, those below it what is in it; elsewhere, links lead to files, and Rust files between backticks
/// end the path of one.
#[test]
fn the_map_names_what_exists() {
    let text = read(&root().join("ARCHITECTURE.md"));
    let all = sources(&root());
    let (mut within, mut drawing, mut folder, mut named) = (false, false, root(), 0);
    for line in text.lines() {
        if line.starts_with("```") {
            within = !drawing && !within && line == "```";
            drawing = line.len() > 3;
        } else if within {
            if !line.starts_with(' ') {
                folder = root().join(line.split_whitespace().next().unwrap_or_default());
                assert!(line.is_empty() || folder.is_dir(), "the map's {line}");
                continue;
            }
            let names = line.strip_prefix("  ").unwrap_or_default().split("  ").next().unwrap_or_default();
            for name in names.split_whitespace() {
                assert!(folder.join(name).exists(), "the map's {name} in {}", folder.display());
                named += 1;
            }
        }
        let quoted = line.split('`').skip(1).step_by(2).filter(|name| name.ends_with(".rs") && !within);
        for name in quoted {
            assert!(all.iter().any(|path| path.ends_with(name)), "the map's {name}");
            named += 1;
        }
        for link in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            assert!(root().join(link).exists(), "the map's link {link}");
            named += 1;
        }
    }
    assert!(named > 100, "a map of {named} places");
}
