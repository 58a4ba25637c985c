//! What every controller is given. One `Context` is made per process and cloned.

use std::sync::Arc;

use kube::{
    Api, Client, Resource,
    core::NamespaceResourceScope,
    runtime::{events::Reporter, watcher},
};

use crate::{dial, events::Events, gates::FeatureGates, metrics::Metrics, workload::Dialer};

/// Label by which `--watch-filter` selects objects (contract G12).
pub const WATCH_FILTER_LABEL: &str = "cluster.x-k8s.io/watch-filter";

/// Which objects this process looks after (contract G12).
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// Only this namespace; all of them when `None`.
    pub namespace: Option<String>,
    /// Only objects with this value of [`WATCH_FILTER_LABEL`].
    pub watch_filter: Option<String>,
}

impl Scope {
    /// The API of a namespaced kind, within the scope's namespace.
    pub fn api<K>(&self, client: &Client) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        match &self.namespace {
            Some(namespace) => Api::namespaced(client.clone(), namespace),
            None => Api::all(client.clone()),
        }
    }

    /// How the kinds that this process reconciles are watched.
    pub fn primary(&self) -> watcher::Config {
        let config = watcher::Config::default().page_size(100);
        match &self.watch_filter {
            Some(value) => config.labels(&format!("{WATCH_FILTER_LABEL}={value}")),
            None => config,
        }
    }
}

/// What every controller is given.
#[derive(Clone)]
pub struct Context {
    /// Client of the management cluster.
    pub client: Client,
    pub scope: Scope,
    pub events: Events,
    pub metrics: Metrics,
    /// Clients of workload clusters.
    pub workloads: Arc<Dialer>,
    /// The way to the pods of hosted control planes in this cluster.
    pub pods: dial::Dialer,
    pub gates: FeatureGates,
    /// Most reconciles that a controller runs at once.
    pub concurrency: u16,
}

impl Context {
    /// `instance` names this process in events, for which the name of its pod is right.
    pub fn new(client: Client, scope: Scope, instance: &str) -> Self {
        let reporter = Reporter {
            controller: "k0smotron.io/manager".to_owned(),
            instance: Some(instance.to_owned()),
        };
        Self {
            events: Events::new(client.clone(), reporter),
            workloads: Arc::new(Dialer::new(client.clone())),
            pods: dial::Dialer::new(client.clone()),
            metrics: Metrics::default(),
            gates: FeatureGates::default(),
            concurrency: 10,
            client,
            scope,
        }
    }

    /// The API of a namespaced kind in one namespace.
    pub fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }
}
