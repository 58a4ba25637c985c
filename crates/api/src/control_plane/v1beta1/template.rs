//! K0sControlPlaneTemplate: what a ClusterClass makes control planes from.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::bootstrap::v1beta1::K0sConfigSpec;
use crate::control_plane::v1beta2::{TemplatedMachineTemplate, UpdateStrategy};
use crate::meta::TemplateMetadata;

/// Template of the K0sControlPlanes of a ClusterClass.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "controlplane.cluster.x-k8s.io",
    version = "v1beta1",
    kind = "K0sControlPlaneTemplate",
    plural = "k0scontrolplanetemplates",
    namespaced,
    doc = "Template of the K0sControlPlanes of a ClusterClass.",
    derive = "PartialEq",
    label("cluster.x-k8s.io/v1beta1", "v1beta1")
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
}
