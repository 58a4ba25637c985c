//! Deterministic names of Machines.
//!
//! A name depends on nothing but the owner and a sequence number that is stored before anything is created, so that a
//! retry after a crash finds the objects it made instead of making more of them.

use sha2::{Digest, Sha256};

/// The suffix alphabet of Kubernetes' own generated names: no vowels, nothing easily mistaken for something else.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
const SUFFIX_LENGTH: usize = 5;
/// How many suffixes there are: 27^5.
const SUFFIXES: u64 = 14_348_907;
/// A DNS label has 63 characters.
const MAX_LENGTH: usize = 63;

/// `<base>-<5 characters>`, at most 63 characters long; a longer base is cut.
///
/// Two sequence numbers of the same `uid` never give the same name (within 27^5 of them): the suffix is the number
/// itself, sent through a permutation that the uid chooses. Owners with a common base get unrelated suffixes.
pub fn machine_name(base: &str, uid: &str, sequence: u64) -> String {
    let room = MAX_LENGTH - SUFFIX_LENGTH - 1;
    let cut = base
        .char_indices()
        .nth(room)
        .map_or(base, |(end, _)| base.get(..end).unwrap_or(base));
    // A cut may leave a trailing separator, and `a.-bcdfg` is no valid name.
    let cut = cut.trim_end_matches(['-', '.']);
    format!("{cut}-{}", suffix(uid, sequence))
}

/// A placeholder that a template of names cannot have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no {{{{ {0} }}}}; use .cluster.name, .controlPlane.name and .random")]
pub struct UnknownPlaceholder(String);

/// The name that a template gives, such as `{{ .cluster.name }}-{{ .random }}`; one of more than 63 characters is cut, and
/// ends with the random characters.
///
/// As with [`machine_name`], two sequence numbers never give the same name: `.random` is the suffix of those names.
///
/// # Errors
/// The template has a placeholder other than `.cluster.name`, `.controlPlane.name` and `.random`.
pub fn templated_name(
    template: &str,
    cluster: &str,
    control_plane: &str,
    uid: &str,
    sequence: u64,
) -> Result<String, UnknownPlaceholder> {
    let random = suffix(uid, sequence);
    let mut name = String::new();
    let mut has_random = false;
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let (placeholder, after) = after.split_once("}}").unwrap_or((after, ""));
        name.push_str(before);
        name.push_str(match placeholder.trim() {
            ".cluster.name" => cluster,
            ".controlPlane.name" => control_plane,
            ".random" => {
                has_random = true;
                &random
            }
            other => return Err(UnknownPlaceholder(other.to_owned())),
        });
        rest = after;
    }
    name.push_str(rest);
    Ok(match has_random && name.chars().count() <= MAX_LENGTH {
        true => name,
        false => machine_name(&name, uid, sequence),
    })
}

/// Whether a part of the name, between its separators, is the one that makes names with this number unique. Names tell so
/// that were made from templates which nobody has any more.
pub fn bears_number(name: &str, uid: &str, sequence: u64) -> bool {
    let suffix = suffix(uid, sequence);
    name.split(['-', '.']).any(|part| part == suffix)
}

fn suffix(uid: &str, sequence: u64) -> String {
    let digest = Sha256::digest(uid.as_bytes());
    let mut words = digest
        .chunks_exact(8)
        .map(|chunk| chunk.iter().fold(0u64, |word, byte| word << 8 | u64::from(*byte)) % SUFFIXES);
    let offset = words.next().unwrap_or(0);
    let stride = words.next().unwrap_or(1);
    // Multiplication permutes the residues of 3^15 exactly when the factor is not divisible by 3.
    let stride = if stride % 3 == 0 { stride + 1 } else { stride };

    let mut position = (offset + stride * (sequence % SUFFIXES)) % SUFFIXES;
    let base = ALPHABET.len() as u64;
    let letters = (0..SUFFIX_LENGTH).filter_map(|_| {
        let letter = ALPHABET.get(usize::try_from(position % base).ok()?);
        position /= base;
        letter.map(|byte| char::from(*byte))
    });
    letters.collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    const UID: &str = "6f9f42d1-7c5c-4c5e-9d1e-0d2f1f7f9a11";

    #[test]
    fn same_input_same_name() {
        // The names are stored in clusters: this value must never change.
        assert_eq!(machine_name("demo", UID, 0), "demo-b5gvs");
        assert_ne!(machine_name("demo", UID, 0), machine_name("demo", UID, 1));
        assert_ne!(machine_name("demo", UID, 0), machine_name("demo", "another", 0));
    }

    #[test]
    fn no_name_twice() {
        let names: HashSet<_> = (0..200_000)
            .map(|sequence| machine_name("demo", UID, sequence))
            .collect();
        assert_eq!(names.len(), 200_000);
    }

    #[test]
    fn templates_are_filled_in() {
        let name = |template: &str| templated_name(template, "prod", "cp", UID, 0);
        let table = [
            (
                "{{ .cluster.name }}-{{ .controlPlane.name }}-{{ .random }}",
                "prod-cp-b5gvs",
            ),
            ("{{.random}}.{{.cluster.name}}", "b5gvs.prod"),
            // Without what makes it unique, which is refused before, it is added.
            ("a", "a-b5gvs"),
        ];
        for (template, expected) in table {
            assert_eq!(name(template).unwrap(), expected);
            assert!(bears_number(expected, UID, 0) && !bears_number(expected, UID, 1));
        }
        let long = format!("{}-{{{{ .random }}}}-tail", "a".repeat(60));
        let long = name(&long).unwrap();
        assert!(long.len() == 63 && long.ends_with("-b5gvs"), "{long}");
        assert!(name("{{ .kubeadmControlPlane.name }}-{{ .random }}").is_err());
        assert!(name("{{ .random").is_ok());
    }

    proptest! {
        #[test]
        fn is_a_dns_label(base in "[a-z0-9]([a-z0-9-]{0,80}[a-z0-9])?", uid in ".{0,40}", sequence: u64) {
            let name = machine_name(&base, &uid, sequence);
            prop_assert!(name.len() <= 63);
            prop_assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
            prop_assert!(!name.starts_with('-') && !name.ends_with('-'));
            prop_assert_eq!(name.rsplit('-').next().unwrap().len(), 5);
        }

        #[test]
        fn is_injective(uid in "[a-f0-9-]{36}", a in 0..SUFFIXES, b in 0..SUFFIXES) {
            prop_assert_eq!(a == b, suffix(&uid, a) == suffix(&uid, b));
        }

        #[test]
        fn keeps_dots_valid(base in "[a-z0-9]{1,56}\\.[a-z0-9]{1,20}") {
            prop_assert!(!machine_name(&base, UID, 7).contains(".-"));
        }
    }
}
