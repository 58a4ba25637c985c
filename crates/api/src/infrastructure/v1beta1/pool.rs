//! PooledRemoteMachine: one existing host that waits in a pool.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::machine::{default_port, default_user, default_working_dir};
use crate::infrastructure::v1beta2::PooledRemoteMachineStatus;
use crate::meta::LocalReference;

/// One existing host that waits in a pool.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "infrastructure.cluster.x-k8s.io",
    version = "v1beta1",
    kind = "PooledRemoteMachine",
    plural = "pooledremotemachines",
    namespaced,
    status = "PooledRemoteMachineStatus",
    doc = "An existing host in a pool, from which RemoteMachines take their hosts.",
    deprecated = "infrastructure.cluster.x-k8s.io/v1beta1 PooledRemoteMachine is deprecated; use infrastructure.cluster.x-k8s.io/v1beta2",
    derive = "PartialEq",
    label("cluster.x-k8s.io/v1beta1", "v1beta1"),
    printcolumn(
        name = "Address",
        type_ = "string",
        json_path = ".spec.machine.address",
        description = "Address of the host"
    ),
    printcolumn(
        name = "Reserved",
        type_ = "string",
        json_path = ".status.reserved",
        description = "Whether a RemoteMachine has the host"
    ),
    printcolumn(
        name = "Remote Machine",
        type_ = "string",
        json_path = ".status.machineRef.name",
        description = "RemoteMachine that has the host"
    )
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["machine", "pool"]))]
pub struct PooledRemoteMachineSpec {
    /// Pool the host belongs to.
    #[serde(default)]
    #[schemars(length(max = 253))]
    pub pool: String,
    /// How the host is reached.
    #[serde(default)]
    pub machine: PooledMachineSpec,
}

/// How a pooled host is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["address", "sshKeyRef"]))]
pub struct PooledMachineSpec {
    /// IP address or DNS name of the host.
    #[serde(default)]
    #[schemars(length(max = 253))]
    pub address: String,
    /// SSH port of the host.
    #[serde(default = "default_port")]
    pub port: i32,
    /// User to log in as.
    #[serde(default = "default_user")]
    #[schemars(length(max = 256))]
    pub user: String,
    /// Runs commands and writes files through sudo.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub use_sudo: bool,
    /// Runs all commands as one script, so that variables and the working directory carry over from one to the next.
    #[serde(default)]
    pub commands_as_script: bool,
    /// Directory on the host for that script.
    #[serde(default = "default_working_dir")]
    #[schemars(length(max = 1024))]
    pub working_dir: String,
    /// Commands that clean the host up when its machine goes, instead of what is done otherwise. From v1beta2 on: cleanUpCommands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_clean_up_commands: Option<Vec<String>>,
    /// Secret in the same namespace that holds the SSH private key, unencrypted, under its key "value".
    #[serde(default)]
    pub ssh_key_ref: LocalReference,
}
