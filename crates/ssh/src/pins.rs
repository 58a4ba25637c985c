//! What a host has to prove: that it holds one of these keys, or a certificate that one of these authorities made for
//! it. Pure, but for the clock that certificates end by.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use russh::keys::{Certificate, PublicKey};

use crate::known_hosts::matches_pattern;
use crate::{HostKey, HostKeyAlgorithm, ParseHostKeyError};

/// The keys that are accepted of a host. None at all accept no host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pins {
    /// Keys of the host; any of them is enough.
    pub keys: Vec<HostKey>,
    /// Keys of authorities: a certificate of any of them is enough, if it is valid and names the host.
    pub authorities: Vec<HostKey>,
    /// Keys, of hosts and of authorities, that are refused whatever else is said of them.
    pub revoked: Vec<HostKey>,
}

/// Why a host is not accepted.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Nobody has said anything about its key.
    Unknown,
    /// What is wrong with its key or its certificate.
    Invalid(String),
}

impl Pins {
    /// Whether no host is accepted.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.authorities.is_empty()
    }

    /// Adds the public key of an authority, as in its `.pub` file.
    ///
    /// # Errors
    /// When the text is not a public key, or one whose signatures cannot be checked: RSA would need the `rsa` crate
    /// (RUSTSEC-2023-0071).
    pub fn add_authority(&mut self, text: &str) -> Result<(), ParseHostKeyError> {
        let key: HostKey = text.parse()?;
        if key.algorithm == Some(HostKeyAlgorithm::Rsa) {
            return Err(ParseHostKeyError::RsaAuthority);
        }
        self.authorities.push(key);
        Ok(())
    }

    /// All that either says.
    pub fn extend(&mut self, other: Self) {
        self.keys.extend(other.keys);
        self.authorities.extend(other.authorities);
        self.revoked.extend(other.revoked);
    }

    /// Whether a host that goes by the name `host` and proved to hold the key `presented`, perhaps with a certificate
    /// of it, is accepted.
    pub(crate) fn check(
        &self,
        host: &str,
        presented: &HostKey,
        certificate: Option<&Certificate>,
    ) -> Result<(), Refusal> {
        let signed = certificate.and_then(|certificate| {
            let signer = PublicKey::new(certificate.signature_key().clone(), "");
            Some((certificate, HostKey::presented(&signer)?))
        });
        if is_in(&self.revoked, presented) {
            return Err(Refusal::Invalid("it is marked as revoked".to_owned()));
        }
        if is_in(&self.keys, presented) {
            return Ok(());
        }
        match signed {
            Some((_, signer)) if is_in(&self.revoked, &signer) => Err(Refusal::Invalid(format!(
                "its authority {signer} is marked as revoked"
            ))),
            Some((certificate, signer)) if is_in(&self.authorities, &signer) => valid(certificate, host)
                .map_err(|why| Refusal::Invalid(format!("its certificate {:?} {why}", certificate.key_id()))),
            _ => Err(Refusal::Unknown),
        }
    }
}

fn is_in(pins: &[HostKey], key: &HostKey) -> bool {
    pins.iter().any(|pin| pin.matches(key))
}

/// OpenSSH's PROTOCOL.certkeys; unlike OpenSSH before 10.1 a certificate that names no host is for none.
fn valid(certificate: &Certificate, host: &str) -> Result<(), String> {
    certificate
        .verify_signature()
        .map_err(|_| "is not signed by the authority that it names".to_owned())?;
    if !certificate.cert_type().is_host() {
        return Err("is one of a user, not of a host".to_owned());
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    if now < certificate.valid_after() {
        return Err("is not valid yet; compare the clocks".to_owned());
    }
    if now >= certificate.valid_before() {
        return Err("has expired; have the host's key signed again".to_owned());
    }
    if let Some((option, _)) = certificate.critical_options().iter().next() {
        return Err(format!("has the unknown critical option {option:?}"));
    }
    let names = certificate.valid_principals();
    let host = host.to_ascii_lowercase();
    if !names
        .iter()
        .any(|name| matches_pattern(&name.to_ascii_lowercase(), &host))
    {
        let names = if names.is_empty() {
            "no host".to_owned()
        } else {
            names.join(", ")
        };
        return Err(format!(
            "is for {names}; sign the host's key again with `ssh-keygen -h -n {host}`, or reach the host by a name \
             that is in it"
        ));
    }
    Ok(())
}

impl From<Vec<HostKey>> for Pins {
    fn from(keys: Vec<HostKey>) -> Self {
        Self {
            keys,
            ..Self::default()
        }
    }
}

/// As errors list what would have been accepted.
impl fmt::Display for Pins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.keys.iter().map(ToString::to_string);
        let authorities = self
            .authorities
            .iter()
            .map(|key| format!("a certificate of {key}"));
        let all: Vec<_> = keys.chain(authorities).collect();
        f.write_str(if all.is_empty() { "none" } else { "" })?;
        f.write_str(&all.join(", "))
    }
}
