//! Words of a POSIX shell: quoting what we put into command lines, and reading fragments that users wrote for one.
//!
//! Our own values are always quoted: the shell expands nothing in them. What users wrote for a shell keeps the
//! expansions they wrote (`$HOME`, `$(hostname)`), made on the host as they expect, and gets nothing else: no `;`, no
//! redirection, no glob.

mod split;

use std::borrow::Cow;

pub(crate) use split::{in_double_quotes, split};

const TEMPLATE_OPEN: &str = "{{";
const TEMPLATE_CLOSE: &str = "}}";

/// One word for `sh`: unchanged when it is plain, quoted otherwise. The shell expands nothing in it.
///
/// A template expression (`{{ ds.meta_data['name'] }}`) must reach cloud-init as it stands, so the kind of quotes is
/// chosen around those inside it. One with both kinds is escaped like anything else: safety comes first.
pub(crate) fn quote(word: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        Cow::Borrowed(word)
    } else if word.contains(TEMPLATE_OPEN) && word.contains('\'') && !word.contains(['"', '$', '`', '\\']) {
        Cow::Owned(format!("\"{word}\""))
    } else {
        Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
    }
}

/// A word of a command line: text that the shell is to take as it stands, and expansions that it is to make.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Word(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// As it was written, `$` and all. Bare ones may become several words or none; those in double quotes stay in one.
    Expansion {
        raw: String,
        quoted: bool,
    },
}

impl From<&str> for Word {
    fn from(text: &str) -> Self {
        Self(vec![Piece::Text(text.to_owned())])
    }
}

impl Word {
    /// What the word says before any expansion, for whoever looks for flags.
    pub(crate) fn text(&self) -> String {
        let pieces = self.0.iter().map(|piece| match piece {
            Piece::Text(text) => text.as_str(),
            Piece::Expansion { raw, .. } => raw.as_str(),
        });
        pieces.collect()
    }

    /// The word as a shell has to be given it.
    pub(crate) fn quoted(&self) -> String {
        let mut line = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) if text.is_empty() && self.0.len() > 1 => {}
                Piece::Text(text) => line.push_str(&quote(text)),
                Piece::Expansion { raw, quoted: true } => line.extend(["\"", raw, "\""]),
                // The empty quotes keep what follows from becoming part of its name.
                Piece::Expansion { raw, quoted: false } => line.extend([raw, "''"]),
            }
        }
        if self.0.is_empty() {
            line.push_str("''");
        }
        // One that is alone may become no word at all.
        match self.0.as_slice() {
            [Piece::Expansion { raw, quoted: false }] => raw.clone(),
            _ => line,
        }
    }

    /// The word for another language that makes the expansions by itself within double quotes; `escape` is applied to
    /// all else. None when there is nothing to expand.
    pub(crate) fn expanding(&self, escape: impl Fn(&str) -> String) -> Option<String> {
        let expands = self
            .0
            .iter()
            .any(|piece| matches!(piece, Piece::Expansion { .. }));
        let pieces = self.0.iter().map(|piece| match piece {
            Piece::Text(text) => escape(text),
            Piece::Expansion { raw, .. } => raw.clone(),
        });
        expands.then(|| pieces.collect())
    }

    /// The rest of a word that begins with this text.
    pub(crate) fn strip_prefix(&self, prefix: &str) -> Option<Self> {
        let (first, others) = self.0.split_first()?;
        let Piece::Text(first) = first else { return None };
        let mut rest = Self::default();
        rest.push_str(first.strip_prefix(prefix)?);
        rest.0.extend(others.iter().cloned());
        Some(rest)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.text().is_empty()
    }

    /// Adds text to be taken as it stands.
    pub(crate) fn push_str(&mut self, text: &str) {
        match self.0.last_mut() {
            Some(Piece::Text(last)) => last.push_str(text),
            _ => self.0.push(Piece::Text(text.to_owned())),
        }
    }

    /// Adds another word without a gap.
    pub(crate) fn append(&mut self, word: &Self) {
        for piece in &word.0 {
            match piece {
                Piece::Text(text) => self.push_str(text),
                expansion @ Piece::Expansion { .. } => self.0.push(expansion.clone()),
            }
        }
    }

    fn push(&mut self, c: char) {
        self.push_str(c.encode_utf8(&mut [0; 4]));
    }

    fn expand(&mut self, raw: &str, quoted: bool) {
        let raw = raw.to_owned();
        self.0.push(Piece::Expansion { raw, quoted });
    }
}

#[cfg(test)]
mod tests;
