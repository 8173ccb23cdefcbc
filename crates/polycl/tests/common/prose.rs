//! Sentences of messages, doc comments, help topics and pages.

/// The sentences of a text; a line ends one.
pub fn sentences(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for mut rest in text.lines() {
        while let Some(end) = rest.find(". ").or_else(|| rest.find("? ")) {
            found.push(&rest[..end]);
            rest = &rest[end + 2..];
        }
        found.push(rest);
    }
    found
}

/// The number of words in a sentence.
pub fn length(sentence: &str) -> usize {
    sentence.split_whitespace().filter(|word| word.contains(char::is_alphanumeric)).count()
}

/// The blocks of doc comments of a source, each with its paragraphs' lines joined.
pub fn docs(source: &str) -> Vec<Vec<String>> {
    let mut found: Vec<Vec<String>> = Vec::new();
    let mut last = None;
    for line in source.lines().map(str::trim_start) {
        let kind = ["///", "//!"].into_iter().find(|mark| line.starts_with(mark));
        if let Some(mark) = kind {
            let text = line[mark.len()..].trim();
            if last != kind {
                found.push(vec![String::new()]);
            }
            let Some(block) = found.last_mut() else { continue };
            match block.last_mut() {
                Some(paragraph) if !text.is_empty() => join(paragraph, text),
                _ => block.push(String::new()),
            }
        }
        last = kind;
    }
    found
}

/// The paragraphs of a help topic; indented lines are examples and tables, and no sentences.
pub fn topic(text: &str) -> Vec<String> {
    paragraphs(text.lines().map(|line| if line.starts_with("  ") { "" } else { line }))
}

/// The paragraphs, list items and table cells of a page in Markdown; code is left out.
pub fn page(text: &str) -> Vec<String> {
    let mut code = false;
    let lines = text.lines().flat_map(|line| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        match line {
            _ if code || fence => vec![""],
            table if table.starts_with('|') => table.split('|').flat_map(|cell| [cell, ""]).collect(),
            heading if heading.starts_with('#') => vec!["", heading, ""],
            item if item.trim_start().starts_with(['-', '*', '<']) => vec!["", item],
            text => vec![text],
        }
    });
    paragraphs(lines.collect::<Vec<_>>().into_iter()).into_iter().map(|text| text.replace("**", "")).collect()
}

/// Lines joined to paragraphs, which empty lines end.
fn paragraphs<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut found = vec![String::new()];
    for line in lines.map(str::trim) {
        match found.last_mut() {
            Some(paragraph) if !line.is_empty() => join(paragraph, line),
            _ => found.push(String::new()),
        }
    }
    found
}

fn join(paragraph: &mut String, text: &str) {
    *paragraph += if paragraph.is_empty() { "" } else { " " };
    *paragraph += text;
}

#[test]
fn prose_is_told_from_code_and_tables() {
    let text = "# Title\nOne **two.**\nThree? Four\n```\ncode\n```\n| a | b c |\n- item\n  goes on";
    let all: Vec<String> = page(text).into_iter().filter(|text| !text.is_empty()).collect();
    assert_eq!(all, ["# Title", "One two. Three? Four", "a", "b c", "- item goes on"]);
    assert_eq!(sentences(&all[1]), ["One two", "Three", "Four"]);
    assert_eq!(docs("/// A.\n/// B.\n///\n/// C.\nfn f() {}\n/// D."), [vec!["A. B.", "C."], vec!["D."]]);
}
