//! Cluster: a control plane that runs as pods.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::{
    CertificateRef, EtcdSpec, IngressSpec, KubeconfigRef, MonitoringSpec, Mount, PersistenceSpec, ServiceSpec,
};
use crate::{
    embedded::{Embedded, ResourceRequirements, TopologySpreadConstraint, Volume},
    k0smotron::DEFAULT_IMAGE,
    meta::LabelsAndAnnotations,
};

/// A control plane that runs as pods; also the spec of a K0smotronControlPlane.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "k0smotron.io",
    version = "v1beta1",
    kind = "Cluster",
    plural = "clusters",
    shortname = "kmc",
    namespaced,
    storage = false,
    deprecated,
    status = "ClusterStatus",
    doc = "A k0s control plane that runs as pods.",
    derive = "PartialEq",
    label("cluster.x-k8s.io/provider", "control-plane-k0smotron"),
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct ClusterSpec {
    /// Number of pods of the control plane; 0 counts as 1. More than one needs etcd or an external datastore.
    #[serde(default = "ClusterSpec::default_replicas")]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: i32,
    /// Version of k0s, such as v1.36.3-k0s.2 or v1.36.3+k0s.2. Without a suffix -k0s.0 is meant.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Image of k0s, without a tag: that follows from the version.
    #[serde(default = "ClusterSpec::default_image")]
    pub image: String,
    /// Service account of the pods of k0s and etcd. Default: that of the namespace.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub service_account: String,
    /// Host name or address by which nodes and clients reach the API server. Default: found out from the Service.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub external_address: String,
    /// Service in front of the control plane.
    #[serde(default)]
    pub service: ServiceSpec,
    /// Reaches the control plane by host names through an ingress controller that passes TLS through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<IngressSpec>,
    /// Volume of k0s' data directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistence: Option<PersistenceSpec>,
    /// Settings of etcd, when no data source is given.
    #[serde(default)]
    pub etcd: EtcdSpec,
    /// Data source of an SQL database or NATS that is used instead of etcd. It holds a password: prefer kineDataSourceSecretName.
    #[serde(
        default,
        rename = "kineDataSourceURL",
        skip_serializing_if = "String::is_empty"
    )]
    pub kine_data_source_url: String,
    /// Secret whose key K0SMOTRON_KINE_DATASOURCE_URL holds the data source that is used instead of etcd.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kine_data_source_secret_name: String,
    /// The k0s ClusterConfig. What hosting a control plane needs is set over it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::free_form_object")]
    pub k0s_config: Option<serde_json::Value>,
    /// Further flags of `k0s controller`, one for each item, such as --disable-components=metrics-server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub controller_plane_flags: Vec<String>,
    /// Secrets with the cluster's certificate authorities and keys. Default: made, and named after the cluster.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificate_refs: Vec<CertificateRef>,
    /// Volumes whose files k0s applies to the cluster: each is a stack, mounted at /var/lib/k0s/manifests/<name>.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub manifests: Vec<Embedded<Volume>>,
    /// Further volumes of the container of k0s.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["path".into()]))]
    pub mounts: Vec<Mount>,
    /// Resources of the container of k0s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Embedded<ResourceRequirements>>,
    /// How the pods of k0s and of etcd are spread over the nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["topologyKey".into(), "whenUnsatisfiable".into()]))]
    pub topology_spread_constraints: Vec<Embedded<TopologySpreadConstraint>>,
    /// Metrics of the control plane's components, as metrics of its pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitoring: Option<MonitoringSpec>,
    /// Labels and annotations for the kubeconfig Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeconfig_secret_metadata: Option<LabelsAndAnnotations>,
    /// Secret with the kubeconfig of another cluster that the pods run in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeconfig_ref: Option<KubeconfigRef>,
}

impl ClusterSpec {
    fn default_replicas() -> i32 {
        1
    }

    fn default_image() -> String {
        DEFAULT_IMAGE.to_owned()
    }
}

impl Default for ClusterSpec {
    fn default() -> Self {
        Self {
            replicas: Self::default_replicas(),
            version: String::new(),
            image: Self::default_image(),
            service_account: String::new(),
            external_address: String::new(),
            service: ServiceSpec::default(),
            ingress: None,
            persistence: None,
            etcd: EtcdSpec::default(),
            kine_data_source_url: String::new(),
            kine_data_source_secret_name: String::new(),
            k0s_config: None,
            controller_plane_flags: Vec::new(),
            certificate_refs: Vec::new(),
            manifests: Vec::new(),
            mounts: Vec::new(),
            resources: None,
            topology_spread_constraints: Vec::new(),
            monitoring: None,
            kubeconfig_secret_metadata: None,
            kubeconfig_ref: None,
        }
    }
}

/// Status of a Cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterStatus {
    /// How the last pass ended.
    #[serde(default)]
    pub reconciliation_status: String,
    /// Whether as many pods are ready as asked for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ready: bool,
    /// Pods of the control plane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Label selector of the pods, for the scale subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
}
