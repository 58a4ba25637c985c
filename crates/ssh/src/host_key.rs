//! How hosts prove who they are: the text form of a host key, and whether a presented key is a pinned one.
//!
//! Pure. Text comes from annotations and, later, from users, so that parsing accepts what OpenSSH's tools
//! print and never panics.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PublicKey};
use sha2::{Digest, Sha256};

/// Identity of a host: the SHA-256 fingerprint of its public key and, if known, the algorithm of that key.
///
/// The text form is the one of OpenSSH: `ssh-ed25519 SHA256:<43 characters of base64>`. Without the algorithm
/// it is the fingerprint alone; a host with several keys is then asked for each of them until one fits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostKey {
    /// Algorithm of the key; always known of a presented key.
    pub algorithm: Option<HostKeyAlgorithm>,
    /// Fingerprint of the public key.
    pub fingerprint: Fingerprint,
}

impl HostKey {
    /// Whether a host that presented `presented` is the one that this pin stands for.
    pub fn matches(&self, presented: &Self) -> bool {
        self.fingerprint == presented.fingerprint
            && (self.algorithm.is_none() || self.algorithm == presented.algorithm)
    }

    /// The key as presented by a host; `None` if its algorithm is not supported.
    pub(crate) fn presented(key: &PublicKey) -> Option<Self> {
        let algorithm = HostKeyAlgorithm::of(&key.algorithm())?;
        let digest = key.fingerprint(HashAlg::Sha256).as_bytes().try_into().ok()?;
        Some(Self {
            algorithm: Some(algorithm),
            fingerprint: Fingerprint(digest),
        })
    }
}

impl fmt::Display for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(algorithm) = self.algorithm {
            write!(f, "{algorithm} ")?;
        }
        write!(f, "{}", self.fingerprint)
    }
}

/// Accepts `SHA256:<base64>`, `<algorithm> SHA256:<base64>` and a public key line `<algorithm> <base64 of the
/// key>` with anything behind it, as in `ssh_host_ed25519_key.pub` or (without its first word) in the output
/// of `ssh-keyscan`.
impl FromStr for HostKey {
    type Err = ParseHostKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut words = text.split_ascii_whitespace();
        let first = words.next().ok_or(ParseHostKeyError::Empty)?;
        if first.starts_with("SHA256:") {
            return match words.next() {
                None => Ok(Self {
                    algorithm: None,
                    fingerprint: first.parse()?,
                }),
                Some(_) => Err(ParseHostKeyError::Trailing),
            };
        }
        let algorithm = first.parse()?;
        let second = words.next().ok_or(ParseHostKeyError::Fingerprint)?;
        let fingerprint = if second.starts_with("SHA256:") {
            if words.next().is_some() {
                return Err(ParseHostKeyError::Trailing);
            }
            second.parse()?
        } else {
            Fingerprint::of_public_key(algorithm, second)?
        };
        Ok(Self {
            algorithm: Some(algorithm),
            fingerprint,
        })
    }
}

/// SHA-256 of a public key in its wire format, as `ssh-keygen -l` shows it: `SHA256:` and base64 without
/// padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Fingerprint of the base64 part of a public key line. The blob names its algorithm itself (RFC 4253
    /// section 6.6); a line that says something else is refused rather than pinned.
    fn of_public_key(algorithm: HostKeyAlgorithm, base64: &str) -> Result<Self, ParseHostKeyError> {
        let blob = STANDARD
            .decode(base64)
            .map_err(|_| ParseHostKeyError::PublicKey)?;
        // Looked at before the rest is decoded: the decoder would follow a chain of certificates to any
        // depth.
        let named = blob
            .get(4..)
            .is_some_and(|rest| rest.starts_with(algorithm.name().as_bytes()));
        if !named {
            return Err(ParseHostKeyError::PublicKey);
        }
        let key = PublicKey::from_bytes(&blob).map_err(|_| ParseHostKeyError::PublicKey)?;
        if HostKeyAlgorithm::of(&key.algorithm()) != Some(algorithm) {
            return Err(ParseHostKeyError::PublicKey);
        }
        Ok(Self(Sha256::digest(&blob).into()))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SHA256:{}", STANDARD_NO_PAD.encode(self.0))
    }
}

impl FromStr for Fingerprint {
    type Err = ParseHostKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let base64 = text
            .strip_prefix("SHA256:")
            .ok_or(ParseHostKeyError::Fingerprint)?;
        let digest = STANDARD_NO_PAD
            .decode(base64)
            .map_err(|_| ParseHostKeyError::Fingerprint)?;
        digest
            .try_into()
            .map(Self)
            .map_err(|_| ParseHostKeyError::Fingerprint)
    }
}

/// Kind of a host key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HostKeyAlgorithm {
    /// `ssh-ed25519`.
    Ed25519,
    /// `ecdsa-sha2-nistp256`.
    EcdsaP256,
    /// `ecdsa-sha2-nistp384`.
    EcdsaP384,
    /// `ecdsa-sha2-nistp521`.
    EcdsaP521,
    /// `ssh-rsa`. Known so that such a pin can be read; no connection is made with it, since checking an RSA
    /// signature of a host would need the `rsa` crate (RUSTSEC-2023-0071).
    Rsa,
}

impl HostKeyAlgorithm {
    /// Those that a host can be verified with, best first.
    pub(crate) const SUPPORTED: [Self; 4] =
        [Self::Ed25519, Self::EcdsaP256, Self::EcdsaP384, Self::EcdsaP521];

    fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ssh-ed25519",
            Self::EcdsaP256 => "ecdsa-sha2-nistp256",
            Self::EcdsaP384 => "ecdsa-sha2-nistp384",
            Self::EcdsaP521 => "ecdsa-sha2-nistp521",
            Self::Rsa => "ssh-rsa",
        }
    }

    fn of(algorithm: &Algorithm) -> Option<Self> {
        Some(match algorithm {
            Algorithm::Ed25519 => Self::Ed25519,
            Algorithm::Ecdsa {
                curve: EcdsaCurve::NistP256,
            } => Self::EcdsaP256,
            Algorithm::Ecdsa {
                curve: EcdsaCurve::NistP384,
            } => Self::EcdsaP384,
            Algorithm::Ecdsa {
                curve: EcdsaCurve::NistP521,
            } => Self::EcdsaP521,
            Algorithm::Rsa { .. } => Self::Rsa,
            _ => return None,
        })
    }

    /// The algorithm as it is offered to the host; `None` if a host cannot be verified with it.
    pub(crate) fn negotiable(self) -> Option<Algorithm> {
        Some(match self {
            Self::Ed25519 => Algorithm::Ed25519,
            Self::EcdsaP256 => Algorithm::Ecdsa {
                curve: EcdsaCurve::NistP256,
            },
            Self::EcdsaP384 => Algorithm::Ecdsa {
                curve: EcdsaCurve::NistP384,
            },
            Self::EcdsaP521 => Algorithm::Ecdsa {
                curve: EcdsaCurve::NistP521,
            },
            Self::Rsa => return None,
        })
    }
}

impl fmt::Display for HostKeyAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for HostKeyAlgorithm {
    type Err = ParseHostKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::SUPPORTED
            .into_iter()
            .chain([Self::Rsa])
            .find(|algorithm| algorithm.name() == text)
            .ok_or(ParseHostKeyError::Algorithm)
    }
}

/// Why a text is not a host key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseHostKeyError {
    /// Nothing but blanks.
    #[error("empty; expected for example `ssh-ed25519 SHA256:<base64>`")]
    Empty,
    /// The first word is neither a fingerprint nor a known algorithm.
    #[error("unknown algorithm; expected ssh-ed25519, ecdsa-sha2-nistp256, -nistp384, -nistp521 or ssh-rsa")]
    Algorithm,
    /// No `SHA256:` followed by 43 characters of base64.
    #[error("no fingerprint; expected `SHA256:` and 43 characters of base64, as `ssh-keygen -l` shows it")]
    Fingerprint,
    /// The base64 text is not a public key, or one of another algorithm than the line says.
    #[error("not a public key of the algorithm named before it")]
    PublicKey,
    /// Something follows the fingerprint.
    #[error("unexpected text after the fingerprint")]
    Trailing,
    /// The key of an authority whose signatures cannot be checked.
    #[error("the certificates of an RSA authority cannot be checked; use one with an Ed25519 or ECDSA key")]
    RsaAuthority,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LINE: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINYDdJuO7ggR7uQwr8k4sXGsXtRLvLwxNRzNu72oVzee c";
    const PIN: &str = "ssh-ed25519 SHA256:TY+7jF398fWZpqSN9qfhV9dMUBn4120LYmQ5l+sDElY";
    const OTHER: &str = "ecdsa-sha2-nistp384 SHA256:r05MqQZlP2kD6uRGwI5u8KLv9LBef3Y04y+N6z72+I8";

    fn pin(text: &str) -> HostKey {
        text.parse().unwrap()
    }

    #[test]
    fn a_public_key_line_and_its_listing_are_the_same_host() {
        assert_eq!(pin(LINE), pin(PIN));
        assert_eq!(pin(LINE).to_string(), PIN);
        assert_eq!(pin(&format!("  {PIN} \n")), pin(PIN));
        let without_comment = LINE.rsplit_once(' ').unwrap().0;
        assert_eq!(pin(without_comment), pin(PIN));
    }

    #[test]
    fn a_pin_without_algorithm_fits_any_key_of_that_fingerprint() {
        let (_, fingerprint) = PIN.split_once(' ').unwrap();
        assert!(pin(fingerprint).matches(&pin(PIN)));
        assert!(pin(PIN).matches(&pin(PIN)));
        assert!(!pin(PIN).matches(&pin(OTHER)));
        assert!(!pin(&format!("ssh-rsa {fingerprint}")).matches(&pin(PIN)));
        // Only a pin may leave the algorithm open, never what a host presents.
        assert!(!pin(PIN).matches(&pin(fingerprint)));
        assert_eq!(pin(fingerprint).to_string(), fingerprint);
    }

    #[test]
    fn what_is_no_host_key_is_refused_with_the_reason() {
        let error = |text: &str| text.parse::<HostKey>().unwrap_err();
        let (algorithm, fingerprint) = PIN.split_once(' ').unwrap();
        assert_eq!(error(""), ParseHostKeyError::Empty);
        assert_eq!(error(" \n"), ParseHostKeyError::Empty);
        assert_eq!(error(algorithm), ParseHostKeyError::Fingerprint);
        assert_eq!(error("ssh-dss SHA256:AAAA"), ParseHostKeyError::Algorithm);
        assert_eq!(error("MD5:aa:bb"), ParseHostKeyError::Algorithm);
        assert_eq!(error("SHA256:"), ParseHostKeyError::Fingerprint);
        assert_eq!(error(&format!("{fingerprint}=")), ParseHostKeyError::Fingerprint);
        assert_eq!(
            error(&fingerprint[..fingerprint.len() - 1]),
            ParseHostKeyError::Fingerprint
        );
        assert_eq!(error(&format!("{PIN} more")), ParseHostKeyError::Trailing);
        assert_eq!(error(&format!("{fingerprint} more")), ParseHostKeyError::Trailing);
        assert_eq!(error("ssh-ed25519 AAAA"), ParseHostKeyError::PublicKey);
        // A key under the name of another algorithm.
        assert_eq!(
            error(&LINE.replacen("ssh-ed25519", "ssh-rsa", 1)),
            ParseHostKeyError::PublicKey
        );
    }

    fn any_host_key() -> impl Strategy<Value = HostKey> {
        let algorithm = prop::sample::select(vec![
            None,
            Some(HostKeyAlgorithm::Ed25519),
            Some(HostKeyAlgorithm::EcdsaP256),
            Some(HostKeyAlgorithm::EcdsaP384),
            Some(HostKeyAlgorithm::EcdsaP521),
            Some(HostKeyAlgorithm::Rsa),
        ]);
        (algorithm, any::<[u8; 32]>()).prop_map(|(algorithm, digest)| HostKey {
            algorithm,
            fingerprint: Fingerprint(digest),
        })
    }

    proptest! {
        #[test]
        fn text_and_back(key in any_host_key()) {
            prop_assert_eq!(pin(&key.to_string()), key);
        }

        #[test]
        fn keys_match_themselves_and_no_other(a in any_host_key(), b in any_host_key()) {
            prop_assert!(a.matches(&a));
            prop_assert_eq!(a.matches(&b), a.fingerprint == b.fingerprint);
        }

        #[test]
        fn what_is_read_is_written_as_something_that_reads_the_same(text in "[ -~\n\t]{0,80}") {
            if let Ok(key) = text.parse::<HostKey>() {
                prop_assert_eq!(pin(&key.to_string()), key);
            }
        }

        #[test]
        fn no_key_blob_makes_it_panic(blob in prop::collection::vec(any::<u8>(), 0..120), rsa in any::<bool>()) {
            let name = if rsa { "ssh-rsa" } else { "ssh-ed25519" };
            let mut named = (name.len() as u32).to_be_bytes().to_vec();
            named.extend(name.bytes());
            named.extend(&blob);
            let _ = format!("{name} {}", STANDARD.encode(named)).parse::<HostKey>();
        }
    }
}
