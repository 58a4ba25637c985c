//! YAML scalars for any text.
//!
//! A YAML serialiser may escape quotes inside a template expression and break it, so scalars are written here: text with
//! an expression always as it stands.

use std::fmt::Write;

use super::has_template;

/// A YAML scalar for any text; `indent` is where the lines of a block begin.
pub(super) fn scalar(text: &str, indent: usize) -> String {
    if text.trim_matches('\n').is_empty()
        || !text.chars().all(|c| matches!(c, '\n' | '\t') || is_printable(c))
    {
        double_quoted(text)
    } else if is_plain(text) {
        text.to_owned()
    } else if text.contains(['\n', '\t', '"', '\\']) || has_template(text) {
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

pub(super) fn double_quoted(text: &str) -> String {
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
