//! Kubeconfigs: the administrator's, which Cluster API and users read from the Secret `<cluster>-kubeconfig`, and the
//! document model that join tokens share.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::pki::{self, CertificateAuthority, ClientCertificate, PkiError};

/// How long an administrator's client certificate is valid, in days. It is re-issued when half of that is over.
pub const CLIENT_CERTIFICATE_DAYS: i64 = 365;

const ADMIN_NAME: &str = "kubernetes-admin";
const ADMIN_GROUP: &str = "system:masters";

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
    let client = pki::client_certificate(ca, ADMIN_NAME, ADMIN_GROUP, CLIENT_CERTIFICATE_DAYS, now)?;
    let endpoint = Endpoint {
        proxy_url: proxy_url.map(str::to_owned),
        ..Endpoint::new(server_url, &ca.cert_pem)
    };
    let user = admin_user(cluster_name);
    let context = admin_context(cluster_name);
    let document = Document::new(cluster_name, &context, &user, endpoint, Credentials::of(&client));
    serde_yaml::to_string(&document)
        .map(SecretString::from)
        .map_err(|error| PkiError::Encoding(error.to_string()))
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
    Document::parse(existing).is_ok_and(|document| document.is_admin_of(cluster_name))
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
    let Ok(document) = Document::parse(existing) else {
        return Some(Reason::Unreadable);
    };
    if !document.is_admin_of(cluster_name) {
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
        Some(Ok(validity)) => validity.is_half_over(now).then_some(Reason::Expiring),
        Some(Err(_)) | None => Some(Reason::Unreadable),
    }
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

fn admin_user(cluster_name: &str) -> String {
    format!("{cluster_name}-admin")
}

fn admin_context(cluster_name: &str) -> String {
    format!("{cluster_name}-admin@{cluster_name}")
}

/// A kubeconfig file, as far as we write it and read it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Document {
    #[serde(rename = "apiVersion", default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    clusters: Vec<NamedCluster>,
    #[serde(default)]
    contexts: Vec<NamedContext>,
    #[serde(default)]
    current_context: String,
    #[serde(default)]
    users: Vec<NamedUser>,
}

#[derive(Serialize, Deserialize)]
struct NamedCluster {
    name: String,
    cluster: Endpoint,
}

#[derive(Serialize, Deserialize)]
struct NamedContext {
    name: String,
    context: Context,
}

#[derive(Serialize, Deserialize)]
struct NamedUser {
    name: String,
    #[serde(default)]
    user: Credentials,
}

#[derive(Serialize, Deserialize)]
struct Context {
    cluster: String,
    user: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Endpoint {
    pub(crate) server: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    proxy_url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    certificate_authority_data: Option<String>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Credentials {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_certificate_data: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_key_data: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
}

impl Document {
    pub(crate) fn new(
        cluster: &str,
        context: &str,
        user: &str,
        endpoint: Endpoint,
        credentials: Credentials,
    ) -> Self {
        Self {
            api_version: "v1".to_owned(),
            kind: "Config".to_owned(),
            clusters: vec![NamedCluster {
                name: cluster.to_owned(),
                cluster: endpoint,
            }],
            contexts: vec![NamedContext {
                name: context.to_owned(),
                context: Context {
                    cluster: cluster.to_owned(),
                    user: user.to_owned(),
                },
            }],
            current_context: context.to_owned(),
            users: vec![NamedUser {
                name: user.to_owned(),
                user: credentials,
            }],
        }
    }

    pub(crate) fn parse(text: &str) -> Result<Self, KubeconfigError> {
        let document: Self =
            serde_yaml::from_str(text).map_err(|error| KubeconfigError::Malformed(error.to_string()))?;
        if document.clusters.is_empty() {
            return Err(KubeconfigError::Malformed("it lists no cluster".to_owned()));
        }
        Ok(document)
    }

    /// Cluster, user name and credentials of the current context.
    pub(crate) fn current(&self) -> Option<(&Endpoint, &str, &Credentials)> {
        let context = &self
            .contexts
            .iter()
            .find(|context| context.name == self.current_context)?
            .context;
        let cluster = self
            .clusters
            .iter()
            .find(|cluster| cluster.name == context.cluster)?;
        let user = self.users.iter().find(|user| user.name == context.user)?;
        Some((&cluster.cluster, &user.name, &user.user))
    }

    fn is_admin_of(&self, cluster_name: &str) -> bool {
        let Self {
            clusters,
            contexts,
            users,
            ..
        } = self;
        matches!(
            (clusters.as_slice(), contexts.as_slice(), users.as_slice()),
            ([cluster], [context], [user])
                if cluster.name == cluster_name
                    && context.name == admin_context(cluster_name)
                    && user.name == admin_user(cluster_name)
                    && user.user.token.is_none()
        )
    }
}

impl Endpoint {
    pub(crate) fn new(server: &str, ca_pem: &str) -> Self {
        Self {
            server: server.to_owned(),
            proxy_url: None,
            certificate_authority_data: Some(BASE64_STANDARD.encode(ca_pem)),
        }
    }

    pub(crate) fn ca_pem(&self) -> Option<String> {
        self.certificate_authority_data.as_deref().and_then(decode)
    }
}

impl Credentials {
    fn of(client: &ClientCertificate) -> Self {
        Self {
            client_certificate_data: Some(BASE64_STANDARD.encode(&client.cert_pem)),
            client_key_data: Some(BASE64_STANDARD.encode(client.key_pem.expose_secret())),
            token: None,
        }
    }

    pub(crate) fn of_token(token: &str) -> Self {
        Self {
            token: Some(token.to_owned()),
            ..Self::default()
        }
    }

    fn certificate_pem(&self) -> Option<String> {
        self.client_certificate_data.as_deref().and_then(decode)
    }
}

fn decode(data: &str) -> Option<String> {
    String::from_utf8(BASE64_STANDARD.decode(data.trim()).ok()?).ok()
}
