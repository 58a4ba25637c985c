//! Volumes: of k0s' data directory, and of datastores.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    embedded::{Embedded, PersistentVolumeClaim, Quantity, quantity},
    k0smotron::DEFAULT_VOLUME_SIZE,
};

/// Volume of k0s' data directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PersistenceSpec {
    /// emptyDir (goes with the pod), hostPath (a directory of the node) or pvc (a claim for each pod). Empty counts as emptyDir.
    #[serde(default)]
    pub r#type: PersistenceType,
    /// Template of the claims, for type pvc.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim: Option<Embedded<PersistentVolumeClaim>>,
    /// Deletes the claims with the control plane.
    #[serde(default, rename = "autoDeletePVCs")]
    pub auto_delete_pvcs: bool,
    /// Directory on the node, for type hostPath.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_path: Option<String>,
}

/// What k0s' data directory is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum PersistenceType {
    #[default]
    EmptyDir,
    HostPath,
    Pvc,
    /// As `EmptyDir`: the original stores it where nothing was set.
    #[serde(rename = "")]
    Unset,
}

/// Volume of each member of a datastore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct VolumeSpec {
    /// Storage class of the claims. Default: the cluster's default class.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub storage_class: String,
    /// Size of each volume; 0 counts as 1Gi. It can grow.
    #[serde(default = "VolumeSpec::default_size")]
    #[schemars(schema_with = "quantity")]
    pub size: Quantity,
}

impl VolumeSpec {
    fn default_size() -> Quantity {
        DEFAULT_VOLUME_SIZE.into()
    }

    /// Size of each volume, never zero.
    #[must_use]
    pub fn size(&self) -> Quantity {
        if self.size.is_zero() {
            Self::default_size()
        } else {
            self.size.clone()
        }
    }
}

impl Default for VolumeSpec {
    fn default() -> Self {
        Self {
            storage_class: String::new(),
            size: Self::default_size(),
        }
    }
}
