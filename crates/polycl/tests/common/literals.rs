//! The string literals of all crates, for the tests that hold messages to the laws of plain words.

use super::sources::{code, read, root, sources};

/// A string literal with the code around it.
pub struct Literal {
    pub place: String,
    pub text: String,
    pub before: String,
    pub after: String,
}

/// The string literals of all crates that a user may read.
pub fn literals() -> Vec<Literal> {
    let mut found = Vec::new();
    for path in sources(&root().join("crates")) {
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        let apart = ["polycl-fixtures/", "/tests.rs"].iter().any(|part| name.contains(part));
        if name.contains("/src/") && !apart {
            let text = read(&path);
            found.extend(literals_of(&name, code(&text)));
        }
    }
    assert!(found.len() > 2000, "{} literals", found.len());
    found
}

fn literals_of(name: &str, code: &str) -> Vec<Literal> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < code.len() {
        let rest = &code[at..];
        let quoted =
            rest.strip_prefix('\'').map(|rest| rest.strip_prefix('\\').map_or((1, rest), |rest| (2, rest)));
        if rest.starts_with("//") {
            at += rest.find('\n').unwrap_or(rest.len());
        } else if let Some((skipped, rest)) = quoted {
            // A character, or a lifetime, which no quote ends.
            let first = rest.chars().next().map_or(0, char::len_utf8);
            let end = rest[first..].starts_with('\'') || skipped == 2;
            at += skipped + if end { first + 1 + rest[first..].find('\'').unwrap_or(0) } else { 0 };
        } else if let Some(hashes) = raw(&code[..at], rest) {
            let start = hashes + 2;
            let length = rest[start..].find(&format!("\"{}", "#".repeat(hashes))).unwrap();
            at += start + length + 1 + hashes;
        } else if let Some(quoted) = rest.strip_prefix('"') {
            let (text, length) = unescaped(quoted);
            let line = code[..at].matches('\n').count() + 1;
            let before: String =
                code[..at].chars().rev().take(200).filter(|c| !c.is_whitespace()).take(30).collect();
            let after = rest[length + 2..].chars().take(20).collect();
            let before = before.chars().rev().collect();
            found.push(Literal { place: format!("{name}:{line}"), text, before, after });
            at += length + 2;
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    found
}

/// The number of hashes of a raw string that begins here.
fn raw(before: &str, rest: &str) -> Option<usize> {
    let within = before.ends_with(|c: char| c.is_alphanumeric() && c != 'b' || c == '_');
    let rest = rest.strip_prefix('r').filter(|_| !within)?;
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    rest[hashes..].starts_with('"').then_some(hashes)
}

/// The text of a literal up to its closing quote, and the length of the literal in the code.
fn unescaped(code: &str) -> (String, usize) {
    let mut text = String::new();
    let mut chars = code.char_indices().peekable();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return (text, at),
            '\\' => match chars.next() {
                Some((_, '\n')) => while chars.next_if(|(_, c)| c.is_whitespace()).is_some() {},
                Some((_, 'n')) => text.push('\n'),
                Some((_, other)) => text.push(other),
                None => {}
            },
            other => text.push(other),
        }
    }
    (text, code.len())
}

#[test]
fn literals_are_told_from_characters_and_comments() {
    let code = r##"let a = '"'; let b: &'static str = "two \"words\""; // "no"
        let c = r#"raw "text""#; f(b'\'', '\u{e9}', "last", x)"##;
    let found: Vec<String> = literals_of("a.rs", code).into_iter().map(|literal| literal.text).collect();
    assert_eq!(found, ["two \"words\"", "last"]);
}
