//! Where Pods may run: tolerations and spreading. Affinity has a file of its own.

use k8s_openapi::api::core::v1;
use schemars::JsonSchema;

use super::{Foreign, LabelSelector};

/// How Pods are spread over zones, nodes or whatever else a node label tells apart.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, rename_all = "camelCase")]
pub struct TopologySpreadConstraint {
    /// Most that the counts of Pods of two domains may differ by.
    pub max_skew: i32,
    /// Label of the nodes whose values are the domains, such as topology.kubernetes.io/zone.
    pub topology_key: String,
    /// What happens to a Pod that cannot be placed so: DoNotSchedule or ScheduleAnyway.
    pub when_unsatisfiable: String,
    /// Pods that are counted.
    pub label_selector: Option<LabelSelector>,
    /// Labels whose values on the new Pod narrow down the Pods that are counted.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub match_label_keys: Option<Vec<String>>,
    /// Fewest domains there must be; with fewer, the smallest count is taken as zero.
    pub min_domains: Option<i32>,
    /// Whether nodes that the Pod's node selector and affinity exclude count as domains: Honor (they do not) or Ignore.
    pub node_affinity_policy: Option<String>,
    /// Whether nodes with taints that the Pod does not tolerate count as domains: Honor (they do not) or Ignore.
    pub node_taints_policy: Option<String>,
}

impl Foreign for TopologySpreadConstraint {
    type Core = v1::TopologySpreadConstraint;
}

/// Lets a Pod onto nodes with a matching taint.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, rename_all = "camelCase")]
pub struct Toleration {
    /// Key of the taint; every taint when empty, with operator Exists.
    pub key: Option<String>,
    /// Equal (the value has to match) or Exists (any value). Default: Equal.
    pub operator: Option<String>,
    /// Value of the taint.
    pub value: Option<String>,
    /// Effect of the taint: NoSchedule, PreferNoSchedule or NoExecute; every effect when empty.
    pub effect: Option<String>,
    /// How long a running Pod stays once a taint with effect NoExecute appears, in seconds; for ever when not given.
    pub toleration_seconds: Option<i64>,
}

impl Foreign for Toleration {
    type Core = v1::Toleration;
}
