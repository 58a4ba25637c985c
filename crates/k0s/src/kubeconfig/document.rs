//! The kubeconfig file format, as far as we write it and read it. Join tokens use it too.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use super::{KubeconfigError, Layout};
use crate::pki::ClientCertificate;

/// A kubeconfig file.
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
    pub(super) current_context: String,
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
    pub(super) proxy_url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    certificate_authority_data: Option<String>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Credentials {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_certificate_data: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) client_key_data: Option<String>,
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
        // The reader's own message quotes what it found, which may be a credential.
        let malformed = |error: serde_yaml::Error| {
            let line = error.location().map_or(1, |location| location.line());
            KubeconfigError::Malformed(format!("what stands at line {line} does not belong there"))
        };
        let document: Self = serde_yaml::from_str(text).map_err(malformed)?;
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

    pub(super) fn is_admin_of(&self, layout: &Layout) -> bool {
        let Self {
            clusters,
            contexts,
            users,
            ..
        } = self;
        matches!(
            (clusters.as_slice(), contexts.as_slice(), users.as_slice()),
            ([cluster], [context], [user])
                if cluster.name == layout.cluster
                    && context.name == layout.context()
                    && user.name == layout.user
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

    /// The same API server, reached through a proxy.
    pub(super) fn behind(self, proxy_url: Option<&str>) -> Self {
        Self {
            proxy_url: proxy_url.map(str::to_owned),
            ..self
        }
    }

    pub(crate) fn ca_pem(&self) -> Option<String> {
        self.certificate_authority_data.as_deref().and_then(decode)
    }
}

impl Credentials {
    pub(super) fn of(client: &ClientCertificate) -> Self {
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

    pub(super) fn certificate_pem(&self) -> Option<String> {
        self.client_certificate_data.as_deref().and_then(decode)
    }
}

pub(super) fn decode(data: &str) -> Option<String> {
    String::from_utf8(BASE64_STANDARD.decode(data.trim()).ok()?).ok()
}
