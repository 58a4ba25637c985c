//! Writing cloud-config.
//!
//! The document is a Jinja template first and YAML second, and users rely on both: `{{ v1.local_hostname }}` in a file
//! is expanded on the host. A YAML serialiser may escape quotes inside such an expression and break it, so the few
//! scalars are written here, text with an expression always as it stands.

use std::fmt::Write;

use serde_yaml::{Mapping, Value};

use super::read::{self, ParseError};
use super::{RUNCMD, WRITE_FILES};
use crate::plan::{File, InstallPlan};

const HEAD: &str = "## template: jinja\n#cloud-config\n";

/// Why custom user data cannot be joined with ours.
#[derive(Debug, thiserror::Error)]
#[error(
    "custom user data that has write_files or runcmd of its own must be plain cloud-config, to be merged: {0}"
)]
pub struct RenderError(#[from] ParseError);

/// The plan as cloud-config: a Jinja marker, `#cloud-config`, `write_files`, `runcmd`.
///
/// `custom` user data is appended as it is. Where it has `write_files` or `runcmd` of its own, its items are put after
/// ours instead: of two keys with one name cloud-init would take only the last, and the host would never become a node.
pub fn render(plan: &InstallPlan, custom: Option<&str>) -> Result<String, RenderError> {
    let custom = custom.map(str::trim).filter(|custom| !custom.is_empty());
    match custom {
        None => Ok(document(plan)),
        Some(custom) if repeats_our_keys(custom) => merged(plan, custom),
        Some(custom) => Ok(format!("{}\n#cloud-config\n{custom}\n", document(plan))),
    }
}

fn repeats_our_keys(custom: &str) -> bool {
    let key = |line: &str| {
        line.split(':')
            .next()
            .map(|key| key.trim_end().trim_matches(['"', '\'']).to_owned())
    };
    custom
        .lines()
        .filter_map(key)
        .any(|key| key == WRITE_FILES || key == RUNCMD)
}

fn merged(plan: &InstallPlan, custom: &str) -> Result<String, RenderError> {
    let (theirs, rest) = read::split(custom)?;
    let mut plan = plan.clone();
    plan.files.extend(theirs.files);
    plan.commands.extend(theirs.commands);
    let mut text = document(&plan);
    if !rest.is_empty() {
        text.push_str(&other_keys(rest)?);
    }
    Ok(text)
}

fn other_keys(rest: Mapping) -> Result<String, ParseError> {
    serde_yaml::to_string(&Value::Mapping(rest)).map_err(|error| ParseError::Yaml(error.to_string()))
}

fn document(plan: &InstallPlan) -> String {
    let mut text = String::from(HEAD);
    list(&mut text, WRITE_FILES, &plan.files, file);
    list(&mut text, RUNCMD, &plan.commands, |command| scalar(command, 4));
    text
}

fn list<T>(text: &mut String, key: &str, items: &[T], item: impl Fn(&T) -> String) {
    text.push_str(key);
    text.push_str(if items.is_empty() { ": []\n" } else { ":\n" });
    for entry in items {
        text.push_str("  - ");
        text.push_str(&item(entry));
        text.push('\n');
    }
}

fn file(file: &File) -> String {
    let File {
        path,
        content,
        permissions,
        owner,
        append,
    } = file;
    let mut text = format!("path: {}\n    content: {}\n", scalar(path, 6), scalar(content, 6));
    // Always quoted: as a number it would be read in another base, or in none.
    let _ = write!(text, "    permissions: {}", double_quoted(permissions));
    if let Some(owner) = owner {
        let _ = write!(text, "\n    owner: {}", scalar(owner, 6));
    }
    if *append {
        text.push_str("\n    append: true");
    }
    text
}

/// A YAML scalar for any text; `indent` is where the lines of a block begin.
fn scalar(text: &str, indent: usize) -> String {
    if text.trim_matches('\n').is_empty()
        || !text.chars().all(|c| matches!(c, '\n' | '\t') || is_printable(c))
    {
        double_quoted(text)
    } else if is_plain(text) {
        text.to_owned()
    } else if text.contains(['\n', '\t', '"', '\\'])
        || text.contains("{{")
        || text.contains("{%")
        || text.contains("{#")
    {
        block(text, indent)
    } else {
        double_quoted(text)
    }
}

/// Whether every YAML reader, 1.1 or 1.2, takes the bare text for this very string. The slash keeps numbers, dates
/// and the many spellings of `true` out.
fn is_plain(text: &str) -> bool {
    let first = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let rest = text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || " /._=+@,%-".contains(c));
    first && rest && text.contains('/') && !text.ends_with(' ')
}

/// What YAML allows to stand for itself everywhere.
fn is_printable(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// A literal block: every character stands for itself.
fn block(text: &str, indent: usize) -> String {
    let body = text.trim_end_matches('\n');
    let chomping = match text.len() - body.len() {
        0 => "-",
        1 => "",
        _ => "+",
    };
    // A first line that begins with white space hides how far the block is indented, so it is said; relative to the
    // parent's indentation, which is two less.
    let indicator = if text.starts_with([' ', '\t', '\n']) {
        "2"
    } else {
        ""
    };
    let mut block = format!("|{indicator}{chomping}");
    let last = if chomping == "+" {
        text.strip_suffix('\n').unwrap_or(text)
    } else {
        body
    };
    for line in last.split('\n') {
        block.push('\n');
        if !line.is_empty() {
            let _ = write!(block, "{:indent$}{line}", "");
        }
    }
    block
}

fn double_quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            c if is_printable(c) => quoted.push(c),
            c => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
        }
    }
    quoted.push('"');
    quoted
}
