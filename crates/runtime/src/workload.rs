//! The one way to talk to workload clusters: by the kubeconfig Secret of the contract (C13).
//!
//! Clients are kept per cluster and made anew when the Secret changes. A workload cluster that does not answer costs
//! a bounded time, never a worker.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, Config, ResourceExt,
    config::{KubeConfigOptions, Kubeconfig, KubeconfigError},
};

use crate::{
    dial::{self, Target},
    secrets,
};

/// Longest wait for a connection to a workload cluster's API, and for an answer of it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client is used before its Secret is looked at again.
const FRESH: Duration = Duration::from_secs(60);

/// A workload cluster, by its Cluster object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClusterKey {
    pub namespace: String,
    pub name: String,
}

/// Why there is no client for a workload cluster.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Not an error as such: the control plane has not written it yet.
    #[error("Secret {namespace}/{name} does not exist yet")]
    NoKubeconfig { namespace: String, name: String },
    #[error("failed to read Secret {namespace}/{name}")]
    Read {
        namespace: String,
        name: String,
        source: kube::Error,
    },
    #[error("Secret {namespace}/{name} holds no kubeconfig under key \"value\"")]
    Empty { namespace: String, name: String },
    #[error("the kubeconfig in Secret {namespace}/{name} cannot be used")]
    Kubeconfig {
        namespace: String,
        name: String,
        source: Box<KubeconfigError>,
    },
    #[error("no client for the kubeconfig in Secret {namespace}/{name}")]
    Client {
        namespace: String,
        name: String,
        source: kube::Error,
    },
}

impl DialError {
    /// In CamelCase, for conditions and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoKubeconfig { .. } => "WaitingForKubeconfig",
            Self::Read { .. } => "KubeconfigUnreadable",
            Self::Empty { .. } | Self::Kubeconfig { .. } | Self::Client { .. } => "KubeconfigInvalid",
        }
    }
}

/// Makes and keeps clients of workload clusters.
pub struct Dialer {
    management: Client,
    known: Mutex<HashMap<ClusterKey, Known>>,
}

#[derive(Clone)]
struct Known {
    /// UID and version of the Secret: a cluster made again under its old name gets a new client.
    secret: (Option<String>, Option<String>),
    checked: Instant,
    client: Client,
    config: Config,
    /// Clients of single API servers, by URL.
    at: HashMap<String, Client>,
    /// Clients by way of pods.
    through: HashMap<Target, Client>,
}

/// A name that the certificate of every API server bears, whatever address it is reached by.
const SERVER_NAME: &str = "kubernetes";

impl Dialer {
    pub fn new(management: Client) -> Self {
        Self {
            management,
            known: Mutex::default(),
        }
    }

    /// A client of the workload cluster. Does not connect: the first request does.
    pub async fn client(&self, cluster: &ClusterKey) -> Result<Client, DialError> {
        let known = self.known().get(cluster).cloned();
        if let Some(known) = &known
            && known.checked.elapsed() < FRESH
        {
            return Ok(known.client.clone());
        }
        let (namespace, name) = (cluster.namespace.clone(), format!("{}-kubeconfig", cluster.name));
        let secrets: Api<Secret> = Api::namespaced(self.management.clone(), &namespace);
        let secret = match secrets.get_opt(&name).await {
            Ok(Some(secret)) => secret,
            Ok(None) => {
                self.forget(cluster);
                return Err(DialError::NoKubeconfig { namespace, name });
            }
            Err(source) => {
                return Err(DialError::Read {
                    namespace,
                    name,
                    source,
                });
            }
        };
        let version = (secret.uid(), secret.resource_version());
        let known = match known {
            Some(known) if known.secret == version => Known {
                checked: Instant::now(),
                ..known
            },
            _ => connect(&secret, &namespace, &name).await?,
        };
        let client = known.client.clone();
        self.known().insert(cluster.clone(), known);
        Ok(client)
    }

    /// A client of one API server of the workload cluster, by its own URL. Does not connect: the first request does.
    pub async fn client_at(&self, cluster: &ClusterKey, url: &str) -> Result<Client, DialError> {
        let endpoint = self.client(cluster).await?;
        let Some(known) = self.known().get(cluster).cloned() else {
            return Ok(endpoint);
        };
        if let Some(client) = known.at.get(url) {
            return Ok(client.clone());
        }
        let invalid = |source| DialError::Client {
            namespace: cluster.namespace.clone(),
            name: format!("{}-kubeconfig", cluster.name),
            source,
        };
        let mut config = known.config;
        config.cluster_url = url
            .parse()
            .map_err(|error| invalid(kube::Error::HttpError(http::Error::from(error))))?;
        config.tls_server_name = Some(SERVER_NAME.to_owned());
        let client = Client::try_from(config).map_err(invalid)?;
        if let Some(known) = self.known().get_mut(cluster) {
            known.at.insert(url.to_owned(), client.clone());
        }
        Ok(client)
    }

    /// A client of a hosted control plane's API by way of its pods, for planes whose endpoint this process may not
    /// reach. Does not connect: the first request does.
    pub async fn client_through(
        &self,
        cluster: &ClusterKey,
        pods: &dial::Dialer,
        target: &Target,
    ) -> Result<Client, DialError> {
        let endpoint = self.client(cluster).await?;
        let Some(known) = self.known().get(cluster).cloned() else {
            return Ok(endpoint);
        };
        if let Some(client) = known.through.get(target) {
            return Ok(client.clone());
        }
        let client = pods
            .client(&known.config, target)
            .map_err(|source| DialError::Client {
                namespace: cluster.namespace.clone(),
                name: format!("{}-kubeconfig", cluster.name),
                source,
            })?;
        if let Some(known) = self.known().get_mut(cluster) {
            known.through.insert(target.clone(), client.clone());
        }
        Ok(client)
    }

    /// Looks at the Secret again at the next use: to be called when a client was refused, when the kubeconfig was
    /// rewritten, and when the cluster is deleted.
    pub fn forget(&self, cluster: &ClusterKey) {
        self.known().remove(cluster);
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<ClusterKey, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn connect(secret: &Secret, namespace: &str, name: &str) -> Result<Known, DialError> {
    let (namespace, name) = (namespace.to_owned(), name.to_owned());
    let Some(text) = secrets::text(secret, "value") else {
        return Err(DialError::Empty { namespace, name });
    };
    let config = async {
        let kubeconfig = Kubeconfig::from_yaml(&text)?;
        Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await
    };
    let mut config = config.await.map_err(|source| DialError::Kubeconfig {
        namespace: namespace.clone(),
        name: name.clone(),
        source: Box::new(source),
    })?;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(READ_TIMEOUT);
    config.write_timeout = Some(READ_TIMEOUT);
    // Our own retries are per object and bounded; the client's would hold a worker for minutes.
    config.default_retry = false;
    let client = Client::try_from(config.clone()).map_err(|source| DialError::Client {
        namespace,
        name,
        source,
    })?;
    Ok(Known {
        secret: (secret.uid(), secret.resource_version()),
        checked: Instant::now(),
        client,
        config,
        at: HashMap::new(),
        through: HashMap::new(),
    })
}

/// URL of an API server. IPv6 addresses are put into brackets.
pub fn api_server_url(host: &str, port: u16) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("https://[{host}]:{port}")
    } else {
        format!("https://{host}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_names_and_of_both_kinds_of_addresses() {
        assert_eq!(
            api_server_url("api.example.org", 6443),
            "https://api.example.org:6443"
        );
        assert_eq!(api_server_url("10.0.0.1", 443), "https://10.0.0.1:443");
        assert_eq!(api_server_url("fd00::1", 6443), "https://[fd00::1]:6443");
        assert_eq!(api_server_url("[fd00::1]", 6443), "https://[fd00::1]:6443");
    }
}
