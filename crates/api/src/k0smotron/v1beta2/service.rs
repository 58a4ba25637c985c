//! The Service in front of a control plane.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::k0smotron::{DEFAULT_API_PORT, DEFAULT_KONNECTIVITY_PORT};

/// The Service in front of a control plane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceSpec {
    /// How the Service is reached: ClusterIP (within the cluster), NodePort (at every node) or LoadBalancer.
    #[serde(default)]
    pub r#type: ServiceType,
    /// Port of the API server: of the container, the Service and, for type NodePort, the nodes.
    #[serde(default = "ServiceSpec::default_api_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub api_port: i64,
    /// Port by which nodes connect back (konnectivity): of the container, the Service and, for type NodePort, the nodes.
    #[serde(default = "ServiceSpec::default_konnectivity_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub konnectivity_port: i64,
    /// Further labels of the Service.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Further annotations of the Service, such as those that load balancers of clouds are set up by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Which implementation serves a Service of type LoadBalancer. Default: the cluster's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_balancer_class: Option<String>,
    /// Whether nodes pass traffic from outside on (Cluster) or keep its source address (Local), for types NodePort and LoadBalancer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_traffic_policy: Option<ExternalTrafficPolicy>,
}

impl ServiceSpec {
    fn default_api_port() -> i64 {
        DEFAULT_API_PORT
    }

    fn default_konnectivity_port() -> i64 {
        DEFAULT_KONNECTIVITY_PORT
    }
}

impl Default for ServiceSpec {
    fn default() -> Self {
        Self {
            r#type: ServiceType::default(),
            api_port: DEFAULT_API_PORT,
            konnectivity_port: DEFAULT_KONNECTIVITY_PORT,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            load_balancer_class: None,
            external_traffic_policy: None,
        }
    }
}

/// How a Service is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ServiceType {
    #[default]
    #[serde(rename = "ClusterIP", alias = "")]
    ClusterIp,
    NodePort,
    LoadBalancer,
}

/// Where a Service sends traffic from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ExternalTrafficPolicy {
    Cluster,
    Local,
}
