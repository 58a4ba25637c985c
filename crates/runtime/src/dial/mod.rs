//! The one way to what runs in the pods of a hosted control plane: its API server and its etcd.
//!
//! In the cluster straight to the Service or the pod; from elsewhere by a port-forward through the API of the cluster
//! that hosts the pods. Either way TLS is spoken with the far end itself, and nothing is executed in a pod. Names are
//! never looked up by DNS: a plane is dialled within a second of its making, and a name asked for too early is
//! remembered as missing for half a minute.
//!
//! Not for: control planes on machines, which are reached by their kubeconfig alone ([`crate::workload`]).

mod etcd;
mod place;
mod stream;

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use http::Uri;
use hyper_timeout::TimeoutConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, Config,
    client::{Body, ConfigExt},
    config::{KubeConfigOptions, Kubeconfig, KubeconfigError},
};
use tokio::{net::TcpStream, time::timeout};
use tower::{BoxError, Service, ServiceBuilder};

use self::place::Place;
pub use self::{
    etcd::{Consistency, EtcdClient, EtcdError, EtcdMember, EtcdStatus, EtcdTls},
    stream::Stream,
};

/// Longest wait for a connection, whatever it takes to find out where to.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for the next bytes of an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// What is dialled: a pod if one is named, else any pod behind the Service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    pub namespace: String,
    pub service: Option<String>,
    pub pod: Option<String>,
    /// Of the Service, or of the pod.
    pub port: u16,
}

impl Target {
    /// Any pod behind the Service.
    pub fn service(namespace: impl Into<String>, name: impl Into<String>, port: u16) -> Self {
        Self {
            namespace: namespace.into(),
            service: Some(name.into()),
            pod: None,
            port,
        }
    }

    /// This pod.
    pub fn pod(namespace: impl Into<String>, name: impl Into<String>, port: u16) -> Self {
        Self {
            namespace: namespace.into(),
            service: None,
            pod: Some(name.into()),
            port,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, name) = match (&self.pod, &self.service) {
            (Some(pod), _) => ("Pod", pod.as_str()),
            (None, Some(service)) => ("Service", service.as_str()),
            (None, None) => ("nothing", ""),
        };
        write!(out, "{kind} {}/{name} port {}", self.namespace, self.port)
    }
}

/// Why a pod was not reached.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{target} was not reached within {CONNECT_TIMEOUT:?}")]
    Timeout { target: Target },
    #[error("failed to read {target}")]
    Read { target: Target, source: kube::Error },
    #[error("{target} cannot be dialled: {problem}")]
    Unreachable { target: Target, problem: String },
    #[error("failed to connect to {target} at {address}")]
    Connect {
        target: Target,
        address: SocketAddr,
        source: io::Error,
    },
    #[error("failed to forward a port to {target}")]
    Forward { target: Target, source: kube::Error },
}

impl Error {
    /// In CamelCase, for conditions and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Timeout { .. } => "DialTimeout",
            Self::Read { .. } => "DialReadFailed",
            Self::Unreachable { .. } => "NoPodToDial",
            Self::Connect { .. } => "ConnectFailed",
            Self::Forward { .. } => "PortForwardFailed",
        }
    }
}

/// Why there is no client for what is dialled.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("the kubeconfig cannot be used")]
    Kubeconfig(#[source] Box<KubeconfigError>),
    #[error("certificates or credentials cannot be used")]
    Client(#[source] kube::Error),
}

/// How pods are reached.
#[derive(Clone, Copy, Debug)]
enum Route {
    /// From a pod of the same cluster.
    Direct,
    /// Through the API of the cluster that hosts the pods.
    Forward,
    /// At one address, whatever is dialled.
    Fixed(SocketAddr),
}

/// Reaches the pods of one hosting cluster. Cheap to clone.
#[derive(Clone)]
pub struct Dialer {
    /// Of the cluster that hosts the pods.
    hosting: Client,
    route: Route,
}

impl Dialer {
    /// For pods in the cluster of `client`: straight to them when this process runs in a cluster, which is then that
    /// one; else through its API.
    pub fn new(client: Client) -> Self {
        let inside = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
        let route = if inside { Route::Direct } else { Route::Forward };
        Self {
            hosting: client,
            route,
        }
    }

    /// Always through the API: for pods in another cluster than this process.
    pub fn through_api(client: Client) -> Self {
        Self {
            hosting: client,
            route: Route::Forward,
        }
    }

    /// Always to one address: for planes that are no pods but processes beside this one, as in tests.
    pub fn to_address(client: Client, address: SocketAddr) -> Self {
        Self {
            hosting: client,
            route: Route::Fixed(address),
        }
    }

    /// Connects. The stream carries plain bytes: TLS is up to the caller.
    ///
    /// # Errors
    /// When there is nothing to connect to, or it does not answer within five seconds.
    pub async fn connect(&self, target: &Target) -> Result<Stream, Error> {
        let late = |_elapsed| Error::Timeout {
            target: target.clone(),
        };
        timeout(CONNECT_TIMEOUT, self.dial(target)).await.map_err(late)?
    }

    async fn dial(&self, target: &Target) -> Result<Stream, Error> {
        match self.route {
            Route::Fixed(address) => straight(target, address).await,
            Route::Direct => {
                let address = place::address(&self.hosting, target).await?;
                straight(target, address).await
            }
            Route::Forward => {
                let Place { pod, port } = place::pod(&self.hosting, target).await?;
                let pods: Api<Pod> = Api::namespaced(self.hosting.clone(), &target.namespace);
                let failed = |source| Error::Forward {
                    target: target.clone(),
                    source,
                };
                let forwarder = pods.portforward(&pod, &[port]).await.map_err(failed)?;
                Stream::forwarded(forwarder, port).ok_or_else(|| Error::Unreachable {
                    target: target.clone(),
                    problem: "its port was not forwarded".to_owned(),
                })
            }
        }
    }

    /// A client of a control plane's API at `target`, with the credentials, the CA and the server name of its
    /// kubeconfig. Does not connect: the first request does.
    ///
    /// # Errors
    /// The kubeconfig cannot be used.
    pub async fn kube_client(&self, kubeconfig: Kubeconfig, target: &Target) -> Result<Client, ClientError> {
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .map_err(|error| ClientError::Kubeconfig(Box::new(error)))?;
        self.client(&config, target).map_err(ClientError::Client)
    }

    /// As [`Dialer::kube_client`], for a configuration that was read already. Its URL says whom to expect, not where.
    ///
    /// # Errors
    /// TLS material or credentials cannot be used.
    pub fn client(&self, config: &Config, target: &Target) -> Result<Client, kube::Error> {
        // Refused when one is installed already, which is as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let connector = Connector {
            dialer: self.clone(),
            target: Arc::new(target.clone()),
        };
        let mut connector = TimeoutConnector::new(config.rustls_https_connector_with_connector(connector)?);
        // Of the dialling itself and of TLS.
        connector.set_connect_timeout(Some(2 * CONNECT_TIMEOUT));
        connector.set_read_timeout(Some(READ_TIMEOUT));
        connector.set_write_timeout(Some(READ_TIMEOUT));
        let http: hyper_util::client::legacy::Client<_, Body> =
            hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(connector);
        let service = ServiceBuilder::new()
            .layer(config.base_uri_layer())
            .option_layer(config.auth_layer()?)
            .map_err(BoxError::from)
            .service(http);
        Ok(Client::new(service, config.default_namespace.clone()))
    }
}

async fn straight(target: &Target, address: SocketAddr) -> Result<Stream, Error> {
    let failed = |source| Error::Connect {
        target: target.clone(),
        address,
        source,
    };
    let stream = TcpStream::connect(address).await.map_err(failed)?;
    // Requests are small and wait for answers.
    stream.set_nodelay(true).map_err(failed)?;
    Ok(Stream::from(stream))
}

/// Connects an HTTP client to a target, whatever its URL says.
#[derive(Clone)]
struct Connector {
    dialer: Dialer,
    target: Arc<Target>,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Self::Response, Error>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Self { dialer, target } = self.clone();
        async move { dialer.connect(&target).await.map(TokioIo::new) }.boxed()
    }
}
