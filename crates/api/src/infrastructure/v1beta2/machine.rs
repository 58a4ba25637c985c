//! RemoteMachine: one existing host that becomes a machine of a cluster.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::{ElevationMethod, ElevationSettings, HostKeys, JumpHost, Provisioning, SshKeyReference, Upload};
use crate::capi::MachineAddress;
use crate::unsupported::Fields;

/// SSH port when none is given.
pub const DEFAULT_PORT: i32 = 22;
/// SSH user when none is given.
pub const DEFAULT_USER: &str = "root";
/// Directory for uploaded scripts when none is given.
pub const DEFAULT_WORKING_DIR: &str = "/etc/k0smotron";

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
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "infrastructure.cluster.x-k8s.io",
    version = "v1beta2",
    kind = "RemoteMachine",
    plural = "remotemachines",
    namespaced,
    status = "RemoteMachineStatus",
    doc = "An existing host, reached over SSH, that becomes a machine of a cluster.",
    derive = "PartialEq",
    label("cluster.x-k8s.io/v1beta2", "v1beta2"),
    label("cluster.x-k8s.io/provider", "infrastructure-k0smotron"),
    // On the whole object, because an absent spec is filled in as an empty one, which has to follow the rules of spec.
    validation = Rule::new(
        "(has(self.spec.pool) && self.spec.pool != '') || has(self.spec.poolSelector) || \
         (has(self.spec.address) && self.spec.address != '') || has(self.spec.provisionJob)"
    )
        .message("name a pool to take a host from, or give the address of a host")
        .field_path(".spec"),
    printcolumn(
        name = "Cluster",
        type_ = "string",
        json_path = r".metadata.labels['cluster\.x-k8s\.io/cluster-name']",
        description = "Cluster the machine belongs to"
    ),
    printcolumn(
        name = "Address",
        type_ = "string",
        json_path = ".status.addresses[0].address",
        description = "Address of the host"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status",
        description = "Whether the host is set up"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason",
        description = "Why it is, or is not yet"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "ProviderID",
        type_ = "string",
        json_path = ".spec.providerID",
        priority = 10,
        description = "Provider ID of the node"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(
        "(has(self.pool) && self.pool != '') || has(self.poolSelector) || !has(self.address) || self.address == '' || \
         has(self.provisionJob) || (has(self.sshKeyRef) && self.sshKeyRef.name != '')"
    ).message("a host given by its address needs sshKeyRef: the Secret with the SSH private key under its key \"value\""),
    validation = ElevationSettings::same_as_use_sudo()
)]
pub struct RemoteMachineSpec {
    /// Takes a free host from the PooledRemoteMachines of this pool, with its address, user and key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub pool: Option<String>,
    /// Takes only a host whose PooledRemoteMachine has these labels: of the pool, or of any pool when none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool_selector: Option<LabelSelector>,
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
    /// Secret in the same namespace that holds the SSH private key under its key "value".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh_key_ref: Option<SshKeyReference>,
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
    /// Commands that clean the host up when the machine goes. When set, even to an empty list, nothing else is done to the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clean_up_commands: Option<Vec<String>>,
    /// Sets the host up from a Job of your own making instead of over SSH.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provision_job: Option<ProvisionJob>,
}

impl RemoteMachineSpec {
    /// How commands become root on the host, from whichever of the two fields says it.
    #[must_use]
    pub fn elevation_method(&self) -> ElevationMethod {
        match &self.elevation {
            Some(elevation) => elevation.method,
            None if self.use_sudo => ElevationMethod::Sudo,
            None => ElevationMethod::None,
        }
    }

    /// Paths of the fields that are set and not supported yet.
    #[must_use]
    pub fn unsupported(&self) -> Vec<String> {
        let elevation = self.elevation.as_ref().map(ElevationSettings::unsupported);
        Fields::default()
            .below("spec.elevation", elevation.unwrap_or_default())
            .when(!self.uploads.is_empty(), "spec.uploads")
            .when(self.provision_job.is_some(), "spec.provisionJob")
            .into_vec()
    }
}

impl Default for RemoteMachineSpec {
    fn default() -> Self {
        Self {
            pool: None,
            pool_selector: None,
            provider_id: None,
            address: None,
            port: default_port(),
            user: default_user(),
            use_sudo: false,
            elevation: None,
            commands_as_script: false,
            working_dir: default_working_dir(),
            ssh_key_ref: None,
            host_keys: None,
            jump_hosts: Vec::new(),
            uploads: Vec::new(),
            failure_domain: None,
            clean_up_commands: None,
            provision_job: None,
        }
    }
}

/// A Job that sets a host up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProvisionJob {
    /// Command to run commands on the host.
    #[serde(default = "ProvisionJob::default_ssh_command")]
    #[schemars(length(max = 4096))]
    pub ssh_command: String,
    /// Command to copy files to the host.
    #[serde(default = "ProvisionJob::default_scp_command")]
    #[schemars(length(max = 4096))]
    pub scp_command: String,
    /// Template of the Job (batch/v1 JobTemplateSpec).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::free_form_object")]
    pub job_spec_template: Option<serde_json::Value>,
}

impl ProvisionJob {
    fn default_ssh_command() -> String {
        "ssh".to_owned()
    }

    fn default_scp_command() -> String {
        "scp".to_owned()
    }
}

/// Status of a RemoteMachine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RemoteMachineStatus {
    /// What has been reached for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initialization: Option<Provisioning>,
    /// Addresses of the host, for the Machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<MachineAddress>,
    /// Failure domain that the host stands in (contract IM3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub failure_domain: Option<String>,
    /// Generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Conditions; `Ready` sums them up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Fields of the old contract.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<DeprecatedStatus>,
}

/// Fields of old contracts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeprecatedStatus {
    /// Fields of the contract v1beta1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub v1beta1: Option<DeprecatedV1Beta1Status>,
}

/// Fields of the contract v1beta1; the conditions say the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeprecatedV1Beta1Status {
    /// Reason of the last failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
    /// Message of the last failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_message: Option<String>,
}

impl RemoteMachineStatus {
    /// Whether the host has been reported as set up.
    #[must_use]
    pub fn provisioned(&self) -> bool {
        self.initialization
            .as_ref()
            .and_then(|steps| steps.provisioned)
            .unwrap_or(false)
    }
}
