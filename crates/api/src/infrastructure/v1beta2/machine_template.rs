//! RemoteMachineTemplate: how a control plane or a MachineDeployment draws hosts from a pool.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::{
    api::resource::Quantity,
    apis::meta::v1::{Condition, LabelSelector},
};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ElevationSettings, HostKeys, JumpHost, ProvisionJob, Upload};
use crate::meta::TemplateMetadata;

/// Template of the RemoteMachines of a control plane or a MachineDeployment (contract IM10).
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "infrastructure.cluster.x-k8s.io",
    version = "v1beta2",
    kind = "RemoteMachineTemplate",
    plural = "remotemachinetemplates",
    namespaced,
    status = "RemoteMachineTemplateStatus",
    doc = "Template of the RemoteMachines of a control plane or a MachineDeployment.",
    derive = "PartialEq",
    label("cluster.x-k8s.io/v1beta2", "v1beta2"),
    label("cluster.x-k8s.io/provider", "infrastructure-k0smotron")
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["template"]))]
pub struct RemoteMachineTemplateSpec {
    /// What every RemoteMachine made from this template gets.
    #[serde(default)]
    pub template: RemoteMachineTemplateResource,
}

/// Metadata and spec of the RemoteMachines to be made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["spec"]))]
pub struct RemoteMachineTemplateResource {
    /// Labels and annotations of the RemoteMachines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<TemplateMetadata>,
    /// Spec of the RemoteMachines.
    #[serde(default)]
    pub spec: TemplatedMachineSpec,
}

/// What can be said of a RemoteMachine before its host is known. Every field is one of the RemoteMachine's spec; what a pool entry says
/// of its host goes before it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(has(self.pool) && self.pool != '') || has(self.poolSelector)")
        .message("name the pool to take hosts from, or select pool entries by their labels with poolSelector")
)]
pub struct TemplatedMachineSpec {
    /// Pool of PooledRemoteMachines to take the hosts from.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253))]
    pub pool: String,
    /// Takes only hosts whose PooledRemoteMachines have these labels: of the pool, or of any pool when none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool_selector: Option<LabelSelector>,
    /// How commands become root on the hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elevation: Option<ElevationSettings>,
    /// What the hosts have to prove that they are, such as a certificate of a host authority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_keys: Option<HostKeys>,
    /// Hosts to go through, the first one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub jump_hosts: Vec<JumpHost>,
    /// Files that are fetched by the manager and put on the hosts before their commands run: for hosts without internet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub uploads: Vec<Upload>,
    /// Commands that clean a host up when its machine goes. When set, even to an empty list, nothing else is done to the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clean_up_commands: Option<Vec<String>>,
    /// Sets the hosts up from a Job of your own making instead of over SSH.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provision_job: Option<ProvisionJob>,
}

/// Status of a RemoteMachineTemplate: what one host offers, for scaling from zero (contract IM15).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RemoteMachineTemplateStatus {
    /// Resources of one host, such as cpu and memory: the least that any host of the pool has.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub capacity: BTreeMap<String, Quantity>,
    /// Platform of the hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_info: Option<NodeInfo>,
    /// Generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Conditions of the template.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// Platform of hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeInfo {
    /// Processor architecture of the hosts, as Go names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<Architecture>,
    /// Operating system, such as linux.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operating_system: Option<String>,
}

/// Processor architecture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    #[default]
    Amd64,
    Arm64,
    S390x,
    Ppc64le,
}
