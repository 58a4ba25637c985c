//! Version `v1beta2` of the hosted control planes: the stored one.

mod certificates;
mod cluster;
mod etcd;
mod exposure;
pub(in crate::k0smotron) mod join_token_request;
mod monitoring;
mod patches;
mod persistence;
mod pods;
mod remote_host;
mod service;
mod status;
mod storage;
mod volumes;

pub use certificates::{CertificateRef, CertificateType};
pub use cluster::{Cluster, ClusterSpec};
pub use etcd::{DefragJob, EtcdSpec};
pub use exposure::{GatewayParent, GatewaySpec, IngressSpec};
pub use join_token_request::{
    DeprecatedRequestStatus, DeprecatedRequestV1Beta1, JoinTokenRequest, JoinTokenRequestSpec,
    JoinTokenRequestStatus, TokenRole,
};
pub use monitoring::MonitoringSpec;
pub use patches::{ComponentPatch, Patch, PatchTarget, PatchType};
pub use persistence::{PersistenceSpec, PersistenceType, VolumeSpec};
pub use pods::{Budget, DisruptionSpec, SchedulingSpec, SecuritySpec};
pub use remote_host::{KubeconfigRef, RemoteHostClusterSpec};
pub use service::{ExternalTrafficPolicy, ServiceSpec, ServiceType};
pub use status::{ClusterStatus, DeprecatedClusterStatus, DeprecatedClusterV1Beta1, VersionCount};
pub use storage::{KineSpec, NatsSpec, StorageSpec, StorageType};
pub use volumes::Mount;
