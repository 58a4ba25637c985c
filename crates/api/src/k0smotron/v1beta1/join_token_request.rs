//! JoinTokenRequest: a token with which a node joins a hosted control plane.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::k0smotron::v1beta2::{TokenRole, join_token_request::default_expiry};

/// A token with which nodes join a hosted control plane; it is put into a Secret of the same name, under the key `token`.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "k0smotron.io",
    version = "v1beta1",
    kind = "JoinTokenRequest",
    plural = "jointokenrequests",
    shortname = "jtr",
    namespaced,
    storage = false,
    deprecated,
    status = "JoinTokenRequestStatus",
    doc = "A token with which nodes join a hosted control plane.",
    derive = "PartialEq",
    label("cluster.x-k8s.io/provider", "control-plane-k0smotron")
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["clusterRef"]))]
pub struct JoinTokenRequestSpec {
    /// The Cluster (k0smotron.io) that the token is of.
    #[serde(default)]
    pub cluster_ref: ClusterRef,
    /// How long the token can be used, such as 1.5h or 2h45m; 0s for ever.
    #[serde(default = "default_expiry")]
    #[x_kube(
        validation = Rule::new(r"self.matches('^(0|([0-9]+(\\.[0-9]*)?(ns|us|µs|ms|s|m|h))+)$')")
            .message("expiry must be a duration such as 1.5h or 2h45m, or 0s for a token that never expires")
    )]
    pub expiry: String,
    /// What the token is for: worker or controller.
    #[serde(default)]
    pub role: TokenRole,
}

/// A Cluster of any namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["name", "namespace"]))]
pub struct ClusterRef {
    /// Name of the Cluster.
    #[serde(default)]
    pub name: String,
    /// Namespace of the Cluster.
    #[serde(default)]
    pub namespace: String,
}

/// Status of a JoinTokenRequest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct JoinTokenRequestStatus {
    /// How the last pass ended.
    #[serde(default)]
    pub reconciliation_status: String,
    /// Public part of the token, by which the cluster knows it.
    #[serde(default, rename = "tokenID", skip_serializing_if = "Option::is_none")]
    pub token_id: Option<String>,
    /// UID of the Cluster that the token is of.
    #[serde(default, rename = "clusterUID", skip_serializing_if = "Option::is_none")]
    pub cluster_uid: Option<String>,
}
