//! RemoteCluster and its template.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::capi::Endpoint;
use crate::meta::TemplateMetadata;

/// The infrastructure of a cluster of existing hosts.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "infrastructure.cluster.x-k8s.io",
    version = "v1beta1",
    kind = "RemoteCluster",
    plural = "remoteclusters",
    namespaced,
    status = "RemoteClusterStatus",
    doc = "The infrastructure of a cluster whose hosts exist already.",
    deprecated = "infrastructure.cluster.x-k8s.io/v1beta1 RemoteCluster is deprecated; use infrastructure.cluster.x-k8s.io/v1beta2",
    derive = "PartialEq",
    label("cluster.x-k8s.io/v1beta1", "v1beta1")
)]
#[serde(rename_all = "camelCase")]
pub struct RemoteClusterSpec {
    /// Where the API of the cluster is to be reached. Cluster API copies it to the Cluster when that has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_plane_endpoint: Option<Endpoint>,
}

/// Status of a RemoteCluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RemoteClusterStatus {
    /// Whether the infrastructure is there. From v1beta2 on: initialization.provisioned.
    #[serde(default)]
    pub ready: bool,
}

/// Template of RemoteClusters, for a ClusterClass.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "infrastructure.cluster.x-k8s.io",
    version = "v1beta1",
    kind = "RemoteClusterTemplate",
    plural = "remoteclustertemplates",
    namespaced,
    category = "cluster-api",
    doc = "Template of RemoteClusters, for a ClusterClass.",
    deprecated = "infrastructure.cluster.x-k8s.io/v1beta1 RemoteClusterTemplate is deprecated; use infrastructure.cluster.x-k8s.io/v1beta2",
    derive = "PartialEq",
    label("cluster.x-k8s.io/v1beta1", "v1beta1")
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
