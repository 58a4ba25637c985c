//! Bootstrap tokens and the join tokens that carry them to a new node.
//!
//! A bootstrap token is Kubernetes' `<id>.<secret>`, stored as a Secret in the workload cluster by whoever creates it.
//! A join token is what `k0s --token-file` reads: a kubeconfig with the bootstrap token, gzipped, in base64.

use std::io::{Read, Write};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use rand::RngExt;
use secrecy::{ExposeSecret, SecretString};

use crate::kubeconfig::{Credentials, Document, Endpoint};

/// User name in a worker's join token, by which k0s tells the roles apart.
pub const WORKER_USER: &str = "kubelet-bootstrap";
/// User name in a controller's join token.
pub const CONTROLLER_USER: &str = "controller-bootstrap";

const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
/// k0s names cluster, context and current context all the same.
const CONTEXT: &str = "k0s";
const ID_LENGTH: usize = 6;
const SECRET_LENGTH: usize = 16;
/// Bound of a decoded join token; real ones are about 2 KiB.
const MAX_DECODED: u64 = 1024 * 1024;

/// A bootstrap token: `[a-z0-9]{6}` and `[a-z0-9]{16}`.
#[derive(Clone, Debug)]
pub struct BootstrapToken {
    id: String,
    secret: SecretString,
}

/// What a join token says.
#[derive(Clone, Debug)]
pub struct JoinToken {
    /// URL of the API server (worker) or of the k0s join API (controller).
    pub server: String,
    pub ca_pem: String,
    /// [`WORKER_USER`] or [`CONTROLLER_USER`].
    pub user: String,
    pub token: BootstrapToken,
}

/// Why a text is not a token. Says nothing of its content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("the bootstrap token is not of the form <6 characters>.<16 characters> of a-z and 0-9")]
    Bootstrap,
    #[error("the join token {0}; it must be the output of `k0s token create`, unchanged")]
    Join(&'static str),
}

impl BootstrapToken {
    /// A new one from the operating system's random generator, every character equally likely.
    pub fn generate() -> Self {
        Self {
            id: random_text(ID_LENGTH),
            secret: random_text(SECRET_LENGTH).into(),
        }
    }

    /// Reads `<id>.<secret>`.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let valid = |text: &str, length| text.len() == length && text.bytes().all(|b| ALPHABET.contains(&b));
        match text.trim().split_once('.') {
            Some((id, secret)) if valid(id, ID_LENGTH) && valid(secret, SECRET_LENGTH) => Ok(Self {
                id: id.to_owned(),
                secret: secret.into(),
            }),
            _ => Err(TokenError::Bootstrap),
        }
    }

    /// The public half; the Secret in the workload cluster is `kube-system/bootstrap-token-<id>`.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn secret(&self) -> &SecretString {
        &self.secret
    }

    /// `<id>.<secret>`, as a bearer token.
    pub fn value(&self) -> SecretString {
        format!("{}.{}", self.id, self.secret.expose_secret()).into()
    }
}

fn random_text(length: usize) -> String {
    let mut rng = rand::rng();
    (0..length)
        .filter_map(|_| ALPHABET.get(rng.random_range(0..ALPHABET.len())))
        .map(|b| char::from(*b))
        .collect()
}

/// The join token for a node that joins through `server_url` as [`WORKER_USER`] or [`CONTROLLER_USER`].
pub fn join_token(
    server_url: &str,
    ca_pem: &str,
    user: &str,
    token: &BootstrapToken,
) -> Result<SecretString, TokenError> {
    let credentials = Credentials::of_token(token.value().expose_secret());
    let cluster = Endpoint::new(server_url, ca_pem);
    let document = Document::new(CONTEXT, CONTEXT, user, cluster, credentials);
    let yaml = serde_yaml::to_string(&document).map_err(|_| TokenError::Join("cannot be written as YAML"))?;

    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    let compressed = gzip.write_all(yaml.as_bytes()).and_then(|()| gzip.finish());
    let compressed = compressed.map_err(|_| TokenError::Join("cannot be compressed"))?;
    Ok(BASE64_STANDARD.encode(compressed).into())
}

impl JoinToken {
    /// Reads a join token back, as k0s does.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let compressed = BASE64_STANDARD
            .decode(text.trim())
            .map_err(|_| TokenError::Join("is not base64"))?;
        let mut yaml = String::new();
        GzDecoder::new(compressed.as_slice())
            .take(MAX_DECODED)
            .read_to_string(&mut yaml)
            .map_err(|_| TokenError::Join("is not gzipped text"))?;
        let document: Document =
            serde_yaml::from_str(&yaml).map_err(|_| TokenError::Join("does not contain a kubeconfig"))?;
        let (endpoint, user, credentials) = document
            .current()
            .ok_or(TokenError::Join("names no cluster and user to join as"))?;
        let token = credentials
            .token
            .as_deref()
            .ok_or(TokenError::Join("contains no bootstrap token"))?;
        Ok(Self {
            server: endpoint.server.clone(),
            ca_pem: endpoint
                .ca_pem()
                .ok_or(TokenError::Join("contains no CA certificate"))?,
            user: user.to_owned(),
            token: BootstrapToken::parse(token)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const CA: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";

    #[test]
    fn generates_well_formed_tokens() {
        let tokens: Vec<_> = (0..2000).map(|_| BootstrapToken::generate()).collect();
        let mut seen = HashSet::new();
        for token in &tokens {
            assert!(BootstrapToken::parse(token.value().expose_secret()).is_ok());
            seen.insert(token.value().expose_secret().to_owned());
        }
        assert_eq!(seen.len(), tokens.len());
        let letters: HashSet<char> = seen.iter().flat_map(|token| token.chars()).collect();
        assert_eq!(letters.len(), ALPHABET.len() + 1, "every letter, and the dot");
    }

    #[test]
    fn refuses_what_is_no_bootstrap_token() {
        for text in [
            "",
            "abcdef",
            "abcdef.0123456789abcde",
            "ABCDEF.0123456789abcdef",
            "abcdef.0123456789abcdef.x",
        ] {
            assert_eq!(
                BootstrapToken::parse(text).unwrap_err(),
                TokenError::Bootstrap,
                "{text}"
            );
        }
    }

    #[test]
    fn a_join_token_is_a_gzipped_kubeconfig() {
        let token = BootstrapToken::parse("abcdef.0123456789abcdef").unwrap();
        let text = join_token("https://[fd00::1]:6443", CA, WORKER_USER, &token).unwrap();

        let mut yaml = String::new();
        let bytes = BASE64_STANDARD.decode(text.expose_secret()).unwrap();
        GzDecoder::new(bytes.as_slice())
            .read_to_string(&mut yaml)
            .unwrap();
        insta::assert_snapshot!(yaml);

        let read = JoinToken::parse(text.expose_secret()).unwrap();
        assert_eq!(read.server, "https://[fd00::1]:6443");
        assert_eq!(read.ca_pem, CA);
        assert_eq!(read.user, WORKER_USER);
        assert_eq!(read.token.value().expose_secret(), "abcdef.0123456789abcdef");
    }

    #[test]
    fn errors_and_debug_output_show_no_secret() {
        let token = BootstrapToken::parse("abcdef.0123456789abcdef").unwrap();
        assert!(!format!("{token:?}").contains("0123456789abcdef"));
        let error = JoinToken::parse(&BASE64_STANDARD.encode("0123456789abcdef")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the join token is not gzipped text; it must be the output of `k0s token create`, unchanged"
        );
    }
}
