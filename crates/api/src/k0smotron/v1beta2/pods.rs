//! Where the pods of a control plane run, with which rights, and how many may be gone at once. The pods are those of k0s and of etcd.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    embedded::{Affinity, Embedded, PodSecurityContext, SecurityContext, Toleration},
    meta::LocalReference,
};

/// Where the pods run, and with which priority.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct SchedulingSpec {
    /// Labels that a node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that the pods tolerate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub tolerations: Vec<Embedded<Toleration>>,
    /// Nodes that the pods need or prefer. Default: pods of one control plane keep apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Embedded<Affinity>>,
    /// Priority class of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub priority_class_name: Option<String>,
    /// Secrets with which the images are pulled, in the namespace of the pods.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub image_pull_secrets: Vec<LocalReference>,
}

/// Rights of the pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct SecuritySpec {
    /// Rights of all containers, field by field over what they have by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_security_context: Option<Embedded<PodSecurityContext>>,
    /// Rights of the containers of k0s and etcd, field by field over what they have by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_context: Option<Embedded<SecurityContext>>,
}

/// How many pods of k0s may be gone at once when nodes are drained. Of etcd it is always as many as leave a quorum.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
#[x_kube(
    validation = Rule::new("!has(self.maxUnavailable) || !has(self.minAvailable)")
        .message("maxUnavailable and minAvailable exclude each other; remove one of them")
)]
pub struct DisruptionSpec {
    /// Whether PodDisruptionBudgets are made: Managed or None.
    #[serde(default)]
    pub budget: Budget,
    /// Most pods that may be gone, as a number or a percentage. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "number_or_percentage")]
    pub max_unavailable: Option<IntOrString>,
    /// Fewest pods that have to stay, as a number or a percentage; instead of maxUnavailable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "number_or_percentage")]
    pub min_available: Option<IntOrString>,
}

/// Whether PodDisruptionBudgets are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Budget {
    #[default]
    Managed,
    None,
}

fn number_or_percentage(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "x-kubernetes-int-or-string": true,
        "pattern": "^[0-9]{1,3}%$",
    })
}
