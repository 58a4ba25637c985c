//! The sources of volumes that are typed.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use super::{LabelSelector, Quantity, quantity};

/// Keys of a ConfigMap as files.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, rename_all = "camelCase", extend("x-kubernetes-map-type" = "atomic"))]
pub struct VolumeOfConfigMap {
    /// Name of the ConfigMap, in the namespace of the Pod.
    pub name: Option<String>,
    /// Keys to take, and their paths; all keys under their own names when not given.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub items: Option<Vec<KeyToPath>>,
    /// Permissions of the files, as a number (420 is octal 0644). Default: 420.
    pub default_mode: Option<i32>,
    /// The Pod starts although the ConfigMap or a key is missing.
    pub optional: Option<bool>,
}

/// Keys of a Secret as files.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, rename_all = "camelCase")]
pub struct SecretVolume {
    /// Name of the Secret, in the namespace of the Pod.
    pub secret_name: Option<String>,
    /// Keys to take, and their paths; all keys under their own names when not given.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub items: Option<Vec<KeyToPath>>,
    /// Permissions of the files, as a number (420 is octal 0644). Default: 420.
    pub default_mode: Option<i32>,
    /// The Pod starts although the Secret or a key is missing.
    pub optional: Option<bool>,
}

/// A key and the path of its file.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, rename_all = "camelCase")]
pub struct KeyToPath {
    /// Key to take.
    pub key: String,
    /// Path of the file, relative to the volume.
    pub path: String,
    /// Permissions of the file, as a number. Default: those of the volume.
    pub mode: Option<i32>,
}

/// An empty directory.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, rename_all = "camelCase")]
pub struct EmptyDirVolume {
    /// Memory for a directory in memory; the node's disk when empty.
    pub medium: Option<String>,
    /// Most that it may hold, such as 500Mi.
    #[schemars(default, schema_with = "quantity")]
    pub size_limit: Option<Quantity>,
}

/// A file or directory of the node.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, rename_all = "camelCase")]
pub struct HostPathVolume {
    /// Path on the node.
    pub path: String,
    /// What has to be there, such as Directory or DirectoryOrCreate; not checked when empty.
    pub r#type: Option<String>,
}

/// A persistent volume, by its claim.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, rename_all = "camelCase")]
pub struct PersistentVolumeClaimVolume {
    /// Name of the claim, in the namespace of the Pod.
    pub claim_name: String,
    /// Mounts it so that nothing can be written.
    pub read_only: Option<bool>,
}

/// A volume of a CSI driver.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, rename_all = "camelCase")]
pub struct CsiVolume {
    /// Name of the driver.
    pub driver: String,
    /// File system to mount; the driver's choice when not given.
    pub fs_type: Option<String>,
    /// Settings of the driver.
    pub volume_attributes: Option<BTreeMap<String, String>>,
    /// Secret that the driver gets.
    pub node_publish_secret_ref: Option<SecretName>,
    /// Mounts it so that nothing can be written.
    pub read_only: Option<bool>,
}

/// A Secret in the same namespace.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, rename_all = "camelCase", extend("x-kubernetes-map-type" = "atomic"))]
pub struct SecretName {
    /// Name of the Secret.
    pub name: Option<String>,
}

/// The files of a container image.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, rename_all = "camelCase")]
pub struct ImageVolume {
    /// The image, as of a container.
    pub reference: Option<String>,
    /// Always, Never or IfNotPresent. Default: as for containers.
    pub pull_policy: Option<String>,
}

/// A directory of an NFS server.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, rename_all = "camelCase")]
pub struct NfsVolume {
    /// Host name or address of the server.
    pub server: String,
    /// Path that the server exports.
    pub path: String,
    /// Mounts it so that nothing can be written.
    pub read_only: Option<bool>,
}

/// Fields of the Pod as files.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, rename_all = "camelCase")]
pub struct DownwardApiVolume {
    /// The files, each with the field of the pod that it holds.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub items: Option<Vec<DownwardApiFile>>,
    /// Permissions of the files, as a number (420 is octal 0644). Default: 420.
    pub default_mode: Option<i32>,
}

/// A file with a field of the Pod.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, rename_all = "camelCase")]
pub struct DownwardApiFile {
    /// Path of the file, relative to the volume.
    pub path: String,
    /// A field of the Pod's metadata.
    pub field_ref: Option<FieldSelector>,
    /// A resource of a container.
    pub resource_field_ref: Option<ResourceFieldSelector>,
    /// Permissions of the file, as a number. Default: those of the volume.
    pub mode: Option<i32>,
}

/// A field of the Pod.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, rename_all = "camelCase", extend("x-kubernetes-map-type" = "atomic"))]
pub struct FieldSelector {
    /// Path of the field, such as metadata.name.
    pub field_path: String,
    /// API version that the path is of. Default: v1.
    pub api_version: Option<String>,
}

/// A resource of a container.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, rename_all = "camelCase", extend("x-kubernetes-map-type" = "atomic"))]
pub struct ResourceFieldSelector {
    /// Resource, such as limits.memory.
    pub resource: String,
    /// Container that has the resource.
    pub container_name: Option<String>,
    /// Unit of the value, such as 1Mi. Default: 1.
    #[schemars(default, schema_with = "quantity")]
    pub divisor: Option<Quantity>,
}

/// Files from several sources in one directory.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, rename_all = "camelCase")]
pub struct ProjectedVolume {
    /// What the volume is put together from.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub sources: Option<Vec<Projection>>,
    /// Permissions of the files, as a number (420 is octal 0644). Default: 420.
    pub default_mode: Option<i32>,
}

/// One source of a projected volume: exactly one of these.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, rename_all = "camelCase")]
pub struct Projection {
    /// Keys of a ConfigMap.
    pub config_map: Option<ConfigMapProjection>,
    /// Keys of a Secret.
    pub secret: Option<SecretProjection>,
    /// Fields of the Pod.
    #[schemars(rename = "downwardAPI")]
    pub downward_api: Option<DownwardApiProjection>,
    /// A token of the Pod's service account.
    pub service_account_token: Option<ServiceAccountTokenProjection>,
    /// Certificate authorities of ClusterTrustBundles.
    pub cluster_trust_bundle: Option<TrustBundleProjection>,
    /// A certificate for the Pod, kept fresh by the kubelet.
    pub pod_certificate: Option<PodCertificateProjection>,
}

/// Keys of a ConfigMap as files.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, rename_all = "camelCase", extend("x-kubernetes-map-type" = "atomic"))]
pub struct ConfigMapProjection {
    /// Name of the ConfigMap.
    pub name: Option<String>,
    /// Keys to take, and their paths; all keys when not given.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub items: Option<Vec<KeyToPath>>,
    /// The Pod starts although the ConfigMap or a key is missing.
    pub optional: Option<bool>,
}

/// Keys of a Secret as files.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, rename_all = "camelCase", extend("x-kubernetes-map-type" = "atomic"))]
pub struct SecretProjection {
    /// Name of the Secret.
    pub name: Option<String>,
    /// Keys to take, and their paths; all keys when not given.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub items: Option<Vec<KeyToPath>>,
    /// The Pod starts although the Secret or a key is missing.
    pub optional: Option<bool>,
}

/// Fields of the Pod as files.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, rename_all = "camelCase")]
pub struct DownwardApiProjection {
    /// The files, each with the field of the pod that it holds.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub items: Option<Vec<DownwardApiFile>>,
}

/// A token of the Pod's service account as a file.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, rename_all = "camelCase")]
pub struct ServiceAccountTokenProjection {
    /// Path of the file, relative to the volume.
    pub path: String,
    /// Who the token is for. Default: the API server.
    pub audience: Option<String>,
    /// How long a token is valid, in seconds. Default: 3600.
    pub expiration_seconds: Option<i64>,
}

/// Certificate authorities as a file.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, rename_all = "camelCase")]
pub struct TrustBundleProjection {
    /// Path of the file, relative to the volume.
    pub path: String,
    /// One ClusterTrustBundle, by name; instead of signerName.
    pub name: Option<String>,
    /// All ClusterTrustBundles of a signer that the selector selects; instead of name.
    pub signer_name: Option<String>,
    /// ClusterTrustBundles of the signer, by label.
    pub label_selector: Option<LabelSelector>,
    /// The Pod starts although there is no such ClusterTrustBundle.
    pub optional: Option<bool>,
}

/// A certificate for the Pod as files.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, rename_all = "camelCase")]
pub struct PodCertificateProjection {
    /// Who signs the certificate.
    pub signer_name: String,
    /// Kind of the key, such as ED25519, ECDSAP256 or RSA3072.
    pub key_type: String,
    /// Longest validity asked for, in seconds. Default: 86400.
    pub max_expiration_seconds: Option<i32>,
    /// Path of a file with key and certificates.
    pub credential_bundle_path: Option<String>,
    /// Path of a file with the key only.
    pub key_path: Option<String>,
    /// Path of a file with the certificates only.
    pub certificate_chain_path: Option<String>,
}
