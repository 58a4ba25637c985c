//! Cluster, as far as a provider reads it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, ResourceExt};
use serde::{Deserialize, Serialize};

use super::{ContractReference, Endpoint, condition_is_true};
use crate::names::{annotations, conditions::types};

/// Spec of a Cluster.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "cluster.x-k8s.io",
    version = "v1beta2",
    kind = "Cluster",
    plural = "clusters",
    namespaced,
    status = "ClusterStatus",
    schema = "disabled",
    derive = "PartialEq",
    derive = "Default"
)]
#[serde(rename_all = "camelCase")]
pub struct ClusterSpec {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_network: Option<ClusterNetwork>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_plane_endpoint: Option<Endpoint>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_plane_ref: Option<ContractReference>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub infrastructure_ref: Option<ContractReference>,
    /// Present when a ClusterClass governs the Cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topology: Option<serde_json::Value>,
}

/// Address ranges and domain of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterNetwork {
    #[serde(default, rename = "apiServerPort", skip_serializing_if = "Option::is_none")]
    pub api_server_port: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub services: Option<NetworkRanges>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<NetworkRanges>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_domain: Option<String>,
}

/// Address ranges in CIDR notation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkRanges {
    #[serde(default, rename = "cidrBlocks", skip_serializing_if = "Vec::is_empty")]
    pub cidr_blocks: Vec<String>,
}

/// Status of a Cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterStatus {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initialization: Option<ClusterInitialization>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failure_domains: Vec<FailureDomain>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// First steps of a Cluster, never taken back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterInitialization {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub infrastructure_provisioned: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_plane_initialized: Option<bool>,
}

/// A failure domain that the infrastructure offers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailureDomain {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_plane: Option<bool>,
}

impl Cluster {
    /// Whether `spec.paused` is set. The annotation of a single object is another matter: see [`annotations::PAUSED`].
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.spec.paused == Some(true)
    }

    /// Host and port of the API server, once both are known.
    #[must_use]
    pub fn endpoint(&self) -> Option<(&str, u16)> {
        self.spec
            .control_plane_endpoint
            .as_ref()
            .and_then(Endpoint::address)
    }

    /// Whether the infrastructure has been there.
    #[must_use]
    pub fn infrastructure_provisioned(&self) -> bool {
        self.steps()
            .and_then(|steps| steps.infrastructure_provisioned)
            .unwrap_or(false)
    }

    /// Whether the API server has ever answered: the latched step, or the condition that older cores report instead.
    #[must_use]
    pub fn control_plane_initialized(&self) -> bool {
        self.steps()
            .and_then(|steps| steps.control_plane_initialized)
            .unwrap_or(false)
            || condition_is_true(self.conditions(), types::CONTROL_PLANE_INITIALIZED)
    }

    /// Conditions that have been reported.
    #[must_use]
    pub fn conditions(&self) -> &[Condition] {
        self.status
            .as_ref()
            .map(|status| status.conditions.as_slice())
            .unwrap_or_default()
    }

    /// The condition of this type, if it has been reported.
    #[must_use]
    pub fn condition(&self, type_: &str) -> Option<&Condition> {
        super::find_condition(self.conditions(), type_)
    }

    /// Address ranges of pods; empty when not given.
    #[must_use]
    pub fn pod_cidrs(&self) -> &[String] {
        self.network()
            .and_then(|network| network.pods.as_ref())
            .map(|ranges| ranges.cidr_blocks.as_slice())
            .unwrap_or_default()
    }

    /// Address ranges of services; empty when not given.
    #[must_use]
    pub fn service_cidrs(&self) -> &[String] {
        self.network()
            .and_then(|network| network.services.as_ref())
            .map(|ranges| ranges.cidr_blocks.as_slice())
            .unwrap_or_default()
    }

    /// DNS domain of services, when given.
    #[must_use]
    pub fn service_domain(&self) -> Option<&str> {
        self.network()
            .and_then(|network| network.service_domain.as_deref())
            .filter(|domain| !domain.is_empty())
    }

    /// Identity of the workload cluster that has been recorded, `kube-system:<uid>`.
    #[must_use]
    pub fn recorded_cluster_id(&self) -> Option<&str> {
        self.annotations()
            .get(annotations::CLUSTER_ID)
            .map(String::as_str)
    }

    fn network(&self) -> Option<&ClusterNetwork> {
        self.spec.cluster_network.as_ref()
    }

    fn steps(&self) -> Option<&ClusterInitialization> {
        self.status
            .as_ref()
            .and_then(|status| status.initialization.as_ref())
    }
}
