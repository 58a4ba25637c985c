//! RemoteMachine and its template.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::capi::MachineAddress;
use crate::infrastructure::v1beta2::{
    DEFAULT_PORT, DEFAULT_USER, DEFAULT_WORKING_DIR, ProvisionJob, RemoteMachineTemplateResource,
};
use crate::meta::LocalReference;

pub(super) fn default_port() -> i32 {
    DEFAULT_PORT
}

pub(super) fn default_user() -> String {
    DEFAULT_USER.to_owned()
}

pub(super) fn default_working_dir() -> String {
    DEFAULT_WORKING_DIR.to_owned()
}

/// One existing host that becomes a machine of a cluster.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "infrastructure.cluster.x-k8s.io",
    version = "v1beta1",
    kind = "RemoteMachine",
    plural = "remotemachines",
    namespaced,
    status = "RemoteMachineStatus",
    doc = "An existing host, reached over SSH, that becomes a machine of a cluster.",
    deprecated = "infrastructure.cluster.x-k8s.io/v1beta1 RemoteMachine is deprecated; use infrastructure.cluster.x-k8s.io/v1beta2",
    derive = "PartialEq",
    label("cluster.x-k8s.io/v1beta1", "v1beta1")
)]
#[serde(rename_all = "camelCase")]
pub struct RemoteMachineSpec {
    /// Takes a free host from the PooledRemoteMachines of this pool, with its address, user and key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub pool: Option<String>,
    /// Provider ID of the machine, filled in by the controller as remote-machine://<address>:<port>.
    #[serde(default, rename = "providerID", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub provider_id: Option<String>,
    /// IP address or DNS name of the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub address: Option<String>,
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
    /// Secret in the same namespace that holds the SSH private key, unencrypted, under its key "value".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh_key_ref: Option<LocalReference>,
    /// Commands that clean the host up when the machine goes, instead of what is done otherwise. From v1beta2 on: cleanUpCommands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_clean_up_commands: Option<Vec<String>>,
    /// Sets the host up from a Job of your own making instead of over SSH.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provision_job: Option<ProvisionJob>,
}

/// Status of a RemoteMachine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RemoteMachineStatus {
    /// Whether the host is set up. From v1beta2 on: initialization.provisioned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<bool>,
    /// Addresses of the host, for the Machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<MachineAddress>,
    /// Reason of the last failure. From v1beta2 on: conditions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
    /// Message of the last failure. From v1beta2 on: conditions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_message: Option<String>,
}

/// Template of the RemoteMachines of a control plane or a MachineDeployment.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "infrastructure.cluster.x-k8s.io",
    version = "v1beta1",
    kind = "RemoteMachineTemplate",
    plural = "remotemachinetemplates",
    namespaced,
    doc = "Template of the RemoteMachines of a control plane or a MachineDeployment.",
    deprecated = "infrastructure.cluster.x-k8s.io/v1beta1 RemoteMachineTemplate is deprecated; use infrastructure.cluster.x-k8s.io/v1beta2",
    derive = "PartialEq",
    label("cluster.x-k8s.io/v1beta1", "v1beta1")
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["template"]))]
pub struct RemoteMachineTemplateSpec {
    /// What every RemoteMachine made from this template gets.
    #[serde(default)]
    pub template: RemoteMachineTemplateResource,
}
