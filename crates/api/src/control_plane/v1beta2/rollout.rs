//! When machines are replaced, and how they are called (shapes of Cluster API's own control plane provider).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// When Machines are replaced although nothing of them has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct Rollout {
    /// Machines from before this time are replaced once it has come, such as 2027-03-09T09:00:00Z. `clusterctl alpha rollout restart`
    /// sets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Time>,
}

/// How often, and how soon again, unhealthy Machines are replaced. A retry is the replacement of a replacement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct Remediation {
    /// Retries before the control plane is left as it is; without bound when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub max_retry: Option<i32>,
    /// Seconds between one replacement and its retry; none when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub retry_period_seconds: Option<i32>,
    /// Seconds for which a replacement has to be healthy so that its next failure is a new one and no retry; an hour when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub min_healthy_period_seconds: Option<i32>,
}

/// How Machines, and what belongs to them, are named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct MachineNaming {
    /// Template of the names, such as "{{ .cluster.name }}-{{ .controlPlane.name }}-{{ .random }}", of which .random is required: it
    /// stands for characters that make the name unique. Names of more than 63 characters are cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(
        validation = Rule::new(r"self.matches('\\{\\{ *\\.random *\\}\\}')").message("the template must contain {{ .random }}, which makes names unique")
    )]
    pub template: Option<String>,
}
