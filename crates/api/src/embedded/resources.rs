//! What a container asks of its node.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1;
use schemars::JsonSchema;

use super::{Foreign, Quantity};

/// Resources of a container.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, rename_all = "camelCase")]
pub struct ResourceRequirements {
    /// Most that the container may use, by resource: cpu, memory, ephemeral-storage, and so on.
    pub limits: Option<BTreeMap<String, Quantity>>,
    /// What the container is sure to get, by resource; the scheduler counts with it. Default: the limits.
    pub requests: Option<BTreeMap<String, Quantity>>,
    /// Devices that the container uses, of those the Pod claims (dynamic resource allocation).
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub claims: Option<Vec<ResourceClaim>>,
}

/// A device of a Pod.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, rename_all = "camelCase")]
pub struct ResourceClaim {
    /// Name of the claim in the Pod.
    pub name: String,
    /// Request within the claim; all of them when not given.
    pub request: Option<String>,
}

impl Foreign for ResourceRequirements {
    type Core = v1::ResourceRequirements;
}
