//! Words of a POSIX shell: quoting what we put into command lines, and reading fragments that users wrote for one.

use std::borrow::Cow;

/// One word for `sh`: unchanged when it is plain, single-quoted otherwise. Nothing in it is ever expanded.
pub(crate) fn quote(word: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        Cow::Borrowed(word)
    } else {
        Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
    }
}

/// Words of `text`, quotes and backslashes taken away as `sh` does, without any expansion.
///
/// Text with an open quote is no fragment of a command line; it is one word as it stands.
pub(crate) fn split(text: &str) -> Vec<String> {
    try_split(text).unwrap_or_else(|| vec![text.to_owned()])
}

fn try_split(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\n' | '\r' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '"' => break,
                        '\\' => match chars.next()? {
                            c @ ('"' | '\\' | '$' | '`') => word.push(c),
                            c => word.extend(['\\', c]),
                        },
                        c => word.push(c),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(chars.next()?),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
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

    proptest! {
        #[test]
        fn a_quoted_word_is_one_word(word in "\\PC{0,30}") {
            prop_assert_eq!(split(&quote(&word)), [word]);
        }

        #[test]
        fn never_panics(text in ".{0,60}") {
            split(&text);
        }
    }
}
