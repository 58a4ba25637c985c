//! What TLS the process speaks as a server: versions and cipher suites, as the flags of the original name them, and
//! a certificate that can be exchanged while it serves.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use rustls::{
    ProtocolVersion, ServerConfig, SupportedProtocolVersion,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
    version,
};

/// Which connections are accepted.
#[derive(Clone, Debug)]
pub struct Policy {
    provider: Arc<CryptoProvider>,
    versions: &'static [&'static SupportedProtocolVersion],
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            provider: Arc::new(aws_lc_rs::default_provider()),
            versions: rustls::ALL_VERSIONS,
        }
    }
}

/// A flag that cannot be honoured.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    #[error(
        "--tls-min-version {0:?} is not known; known are VersionTLS12 and VersionTLS13, and VersionTLS10 and \
         VersionTLS11, which mean VersionTLS12"
    )]
    Version(String),
    #[error("none of --tls-cipher-suites {given:?} is supported; supported are {supported}")]
    Suites { given: String, supported: String },
}

impl Policy {
    /// `min_version` is `VersionTLS12` or `VersionTLS13`; `suites` are Go's names, separated by commas. As in Go, suites
    /// are chosen for TLS 1.2 only: those of TLS 1.3 are all safe and always on. Unsafe suites of Go are left out, as
    /// long as one of the others is supported.
    ///
    /// # Errors
    /// When the version is not known or no suite supported.
    pub fn parse(min_version: Option<&str>, suites: Option<&str>) -> Result<Self, PolicyError> {
        static TLS13: [&SupportedProtocolVersion; 1] = [&version::TLS13];
        let versions: &'static [_] = match min_version.unwrap_or_default() {
            "" | "VersionTLS10" | "VersionTLS11" | "VersionTLS12" => rustls::ALL_VERSIONS,
            "VersionTLS13" => &TLS13,
            other => return Err(PolicyError::Version(other.to_owned())),
        };
        let mut provider = aws_lc_rs::default_provider();
        let wanted: Vec<_> = suites
            .into_iter()
            .flat_map(|suites| suites.split(','))
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .collect();
        if !wanted.is_empty() {
            let supported: Vec<_> = provider
                .cipher_suites
                .iter()
                .map(|suite| go_name(&suite.suite()))
                .collect();
            // A list without an old suite is one for TLS 1.3 only, and that needs no list.
            if !wanted
                .iter()
                .any(|name| supported.iter().any(|known| known == name))
            {
                return Err(PolicyError::Suites {
                    given: suites.unwrap_or_default().to_owned(),
                    supported: supported.join(", "),
                });
            }
            provider.cipher_suites.retain(|suite| {
                suite.version().version == ProtocolVersion::TLSv1_3
                    || wanted.contains(&go_name(&suite.suite()).as_str())
            });
        }
        Ok(Self {
            provider: Arc::new(provider),
            versions,
        })
    }

    /// What signs and verifies.
    pub(crate) fn provider(&self) -> &Arc<CryptoProvider> {
        &self.provider
    }

    /// A server's configuration, which presents what `certificate` holds at the time of each handshake.
    ///
    /// # Errors
    /// When versions and suites leave nothing in common.
    pub(crate) fn server_config(
        &self,
        certificate: &Certificate,
    ) -> Result<Arc<ServerConfig>, rustls::Error> {
        let config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(self.versions)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(certificate.clone()));
        Ok(Arc::new(config))
    }
}

/// Go calls the suites of TLS 1.3 `TLS_…`, as the standard does; rustls `TLS13_…`.
fn go_name(suite: &rustls::CipherSuite) -> String {
    let name = format!("{suite:?}");
    match name.strip_prefix("TLS13_") {
        Some(rest) => format!("TLS_{rest}"),
        None => name,
    }
}

/// The certificate that a server presents, exchanged while it serves. Cheap to clone. While there is none, handshakes
/// fail.
#[derive(Clone, Default)]
pub(crate) struct Certificate(Arc<RwLock<Option<Arc<CertifiedKey>>>>);

impl Certificate {
    pub(crate) fn set(&self, certificate: Arc<CertifiedKey>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(certificate);
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Certificate")
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_suites_are_those_asked_for() {
        let policy = Policy::parse(
            Some("VersionTLS12"),
            Some("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_RSA_WITH_AES_128_CBC_SHA"),
        )
        .unwrap();
        let old: Vec<_> = policy
            .provider
            .cipher_suites
            .iter()
            .filter(|suite| suite.version().version == ProtocolVersion::TLSv1_2)
            .map(|suite| go_name(&suite.suite()))
            .collect();
        assert_eq!(old, ["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"]);
        assert_eq!(policy.versions.len(), 2);
        policy.server_config(&Certificate::default()).unwrap();
        assert_eq!(
            Policy::parse(Some("VersionTLS13"), Some("TLS_AES_128_GCM_SHA256"))
                .unwrap()
                .versions
                .len(),
            1
        );
    }

    #[test]
    fn what_cannot_be_honoured_is_an_error() {
        assert!(matches!(
            Policy::parse(Some("TLS1.3"), None),
            Err(PolicyError::Version(_))
        ));
        let error = Policy::parse(None, Some("TLS_RSA_WITH_AES_128_CBC_SHA")).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
            "{error}"
        );
    }
}
