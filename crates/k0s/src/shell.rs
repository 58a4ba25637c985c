//! Words of a POSIX shell: quoting what we put into command lines, and reading fragments that users wrote for one.

use std::borrow::Cow;

/// One word for `sh`: unchanged when it is plain, quoted otherwise. The shell expands nothing in it.
///
/// A template expression (`{{ ds.meta_data['name'] }}`) must reach cloud-init as it stands, so the kind of quotes is
/// chosen around those inside it. One with both kinds is escaped like anything else: safety comes first.
pub(crate) fn quote(word: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        Cow::Borrowed(word)
    } else if word.contains(OPEN) && word.contains('\'') && !word.contains(['"', '$', '`', '\\']) {
        Cow::Owned(format!("\"{word}\""))
    } else {
        Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
    }
}

/// Words of `text`, quotes and backslashes taken away as `sh` does, without any expansion. Template expressions belong
/// to one word, whatever is inside.
///
/// Text with an open quote is no fragment of a command line; it is one word as it stands.
pub(crate) fn split(text: &str) -> Vec<String> {
    Splitter {
        rest: text,
        word: None,
        words: Vec::new(),
    }
    .split()
    .unwrap_or_else(|| vec![text.to_owned()])
}

const OPEN: &str = "{{";
const CLOSE: &str = "}}";

struct Splitter<'a> {
    rest: &'a str,
    word: Option<String>,
    words: Vec<String>,
}

impl Splitter<'_> {
    /// None when a quote is left open.
    fn split(mut self) -> Option<Vec<String>> {
        while let Some(c) = self.next() {
            match c {
                ' ' | '\t' | '\n' | '\r' => self.words.extend(self.word.take()),
                '\'' => self.quoted('\'')?,
                '"' => self.quoted('"')?,
                '\\' => {
                    let c = self.next()?;
                    self.push(c);
                }
                c => self.push(c),
            }
        }
        self.words.extend(self.word.take());
        Some(self.words)
    }

    fn quoted(&mut self, quote: char) -> Option<()> {
        self.word.get_or_insert_default();
        loop {
            match self.next()? {
                c if c == quote => return Some(()),
                '\\' if quote == '"' => match self.next()? {
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

    /// The next character, after any template expressions, which go into the word whole.
    fn next(&mut self) -> Option<char> {
        while self.rest.starts_with(OPEN)
            && let Some(end) = self.rest.find(CLOSE)
        {
            let (expression, rest) = self.rest.split_at(end + CLOSE.len());
            self.word.get_or_insert_default().push_str(expression);
            self.rest = rest;
        }
        let mut chars = self.rest.chars();
        let c = chars.next();
        self.rest = chars.as_str();
        c
    }

    fn push(&mut self, c: char) {
        self.word.get_or_insert_default().push(c);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quotes_only_what_needs_it() {
        for (word, quoted) in [
            ("--labels=a/b=c", "--labels=a/b=c"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("$(id)", "'$(id)'"),
            ("a=b;c", "'a=b;c'"),
            ("~root", "'~root'"),
        ] {
            assert_eq!(quote(word), quoted);
        }
    }

    #[test]
    fn splits_like_a_shell() {
        assert_eq!(split("--profile custom"), ["--profile", "custom"]);
        assert_eq!(
            split(r#"--x="--a --b" 'c d' e\ f"#),
            ["--x=--a --b", "c d", "e f"]
        );
        assert_eq!(split(r#""a\"b\c$d""#), [r#"a"b\c$d"#]);
        assert_eq!(split("''"), [""]);
        assert_eq!(split("it's"), ["it's"]);
        assert!(split("  ").is_empty());
    }

    #[test]
    fn template_expressions_survive() {
        for expression in [
            "{{ v1.region }}",
            "{{ ds.meta_data['a b'] }}",
            "{{ ds.meta_data[\"a b\"] }}",
            "{{ a }}{{ b }}",
        ] {
            for word in [expression.to_owned(), format!("--labels=a={expression},b=c d")] {
                assert_eq!(split(&word.replace(",b=c d", "")), [word.replace(",b=c d", "")]);
                assert_eq!(split(&format!("'{word}'")), [word.as_str()]);
                assert!(quote(&word).contains(expression), "{word}");
                assert_eq!(split(&quote(&word)), [word]);
            }
        }
        // Both kinds of quotes, or a dollar: never at the cost of safety.
        assert_eq!(quote("{{ 'a' \"b\" }}"), r#"'{{ '\''a'\'' "b" }}'"#);
        assert_eq!(quote("{{ '$(id)' }}"), r"'{{ '\''$(id)'\'' }}'");
        assert_eq!(split("a {{ b c"), ["a", "{{", "b", "c"]);
    }

    #[test]
    fn a_real_shell_agrees() {
        let words = [
            "",
            "a b",
            "it's",
            "$(id)",
            "`id`",
            "a\\nb",
            "tab\tnew\nline",
            "*",
            "~",
            "#x",
            "a;b&c|d",
            "{{ a['b'] }}",
            "-n",
        ];
        let line = words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ");
        let output = std::process::Command::new("/bin/sh")
            .args(["-c", &format!("printf '<%s>' {line}")])
            .output()
            .unwrap();
        let expected: String = words.iter().map(|word| format!("<{word}>")).collect();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    }

    proptest! {
        #[test]
        fn a_quoted_word_is_one_word(word in "[^{]{0,30}") {
            prop_assert_eq!(split(&quote(&word)), [word]);
        }

        #[test]
        fn never_panics(text in ".{0,60}") {
            split(&text);
        }
    }
}
