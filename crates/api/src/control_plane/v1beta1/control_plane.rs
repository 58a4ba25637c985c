//! K0sControlPlane: a control plane whose controllers run on Machines.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::K0sControlPlaneStatus;
use crate::bootstrap::v1beta1::K0sConfigSpec;
use crate::control_plane::v1beta2::{MachineTemplate, UpdateStrategy};
use crate::meta::LabelsAndAnnotations;

/// A control plane whose controllers run on Machines.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "controlplane.cluster.x-k8s.io",
    version = "v1beta1",
    kind = "K0sControlPlane",
    plural = "k0scontrolplanes",
    namespaced,
    status = "K0sControlPlaneStatus",
    doc = "A k0s control plane whose controllers run on Machines.",
    derive = "PartialEq",
    label("cluster.x-k8s.io/v1beta1", "v1beta1"),
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(
        name = "Cluster",
        type_ = "string",
        json_path = r".metadata.labels['cluster\.x-k8s\.io/cluster-name']",
        description = "Cluster the control plane belongs to"
    ),
    printcolumn(
        name = "API Server Available",
        type_ = "boolean",
        json_path = ".status.ready",
        description = "Whether a controller is ready"
    ),
    printcolumn(
        name = "Desired",
        type_ = "integer",
        json_path = ".spec.replicas",
        priority = 10,
        description = "Machines asked for"
    ),
    printcolumn(
        name = "Replicas",
        type_ = "integer",
        json_path = ".status.replicas",
        description = "Machines that are not being deleted"
    ),
    printcolumn(
        name = "Ready",
        type_ = "integer",
        json_path = ".status.readyReplicas",
        description = "Machines that are ready"
    ),
    printcolumn(
        name = "Updated",
        type_ = "integer",
        json_path = ".status.updatedReplicas",
        description = "Machines that match the spec"
    ),
    printcolumn(
        name = "Unavailable",
        type_ = "integer",
        json_path = ".status.unavailableReplicas",
        description = "Machines that are not available"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Version",
        type_ = "string",
        json_path = ".spec.version",
        description = "Version of k0s asked for"
    )
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["k0sConfigSpec", "machineTemplate"]))]
pub struct K0sControlPlaneSpec {
    /// Number of controllers.
    #[serde(default = "K0sControlPlaneSpec::default_replicas")]
    pub replicas: i32,
    /// How changes reach existing controllers: in place where possible, or by replacing machines.
    #[serde(default)]
    pub update_strategy: UpdateStrategy,
    /// Version of k0s, such as v1.36.3+k0s.2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub version: Option<String>,
    /// How k0s is set up on the controllers.
    #[serde(default)]
    pub k0s_config_spec: K0sConfigSpec,
    /// What the Machines are made from.
    #[serde(default)]
    pub machine_template: MachineTemplate,
    /// Labels and annotations for the kubeconfig Secrets, set when a Secret is created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeconfig_secret_metadata: Option<LabelsAndAnnotations>,
}

impl K0sControlPlaneSpec {
    fn default_replicas() -> i32 {
        1
    }
}
