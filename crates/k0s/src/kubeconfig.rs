//! Kubeconfigs: the administrator's, which Cluster API and users read from the Secret `<cluster>-kubeconfig`, and the
//! document model that join tokens share.

mod document;

use std::fmt;

use jiff::Timestamp;
use secrecy::SecretString;

pub(crate) use self::document::{Credentials, Document, Endpoint};
use crate::pki::{self, CertificateAuthority, PkiError};

/// How long an administrator's client certificate is valid, in days. It is re-issued when half of that is over.
pub const CLIENT_CERTIFICATE_DAYS: i64 = 365;

const ADMIN_NAME: &str = "kubernetes-admin";
const ADMIN_GROUP: &str = "system:masters";

/// How the entries of an administrator's kubeconfig are called, which users know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Name of the cluster's entry.
    cluster: String,
    user: String,
}

impl Layout {
    /// Of clusters on machines: cluster `<cluster>`, user `<cluster>-admin`, context `<cluster>-admin@<cluster>`.
    pub fn of_machines(cluster_name: &str) -> Self {
        Self {
            cluster: cluster_name.to_owned(),
            user: format!("{cluster_name}-admin"),
        }
    }

    /// Of hosted control planes: the cluster's entry is `<cluster>-k0s`.
    pub fn of_hosted(cluster_name: &str) -> Self {
        Self {
            cluster: format!("{cluster_name}-k0s"),
            ..Self::of_machines(cluster_name)
        }
    }

    fn context(&self) -> String {
        format!("{}@{}", self.user, self.cluster)
    }

    /// The administrator's kubeconfig with a fresh client certificate (CN `kubernetes-admin`, O `system:masters`) of the
    /// cluster's CA.
    ///
    /// `proxy_url` is for API servers that can only be reached through a tunnel.
    pub fn admin_kubeconfig(
        &self,
        server_url: &str,
        proxy_url: Option<&str>,
        ca: &CertificateAuthority,
        now: Timestamp,
    ) -> Result<SecretString, PkiError> {
        let client = pki::client_certificate(ca, ADMIN_NAME, ADMIN_GROUP, CLIENT_CERTIFICATE_DAYS, now)?;
        let endpoint = Endpoint::new(server_url, &ca.cert_pem).behind(proxy_url);
        let credentials = Credentials::of(&client);
        let document = Document::new(&self.cluster, &self.context(), &self.user, endpoint, credentials);
        serde_yaml::to_string(&document)
            .map(SecretString::from)
            .map_err(|error| PkiError::Encoding(error.to_string()))
    }

    /// Whether to re-issue the administrator's kubeconfig, and why. None for one that is fine or not of this layout.
    pub fn needs_reissue(
        &self,
        existing: &str,
        server_url: &str,
        proxy_url: Option<&str>,
        ca_pem: &str,
        now: Timestamp,
    ) -> Option<Reason> {
        let Ok(document) = Document::parse(existing) else {
            return Some(Reason::Unreadable);
        };
        if !document.is_admin_of(self) {
            return None;
        }
        let Some((endpoint, _, credentials)) = document.current() else {
            return Some(Reason::Unreadable);
        };
        if endpoint.server != server_url || endpoint.proxy_url.as_deref() != proxy_url {
            return Some(Reason::EndpointChanged);
        }
        if endpoint
            .ca_pem()
            .is_none_or(|existing| existing.trim() != ca_pem.trim())
        {
            return Some(Reason::CaChanged);
        }
        match credentials.certificate_pem().map(|pem| pki::validity(&pem)) {
            _ if credentials.client_key_data.is_none() => Some(Reason::Unreadable),
            Some(Ok(validity)) => validity.is_half_over(now).then_some(Reason::Expiring),
            Some(Err(_)) | None => Some(Reason::Unreadable),
        }
    }
}

/// The administrator's kubeconfig of a cluster: user `<cluster>-admin`, context `<cluster>-admin@<cluster>`, a fresh
/// client certificate (CN `kubernetes-admin`, O `system:masters`) of the cluster's CA.
///
/// `proxy_url` is for API servers that can only be reached through a tunnel.
pub fn admin_kubeconfig(
    cluster_name: &str,
    server_url: &str,
    proxy_url: Option<&str>,
    ca: &CertificateAuthority,
    now: Timestamp,
) -> Result<SecretString, PkiError> {
    Layout::of_machines(cluster_name).admin_kubeconfig(server_url, proxy_url, ca, now)
}

/// What a kubeconfig's current context says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    pub server: String,
    pub proxy_url: Option<String>,
    /// None when the kubeconfig names a file or trusts the system's certificates.
    pub ca_pem: Option<String>,
    /// End of the client certificate's life; None when it authenticates otherwise.
    pub client_certificate_expiry: Option<Timestamp>,
}

/// Why a kubeconfig cannot be read. Says nothing of its content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KubeconfigError {
    #[error("this is not a kubeconfig: {0}")]
    Malformed(String),
    #[error(
        "the kubeconfig's current context {0:?} names no cluster and user of its own; fix current-context"
    )]
    Context(String),
    #[error("the kubeconfig's client certificate cannot be read: {0}")]
    Certificate(#[from] PkiError),
}

/// Reads the current context of a kubeconfig, whoever wrote it.
pub fn facts_of(text: &str) -> Result<Facts, KubeconfigError> {
    let document = Document::parse(text)?;
    let (endpoint, _, credentials) = document
        .current()
        .ok_or_else(|| KubeconfigError::Context(document.current_context.clone()))?;
    let client_certificate_expiry = match credentials.certificate_pem() {
        Some(pem) => Some(pki::validity(&pem)?.not_after),
        None => None,
    };
    Ok(Facts {
        server: endpoint.server.clone(),
        proxy_url: endpoint.proxy_url.clone(),
        ca_pem: endpoint.ca_pem(),
        client_certificate_expiry,
    })
}

/// Why a kubeconfig is to be written anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Not a kubeconfig at all, or the one we wrote is damaged.
    Unreadable,
    /// The server or the proxy in front of it.
    EndpointChanged,
    CaChanged,
    /// Less than half of the client certificate's life is left.
    Expiring,
}

/// Whether `existing` has the layout of [`admin_kubeconfig`] for this cluster (which is the original's and Cluster
/// API's too). Whatever else a user stored is theirs and never re-issued.
pub fn has_our_layout(existing: &str, cluster_name: &str) -> bool {
    Document::parse(existing).is_ok_and(|document| document.is_admin_of(&Layout::of_machines(cluster_name)))
}

/// Whether to re-issue the administrator's kubeconfig, and why. None for one that is fine or not of our layout.
pub fn needs_reissue(
    existing: &str,
    cluster_name: &str,
    server_url: &str,
    proxy_url: Option<&str>,
    ca_pem: &str,
    now: Timestamp,
) -> Option<Reason> {
    Layout::of_machines(cluster_name).needs_reissue(existing, server_url, proxy_url, ca_pem, now)
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreadable => "it cannot be read",
            Self::EndpointChanged => "the control plane endpoint has changed",
            Self::CaChanged => "the cluster CA has changed",
            Self::Expiring => "less than half of its client certificate's life is left",
        })
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use secrecy::ExposeSecret;

    use super::document::decode;
    use super::*;

    const SERVER: &str = "https://10.88.0.10:6443";

    fn now() -> Timestamp {
        "2027-06-01T12:00:00Z".parse().unwrap()
    }

    fn ca() -> CertificateAuthority {
        pki::generate_ca("kubernetes", now()).unwrap()
    }

    fn issue(ca: &CertificateAuthority) -> String {
        admin_kubeconfig("demo", SERVER, None, ca, now())
            .unwrap()
            .expose_secret()
            .to_owned()
    }

    #[test]
    fn has_the_layout_cluster_api_and_users_know() {
        let mut kubeconfig: serde_yaml::Value = serde_yaml::from_str(&issue(&ca())).unwrap();
        for (list, entry) in [("clusters", "cluster"), ("users", "user")] {
            for (key, value) in kubeconfig[list][0][entry].as_mapping_mut().unwrap() {
                if key.as_str().unwrap().ends_with("-data") {
                    assert!(
                        decode(value.as_str().unwrap())
                            .unwrap()
                            .starts_with("-----BEGIN ")
                    );
                    *value = "<base64 PEM>".into();
                }
            }
        }
        insta::assert_yaml_snapshot!(kubeconfig);
    }

    #[test]
    fn says_what_it_contains() {
        let ca = ca();
        let facts = facts_of(&issue(&ca)).unwrap();
        assert_eq!(
            facts,
            Facts {
                server: SERVER.into(),
                proxy_url: None,
                ca_pem: Some(ca.cert_pem),
                client_certificate_expiry: Some(now() + SignedDuration::from_hours(24 * 365)),
            }
        );
    }

    #[test]
    fn is_issued_anew_only_for_a_reason() {
        let ca = ca();
        let ours = issue(&ca);
        let reason = |text: &str, server, proxy, ca_pem, days: i64| {
            let now = now() + SignedDuration::from_hours(24 * days);
            needs_reissue(text, "demo", server, proxy, ca_pem, now)
        };
        assert_eq!(reason(&ours, SERVER, None, &ca.cert_pem, 0), None);
        assert_eq!(reason(&ours, SERVER, None, ca.cert_pem.trim(), 182), None);
        assert_eq!(
            reason(&ours, SERVER, None, &ca.cert_pem, 183),
            Some(Reason::Expiring)
        );
        assert_eq!(
            reason(&ours, "https://b:6443", None, &ca.cert_pem, 0),
            Some(Reason::EndpointChanged)
        );
        assert_eq!(
            reason(&ours, SERVER, Some("http://p"), &ca.cert_pem, 0),
            Some(Reason::EndpointChanged)
        );
        let other_ca = pki::generate_ca("kubernetes", now()).unwrap().cert_pem;
        assert_eq!(reason(&ours, SERVER, None, &other_ca, 0), Some(Reason::CaChanged));
        let damages = [
            ("client-certificate-data: L", "client-certificate-data: AAAA"),
            ("client-key-data", "x"),
        ];
        for (good, bad) in damages {
            let damaged = ours.replace(good, bad);
            assert_eq!(
                reason(&damaged, SERVER, None, &ca.cert_pem, 0),
                Some(Reason::Unreadable),
                "{bad}"
            );
        }
        for text in ["", "{}", "a: [", "clusters: 1"] {
            assert_eq!(
                reason(text, SERVER, None, &ca.cert_pem, 0),
                Some(Reason::Unreadable),
                "{text}"
            );
        }
    }

    #[test]
    fn keeps_a_proxy() {
        let ca = ca();
        let text = admin_kubeconfig("demo", SERVER, Some("http://tunnel:31443"), &ca, now()).unwrap();
        assert_eq!(
            facts_of(text.expose_secret()).unwrap().proxy_url.as_deref(),
            Some("http://tunnel:31443")
        );
        assert_eq!(
            needs_reissue(
                text.expose_secret(),
                "demo",
                SERVER,
                Some("http://tunnel:31443"),
                &ca.cert_pem,
                now()
            ),
            None
        );
    }

    #[test]
    fn hosted_control_planes_have_names_of_their_own() {
        let ca = ca();
        let (hosted, machines) = (Layout::of_hosted("demo"), Layout::of_machines("demo"));
        let text = hosted.admin_kubeconfig(SERVER, None, &ca, now()).unwrap();
        let text = text.expose_secret();
        assert!(text.contains("current-context: demo-admin@demo-k0s"), "{text}");
        assert_eq!(
            hosted.needs_reissue(text, SERVER, None, &ca.cert_pem, now()),
            None
        );
        let moved = hosted.needs_reissue(text, "https://b:6443", None, &ca.cert_pem, now());
        assert_eq!(moved, Some(Reason::EndpointChanged));
        assert_eq!(
            machines.needs_reissue(text, "https://b:6443", None, &ca.cert_pem, now()),
            None
        );
    }

    /// As a user exports it from a cluster that was not made here.
    const IMPORTED: &str = "
apiVersion: v1
kind: Config
clusters:
- {name: my-cluster, cluster: {server: 'https://elsewhere:443', certificate-authority: /ca.crt, insecure-skip-tls-verify: false}}
contexts:
- {name: me, context: {cluster: my-cluster, user: me, namespace: default}}
current-context: me
users:
- {name: me, user: {token: abc, exec: {command: x}}}
";

    #[test]
    fn an_imported_kubeconfig_is_the_users() {
        assert!(has_our_layout(&issue(&ca()), "demo"));
        assert!(!has_our_layout(&issue(&ca()), "other"));
        assert!(!has_our_layout(IMPORTED, "my-cluster"));
        assert_eq!(
            needs_reissue(IMPORTED, "my-cluster", SERVER, None, "x", now()),
            None
        );
        let facts = facts_of(IMPORTED).unwrap();
        assert_eq!(
            (
                facts.server.as_str(),
                facts.ca_pem,
                facts.client_certificate_expiry
            ),
            ("https://elsewhere:443", None, None)
        );
    }

    #[test]
    fn errors_show_no_content() {
        let error = facts_of(&IMPORTED.replace("current-context: me", "current-context: you")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the kubeconfig's current context \"you\" names no cluster and user of its own; fix current-context"
        );
        let error = facts_of("users: [{name: a, user: {token: {s3cret: 1}}}]")
            .unwrap_err()
            .to_string();
        assert!(!error.contains("s3cret"), "{error}");
        let error = facts_of("clusters: s3cret").unwrap_err().to_string();
        assert!(!error.contains("s3cret"), "{error}");
    }
}
