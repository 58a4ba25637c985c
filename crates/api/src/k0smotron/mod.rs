//! Group `k0smotron.io`: control planes that run as pods, and tokens to join them.

pub(crate) mod defaults;
pub mod v1beta1;
pub mod v1beta2;

/// API group of hosted control planes.
pub const GROUP: &str = "k0smotron.io";

/// Version of k0s when none is given.
pub const DEFAULT_VERSION: &str = "v1.27.9-k0s.0";
/// Image repository of k0s.
pub const DEFAULT_IMAGE: &str = "quay.io/k0sproject/k0s";
/// Image of etcd; it has to hold `/bin/bash`, `etcd` and `etcdctl`.
pub const DEFAULT_ETCD_IMAGE: &str = "quay.io/k0sproject/etcd:v3.7.1";
/// Image of the defragmentation Job.
pub const DEFAULT_DEFRAG_IMAGE: &str = "ghcr.io/ahrtr/etcd-defrag:v0.16.0";
/// When etcd is defragmented.
pub const DEFAULT_DEFRAG_SCHEDULE: &str = "0 12 * * *";
/// Whether etcd needs to be defragmented.
pub const DEFAULT_DEFRAG_RULE: &str = "dbQuotaUsage > 0.8 || dbSize - dbSizeInUse > 200*1024*1024";
/// Image of the Prometheus sidecar.
pub const DEFAULT_PROMETHEUS_IMAGE: &str = "quay.io/k0sproject/prometheus:v2.44.0";
/// Image of the proxy in front of the Prometheus sidecar.
pub const DEFAULT_PROXY_IMAGE: &str = "nginx:1.19.10";
/// Port of the API server.
pub const DEFAULT_API_PORT: i64 = 30443;
/// Port of the konnectivity server.
pub const DEFAULT_KONNECTIVITY_PORT: i64 = 30132;
/// Port of an ingress or gateway.
pub const DEFAULT_INGRESS_PORT: i64 = 443;
/// Size of a datastore's volumes.
pub const DEFAULT_VOLUME_SIZE: &str = "1Gi";
/// Key of the kubeconfig in the Secret of a hosting cluster.
pub const DEFAULT_KUBECONFIG_KEY: &str = "value";
/// Expiry of a join token: never.
pub const DEFAULT_EXPIRY: &str = "0s";

/// The text, or the default where it is empty: the original stores empty texts for what was never set.
pub(crate) fn or_default<'a>(text: &'a str, default: &'a str) -> &'a str {
    if text.is_empty() { default } else { text }
}
