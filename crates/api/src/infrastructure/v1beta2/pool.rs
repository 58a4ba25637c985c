//! PooledRemoteMachine: one existing host that waits in a pool.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::machine::{default_port, default_user, default_working_dir};
use super::{ElevationSettings, HostKeys, JumpHost, SshKeyReference, Upload};
use crate::unsupported::Fields;

/// One existing host that waits in a pool.
///
/// Nothing owns a pool entry, so the label `clusterctl.cluster.x-k8s.io/move` makes `clusterctl move` take it along (CT24).
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "infrastructure.cluster.x-k8s.io",
    version = "v1beta2",
    kind = "PooledRemoteMachine",
    plural = "pooledremotemachines",
    namespaced,
    status = "PooledRemoteMachineStatus",
    doc = "An existing host in a pool, from which RemoteMachines take their hosts.",
    derive = "PartialEq",
    label("cluster.x-k8s.io/v1beta2", "v1beta2"),
    label("cluster.x-k8s.io/provider", "infrastructure-k0smotron"),
    label("clusterctl.cluster.x-k8s.io/move", ""),
    printcolumn(
        name = "Pool",
        type_ = "string",
        json_path = ".spec.pool",
        description = "Pool the host belongs to"
    ),
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
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["machine", "pool"]))]
pub struct PooledRemoteMachineSpec {
    /// Pool the host belongs to.
    #[serde(default)]
    #[schemars(length(min = 1, max = 253))]
    pub pool: String,
    /// How the host is reached.
    #[serde(default)]
    pub machine: PooledMachineSpec,
}

/// How a pooled host is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["address", "sshKeyRef"]))]
#[x_kube(
    validation = Rule::new("self.sshKeyRef.name != ''")
        .message("sshKeyRef needs a name: that of the Secret with the SSH private key under its key \"value\""),
    validation = ElevationSettings::same_as_use_sudo()
)]
pub struct PooledMachineSpec {
    /// IP address or DNS name of the host.
    #[serde(default)]
    #[schemars(length(min = 1, max = 253))]
    pub address: String,
    /// SSH port of the host.
    #[serde(default = "default_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// User to log in as.
    #[serde(default = "default_user")]
    #[schemars(length(max = 256))]
    pub user: String,
    /// Runs commands and writes files through sudo. elevation says more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub use_sudo: bool,
    /// How commands become root on the host, when not by useSudo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elevation: Option<ElevationSettings>,
    /// Runs all commands as one script, so that variables and the working directory carry over from one to the next.
    #[serde(default)]
    pub commands_as_script: bool,
    /// Directory on the host for that script.
    #[serde(default = "default_working_dir")]
    #[schemars(length(max = 1024))]
    pub working_dir: String,
    /// Commands that clean the host up when its machine goes. When set, even to an empty list, nothing else is done to the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clean_up_commands: Option<Vec<String>>,
    /// Secret in the same namespace that holds the SSH private key under its key "value".
    #[serde(default)]
    pub ssh_key_ref: SshKeyReference,
    /// What the host has to prove that it is. Without it the key that it shows first is kept, and no other accepted afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_keys: Option<HostKeys>,
    /// Hosts to go through, the first one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub jump_hosts: Vec<JumpHost>,
    /// Files that are fetched by the manager and put on the host before its commands run: for hosts without internet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub uploads: Vec<Upload>,
    /// Failure domain that the host stands in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub failure_domain: Option<String>,
}

impl PooledRemoteMachineSpec {
    /// Paths of the fields that are set and not supported yet.
    #[must_use]
    pub fn unsupported(&self) -> Vec<String> {
        let machine = &self.machine;
        let elevation = machine.elevation.as_ref().map(ElevationSettings::unsupported);
        Fields::default()
            .below("spec.machine.elevation", elevation.unwrap_or_default())
            .when(!machine.uploads.is_empty(), "spec.machine.uploads")
            .into_vec()
    }
}

impl Default for PooledMachineSpec {
    fn default() -> Self {
        Self {
            address: String::new(),
            port: default_port(),
            user: default_user(),
            use_sudo: false,
            elevation: None,
            commands_as_script: false,
            working_dir: default_working_dir(),
            clean_up_commands: None,
            ssh_key_ref: SshKeyReference::default(),
            host_keys: None,
            jump_hosts: Vec::new(),
            uploads: Vec::new(),
            failure_domain: None,
        }
    }
}

/// Status of a pooled host: shows the reservation, which itself is kept in metadata because status is lost by move and restore.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PooledRemoteMachineStatus {
    /// Whether a RemoteMachine has the host.
    #[serde(default)]
    pub reserved: bool,
    /// RemoteMachine that has the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_ref: Option<MachineReference>,
    /// Generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Conditions of the host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// A RemoteMachine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct MachineReference {
    /// Name of the RemoteMachine.
    #[serde(default)]
    pub name: String,
    /// Namespace of the RemoteMachine.
    #[serde(default)]
    pub namespace: String,
}
