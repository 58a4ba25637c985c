//! RemoteCluster: the infrastructure of a cluster of existing hosts, which is no more than its endpoint and the places that
//! its hosts stand in.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::Provisioning;
use crate::capi::Endpoint;
use crate::meta::TemplateMetadata;

/// The infrastructure of a cluster of existing hosts.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "infrastructure.cluster.x-k8s.io",
    version = "v1beta2",
    kind = "RemoteCluster",
    plural = "remoteclusters",
    namespaced,
    status = "RemoteClusterStatus",
    doc = "The infrastructure of a cluster whose hosts exist already.",
    derive = "PartialEq",
    label("cluster.x-k8s.io/v1beta2", "v1beta2"),
    label("cluster.x-k8s.io/provider", "infrastructure-k0smotron"),
    printcolumn(
        name = "Cluster",
        type_ = "string",
        json_path = r".metadata.labels['cluster\.x-k8s\.io/cluster-name']",
        description = "Cluster this belongs to"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status",
        description = "Whether the infrastructure is ready"
    ),
    printcolumn(
        name = "Endpoint",
        type_ = "string",
        json_path = ".spec.controlPlaneEndpoint.host",
        description = "Host of the control plane's endpoint"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct RemoteClusterSpec {
    /// Where the API of the cluster is to be reached. Cluster API copies it to the Cluster when that has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minProperties" = 1))]
    pub control_plane_endpoint: Option<Endpoint>,
    /// Failure domains that the hosts stand in, such as racks or rooms. Controllers are spread over those that are meant for
    /// them. Which one a host stands in is said by its PooledRemoteMachine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub failure_domains: Vec<FailureDomain>,
}

/// A failure domain (contract IC3).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["name"]))]
pub struct FailureDomain {
    /// Name of the failure domain.
    #[serde(default)]
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// Whether controllers may stand there. Not set means no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_plane: Option<bool>,
    /// Anything else that users want to say of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
}

/// Status of a RemoteCluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RemoteClusterStatus {
    /// What has been reached for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initialization: Option<Provisioning>,
    /// The failure domains of the spec, sorted by name: Cluster API copies them to the Cluster.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub failure_domains: Vec<FailureDomain>,
    /// Generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Conditions; `Ready` sums them up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// Template of RemoteClusters, for a ClusterClass (contract IC7).
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "infrastructure.cluster.x-k8s.io",
    version = "v1beta2",
    kind = "RemoteClusterTemplate",
    plural = "remoteclustertemplates",
    namespaced,
    category = "cluster-api",
    doc = "Template of RemoteClusters, for a ClusterClass.",
    derive = "PartialEq",
    label("cluster.x-k8s.io/v1beta2", "v1beta2"),
    label("cluster.x-k8s.io/provider", "infrastructure-k0smotron")
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["template"]))]
pub struct RemoteClusterTemplateSpec {
    /// What every RemoteCluster made from this template gets.
    #[serde(default)]
    pub template: RemoteClusterTemplateResource,
}

/// Metadata and spec of the RemoteClusters to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["spec"]))]
pub struct RemoteClusterTemplateResource {
    /// Labels and annotations of the RemoteClusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<TemplateMetadata>,
    /// Spec of the RemoteClusters.
    #[serde(default)]
    pub spec: RemoteClusterSpec,
}

impl RemoteClusterStatus {
    /// Whether the infrastructure has been reported as there.
    #[must_use]
    pub fn provisioned(&self) -> bool {
        self.initialization
            .as_ref()
            .and_then(|steps| steps.provisioned)
            .unwrap_or(false)
    }
}
