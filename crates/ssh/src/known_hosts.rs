//! The text of a known_hosts file (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"): which of its lines are about a host, and what
//! they say. Pure; text comes from users.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::{ParseHostKeyError, Pins};

/// The port that host names stand for without one.
const DEFAULT_PORT: u16 = 22;
/// Before salt and hash of a name that nobody is to read.
const HASHED: &str = "|1|";

/// Why a text is not that of a known_hosts file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {cause}")]
pub struct ParseKnownHostsError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub cause: ParseHostKeyError,
}

/// What the lines about the host say. As for `ssh`, a host at another port than 22 goes by the name `[host]:port`, and a
/// `@cert-authority` may leave the port out. Lines with kinds of keys that nobody here knows are passed over, as are those
/// about other hosts, whatever they contain.
///
/// # Errors
/// With the first line about the host that is damaged.
pub fn known_hosts(text: &str, host: &str, port: u16) -> Result<Pins, ParseKnownHostsError> {
    let host = host.to_ascii_lowercase();
    let name = if port == DEFAULT_PORT {
        host.clone()
    } else {
        format!("[{host}]:{port}")
    };
    let mut pins = Pins::default();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        let (marker, rest) = if line.starts_with('@') {
            first_word(line)
        } else {
            ("", line)
        };
        let (names, key) = first_word(rest);
        let is_authority = marker == "@cert-authority";
        if names.is_empty()
            || names.starts_with('#')
            || !(covers(names, &name) || is_authority && covers(names, &host))
        {
            continue;
        }
        let parsed = match marker {
            "@cert-authority" => pins.add_authority(key),
            "@revoked" => key.parse().map(|key| pins.revoked.push(key)),
            "" => key.parse().map(|key| pins.keys.push(key)),
            // As ssh does with markers of later releases.
            _ => Ok(()),
        };
        match parsed {
            Ok(()) | Err(ParseHostKeyError::Algorithm) => {}
            Err(cause) => {
                return Err(ParseKnownHostsError {
                    line: index + 1,
                    cause,
                });
            }
        }
    }
    Ok(pins)
}

fn first_word(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
    (word, rest.trim_start())
}

/// Whether the first field of a line names the host.
fn covers(names: &str, name: &str) -> bool {
    if let Some(hashed) = names.strip_prefix(HASHED) {
        return is_hash_of(hashed, name);
    }
    let mut found = false;
    for pattern in names.split(',') {
        match pattern.strip_prefix('!') {
            Some(pattern) if matches_pattern(&pattern.to_ascii_lowercase(), name) => return false,
            Some(_) => {}
            None => found |= matches_pattern(&pattern.to_ascii_lowercase(), name),
        }
    }
    found
}

/// `salt|hash`, both base64: HMAC-SHA1 of the name with the salt as key.
fn is_hash_of(hashed: &str, name: &str) -> bool {
    let decode = |text| STANDARD.decode(text).ok();
    let Some((salt, hash)) = hashed.split_once('|') else {
        return false;
    };
    let (Some(salt), Some(hash)) = (decode(salt), decode(hash)) else {
        return false;
    };
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt);
    hmac::verify(&key, name.as_bytes(), &hash).is_ok()
}

/// `*` stands for any text, `?` for one character. In time that is not exponential in the number of stars.
pub(crate) fn matches_pattern(pattern: &str, name: &str) -> bool {
    matches_parts(pattern.as_bytes(), name.as_bytes()).is_some()
}

fn matches_parts(pattern: &[u8], name: &[u8]) -> Option<()> {
    let fits = |part: &[u8], text: &[u8]| {
        part.len() == text.len() && part.iter().zip(text).all(|(p, c)| *p == b'?' || p == c)
    };
    let mut parts = pattern.split(|byte| *byte == b'*');
    let first = parts.next()?;
    let (head, rest) = name.split_at_checked(first.len())?;
    let Some(last) = parts.next_back() else {
        return (rest.is_empty() && fits(first, head)).then_some(());
    };
    let (mut body, tail) = rest.split_at_checked(rest.len().checked_sub(last.len())?)?;
    if !fits(first, head) || !fits(last, tail) {
        return None;
    }
    // The earliest place of each part leaves the most to the others.
    for part in parts.filter(|part| !part.is_empty()) {
        let at = body.windows(part.len()).position(|text| fits(part, text))?;
        body = body.get(at + part.len()..)?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINYDdJuO7ggR7uQwr8k4sXGsXtRLvLwxNRzNu72oVzee";
    const PIN: &str = "ssh-ed25519 SHA256:TY+7jF398fWZpqSN9qfhV9dMUBn4120LYmQ5l+sDElY";

    fn pins(text: &str, host: &str, port: u16) -> Pins {
        known_hosts(text, host, port).unwrap()
    }

    #[test]
    fn lines_about_the_host_count() {
        let keys = |names: &str, host, port| pins(&format!("{names} {KEY} comment\n"), host, port).keys.len();
        assert_eq!(pins(&format!("a {KEY}"), "a", 22).keys, [PIN.parse().unwrap()]);
        for (names, host, port) in [
            ("a", "a", 22),
            ("A.Example.org", "a.example.ORG", 22),
            ("b,a", "a", 22),
            ("*.example.org,!b.example.org", "a.example.org", 22),
            ("10.0.0.?", "10.0.0.7", 22),
            ("[a]:2222", "a", 2222),
            ("[*]:2222", "a", 2222),
            ("fd00::1", "fd00::1", 22),
            ("[fd00::1]:23", "fd00::1", 23),
        ] {
            assert_eq!(keys(names, host, port), 1, "{names}");
        }
        for (names, host, port) in [
            ("b", "a", 22),
            ("a", "a", 2222),
            ("[a]:22", "a", 22),
            ("[a]:2222", "a", 22),
            ("*.example.org,!b.example.org", "b.example.org", 22),
            ("10.0.0.?", "10.0.0.77", 22),
            ("#a", "a", 22),
            ("|1|c2FsdA==|bm90IGE=", "a", 22),
            ("|1|c2FsdA==", "a", 22),
        ] {
            assert_eq!(keys(names, host, port), 0, "{names}");
        }
    }

    #[test]
    fn markers_say_what_a_key_is_for() {
        let text =
            format!("@cert-authority *.example.org {KEY}\n@revoked * {KEY}\n@later * {KEY}\n\n# a {KEY}\n");
        let found = pins(&text, "a.example.org", 2222);
        let pin = [PIN.parse().unwrap()];
        assert_eq!((found.keys.len(), found.authorities.as_slice()), (0, &pin[..]));
        assert_eq!(found.revoked, pin);
        assert!(pins(&format!("@revoked * {KEY}"), "a", 22).is_empty());
    }

    #[test]
    fn damage_counts_only_where_it_matters() {
        let error = |text: &str| known_hosts(text, "a", 22).unwrap_err();
        let cut = &KEY[..40];
        assert_eq!(
            error(&format!("# hosts\nb {cut}\na {cut}\n")).to_string(),
            format!("line 3: {}", ParseHostKeyError::PublicKey)
        );
        assert_eq!(error("a ssh-ed25519").cause, ParseHostKeyError::Fingerprint);
        assert_eq!(error("a").cause, ParseHostKeyError::Empty);
        let rsa = "@cert-authority a ssh-rsa SHA256:TY+7jF398fWZpqSN9qfhV9dMUBn4120LYmQ5l+sDElY";
        assert_eq!(error(rsa).cause, ParseHostKeyError::RsaAuthority);
        // Of kinds that nobody here knows: DSA, a security key, SSH 1.
        let unknown = "a ssh-dss AAAA\na sk-ssh-ed25519@openssh.com AAAA\na 1024 35 1234\n";
        assert!(pins(unknown, "a", 22).is_empty());
    }

    /// As the definition has it, exponential in the worst case.
    fn naive(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern, name) {
            ([b'*', rest @ ..], _) => (0..=name.len()).any(|n| naive(rest, &name[n..])),
            ([p, rest @ ..], [c, after @ ..]) => (*p == b'?' || p == c) && naive(rest, after),
            _ => pattern.is_empty() && name.is_empty(),
        }
    }

    proptest! {
        #[test]
        fn patterns_mean_what_they_are_defined_to(pattern in "[ab*?]{0,8}", name in "[ab]{0,8}") {
            prop_assert_eq!(matches_pattern(&pattern, &name), naive(pattern.as_bytes(), name.as_bytes()));
        }

        #[test]
        fn any_text_is_read_or_refused(
            text in prop::collection::vec(r"(@[a-z-]{0,14} )?[a*?!,\[\]:|1=#]{0,10} (ssh-(ed25519|rsa|dss))? ?[A-Za-z0-9+/= \t\r]{0,40}", 0..8),
            host in "[a-c.:]{0,4}", port in any::<u16>(),
        ) {
            let _ = known_hosts(&text.join("\n"), &host, port);
        }

        #[test]
        fn a_line_for_a_host_is_found_among_any_others(
            host in "[a-z0-9.-]{1,20}", port in 1_u16.., others in prop::collection::vec("[b-z ]{0,20}", 0..5), at in 0_usize..5,
        ) {
            let name = if port == 22 { host.clone() } else { format!("[{host}]:{port}") };
            let mut lines: Vec<_> = others.into_iter().map(|other| format!("#{other}")).collect();
            lines.insert(at.min(lines.len()), format!("{name} {KEY}"));
            prop_assert_eq!(pins(&lines.join("\r\n"), &host, port).keys.len(), 1);
        }
    }
}
