//! Reading shell fragments: which words they are, and where in them a shell would expand something.

use super::{TEMPLATE_CLOSE, TEMPLATE_OPEN, Word};

/// Words of `text`, quotes and backslashes taken away as `sh` does. Expansions stay what they are, and template
/// expressions belong to one word, whatever is inside.
///
/// Text with an open quote is no fragment of a command line; it is one word as it stands.
pub(crate) fn split(text: &str) -> Vec<Word> {
    Splitter {
        rest: text,
        word: None,
        words: Vec::new(),
    }
    .split()
    .unwrap_or_else(|| vec![Word::from(text)])
}

/// One word of `text` as it would be within double quotes: every expansion is made and nothing else means anything.
pub(crate) fn in_double_quotes(text: &str) -> Word {
    let mut splitter = Splitter {
        rest: text,
        word: Some(Word::default()),
        words: Vec::new(),
    };
    while let Some(c) = splitter.next(Quotes::Double) {
        splitter.push(c);
    }
    splitter.word.unwrap_or_default()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Quotes {
    None,
    Double,
    Single,
}

struct Splitter<'a> {
    rest: &'a str,
    word: Option<Word>,
    words: Vec<Word>,
}

impl Splitter<'_> {
    /// None when a quote is left open.
    fn split(mut self) -> Option<Vec<Word>> {
        while let Some(c) = self.next(Quotes::None) {
            match c {
                ' ' | '\t' | '\n' | '\r' => self.words.extend(self.word.take()),
                '\'' => self.quoted(Quotes::Single, '\'')?,
                '"' => self.quoted(Quotes::Double, '"')?,
                '\\' => {
                    let c = self.char()?;
                    self.push(c);
                }
                c => self.push(c),
            }
        }
        self.words.extend(self.word.take());
        Some(self.words)
    }

    fn quoted(&mut self, quotes: Quotes, end: char) -> Option<()> {
        self.word.get_or_insert_default();
        loop {
            match self.next(quotes)? {
                c if c == end => return Some(()),
                '\\' if quotes == Quotes::Double => match self.char()? {
                    c @ ('"' | '\\' | '$' | '`') => self.push(c),
                    c => {
                        self.push('\\');
                        self.push(c);
                    }
                },
                c => self.push(c),
            }
        }
    }

    /// The next character, after any template expressions and expansions, which go into the word whole.
    fn next(&mut self, quotes: Quotes) -> Option<char> {
        loop {
            if let Some(template) = template(self.rest) {
                self.word.get_or_insert_default().push_str(template);
                self.skip(template);
            } else if quotes != Quotes::Single
                && let Some(raw) = expansion(self.rest)
            {
                let quoted = quotes == Quotes::Double;
                self.word.get_or_insert_default().expand(raw, quoted);
                self.skip(raw);
            } else {
                return self.char();
            }
        }
    }

    fn skip(&mut self, prefix: &str) {
        self.rest = self.rest.strip_prefix(prefix).unwrap_or_default();
    }

    fn char(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let c = chars.next();
        self.rest = chars.as_str();
        c
    }

    fn push(&mut self, c: char) {
        self.word.get_or_insert_default().push(c);
    }
}

/// The template expression that `text` begins with.
fn template(text: &str) -> Option<&str> {
    let inside = text.strip_prefix(TEMPLATE_OPEN)?;
    let end = inside.find(TEMPLATE_CLOSE)?;
    text.get(..TEMPLATE_OPEN.len() + end + TEMPLATE_CLOSE.len())
}

/// The parameter, command or arithmetic expansion that `text` begins with. What is not closed is none.
fn expansion(text: &str) -> Option<&str> {
    let mut chars = text.chars();
    let length = match (chars.next()?, chars.next()?) {
        ('`', _) => 1 + closed(text.get(1..)?, '`')?,
        ('$', '(') => 2 + closed(text.get(2..)?, ')')?,
        ('$', '{') => 2 + closed(text.get(2..)?, '}')?,
        ('$', c) if c.is_ascii_digit() || "@*#?$!-".contains(c) => 2,
        ('$', c) if c.is_ascii_alphabetic() || c == '_' => {
            let name = text.get(1..)?;
            let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            1 + end.unwrap_or(name.len())
        }
        _ => return None,
    };
    text.get(..length)
}

/// How many bytes of `text` go up to and with the `close` that ends what was opened before it.
fn closed(text: &str, close: char) -> Option<usize> {
    let open = match close {
        ')' => Some('('),
        '}' => Some('{'),
        _ => None,
    };
    let (mut depth, mut quote) = (1, None);
    let mut chars = text.char_indices();
    while let Some((index, c)) = chars.next() {
        match (c, quote) {
            ('\\', None | Some('"')) => {
                chars.next()?;
            }
            (c, Some(end)) if c == end => quote = None,
            (_, Some(_)) => {}
            ('\'' | '"', None) => quote = Some(c),
            (c, None) if Some(c) == open => depth += 1,
            (c, None) if c == close => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(index + c.len_utf8());
        }
    }
    None
}
