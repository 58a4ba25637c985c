//! Quoting for a POSIX shell: the only place of this crate that does it.

/// `text` as one word of a POSIX shell command, whatever it contains.
///
/// Words that mean the same without quotes stay as they are, so that logs and `ps` on the host remain
/// readable. A NUL byte cannot be an argument of any process; it is passed on and the host refuses it.
pub fn quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Words joined to a command line that a POSIX shell splits into exactly these words again.
pub(crate) fn join<I, S>(words: I) -> String
where
    I: IntoIterator<Item = S>,
    S: AsRef<str>,
{
    words
        .into_iter()
        .map(|word| quote(word.as_ref()))
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    fn printed_by_shell(word: &str) -> Vec<u8> {
        let line = format!("printf %s {}", quote(word));
        Command::new("sh").args(["-c", &line]).output().unwrap().stdout
    }

    #[test]
    fn plain_words_stay_readable() {
        assert_eq!(quote("/usr/local/bin/k0s"), "/usr/local/bin/k0s");
        assert_eq!(quote(""), "''");
        assert_eq!(quote("a b"), "'a b'");
        assert_eq!(quote("it's"), r"'it'\''s'");
        // Unquoted, a tilde or an equals sign at the start would be expanded by some shells.
        assert_eq!(quote("~root"), "'~root'");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_word_survives_a_shell(word in "[^\0]{0,40}") {
            prop_assert_eq!(printed_by_shell(&word), word.as_bytes());
        }

        #[test]
        fn hostile_words_survive_a_shell(word in r#"[-'"$`\\!~*?\[\]{}();&|<>#=\n\t a]{0,20}"#) {
            prop_assert_eq!(printed_by_shell(&word), word.as_bytes());
        }

        #[test]
        fn nested_quoting_survives_two_shells(word in r#"['"$`\\ \na]{0,12}"#) {
            let inner = join(["printf", "%s", &word]);
            let line = join(["sh", "-c", &inner]);
            let output = Command::new("sh").args(["-c", &line]).output().unwrap();
            prop_assert_eq!(output.stdout, word.as_bytes());
        }
    }
}
