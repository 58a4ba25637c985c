//! JoinTokenRequest: a token with which a node joins a hosted control plane.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{k0smotron::DEFAULT_EXPIRY, unsupported::Fields, validation::values::duration};

/// A token with which nodes join a hosted control plane; it is put into a Secret of the same name, under the key `token`.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "k0smotron.io",
    version = "v1beta2",
    kind = "JoinTokenRequest",
    plural = "jointokenrequests",
    shortname = "jtr",
    namespaced,
    status = "JoinTokenRequestStatus",
    doc = "A token with which nodes join a hosted control plane.",
    derive = "PartialEq",
    label("cluster.x-k8s.io/provider", "control-plane-k0smotron")
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["clusterName"]))]
pub struct JoinTokenRequestSpec {
    /// Name of the Cluster (k0smotron.io) in the same namespace.
    #[serde(default)]
    #[schemars(length(min = 1, max = 63))]
    pub cluster_name: String,
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

pub(in crate::k0smotron) fn default_expiry() -> String {
    DEFAULT_EXPIRY.to_owned()
}

impl JoinTokenRequestSpec {
    /// What is asked for and not done, by field: a hosted control plane has no port by which further controllers could join.
    #[must_use]
    pub fn unsupported(&self) -> Vec<String> {
        Fields::default()
            .when(self.role == TokenRole::Controller, "spec.role: controller")
            .into_vec()
    }

    /// How long the token can be used; `None` for ever.
    ///
    /// # Errors
    /// The text is no duration; what to write instead.
    pub fn life(&self) -> Result<Option<Duration>, String> {
        let life = duration::parse(&self.expiry).map_err(|problem| format!("spec.expiry {problem}"))?;
        Ok((!life.is_zero()).then_some(life))
    }
}

/// What a token is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TokenRole {
    #[default]
    Worker,
    Controller,
}

/// Status of a JoinTokenRequest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct JoinTokenRequestStatus {
    /// Public part of the token, by which the cluster knows it.
    #[serde(default, rename = "tokenID", skip_serializing_if = "Option::is_none")]
    pub token_id: Option<String>,
    /// Generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Conditions of the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// What earlier versions of the API reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<DeprecatedRequestStatus>,
}

/// What earlier versions of the API reported of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeprecatedRequestStatus {
    /// What v1beta1 reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub v1beta1: Option<DeprecatedRequestV1Beta1>,
}

/// What v1beta1 reports of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeprecatedRequestV1Beta1 {
    /// How the last pass ended. Better: the conditions.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reconciliation_status: String,
    /// UID of the Cluster that the token is of.
    #[serde(default, rename = "clusterUID", skip_serializing_if = "String::is_empty")]
    pub cluster_uid: String,
}
