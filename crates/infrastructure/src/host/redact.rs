//! What commands printed, made fit for conditions, events and logs: short, and without secrets.
//!
//! Two nets: everything that the bootstrap data itself keeps from others (files that only their owner may read), and
//! everything that looks like key material or a token, wherever it came from.

/// Most that is shown, in bytes.
const SHOWN: usize = 512;
/// A run of this many characters of an encoding is a key, a token or a digest, and never prose.
const LONGEST_WORD: usize = 40;
const REDACTED: &str = "[redacted]";

/// Lines that must not be shown although they look harmless.
#[derive(Clone, Default)]
pub struct Secrets(Vec<String>);

impl Secrets {
    /// The lines of a file that others may not read. Short ones would redact common words.
    pub fn add(&mut self, content: &[u8]) {
        let text = String::from_utf8_lossy(content);
        self.0.extend(
            text.lines()
                .map(str::trim)
                .filter(|line| line.len() >= 8)
                .map(str::to_owned),
        );
        // What contains another goes first, or its rest would stay behind.
        self.0.sort_by_key(|line| std::cmp::Reverse(line.len()));
        self.0.dedup();
    }

    /// The end of `printed`, on one line.
    pub fn redact(&self, printed: &str) -> String {
        let mut text = printed.to_owned();
        for secret in &self.0 {
            text = text.replace(secret.as_str(), REDACTED);
        }
        let lines: Vec<String> = text
            .lines()
            .map(|line| line.chars().filter(|c| !c.is_control()).collect::<String>())
            .map(|line| {
                line.split_whitespace()
                    .map(redact_word)
                    .collect::<Vec<_>>()
                    .join(" ")
            })
            .filter(|line| !line.is_empty())
            .collect();
        let joined = lines.join(" | ");
        if joined.len() <= SHOWN {
            return joined;
        }
        let from = joined.ceil_char_boundary(joined.len() - SHOWN);
        format!("…{}", joined.get(from..).unwrap_or_default())
    }
}

/// A word without the parts of it that look like secrets.
fn redact_word(word: &str) -> String {
    let encoding = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | '_' | '-' | '.');
    let mut out = String::new();
    let mut rest = word;
    while !rest.is_empty() {
        let (run, after) = rest.split_at(rest.find(|c| !encoding(c)).unwrap_or(rest.len()));
        // Base64 has slashes, as paths have. If one part is a secret, its neighbours are the same secret.
        out.push_str(if run.split('/').any(is_secret) {
            REDACTED
        } else {
            run
        });
        let (between, next) = after.split_at(after.find(encoding).unwrap_or(after.len()));
        out.push_str(between);
        rest = next;
    }
    out
}

fn is_secret(run: &str) -> bool {
    // A bootstrap token: six characters, a dot, sixteen characters.
    let is_token = run.split_once('.').is_some_and(|(id, secret)| {
        let plain = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        id.len() == 6 && secret.len() == 16 && plain(id) && plain(secret)
    });
    // Host names and versions have dots or dashes every few characters; encodings do not.
    let longest = run.split(['.', '-']).map(str::len).max().unwrap_or_default();
    is_token || longest >= LONGEST_WORD
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_tokens_and_private_files_are_not_shown() {
        let mut secrets = Secrets::default();
        secrets.add(b"password: hunter2hunter2\nx\n");
        let shown = secrets.redact(
            "joining with token abcdef.0123456789abcdef\n\
             using H4sIAAAAAAAC/2yTT4sTQRDFv0rIeZPOZFVYwYMuHjx4EDx4EESW6urKpE3/\n\
             config says password: hunter2hunter2 here\n\
             unit k0sworker.service failed on worker-0.example.org, v1.33.1+k0s.0\n",
        );
        assert_eq!(
            shown,
            "joining with token [redacted] | using [redacted] | config says [redacted] here | \
             unit k0sworker.service failed on worker-0.example.org, v1.33.1+k0s.0"
        );
    }

    #[test]
    fn the_end_is_what_is_kept() {
        let shown = Secrets::default().redact(&format!("{} the reason", "blah ".repeat(400)));
        assert!(shown.ends_with("the reason"));
        assert!(shown.len() <= SHOWN + '…'.len_utf8());
    }

    proptest! {
        #[test]
        fn no_line_of_a_private_file_survives(secret in "[A-Za-z0-9+/=]{8,100}", before in "[a-z é]{0,600}", after in ".{0,50}") {
            let mut secrets = Secrets::default();
            secrets.add(secret.as_bytes());
            let shown = secrets.redact(&format!("{before} {secret} {after}"));
            prop_assert!(!shown.contains(&secret));
        }
    }
}
