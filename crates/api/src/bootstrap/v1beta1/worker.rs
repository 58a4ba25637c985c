//! K0sWorkerConfig: bootstrap data of one worker, and the template for many.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::{BootstrapStatus, HostSetup};
use crate::meta::{LabelsAndAnnotations, TemplateMetadata};

/// What a worker machine is set up with.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "bootstrap.cluster.x-k8s.io",
    version = "v1beta1",
    kind = "K0sWorkerConfig",
    plural = "k0sworkerconfigs",
    namespaced,
    status = "BootstrapStatus",
    doc = "Makes the bootstrap data of one k0s worker. Usually created from a K0sWorkerConfigTemplate.",
    deprecated = "bootstrap.cluster.x-k8s.io/v1beta1 K0sWorkerConfig is deprecated; use bootstrap.cluster.x-k8s.io/v1beta2",
    derive = "PartialEq",
    label("cluster.x-k8s.io/v1beta1", "v1beta1")
)]
#[serde(rename_all = "camelCase")]
pub struct K0sWorkerConfigSpec {
    /// Version of k0s, such as v1.36.3+k0s.2. Default: the version of the Machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub version: Option<String>,
    /// Labels and annotations for the bootstrap Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_metadata: Option<LabelsAndAnnotations>,
    #[serde(flatten)]
    pub host: HostSetup,
}

/// Template of the K0sWorkerConfigs of a MachineDeployment or MachineSet.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "bootstrap.cluster.x-k8s.io",
    version = "v1beta1",
    kind = "K0sWorkerConfigTemplate",
    plural = "k0sworkerconfigtemplates",
    namespaced,
    doc = "Template of the K0sWorkerConfigs of a MachineDeployment or MachineSet.",
    deprecated = "bootstrap.cluster.x-k8s.io/v1beta1 K0sWorkerConfigTemplate is deprecated; use bootstrap.cluster.x-k8s.io/v1beta2",
    derive = "PartialEq",
    label("cluster.x-k8s.io/v1beta1", "v1beta1")
)]
#[serde(rename_all = "camelCase")]
pub struct K0sWorkerConfigTemplateSpec {
    /// What every K0sWorkerConfig made from this template gets.
    #[serde(default)]
    pub template: K0sWorkerConfigTemplateResource,
}

/// Metadata and spec of the configs to be made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct K0sWorkerConfigTemplateResource {
    /// Labels and annotations of the configs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<TemplateMetadata>,
    /// Spec of the configs.
    #[serde(default)]
    pub spec: K0sWorkerConfigSpec,
}
