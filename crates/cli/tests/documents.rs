//! Every manifest that this project shows or ships is accepted as it stands, without a warning.

// clippy.toml allows these in test functions; the functions that they call are meant too.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use k0smotron_cli::{
    document,
    schema::Schemas,
    validate::{self, Known},
};

/// Where people look for manifests.
const PLACES: [&str; 7] = [
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docs",
    "templates",
    "charts",
    "e2e/stand-in/README.md",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn files(path: &Path, found: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            files(&entry.unwrap().path(), found);
        }
    } else if path
        .extension()
        .is_some_and(|extension| ["md", "yaml", "yml"].iter().any(|wanted| extension == *wanted))
    {
        found.push(path.to_owned());
    }
}

/// The texts of a file that are YAML: all of it, or the blocks that a page says are.
fn blocks(path: &Path, text: &str) -> Vec<String> {
    if path.extension().is_some_and(|extension| extension != "md") {
        return vec![text.to_owned()];
    }
    let mut blocks = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for line in text.lines() {
        let indentation = line.len() - line.trim_start().len();
        match &mut open {
            None if ["```yaml", "```yml"].contains(&line.trim()) => open = Some((indentation, String::new())),
            None => {}
            Some(_) if line.trim() == "```" => blocks.extend(open.take().map(|(_, block)| block)),
            Some((indentation, block)) => {
                block.push_str(line.get(*indentation..).unwrap_or_default());
                block.push('\n');
            }
        }
    }
    blocks
}

/// As clusterctl does it: defaults where there are any, and values that fit anywhere where there are none.
fn substituted(text: &str) -> String {
    let mut pieces = text.split("${");
    let mut result = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (variable, rest) = piece.split_once('}').unwrap_or((piece, ""));
        match variable.split_once(":=") {
            Some((_, default)) => result.push_str(default.trim_matches('"')),
            None if variable.ends_with("COUNT") => result.push('1'),
            None if variable.ends_with("VERSION") => result.push_str("v1.36.3+k0s.2"),
            None if variable.ends_with("URL") => result.push_str("https://example.com/k0s"),
            None => result.push_str("demo"),
        }
        result.push_str(rest);
    }
    result
}

/// Every YAML text, with the name of its file.
fn texts() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for place in PLACES {
        let path = root().join(place);
        if path.exists() {
            files(&path, &mut found);
        }
    }
    found.sort();
    let texts = found.iter().flat_map(|path| {
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        let text = fs::read_to_string(path).unwrap();
        let blocks = blocks(path, &text).into_iter();
        blocks
            .map(move |block| (name.clone(), substituted(&block)))
            .collect::<Vec<_>>()
    });
    texts.collect()
}

#[test]
fn manifests_of_pages_templates_and_samples_are_accepted() {
    let schemas = Schemas::new().unwrap();
    let (mut wrong, mut objects) = (Vec::new(), 0);
    for (name, text) in texts() {
        let report = match validate::stream(&text, &Known::default(), &schemas) {
            Ok(report) => report,
            Err(error) => {
                wrong.push(format!("{name}: {error:#}"));
                continue;
            }
        };
        objects += report.objects;
        wrong.extend(report.lines.iter().map(|line| format!("{name}:{line}")));
        for (line, object) in document::objects(&text).unwrap() {
            let has = |field: &str| object.get(field).is_some_and(serde_json::Value::is_string);
            if !(has("apiVersion") && has("kind")) {
                wrong.push(format!("{name}:{line}: no apiVersion or no kind"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(objects > 10, "only {objects} objects of ours");
}
