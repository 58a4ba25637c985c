//! Version `v1beta1` of the hosted control planes: deprecated, served for manifests and clients that are older than v1beta2.
//!
//! For: the schema of the version. Controllers read v1beta2; objects are converted as they are, never through these types.

mod cluster;
mod join_token_request;

pub use cluster::{Cluster, ClusterSpec, ClusterStatus};
pub use join_token_request::{ClusterRef, JoinTokenRequest, JoinTokenRequestSpec, JoinTokenRequestStatus};

pub use super::v1beta2::{
    CertificateRef, EtcdSpec, IngressSpec, KubeconfigRef, MonitoringSpec, Mount, PersistenceSpec, ServiceSpec,
};
