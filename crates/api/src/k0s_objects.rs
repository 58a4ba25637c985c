//! Read models of the objects that k0s keeps in the clusters it runs.
//!
//! For: what a control plane reads to know its members, and the names it writes to. Not for: k0s' configuration file, which is a
//! free-form object everywhere ([`ClusterConfig`] carries it as such).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Spec of an EtcdMember; cluster-scoped, named like the controller.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "etcd.k0sproject.io",
    version = "v1beta1",
    kind = "EtcdMember",
    plural = "etcdmembers",
    status = "EtcdMemberStatus",
    schema = "disabled",
    derive = "PartialEq",
    derive = "Default"
)]
#[serde(rename_all = "camelCase")]
pub struct EtcdMemberSpec {
    /// Asks k0s to remove the member from the etcd cluster.
    #[serde(default)]
    pub leave: bool,
}

/// Status of an EtcdMember.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EtcdMemberStatus {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub peer_address: String,
    #[serde(default, rename = "memberID", skip_serializing_if = "String::is_empty")]
    pub member_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reconcile_status: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<JoinCondition>,
}

/// Whether a member takes part; unlike a Kubernetes condition it has no reason.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JoinCondition {
    #[serde(default, rename = "type")]
    pub type_: String,
    #[serde(default)]
    pub status: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl EtcdMember {
    /// Whether the member votes: `Some(true)` once it does, `Some(false)` once it has left, `None` while k0s does not know.
    #[must_use]
    pub fn joined(&self) -> Option<bool> {
        let conditions = &self.status.as_ref()?.conditions;
        match conditions
            .iter()
            .find(|condition| condition.type_ == "Joined")?
            .status
            .as_str()
        {
            "True" => Some(true),
            "False" => Some(false),
            _ => None,
        }
    }
}

/// Spec of a ControlNode, which has none; cluster-scoped, named like the controller.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "autopilot.k0sproject.io",
    version = "v1beta2",
    kind = "ControlNode",
    plural = "controlnodes",
    status = "ControlNodeStatus",
    schema = "disabled",
    derive = "PartialEq",
    no_spec
)]
#[serde(rename_all = "camelCase")]
pub struct ControlNodeSpec {}

/// Status of a ControlNode.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ControlNodeStatus {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<ControlNodeAddress>,
    #[serde(default, rename = "k0sVersion", skip_serializing_if = "Option::is_none")]
    pub k0s_version: Option<String>,
}

/// One address of a ControlNode.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ControlNodeAddress {
    #[serde(default, rename = "type")]
    pub type_: String,
    #[serde(default)]
    pub address: String,
}

/// Spec of an autopilot Plan; cluster-scoped, and autopilot follows only the one named `autopilot`.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "autopilot.k0sproject.io",
    version = "v1beta2",
    kind = "Plan",
    plural = "plans",
    status = "PlanStatus",
    schema = "disabled",
    derive = "PartialEq",
    derive = "Default"
)]
#[serde(rename_all = "camelCase")]
pub struct PlanSpec {
    #[serde(default)]
    pub id: String,
    #[serde(default)]
    pub timestamp: String,
    /// Commands, kept as they are.
    #[serde(default)]
    pub commands: Vec<Value>,
}

/// Status of a Plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanStatus {
    /// One of Schedulable, SchedulableWait, Completed, Warning, IncompleteTargets, Restricted, ApplyFailed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub state: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<PlanCommandStatus>,
}

/// How far a command of a Plan has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanCommandStatus {
    /// Index of the command in the spec.
    #[serde(default)]
    pub id: i64,
    #[serde(default)]
    pub state: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Of an update of k0s, the only command read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub k0supdate: Option<K0sUpdateStatus>,
}

/// How far an update of k0s has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct K0sUpdateStatus {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub controllers: Vec<PlanTargetStatus>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workers: Vec<PlanTargetStatus>,
}

/// How far one target has come; controllers by name of the ControlNode, workers by name of the Node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanTargetStatus {
    #[serde(default)]
    pub name: String,
    /// One of SignalPending, SignalSent, SignalCompleted, SignalMissingNode, SignalMissingPlatform, SignalApplyFailed.
    #[serde(default)]
    pub state: String,
}

/// Spec of k0s' own ClusterConfig; the running cluster reads `kube-system/k0s`.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "k0s.k0sproject.io",
    version = "v1beta1",
    kind = "ClusterConfig",
    plural = "clusterconfigs",
    namespaced,
    schema = "disabled",
    derive = "PartialEq",
    derive = "Default"
)]
#[serde(transparent)]
pub struct ClusterConfigSpec(pub Map<String, Value>);
