//! Files that bootstrap data puts on a host.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// A file to write on the host before k0s starts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["path"]))]
#[x_kube(
    validation = Rule::new("has(self.content) || has(self.contentFrom)")
        .message("set content or contentFrom (content: \"\" makes an empty file)"),
    validation = Rule::new("!has(self.contentFrom) || !has(self.content) || self.content == ''")
        .message("content and contentFrom exclude each other; remove one of them")
)]
pub struct File {
    /// Where the file goes on the host, as an absolute path. Each path may be used once.
    #[serde(default)]
    // With the number of files this bounds what the API server calculates for the rule of unique paths, which it would refuse otherwise.
    #[schemars(length(min = 1, max = 512))]
    pub path: String,
    /// Content of the file, verbatim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Takes the content from a Secret or ConfigMap in the namespace of the Cluster. It is read once, when bootstrap data is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_from: Option<ContentSource>,
    /// Permissions as an octal string such as "0644", which is also what an empty value means.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(regex(pattern = r"^(0o)?[0-7]{0,5}$"))]
    pub permissions: String,
}

/// Where content comes from: exactly one key of a Secret or of a ConfigMap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.secretRef) != has(self.configMapRef)").message("set exactly one of secretRef and configMapRef")
)]
pub struct ContentSource {
    /// Key of a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<KeyReference>,
    /// Key of a ConfigMap (under `data`, not `binaryData`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<KeyReference>,
}

/// One key of an object in the namespace of the Cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["key", "name"]))]
pub struct KeyReference {
    /// Name of the object.
    #[serde(default)]
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key in the object's data.
    #[serde(default)]
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}
