//! Changes to generated objects.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A change to the generated objects that match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ComponentPatch {
    /// Objects to change.
    pub target: PatchTarget,
    /// What is changed of the objects that target selects.
    pub patch: Patch,
}

/// Which generated objects are changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["component", "kind"]))]
pub struct PatchTarget {
    /// Kind of the object, such as StatefulSet.
    #[serde(default)]
    pub kind: String,
    /// Value of its label app.kubernetes.io/component, such as control-plane or etcd.
    #[serde(default)]
    pub component: String,
}

/// A change to an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Patch {
    /// json (RFC 6902, a list of operations), merge (RFC 7386) or strategic (as of kubectl patch).
    pub r#type: PatchType,
    /// The patch, as YAML or JSON.
    pub content: String,
}

/// Form of a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PatchType {
    Json,
    Strategic,
    Merge,
}
