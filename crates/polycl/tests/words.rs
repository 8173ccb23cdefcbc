//! The laws of plain words: doc comments name the thing, no message is a riddle, hints open with a verb,
//! sentences are short.

mod common {
    pub mod literals;
    pub mod prose;
    pub mod sources;
}

use std::path::{Path, PathBuf};

use common::literals::{Literal, literals};
use common::prose::{docs, length, page, sentences, topic};
use common::sources::{read, root, sources};

/// Openings of doc comments that paraphrase a thing instead of naming it.
const PARAPHRASES: [&str; 5] = ["What", "Whether", "Where", "How", "Of"];
/// Of all doc comments, the part that may open so.
const MOST_PARAPHRASES: f64 = 0.06;

/// Words that tell nothing alone, as in "found none".
const BARE: [&str; 10] =
    ["none", "nothing", "less", "more", "fewer", "another", "others", "two", "one", "both"];
/// Openings that refer to something that was not named.
const PRONOUNS: [&str; 6] = ["it", "they", "them", "those", "he", "she"];

/// The verbs that hints open with.
const VERBS: &str = "call check choose compare convert copy count crop download draw end export fetch fine-tune free \
                     get give import join leave list make mend move name propagate put remove rename replace \
                     resample resume run save say see set stack take tell train use wait widen write";

const LONGEST: usize = 30;

/// The hint in a literal, if it is one or has one.
fn hint(literal: &Literal) -> Option<&str> {
    let openings = [".hint(", ".hint(format!(", "lethint=", "lethint=format!(", "HINT:&str="];
    let is_hint = openings.iter().any(|opening| literal.before.ends_with(opening));
    is_hint.then_some(&*literal.text).or_else(|| literal.text.split_once("hint: ").map(|(_, hint)| hint))
}

/// The reason why a message needs a second reading: it tells of something without naming it.
fn riddle(message: &str) -> Option<String> {
    let words = |text: &str| {
        let word = |word: &str| word.trim_matches(|c: char| !c.is_alphanumeric() && c != '{').to_lowercase();
        text.split(' ').map(word).collect::<Vec<_>>()
    };
    // The name of a file or a case may come first: `{}: they differ`.
    let opening = message.split_once("}: ").map_or(message, |(_, rest)| rest);
    if let [first, _, ..] = &*words(opening)
        && PRONOUNS.contains(&first.as_str())
    {
        return Some(format!("opens with {first:?}"));
    }
    for found in ["found ", "found only ", "expected "] {
        for (at, _) in message.match_indices(found) {
            let clause = message[at + found.len()..].split([',', ';', ':', '\n']).next().unwrap_or_default();
            if BARE.contains(&&*words(clause).join(" ")) || clause.trim().is_empty() {
                return Some(format!("a bare \"{found}{clause}\""));
            }
        }
    }
    let last = message.rsplit(' ').next().unwrap_or_default();
    (message.contains(' ') && ["none", "another", "others"].contains(&last))
        .then(|| format!("ends with {last:?}"))
}

/// Every message that a test has seen printed: the place and the text after `error:`, `hint:`, `note:` or `warning:`.
fn printed() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for path in files(&root().join("crates"), "snap") {
        let text = read(&path);
        for line in text.lines().map(str::trim) {
            let said =
                ["error: ", "hint: ", "note: ", "warning: "].iter().find_map(|kind| line.strip_prefix(kind));
            let of_a_library = line.contains(": expected ").then_some(line);
            found.extend(said.or(of_a_library).map(|said| (name(&path), said.to_owned())));
        }
    }
    assert!(found.len() > 300, "{} messages", found.len());
    found
}

/// All files below a folder whose name ends so.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.extension().is_some_and(|of| of == ending) {
            found.push(path);
        }
    }
    found
}

fn name(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// Fails with a line for each text that broke a law.
fn none(broken: &[String]) {
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn doc_comments_name_the_thing() {
    let files = sources(&root().join("crates"));
    let files = files.iter().filter(|path| path.components().any(|part| part.as_os_str() == "src"));
    let openings: Vec<String> =
        files.flat_map(|path| docs(&read(path))).map(|mut block| block.remove(0)).collect();
    let paraphrases = |text: &&String| PARAPHRASES.contains(&text.split(' ').next().unwrap_or_default());
    let count = openings.iter().filter(paraphrases).count();
    let part = count as f64 / openings.len() as f64;
    println!("{count} of {} doc comments ({:.1}%) open with a paraphrase", openings.len(), 100.0 * part);
    assert!(part <= MOST_PARAPHRASES, "{count} of {} doc comments", openings.len());
}

#[test]
fn no_message_is_a_riddle() {
    let mut riddles = Vec::new();
    for Literal { place, text, before, after } in &literals() {
        let owned = after.starts_with(".into()") || after.starts_with(".to_owned()");
        let last = before.ends_with(',') && after.starts_with(')');
        if BARE.contains(&text.as_str()) && (owned || last) {
            riddles.push(format!("{place}: a bare {text:?}"));
        }
        riddles.extend(riddle(text).map(|why| format!("{place}: {why}: {text:?}")));
    }
    none(&riddles);
}

#[test]
fn no_printed_message_is_a_riddle() {
    let riddles = printed()
        .into_iter()
        .filter_map(|(place, text)| Some(format!("{place}: {}: {text}", riddle(&text)?)));
    none(&riddles.collect::<Vec<_>>());
}

#[test]
fn hints_open_with_a_verb() {
    let literals = literals();
    let hints: Vec<(&str, &str)> =
        literals.iter().filter_map(|literal| hint(literal).map(|hint| (&*literal.place, hint))).collect();
    assert!(hints.len() > 200, "{} hints", hints.len());
    let verbless = hints.into_iter().filter(|(_, hint)| {
        let first = hint.split(' ').next().unwrap_or_default().trim_end_matches([',', ':']);
        !first.starts_with('{') && VERBS.split(' ').all(|verb| verb != first)
    });
    none(&verbless.map(|(place, hint)| format!("{place}: {hint}")).collect::<Vec<_>>());
}

#[test]
fn sentences_are_short() {
    // A style sheet is no sentence.
    let literals = literals().into_iter().filter(|Literal { text, .. }| !text.contains(" { "));
    let mut texts: Vec<(String, String)> = literals.map(|literal| (literal.place, literal.text)).collect();
    texts.extend(printed());
    let mut add = |path: &Path, paragraphs: Vec<String>| {
        texts.extend(paragraphs.into_iter().map(|text| (name(path), text)));
    };
    let commands = root().join("crates/polycl/src");
    for path in sources(&commands.join("commands")).into_iter().chain([commands.join("cli.rs")]) {
        add(&path, docs(&read(&path)).into_iter().flatten().collect());
    }
    for path in files(&commands.join("commands"), "txt") {
        add(&path, topic(&read(&path)));
    }
    // What a study has written stays as it is.
    let pages = files(&root().join("docs"), "md").into_iter().filter(|path| !name(path).contains("studies/"));
    let pages = pages.chain(["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|name| root().join(name)));
    for path in pages {
        add(&path, page(&read(&path)));
    }
    let mut lengths: Vec<(usize, String)> = texts
        .iter()
        .flat_map(|(place, text)| {
            sentences(text).into_iter().map(move |one| (length(one), format!("{place}: {one}")))
        })
        .collect();
    lengths.sort();
    println!("the longest of {} sentences: {:?}", lengths.len(), lengths.last());
    none(&lengths.into_iter().filter(|(words, _)| *words > LONGEST).map(|(_, one)| one).collect::<Vec<_>>());
}

#[test]
fn a_riddle_is_known() {
    for text in [
        "a: expected weights, found none",
        "{}: expected one of {}, found another; see --help",
        "expected one, found two: a and b",
        "expected an organ 'heart', found only ",
        "It is not there",
        "{path}: they differ",
        "a mask of the one or the others",
    ] {
        assert!(riddle(text).is_some(), "{text}");
    }
    for text in [
        "expected one mask, found no file",
        "found two masks",
        "its axes run on",
        "{}: those",
        "found one of {}",
    ] {
        assert_eq!(riddle(text), None, "{text}");
    }
}
