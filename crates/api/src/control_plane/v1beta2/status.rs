//! What a K0sControlPlane reports (contract C3, C4, C6, C8, C10).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Status of a K0sControlPlane.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct K0sControlPlaneStatus {
    /// What has been reached for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initialization: Option<ControlPlaneInitialization>,
    /// True when the controllers are no nodes of the cluster, so that Cluster API does not wait for nodes of their Machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_managed_control_plane: Option<bool>,
    /// Versions that run, oldest first, and how many machines run each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["version".into()]))]
    pub versions: Vec<VersionCount>,
    /// Lowest version that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    // May be empty, which other releases write.
    #[schemars(length(max = 256))]
    pub version: Option<String>,
    /// Label selector of the Machines, for the scale subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Machines that are not being deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Machines whose condition Ready is true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// Machines whose condition Available is true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available_replicas: Option<i32>,
    /// Machines whose condition UpToDate is true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_to_date_replicas: Option<i32>,
    /// The last Machine that was replaced because it was unhealthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_remediation: Option<LastRemediation>,
    /// Generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Conditions of the control plane.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// First steps of a control plane.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct ControlPlaneInitialization {
    /// True once the API server has answered for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_plane_initialized: Option<bool>,
}

/// The replacement of an unhealthy Machine, with the fields of Cluster API's own control plane provider (contract 2.8).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastRemediation {
    /// Name of the Machine that was replaced.
    #[schemars(length(min = 1, max = 253))]
    pub machine: String,
    /// When its replacement began.
    pub time: Time,
    /// How many replacements of it had become unhealthy themselves by then.
    #[schemars(range(min = 0))]
    pub retry_count: i32,
}

/// How many machines run one version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["version"]))]
pub struct VersionCount {
    /// Version of k0s, spelled like spec.version.
    #[serde(default)]
    #[schemars(length(min = 1, max = 256))]
    pub version: String,
    /// Machines of this version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
}

impl K0sControlPlaneStatus {
    /// Whether the API server has ever answered. Status is lost by move and restore; see
    /// [`names::annotations::CLUSTER_INITIALIZED`](crate::names::annotations::CLUSTER_INITIALIZED) for what remains.
    #[must_use]
    pub fn control_plane_initialized(&self) -> bool {
        self.initialization
            .as_ref()
            .and_then(|steps| steps.control_plane_initialized)
            .unwrap_or(false)
    }
}
