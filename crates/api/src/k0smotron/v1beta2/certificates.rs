//! Secrets with a cluster's certificate authorities and keys.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A Secret with a certificate authority or key of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertificateRef {
    /// What the Secret holds.
    pub r#type: CertificateType,
    /// Name of the Secret (keys tls.crt and tls.key), in the namespace of the control plane.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
}

/// A certificate authority or key of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CertificateType {
    Ca,
    Sa,
    Proxy,
    Etcd,
    ApiserverEtcdClient,
    EtcdPeer,
    EtcdServer,
}
