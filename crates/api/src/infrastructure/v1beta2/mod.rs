//! Version `v1beta2` of the infrastructure kinds.

mod access;
mod cluster;
mod machine;
mod machine_template;
mod pool;

pub use access::{
    ElevationMethod, ElevationSettings, HostKeys, JumpHost, PasswordReference, SshKeyReference, Upload,
};
pub use cluster::{
    FailureDomain, RemoteCluster, RemoteClusterSpec, RemoteClusterStatus, RemoteClusterTemplate,
    RemoteClusterTemplateResource, RemoteClusterTemplateSpec,
};
pub use machine::{
    DEFAULT_PORT, DEFAULT_USER, DEFAULT_WORKING_DIR, DeprecatedStatus, DeprecatedV1Beta1Status, ProvisionJob,
    RemoteMachine, RemoteMachineSpec, RemoteMachineStatus,
};
pub use machine_template::{
    Architecture, NodeInfo, RemoteMachineTemplate, RemoteMachineTemplateResource, RemoteMachineTemplateSpec,
    RemoteMachineTemplateStatus, TemplatedMachineSpec,
};
pub use pool::{
    MachineReference, PooledMachineSpec, PooledRemoteMachine, PooledRemoteMachineSpec,
    PooledRemoteMachineStatus,
};

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// First steps of an infrastructure object (contract IC4, IM5).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
// May be empty, which other releases write.
pub struct Provisioning {
    /// True once the infrastructure is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioned: Option<bool>,
}
