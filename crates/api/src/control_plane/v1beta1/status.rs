//! What a K0sControlPlane reports.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Status of a K0sControlPlane.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct K0sControlPlaneStatus {
    /// Whether a controller is ready. From v1beta2 on: condition Available.
    #[serde(default)]
    pub ready: bool,
    /// Whether the API server has answered for the first time. From v1beta2 on: initialization.controlPlaneInitialized.
    #[serde(default)]
    pub initialized: bool,
    /// What has been reached for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initialization: Option<ControlPlaneInitialization>,
    /// True when the controllers are no nodes of the cluster, so that Cluster API does not wait for nodes of their Machines.
    #[serde(default)]
    pub external_managed_control_plane: bool,
    /// Machines that are not being deleted.
    #[serde(default)]
    pub replicas: i32,
    /// Lowest version that runs.
    #[serde(default)]
    pub version: String,
    /// Label selector of the Machines, for the scale subresource.
    #[serde(default)]
    pub selector: String,
    /// Machines that are not available. From v1beta2 on: availableReplicas counts the others.
    #[serde(default)]
    pub unavailable_replicas: i32,
    /// Machines whose condition Ready is true.
    #[serde(default)]
    pub ready_replicas: i32,
    /// Machines that match the spec. From v1beta2 on: upToDateReplicas.
    #[serde(default)]
    pub updated_replicas: i32,
    /// Conditions of the control plane.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// First steps of a control plane.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ControlPlaneInitialization {
    /// True once the API server has answered for the first time.
    #[serde(default)]
    pub control_plane_initialized: bool,
}
