//! Private keys of users: read from text, used to sign.
//!
//! Ed25519 and ECDSA keys are signed by russh itself. RSA keys are signed by the crypto provider (aws-lc-rs):
//! russh would need the `rsa` crate for them (RUSTSEC-2023-0071, a timing side channel).

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use russh::keys::ssh_key::private::KeypairData;
use russh::keys::{Certificate, HashAlg, PrivateKey, PublicKey, ssh_key};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::Target;

mod rsa;
mod short_ecdsa;

pub(crate) use rsa::{RsaSigner, SignError};

/// A private key that can be used to log in. `Debug` and `Display` show its algorithm and fingerprint only.
#[derive(Clone)]
pub struct UserKey {
    pub(crate) public: PublicKey,
    pub(crate) private: Private,
    pub(crate) certificate: Option<Certificate>,
}

#[derive(Clone)]
pub(crate) enum Private {
    Russh(Arc<PrivateKey>),
    Rsa(Arc<RsaKeyPair>),
}

/// Why a text cannot be used as private key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// There is a passphrase on it.
    #[error("it is encrypted; give its passphrase, or remove that with `ssh-keygen -p`")]
    Encrypted,
    /// The passphrase is another one.
    #[error("the passphrase that is given does not open it; compare the two with `ssh-keygen -y`")]
    Passphrase,
    /// There is a passphrase on it, of an old kind.
    #[error("it is encrypted as PEM files were long ago; convert it with `ssh-keygen -p`")]
    OldEncryption,
    /// What is wrong with its certificate.
    #[error("its certificate {0}")]
    Certificate(String),
    /// It is the public half.
    #[error("it is a public key; the private key is needed")]
    Public,
    /// It is no key, or a damaged one.
    #[error("{0}; expected a private key in OpenSSH or PEM form, as `ssh-keygen` writes it")]
    Malformed(String),
    /// A kind of key that is not supported.
    #[error("{0} is not supported; use Ed25519, ECDSA (P-256, P-384, P-521) or RSA of 2048 to 8192 bits")]
    Unsupported(String),
}

impl UserKey {
    /// The key of a target, with its certificate if it has one. A passphrase is worked on for a while, beside the tasks
    /// of the runtime.
    pub(crate) async fn of(target: &Target) -> Result<Self, InvalidKey> {
        let key = match target.passphrase.clone() {
            None => Self::parse(&target.key, None)?,
            Some(passphrase) => {
                let text = target.key.clone();
                tokio::task::spawn_blocking(move || Self::parse(&text, Some(&passphrase)))
                    .await
                    .unwrap_or_else(|error| Err(InvalidKey::Malformed(error.to_string())))?
            }
        };
        match &target.certificate {
            None => Ok(key),
            Some(certificate) => key.certified(certificate),
        }
    }

    /// Reads a key in OpenSSH ("openssh-key-v1") or PEM form (PKCS#1 `RSA PRIVATE KEY`, SEC1 `EC PRIVATE
    /// KEY`, PKCS#8 `PRIVATE KEY` and `ENCRYPTED PRIVATE KEY`). The passphrase of a key that has none does not matter.
    ///
    /// # Errors
    /// [`InvalidKey`] says what is wrong; it contains nothing of the key.
    pub fn parse(text: &SecretString, passphrase: Option<&SecretString>) -> Result<Self, InvalidKey> {
        let (label, body) = private_block(text.expose_secret())?;
        match label {
            "RSA PRIVATE KEY" => Self::rsa(RsaKeyPair::from_der(&der(body)?)),
            "PRIVATE KEY" => match RsaKeyPair::from_pkcs8(&der(body)?) {
                Ok(pair) => Self::rsa(Ok(pair)),
                Err(_) => Self::other(label, body, None),
            },
            "EC PRIVATE KEY" => Self::other(label, body, None),
            "OPENSSH PRIVATE KEY" => Self::other(label, body, passphrase),
            "ENCRYPTED PRIVATE KEY" if passphrase.is_some() => Self::other(label, body, passphrase),
            "ENCRYPTED PRIVATE KEY" => Err(InvalidKey::Encrypted),
            label => Err(InvalidKey::Unsupported(format!("{label:?}"))),
        }
    }

    /// The key with a certificate, as in its `-cert.pub` file.
    ///
    /// # Errors
    /// [`InvalidKey::Certificate`].
    pub fn certified(self, text: &str) -> Result<Self, InvalidKey> {
        let invalid = |what: &str| InvalidKey::Certificate(what.to_owned());
        let certificate = Certificate::from_openssh(text.trim())
            .map_err(|error| InvalidKey::Certificate(format!("cannot be read: {error}")))?;
        if certificate.public_key() != self.public.key_data() {
            return Err(invalid("is that of another key"));
        }
        if !certificate.cert_type().is_user() {
            return Err(invalid("is that of a host"));
        }
        Ok(Self {
            certificate: Some(certificate),
            ..self
        })
    }

    fn rsa(pair: Result<RsaKeyPair, aws_lc_rs::error::KeyRejected>) -> Result<Self, InvalidKey> {
        let pair = pair.map_err(|error| InvalidKey::Unsupported(format!("this RSA key ({error})")))?;
        Ok(Self {
            public: rsa::public_key(&pair)?,
            private: Private::Rsa(Arc::new(pair)),
            certificate: None,
        })
    }

    fn other(label: &str, body: &str, passphrase: Option<&SecretString>) -> Result<Self, InvalidKey> {
        // Without the blanks and line ends that editors and YAML leave behind.
        let mut text = Zeroizing::new(format!("-----BEGIN {label}-----\n"));
        for line in body.split_ascii_whitespace() {
            text.push_str(line);
            text.push('\n');
        }
        text.push_str(&format!("-----END {label}-----\n"));
        let passphrase = passphrase.map(ExposeSecret::expose_secret);
        let key = russh::keys::decode_secret_key(&text, passphrase).or_else(|error| match error {
            russh::keys::Error::KeyIsEncrypted => Err(InvalidKey::Encrypted),
            russh::keys::Error::UnknownAlgorithm(oid) => {
                Err(InvalidKey::Unsupported(format!("algorithm {oid}")))
            }
            russh::keys::Error::SshKey(ssh_key::Error::Crypto) | russh::keys::Error::Pkcs8(_)
                if passphrase.is_some() =>
            {
                Err(InvalidKey::Passphrase)
            }
            error => short_ecdsa::read(&der(body)?).ok_or_else(|| InvalidKey::Malformed(error.to_string())),
        })?;
        match key.key_data() {
            KeypairData::Rsa(pair) => Self::rsa(Ok(rsa::from_openssh(pair)?)),
            KeypairData::Ed25519(_) | KeypairData::Ecdsa(_) => Ok(Self {
                public: key.public_key().clone(),
                private: Private::Russh(Arc::new(key)),
                certificate: None,
            }),
            _ => Err(InvalidKey::Unsupported(key.algorithm().to_string())),
        }
    }
}

/// Algorithm and fingerprint of the public half, as `ssh-keygen -l` shows them, and the identity in the certificate.
impl fmt::Display for UserKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}",
            self.public.algorithm(),
            self.public.fingerprint(HashAlg::Sha256)
        )?;
        match &self.certificate {
            None => Ok(()),
            Some(certificate) => write!(f, " and its certificate {:?}", certificate.key_id()),
        }
    }
}

impl fmt::Debug for UserKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserKey({self})")
    }
}

/// Label and base64 text of the first PEM block that is a private key. Before it there may be others: OpenSSL
/// writes `EC PARAMETERS`.
fn private_block(text: &str) -> Result<(&str, &str), InvalidKey> {
    let malformed = |what: &str| Err(InvalidKey::Malformed(what.to_owned()));
    let mut rest = text.trim();
    if rest.is_empty() {
        return malformed("it is empty");
    }
    if ["ssh-", "ecdsa-", "sk-"]
        .iter()
        .any(|prefix| rest.starts_with(prefix))
    {
        return Err(InvalidKey::Public);
    }
    let mut is_public = false;
    while let Some((_, block)) = rest.split_once("-----BEGIN ") {
        let Some((label, block)) = block.split_once("-----") else {
            return malformed("its first line is cut");
        };
        let Some((body, after)) = block.split_once("-----END ") else {
            return malformed("its last line is missing");
        };
        if label.ends_with("PRIVATE KEY") {
            // The header that OpenSSL writes for a passphrase on the traditional formats (RFC 1421).
            return if body.contains("ENCRYPTED") {
                Err(InvalidKey::OldEncryption)
            } else {
                Ok((label, body))
            };
        }
        is_public |= label.contains("PUBLIC KEY");
        rest = after;
    }
    if is_public {
        Err(InvalidKey::Public)
    } else {
        malformed("there is no private key in it")
    }
}

fn der(base64: &str) -> Result<Zeroizing<Vec<u8>>, InvalidKey> {
    let joined = Zeroizing::new(base64.split_ascii_whitespace().collect::<String>());
    let decoded = STANDARD.decode(joined.as_bytes());
    decoded
        .map(Zeroizing::new)
        .map_err(|_| InvalidKey::Malformed("its base64 text is damaged".to_owned()))
}

#[cfg(test)]
mod tests;
