//! Affinity of Pods to nodes and to other Pods.

use k8s_openapi::api::core::v1;
use schemars::JsonSchema;

use super::{Foreign, LabelSelector, SelectorRequirement};

/// Which nodes Pods prefer or need, by the nodes' labels and by the Pods that run there.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, rename_all = "camelCase")]
pub struct Affinity {
    /// Nodes by their own labels.
    pub node_affinity: Option<NodeAffinity>,
    /// Nodes near to certain Pods.
    pub pod_affinity: Option<PodAffinity>,
    /// Nodes away from certain Pods.
    pub pod_anti_affinity: Option<PodAffinity>,
}

impl Foreign for Affinity {
    type Core = v1::Affinity;
}

/// Nodes by their own labels.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, rename_all = "camelCase")]
pub struct NodeAffinity {
    /// What a node has to match.
    pub required_during_scheduling_ignored_during_execution: Option<NodeSelector>,
    /// What is preferred; a node's weights are added up.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub preferred_during_scheduling_ignored_during_execution: Option<Vec<PreferredSchedulingTerm>>,
}

/// Nodes that match one of several terms.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, rename_all = "camelCase", extend("x-kubernetes-map-type" = "atomic"))]
pub struct NodeSelector {
    /// Terms, one of which has to match.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub node_selector_terms: Vec<NodeSelectorTerm>,
}

/// Conditions on a node, all of which have to hold.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, rename_all = "camelCase", extend("x-kubernetes-map-type" = "atomic"))]
pub struct NodeSelectorTerm {
    /// Conditions on the node's labels.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub match_expressions: Option<Vec<SelectorRequirement>>,
    /// Conditions on the node's fields, such as metadata.name.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub match_fields: Option<Vec<SelectorRequirement>>,
}

/// A preference for nodes.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, rename_all = "camelCase")]
pub struct PreferredSchedulingTerm {
    /// How much the preference counts, from 1 to 100.
    pub weight: i32,
    /// Nodes that are preferred.
    pub preference: NodeSelectorTerm,
}

/// Nodes by the Pods that run there.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, rename_all = "camelCase")]
pub struct PodAffinity {
    /// What has to hold for every node chosen.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub required_during_scheduling_ignored_during_execution: Option<Vec<PodAffinityTerm>>,
    /// What is preferred; a node's weights are added up.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub preferred_during_scheduling_ignored_during_execution: Option<Vec<WeightedPodAffinityTerm>>,
}

/// A preference for nodes by the Pods that run there.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, rename_all = "camelCase")]
pub struct WeightedPodAffinityTerm {
    /// How much the preference counts, from 1 to 100.
    pub weight: i32,
    /// Pods that are meant.
    pub pod_affinity_term: PodAffinityTerm,
}

/// Pods, and how near to them counts as near.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, rename_all = "camelCase")]
pub struct PodAffinityTerm {
    /// Label of the nodes that tells what is near: nodes with the same value are.
    pub topology_key: String,
    /// Pods that are meant.
    pub label_selector: Option<LabelSelector>,
    /// Labels whose values on the new Pod the Pods must have too.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub match_label_keys: Option<Vec<String>>,
    /// Labels whose values on the new Pod the Pods must not have.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub mismatch_label_keys: Option<Vec<String>>,
    /// Namespaces of the Pods; the new Pod's own when neither this nor a selector is given.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub namespaces: Option<Vec<String>>,
    /// Namespaces of the Pods, by label.
    pub namespace_selector: Option<LabelSelector>,
}
