//! The user's own cloud-config, taken apart so that it can be merged into ours.
//!
//! What can be is taken over as text: a key that was read and written again might come out as something else to
//! cloud-init, which reads an older YAML than we do, and template expressions must stay as they stand.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_yaml::{Mapping, Value};

use super::read::{self, ParseError};
use super::scalar::{double_quoted, scalar};
use super::{RUNCMD, WRITE_FILES, has_template};

/// Custom user data by where its parts go.
#[derive(Debug, Default)]
pub(super) struct Custom {
    /// Items of `write_files` and `runcmd`, to be put after ours.
    pub(super) files: Vec<String>,
    pub(super) commands: Vec<String>,
    /// All other keys.
    pub(super) rest: String,
}

/// Why custom user data cannot be merged into ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CustomError {
    #[error("custom user data cannot be merged: {0}")]
    Parse(#[from] ParseError),
    #[error(
        "custom user data that has write_files or runcmd of its own must be cloud-config before its templates are \
         expanded too, to be merged: {0}"
    )]
    Template(ParseError),
}

impl Custom {
    pub(super) fn read(text: &str) -> Result<Self, CustomError> {
        let text = without_head(text.trim_matches(['\n', '\r', '\u{feff}']).trim_end());
        let mut document = match read::document(&text) {
            Ok(document) => document,
            // What is no YAML before its templates are expanded is text that only cloud-init can read.
            Err(error @ ParseError::Yaml(_)) if has_template(&text) => {
                return if repeats_our_keys(&text) {
                    Err(CustomError::Template(error))
                } else {
                    Ok(Self {
                        rest: text,
                        ..Self::default()
                    })
                };
            }
            Err(error) => return Err(error.into()),
        };
        let sections = sections(&text);
        let (files, commands) = (
            read::items(&mut document, WRITE_FILES)?,
            read::items(&mut document, RUNCMD)?,
        );
        let files = files.iter().enumerate().map(|(index, value)| file(index, value));
        let commands = commands.into_iter().enumerate();
        let commands = commands.map(|(index, value)| Ok(scalar(&read::command(index, value)?, 4)));
        Ok(Self {
            files: files.collect::<Result<_, ParseError>>()?,
            commands: commands.collect::<Result<_, ParseError>>()?,
            rest: rest(&sections, document)?,
        })
    }
}

/// Everything but our keys: as text where that says the same below our keys, else written anew.
fn rest(sections: &[(String, String)], document: Mapping) -> Result<String, ParseError> {
    let others = sections.iter().filter(|(key, _)| !is_ours(key));
    let text: String = others.map(|(_, text)| text.as_str()).collect();
    let below_ours = read::document(&format!("{RUNCMD}:\n{text}")).map(|mut document| {
        document.shift_remove(RUNCMD);
        document
    });
    let text = if below_ours.as_ref() == Ok(&document) {
        text
    } else {
        serde_yaml::to_string(&Value::Mapping(document))
            .map_err(|error| ParseError::Yaml(error.to_string()))?
    };
    Ok(text.trim_end().to_owned())
}

fn is_ours(key: &str) -> bool {
    key == WRITE_FILES || key == RUNCMD
}

/// The text cut before each line that begins a key; what comes before the first one has none.
fn sections(text: &str) -> Vec<(String, String)> {
    let mut sections = vec![(String::new(), String::new())];
    for line in text.split_inclusive('\n') {
        let begins = !line.starts_with(|c: char| c.is_whitespace() || "#-{}[],%".contains(c));
        if begins && let Some((key, _)) = line.split_once(':') {
            let key = key.trim_end().trim_matches(['"', '\'']);
            sections.push((key.to_owned(), line.to_owned()));
        } else if let Some((_, text)) = sections.last_mut() {
            text.push_str(line);
        }
    }
    sections
}

/// The text without what marks the begin of a document, which ours has already.
fn without_head(text: &str) -> String {
    let marks = |line: &str| line == "---" || line == "#cloud-config" || line.starts_with("## template:");
    let mut head = true;
    let lines = text.split_inclusive('\n').filter(|line| {
        head = head && (line.trim().is_empty() || line.starts_with('#') || line.trim_end() == "---");
        !(head && marks(line.trim_end()))
    });
    lines.collect()
}

fn repeats_our_keys(text: &str) -> bool {
    sections(text).iter().any(|(key, _)| is_ours(key))
}

/// An item of `write_files` with all its keys, known here or not.
fn file(index: usize, value: &Value) -> Result<String, ParseError> {
    let name = format!("{WRITE_FILES}[{index}]");
    let Value::Mapping(entry) = value else {
        return Err(read::item(&name, "must be a mapping with path and content"));
    };
    let lines = entry.iter().map(|(key, value)| {
        let key = read::key_text(key);
        let plain = key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        let key = if plain { key } else { double_quoted(&key) };
        Ok(format!("{key}: {}", node(&name, value)?))
    });
    Ok(lines.collect::<Result<Vec<_>, ParseError>>()?.join("\n    "))
}

/// A value in one piece: text by our own rules, all else as JSON, which YAML includes.
fn node(name: &str, value: &Value) -> Result<String, ParseError> {
    match value {
        Value::String(text) => Ok(scalar(text, 6)),
        Value::Tagged(tagged) if tagged.tag == read::BINARY => {
            let text: String = tagged
                .value
                .as_str()
                .unwrap_or_default()
                .split_whitespace()
                .collect();
            BASE64_STANDARD
                .decode(&text)
                .map_err(|_| read::item(name, "has a !!binary value that is not base64"))?;
            Ok(format!("!!binary {}", double_quoted(&text)))
        }
        value => serde_json::to_string(value).map_err(|_| {
            read::item(
                name,
                "has a value that is neither text, number, flag, list nor mapping of those",
            )
        }),
    }
}
