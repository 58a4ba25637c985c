//! `docs/validation.md` lists every rule.

// clippy.toml allows these in test functions; the functions that they call are meant too.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../examples/rules/page.rs"]
mod page;

use std::{
    fs,
    path::{Path, PathBuf},
};

const REMEDY: &str = "run `make manifests` (cargo run -p k0smotron-api --example rules)";

/// Not rules.
const PLUMBING: [&str; 2] = ["admission.rs", "report.rs"];
/// Rules about what schemas refuse already; they are asked where no schema is.
const REFUSED_BY_SCHEMAS: [&str; 3] = [
    "is negative; use 1 or more",
    "is negative; write a duration such as 30m, 24h or 1h30m",
    "is not a type of patch; use json, strategic or merge",
];

fn page() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/validation.md");
    fs::read_to_string(file).unwrap_or_default()
}

#[test]
fn the_page_is_that_of_the_rules() {
    assert!(
        page() == page::write().unwrap(),
        "docs/validation.md is out of date; {REMEDY}"
    );
}

/// The page is written from manifests, so a rule that no manifest breaks would be missing from it: every message in the source is looked
/// for.
#[test]
fn every_message_is_on_the_page() {
    // As it is read.
    let page = page()
        .replace("\\|", "|")
        .replace("\\*", "*")
        .replace("&lt;", "<");
    let mut files = Vec::new();
    sources(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src/validation"),
        &mut files,
    );
    let (mut messages, mut missing) = (0, Vec::new());
    for file in files {
        let source = fs::read_to_string(&file).unwrap();
        let source = source.split("#[cfg(test)]").next().unwrap();
        for message in literals(source) {
            // What stands between the values that are filled in.
            let pieces = message.split(['{', '}']).step_by(2);
            let longest = pieces.max_by_key(|piece| piece.len()).unwrap_or_default();
            if longest.split(' ').count() < 4 || REFUSED_BY_SCHEMAS.contains(&message.as_str()) {
                continue;
            }
            messages += 1;
            if !page.contains(longest.trim()) {
                missing.push(format!(
                    "{}: {message}",
                    file.file_name().unwrap().to_string_lossy()
                ));
            }
        }
    }
    assert!(
        missing.is_empty(),
        "no manifest breaks these rules:\n{}",
        missing.join("\n")
    );
    assert!(messages > 60, "{messages} messages");
}

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if !PLUMBING.iter().any(|name| path.ends_with(name)) {
            found.push(path);
        }
    }
}

/// The strings of a source, as far as messages need it: comments go, escapes are undone, and lines that are continued are joined.
fn literals(source: &str) -> Vec<String> {
    let code: Vec<_> = source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    let code = code.join("\n");
    let mut literals = Vec::new();
    let mut characters = code.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            // A character, or a lifetime.
            '\'' => {
                let skipped = if characters.peek() == Some(&'\\') { 2 } else { 1 };
                let rest: Vec<_> = characters.clone().take(skipped + 1).collect();
                if rest.last() == Some(&'\'') {
                    characters.nth(skipped);
                }
            }
            '"' => {
                let mut literal = String::new();
                while let Some(character) = characters.next() {
                    match character {
                        '"' => break,
                        '\\' => match characters.next() {
                            Some('\n') => while characters.next_if(|next| next.is_whitespace()).is_some() {},
                            Some(escaped) => literal.push(escaped),
                            None => {}
                        },
                        _ => literal.push(character),
                    }
                }
                literals.push(literal);
            }
            _ => {}
        }
    }
    literals
}
