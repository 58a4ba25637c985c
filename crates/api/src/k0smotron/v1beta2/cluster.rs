//! Cluster: a control plane that runs as pods.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::{
    CertificateRef, ClusterStatus, ComponentPatch, DisruptionSpec, GatewaySpec, IngressSpec, MonitoringSpec,
    Mount, PersistenceSpec, RemoteHostClusterSpec, SchedulingSpec, SecuritySpec, ServiceSpec, StorageSpec,
    StorageType,
};
use crate::{
    embedded::{Embedded, ResourceRequirements, TopologySpreadConstraint, Volume},
    k0smotron::{DEFAULT_IMAGE, DEFAULT_VERSION, or_default},
    meta::LabelsAndAnnotations,
    unsupported::Fields,
};

/// A control plane that runs as pods; also the spec of a K0smotronControlPlane.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "k0smotron.io",
    version = "v1beta2",
    kind = "Cluster",
    plural = "clusters",
    shortname = "kmc",
    namespaced,
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
#[x_kube(
    validation = Rule::new("!has(self.ingress) || !has(self.gateway)")
        .message("ingress and gateway both give the control plane its external host name; remove one of them")
        .field_path(".gateway"),
    // Here and not in the webhook alone: the scale subresource passes no webhook.
    validation = Rule::new(
        "!has(oldSelf.storage) || oldSelf.storage.type != 'nats' || self.replicas == oldSelf.replicas || \
         (self.replicas <= 1 && oldSelf.replicas <= 1)"
    ).message("replicas cannot change with storage type nats; keep the number").field_path(".replicas")
)]
pub struct ClusterSpec {
    /// Number of pods of the control plane; 0 counts as 1. More than one needs a datastore of its own (storage).
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
    /// Reaches the control plane by host names through a Gateway (Gateway API, TLSRoute).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<GatewaySpec>,
    /// Volume of k0s' data directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistence: Option<PersistenceSpec>,
    /// Datastore of the API server. Default: etcd.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<StorageSpec>,
    /// The k0s ClusterConfig. What hosting a control plane needs is set over it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::free_form_object")]
    pub k0s_config: Option<serde_json::Value>,
    /// Further flags of `k0s controller`, one for each item, such as --disable-components=metrics-server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub control_plane_flags: Vec<String>,
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
    /// Where the pods may run, and with which priority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduling: Option<SchedulingSpec>,
    /// Rights of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security: Option<SecuritySpec>,
    /// How many pods may be gone at once when nodes are drained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disruption: Option<DisruptionSpec>,
    /// Metrics of the control plane's components, as metrics of its pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitoring: Option<MonitoringSpec>,
    /// Labels and annotations for the kubeconfig Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeconfig_secret_metadata: Option<LabelsAndAnnotations>,
    /// Changes to the generated objects, in order, before they are applied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub patches: Vec<ComponentPatch>,
    /// Runs the pods in another cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_host_cluster: Option<RemoteHostClusterSpec>,
}

impl ClusterSpec {
    fn default_replicas() -> i32 {
        1
    }

    fn default_image() -> String {
        DEFAULT_IMAGE.to_owned()
    }

    /// Version of k0s as it was written, or the default.
    #[must_use]
    pub fn version(&self) -> &str {
        or_default(&self.version, DEFAULT_VERSION)
    }

    /// Image of k0s without a tag, or the default.
    #[must_use]
    pub fn image(&self) -> &str {
        or_default(&self.image, DEFAULT_IMAGE)
    }

    /// What is asked for and not done yet, by field.
    #[must_use]
    pub fn unsupported(&self) -> Vec<String> {
        let storage = self.storage.as_ref();
        let kind = storage.map_or(StorageType::Etcd, |storage| storage.r#type);
        let defrag = storage.and_then(|storage| storage.etcd.defrag_job.as_ref());
        let remote = self.remote_host_cluster.as_ref();
        let monitored = self
            .monitoring
            .as_ref()
            .is_some_and(|monitoring| monitoring.enabled);
        Fields::default()
            .when(
                remote.is_some_and(|remote| remote.kubeconfig_ref.is_some()),
                "spec.remoteHostCluster",
            )
            .when(self.ingress.is_some(), "spec.ingress")
            .when(self.gateway.is_some(), "spec.gateway")
            .when(kind == StorageType::Kine, "spec.storage.type: kine")
            .when(kind == StorageType::Nats, "spec.storage.type: nats")
            .when(
                kind == StorageType::Etcd && defrag.is_some_and(|job| job.enabled),
                "spec.storage.etcd.defragJob.enabled: true",
            )
            .when(monitored, "spec.monitoring.enabled: true")
            .when(!self.patches.is_empty(), "spec.patches")
            .into_vec()
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
            gateway: None,
            persistence: None,
            storage: None,
            k0s_config: None,
            control_plane_flags: Vec::new(),
            certificate_refs: Vec::new(),
            manifests: Vec::new(),
            mounts: Vec::new(),
            resources: None,
            topology_spread_constraints: Vec::new(),
            scheduling: None,
            security: None,
            disruption: None,
            monitoring: None,
            kubeconfig_secret_metadata: None,
            patches: Vec::new(),
            remote_host_cluster: None,
        }
    }
}
