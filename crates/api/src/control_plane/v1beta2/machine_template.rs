//! What the machines of a control plane are made from.
//!
//! The reference to the infrastructure template and the bounds of deletion have two homes: the one that k0smotron has always had and
//! the one of Cluster API's contract (C5). Both are accepted; [`MachineTemplate::infrastructure_ref`] and
//! [`MachineTemplate::deletion`] give what is in force.

use kube::{
    KubeSchema,
    core::{Message, Rule},
};
use serde::{Deserialize, Serialize};

use super::DeletionTimeouts;
use crate::capi::{ContractReference, MachineDeletion, ReadinessGate, Taint};
use crate::meta::LabelsAndAnnotations;

/// What the machines of a control plane are made from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.infrastructureRef) || (has(self.spec) && has(self.spec.infrastructureRef))")
        .message("name the template of the machines in machineTemplate.spec.infrastructureRef (or in machineTemplate.infrastructureRef)"),
    validation = Rule::new(
        "!has(self.infrastructureRef) || !has(self.spec) || !has(self.spec.infrastructureRef) || \
         (self.infrastructureRef.kind == self.spec.infrastructureRef.kind && \
          self.infrastructureRef.name == self.spec.infrastructureRef.name && \
          (has(self.infrastructureRef.apiVersion) \
            ? self.infrastructureRef.apiVersion.startsWith(self.spec.infrastructureRef.apiGroup + '/') \
            : self.infrastructureRef.apiGroup == self.spec.infrastructureRef.apiGroup))"
    ).message("machineTemplate.infrastructureRef and machineTemplate.spec.infrastructureRef name different templates; remove one of them"),
    validation = same_timeout("nodeDrainTimeout"),
    validation = same_timeout("nodeVolumeDetachTimeout"),
    validation = same_timeout("nodeDeletionTimeout")
)]
pub struct MachineTemplate {
    /// Labels and annotations of the Machines and of what belongs to them. Changes are brought to existing machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minProperties" = 1))]
    pub metadata: Option<LabelsAndAnnotations>,
    /// Template of the infrastructure machines, in the namespace of the control plane. spec.infrastructureRef is the other place for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub infrastructure_ref: Option<InfrastructureReference>,
    #[serde(flatten)]
    pub timeouts: DeletionTimeouts,
    /// Settings of the machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<MachineTemplateSpec>,
}

/// What the machines of control planes to be made are made from: all that a control plane has but the infrastructure template, which
/// the ClusterClass names elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = same_timeout("nodeDrainTimeout"),
    validation = same_timeout("nodeVolumeDetachTimeout"),
    validation = same_timeout("nodeDeletionTimeout")
)]
pub struct TemplatedMachineTemplate {
    /// Labels and annotations of the Machines and of what belongs to them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minProperties" = 1))]
    pub metadata: Option<LabelsAndAnnotations>,
    #[serde(flatten)]
    pub timeouts: DeletionTimeouts,
    /// Settings of the machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<MachineSettings>,
}

/// Refuses an old duration that says something else than the contract's number of seconds.
fn same_timeout(field: &str) -> Rule {
    let seconds = format!("self.spec.deletion.{field}Seconds");
    Rule::new(format!(
        "!has(self.{field}) || !has(self.spec) || !has(self.spec.deletion) || !has({seconds}) || \
         duration(self.{field}).getSeconds() == {seconds}"
    ))
    .message(Message::Message(format!(
        "{field} and spec.deletion.{field}Seconds say different things; remove {field}"
    )))
    .field_path(format!(".{field}"))
}

/// Settings of the machines of a control plane (contract C5).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct MachineTemplateSpec {
    /// Template of the infrastructure machines, in the namespace of the control plane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub infrastructure_ref: Option<ContractReference>,
    #[serde(flatten)]
    pub settings: MachineSettings,
}

/// Settings of machines that are known before their infrastructure is. Changes are brought to existing machines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct MachineSettings {
    /// Bounds for the steps of deleting a machine. Changes are brought to existing machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion: Option<MachineDeletion>,
    /// Further conditions of a Machine that have to hold before it is ready. Changes are brought to existing machines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["conditionType".into()]))]
    pub readiness_gates: Vec<ReadinessGate>,
    /// Taints that Cluster API brings to the nodes of the machines. Changes are brought to existing machines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["key".into(), "effect".into()]))]
    pub taints: Vec<Taint>,
}

/// Reference to an infrastructure template, with its API version or only its API group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic", "required" = ["kind", "name"]))]
#[x_kube(
    validation = Rule::new("has(self.apiGroup) || has(self.apiVersion)").message("set apiGroup (or apiVersion)"),
    validation = Rule::new("!has(self.apiGroup) || !has(self.apiVersion) || self.apiVersion.startsWith(self.apiGroup + '/')")
        .message("apiVersion and apiGroup name different groups; remove apiVersion")
)]
pub struct InfrastructureReference {
    /// API group and version of the template, such as infrastructure.cluster.x-k8s.io/v1beta2. Only the group counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 317), regex(pattern = r"^[^/]+/[^/]+$"))]
    pub api_version: Option<String>,
    /// API group of the template, such as infrastructure.cluster.x-k8s.io.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub api_group: Option<String>,
    /// Kind of the template, such as RemoteMachineTemplate.
    #[serde(default)]
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,
    /// Name of the template.
    #[serde(default)]
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Accepted, without effect: the template is in the namespace of the control plane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Accepted, without effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Accepted, without effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
    /// Accepted, without effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field_path: Option<String>,
}

impl InfrastructureReference {
    /// The same reference in the form of the contract.
    #[must_use]
    pub fn to_contract(&self) -> ContractReference {
        let from_version = || {
            self.api_version
                .as_deref()
                .and_then(|version| version.split_once('/'))
                .map(|(group, _)| group)
        };
        ContractReference {
            api_group: self
                .api_group
                .as_deref()
                .or_else(from_version)
                .unwrap_or_default()
                .to_owned(),
            kind: self.kind.clone(),
            name: self.name.clone(),
        }
    }
}

impl MachineTemplate {
    /// Template of the infrastructure machines, from whichever of its two homes is set; the contract's one first.
    ///
    /// `None` only for objects that the validation rules would refuse.
    #[must_use]
    pub fn infrastructure_ref(&self) -> Option<ContractReference> {
        let of_contract = self
            .spec
            .as_ref()
            .and_then(|spec| spec.infrastructure_ref.clone());
        of_contract.or_else(|| {
            self.infrastructure_ref
                .as_ref()
                .map(InfrastructureReference::to_contract)
        })
    }

    /// Settings of the machines; all unset when not given.
    #[must_use]
    pub fn settings(&self) -> MachineSettings {
        self.spec
            .as_ref()
            .map(|spec| spec.settings.clone())
            .unwrap_or_default()
    }

    /// Bounds for the deletion of machines, each from whichever of its two homes is set; the contract's one first.
    #[must_use]
    pub fn deletion(&self) -> MachineDeletion {
        let of_contract = self.settings().deletion.unwrap_or_default();
        of_contract.or(self.timeouts.in_seconds())
    }
}
