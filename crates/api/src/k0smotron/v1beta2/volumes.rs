//! Volumes that users bring into the container of k0s.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::embedded::{Embedded, VolumeSource};

/// A volume of the container of k0s.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["path"]))]
pub struct Mount {
    /// Where the volume is mounted.
    #[serde(default)]
    pub path: String,
    /// Mounts it so that nothing can be written. ConfigMaps and Secrets always are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// What the volume is made of.
    #[serde(flatten)]
    pub source: Embedded<VolumeSource>,
}
