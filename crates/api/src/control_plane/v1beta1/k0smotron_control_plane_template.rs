//! K0smotronControlPlaneTemplate: what a ClusterClass makes K0smotronControlPlanes from.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::{k0smotron::v1beta1::ClusterSpec, meta::TemplateMetadata};

/// Template of the K0smotronControlPlanes of a ClusterClass.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "controlplane.cluster.x-k8s.io",
    version = "v1beta1",
    kind = "K0smotronControlPlaneTemplate",
    plural = "k0smotroncontrolplanetemplates",
    namespaced,
    storage = false,
    doc = "Template of the K0smotronControlPlanes of a ClusterClass.",
    derive = "PartialEq",
    label("cluster.x-k8s.io/v1beta1", "v1beta1"),
    label("cluster.x-k8s.io/provider", "control-plane-k0smotron")
)]
#[serde(rename_all = "camelCase")]
pub struct K0smotronControlPlaneTemplateSpec {
    /// What every K0smotronControlPlane made from this template gets.
    #[serde(default)]
    pub template: K0smotronControlPlaneTemplateResource,
}

/// Metadata and spec of the K0smotronControlPlanes to be made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct K0smotronControlPlaneTemplateResource {
    /// Labels and annotations of the K0smotronControlPlanes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<TemplateMetadata>,
    /// Spec of the K0smotronControlPlanes.
    #[serde(default)]
    pub spec: ClusterSpec,
}
