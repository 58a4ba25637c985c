//! Volumes: what they are made of, by name of the source.
//!
//! Sources that are used are typed; those of single storage systems that have CSI drivers by now are open objects, which Kubernetes
//! checks when a Pod uses them.

use k8s_openapi::api::core::v1;
use schemars::JsonSchema;
use serde_json::{Map, Value};

use super::{
    CsiVolume, DownwardApiVolume, EmptyDirVolume, Foreign, HostPathVolume, ImageVolume, NfsVolume,
    PersistentVolumeClaimVolume, ProjectedVolume, SecretVolume, VolumeOfConfigMap,
};

/// A volume with a name.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, rename_all = "camelCase")]
pub struct Volume {
    /// Name of the volume, unique among its neighbours.
    pub name: String,
    #[schemars(flatten)]
    pub source: VolumeSource,
}

impl Foreign for Volume {
    type Core = v1::Volume;
}

/// What a volume is made of: exactly one of these.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, rename_all = "camelCase")]
pub struct VolumeSource {
    /// Keys of a ConfigMap as files.
    pub config_map: Option<VolumeOfConfigMap>,
    /// Keys of a Secret as files.
    pub secret: Option<SecretVolume>,
    /// An empty directory that lives as long as the Pod.
    pub empty_dir: Option<EmptyDirVolume>,
    /// A file or directory of the node.
    pub host_path: Option<HostPathVolume>,
    /// A persistent volume, by its claim.
    pub persistent_volume_claim: Option<PersistentVolumeClaimVolume>,
    /// Files from several sources in one directory.
    pub projected: Option<ProjectedVolume>,
    /// Fields of the Pod as files.
    #[schemars(rename = "downwardAPI")]
    pub downward_api: Option<DownwardApiVolume>,
    /// A volume of a CSI driver that lives as long as the Pod.
    pub csi: Option<CsiVolume>,
    /// The files of a container image, read-only.
    pub image: Option<ImageVolume>,
    /// A directory of an NFS server.
    pub nfs: Option<NfsVolume>,
    /// A persistent volume that is made for the Pod and goes with it (volumeClaimTemplate: metadata and spec of the claim).
    #[schemars(default, schema_with = "crate::schema::free_form_object")]
    pub ephemeral: Option<Map<String, Value>>,
    /// A disk of AWS EBS, by volumeID. Better: a claim of its CSI driver.
    #[schemars(default, schema_with = "crate::schema::free_form_object")]
    pub aws_elastic_block_store: Option<Map<String, Value>>,
    /// A disk of Azure, by diskName and diskURI. Better: a claim of its CSI driver.
    #[schemars(default, schema_with = "crate::schema::free_form_object")]
    pub azure_disk: Option<Map<String, Value>>,
    /// A share of Azure Files, by secretName and shareName. Better: a claim of its CSI driver.
    #[schemars(default, schema_with = "crate::schema::free_form_object")]
    pub azure_file: Option<Map<String, Value>>,
    /// A directory of CephFS, by monitors. Better: a claim of its CSI driver.
    #[schemars(default, schema_with = "crate::schema::free_form_object")]
    pub cephfs: Option<Map<String, Value>>,
    /// A volume of OpenStack Cinder, by volumeID. Better: a claim of its CSI driver.
    #[schemars(default, schema_with = "crate::schema::free_form_object")]
    pub cinder: Option<Map<String, Value>>,
    /// A Fibre Channel disk, by targetWWNs and lun, or wwids.
    #[schemars(default, schema_with = "crate::schema::free_form_object")]
    pub fc: Option<Map<String, Value>>,
    /// A volume of an exec-based driver on the node. Better: CSI.
    #[schemars(default, schema_with = "crate::schema::free_form_object")]
    pub flex_volume: Option<Map<String, Value>>,
    /// A Flocker volume; no longer supported by Kubernetes.
    #[schemars(default, schema_with = "crate::schema::free_form_object")]
    pub flocker: Option<Map<String, Value>>,
    /// A persistent disk of Google Cloud, by pdName. Better: a claim of its CSI driver.
    #[schemars(default, schema_with = "crate::schema::free_form_object")]
    pub gce_persistent_disk: Option<Map<String, Value>>,
    /// A git repository; switched off in Kubernetes for security. Better: an image, or a ConfigMap.
    #[schemars(default, schema_with = "crate::schema::free_form_object")]
    pub git_repo: Option<Map<String, Value>>,
    /// A GlusterFS volume; no longer supported by Kubernetes.
    #[schemars(default, schema_with = "crate::schema::free_form_object")]
    pub glusterfs: Option<Map<String, Value>>,
    /// An iSCSI disk, by targetPortal, iqn and lun.
    #[schemars(default, schema_with = "crate::schema::free_form_object")]
    pub iscsi: Option<Map<String, Value>>,
    /// A disk of the Photon Controller; no longer supported by Kubernetes.
    #[schemars(default, schema_with = "crate::schema::free_form_object")]
    pub photon_persistent_disk: Option<Map<String, Value>>,
    /// A Portworx volume, by volumeID. Better: a claim of its CSI driver.
    #[schemars(default, schema_with = "crate::schema::free_form_object")]
    pub portworx_volume: Option<Map<String, Value>>,
    /// A Quobyte volume; no longer supported by Kubernetes.
    #[schemars(default, schema_with = "crate::schema::free_form_object")]
    pub quobyte: Option<Map<String, Value>>,
    /// A RADOS block device, by image and monitors. Better: a claim of its CSI driver.
    #[schemars(default, schema_with = "crate::schema::free_form_object")]
    pub rbd: Option<Map<String, Value>>,
    /// A ScaleIO volume; no longer supported by Kubernetes.
    #[schemars(default, rename = "scaleIO", schema_with = "crate::schema::free_form_object")]
    pub scale_io: Option<Map<String, Value>>,
    /// A StorageOS volume; no longer supported by Kubernetes.
    #[schemars(default, schema_with = "crate::schema::free_form_object")]
    pub storageos: Option<Map<String, Value>>,
    /// A disk of vSphere, by volumePath. Better: a claim of its CSI driver.
    #[schemars(default, schema_with = "crate::schema::free_form_object")]
    pub vsphere_volume: Option<Map<String, Value>>,
}

impl Foreign for VolumeSource {
    // Its fields are those of a volume; there is no type of its own for them.
    type Core = v1::Volume;
}
