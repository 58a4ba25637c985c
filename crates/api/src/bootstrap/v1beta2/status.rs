//! What both bootstrap configs report: the same contract, so the same status.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Status of a bootstrap config (contract B2, B3).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct BootstrapStatus {
    /// Name of the Secret with the bootstrap data, once it exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub data_secret_name: Option<String>,
    /// What has been reached for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initialization: Option<DataSecretInitialization>,
    /// Generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Conditions; `Ready` sums them up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// First steps of a bootstrap config.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
// May be empty, which other releases write.
pub struct DataSecretInitialization {
    /// True once the Secret with the bootstrap data exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_secret_created: Option<bool>,
}

impl BootstrapStatus {
    /// Whether bootstrap data exists already.
    #[must_use]
    pub fn data_secret_created(&self) -> bool {
        self.initialization
            .as_ref()
            .and_then(|steps| steps.data_secret_created)
            .unwrap_or(false)
    }
}
