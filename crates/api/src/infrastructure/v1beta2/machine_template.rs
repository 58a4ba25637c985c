//! RemoteMachineTemplate: how a control plane or a MachineDeployment draws hosts from a pool.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::ProvisionJob;
use crate::meta::TemplateMetadata;

/// Template of the RemoteMachines of a control plane or a MachineDeployment (contract IM10).
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "infrastructure.cluster.x-k8s.io",
    version = "v1beta2",
    kind = "RemoteMachineTemplate",
    plural = "remotemachinetemplates",
    namespaced,
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

/// What can be said of a RemoteMachine before its host is known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["pool"]))]
pub struct TemplatedMachineSpec {
    /// Pool of PooledRemoteMachines to take the hosts from.
    #[serde(default)]
    #[schemars(length(min = 1, max = 253))]
    pub pool: String,
    /// Sets the hosts up from a Job of your own making instead of over SSH.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provision_job: Option<ProvisionJob>,
}
