//! Secrets of the contract: their names, type and keys (contract B2, C13, C14).

/// Type of every Secret of the contract.
pub const TYPE: &str = "cluster.x-k8s.io/secret";
/// Key of the payload in bootstrap and kubeconfig Secrets, and of the private key in SSH key Secrets.
pub const VALUE: &str = "value";
/// Key of the payload's format in bootstrap Secrets.
pub const FORMAT: &str = "format";
/// Key of the bootstrap token that the payload joins with, `<id>.<secret>`: the payload cannot change any more, so it is this very token
/// that has to be kept good.
pub const BOOTSTRAP_TOKEN: &str = "bootstrap-token";
/// Key of the certificate (or public key) in the Secrets of the cluster's CAs.
pub const TLS_CRT: &str = "tls.crt";
/// Key of the private key in the Secrets of the cluster's CAs.
pub const TLS_KEY: &str = "tls.key";

/// `<cluster>-kubeconfig`: the administrator's kubeconfig.
#[must_use]
pub fn kubeconfig(cluster: &str) -> String {
    format!("{cluster}-kubeconfig")
}

/// `<cluster>-ca`: the CA of the API server and its clients.
#[must_use]
pub fn cluster_ca(cluster: &str) -> String {
    format!("{cluster}-ca")
}

/// `<cluster>-etcd`: the CA of etcd.
#[must_use]
pub fn etcd_ca(cluster: &str) -> String {
    format!("{cluster}-etcd")
}

/// `<cluster>-proxy`: the CA of the front proxy.
#[must_use]
pub fn proxy_ca(cluster: &str) -> String {
    format!("{cluster}-proxy")
}

/// `<cluster>-sa`: the key pair of service accounts.
#[must_use]
pub fn service_account_keys(cluster: &str) -> String {
    format!("{cluster}-sa")
}
