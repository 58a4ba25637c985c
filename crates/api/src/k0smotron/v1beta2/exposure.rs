//! Host names of a control plane: through an ingress controller, or through a Gateway.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::k0smotron::DEFAULT_INGRESS_PORT;

fn default_port() -> i64 {
    DEFAULT_INGRESS_PORT
}

/// Reaches a control plane by host names through an ingress controller that passes TLS through.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["apiHost", "konnectivityHost"]))]
pub struct IngressSpec {
    /// Makes the Ingress. Set to false to make it yourself. Default: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deploy: Option<bool>,
    /// Host name of the API server.
    #[serde(default)]
    pub api_host: String,
    /// Host name by which nodes connect back (konnectivity).
    #[serde(default)]
    pub konnectivity_host: String,
    /// Port of the ingress controller.
    #[serde(default = "default_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: i64,
    /// Class of the Ingress. Default: the cluster's default class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_name: Option<String>,
    /// Annotations of the Ingress, such as those that make the controller pass TLS through.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Reaches a control plane by host names through a Gateway: TLSRoutes with the host names are made for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["apiHost", "konnectivityHost", "parentRefs"]))]
pub struct GatewaySpec {
    /// Gateways (or their listeners, in mode Passthrough) that the routes attach to.
    #[serde(default)]
    #[schemars(length(min = 1, max = 32))]
    pub parent_refs: Vec<GatewayParent>,
    /// Host name of the API server.
    #[serde(default)]
    #[schemars(length(min = 1, max = 253))]
    pub api_host: String,
    /// Host name by which nodes connect back (konnectivity).
    #[serde(default)]
    #[schemars(length(min = 1, max = 253))]
    pub konnectivity_host: String,
    /// Port of the Gateway's listener.
    #[serde(default = "default_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: i64,
    /// Further labels of the routes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Further annotations of the routes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// A Gateway, as in parentRefs of Gateway API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["name"]))]
pub struct GatewayParent {
    /// Name of the Gateway.
    #[serde(default)]
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Namespace of the Gateway. Default: that of the control plane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
    /// Listener of the Gateway. Default: every one that accepts the route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub section_name: Option<String>,
    /// Port of the listener. Default: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i64>,
    /// API group of the parent. Default: gateway.networking.k8s.io.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub group: Option<String>,
    /// Kind of the parent. Default: Gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub kind: Option<String>,
}
