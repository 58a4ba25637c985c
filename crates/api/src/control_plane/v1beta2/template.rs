//! K0sControlPlaneTemplate: what a ClusterClass makes control planes from (contract C12). Every field of it is one of the control plane.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::{K0sConfigSpec, MachineNaming, Remediation, Rollout, TemplatedMachineTemplate, UpdateStrategy};
use crate::meta::{LabelsAndAnnotations, TemplateMetadata};

/// Template of the K0sControlPlanes of a ClusterClass.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "controlplane.cluster.x-k8s.io",
    version = "v1beta2",
    kind = "K0sControlPlaneTemplate",
    plural = "k0scontrolplanetemplates",
    namespaced,
    doc = "Template of the K0sControlPlanes of a ClusterClass.",
    derive = "PartialEq",
    label("cluster.x-k8s.io/v1beta2", "v1beta2"),
    label("cluster.x-k8s.io/provider", "control-plane-k0smotron")
)]
#[serde(rename_all = "camelCase")]
pub struct K0sControlPlaneTemplateSpec {
    /// What every K0sControlPlane made from this template gets.
    #[serde(default)]
    pub template: K0sControlPlaneTemplateResource,
}

/// Metadata and spec of the control planes to be made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct K0sControlPlaneTemplateResource {
    /// Labels and annotations of the control planes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<TemplateMetadata>,
    /// Spec of the control planes.
    #[serde(default)]
    pub spec: TemplatedControlPlaneSpec,
}

/// What can be said of a control plane before its cluster is known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["k0sConfigSpec"]))]
pub struct TemplatedControlPlaneSpec {
    /// How changes reach existing controllers: in place where possible, or by replacing machines.
    #[serde(default)]
    pub update_strategy: UpdateStrategy,
    /// Version of k0s; the one of the Cluster's topology takes its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub version: Option<String>,
    /// How k0s is set up on the controllers.
    #[serde(default)]
    pub k0s_config_spec: K0sConfigSpec,
    /// What the Machines are made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_template: Option<TemplatedMachineTemplate>,
    /// Labels and annotations for the kubeconfig Secrets, set when a Secret is created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeconfig_secret_metadata: Option<LabelsAndAnnotations>,
    /// When Machines are replaced although nothing of them has changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// How often, and how soon again, unhealthy Machines are replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remediation: Option<Remediation>,
    /// How Machines, and what belongs to them, are named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_naming: Option<MachineNaming>,
}
