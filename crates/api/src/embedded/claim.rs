//! Claim templates. The claim's spec stays open, since Kubernetes checks it better: admission creates it as a dry run.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1;
use schemars::JsonSchema;
use serde_json::{Map, Value};

use super::Foreign;

/// A claim for a persistent volume.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, rename_all = "camelCase")]
pub struct PersistentVolumeClaim {
    /// Accepted, without effect.
    pub api_version: Option<String>,
    /// Accepted, without effect.
    pub kind: Option<String>,
    /// Name, labels and annotations of the claims.
    pub metadata: Option<ClaimMetadata>,
    /// Spec of the claims, as of a PersistentVolumeClaim: accessModes, resources.requests.storage, storageClassName, and so on.
    #[schemars(default, schema_with = "crate::schema::free_form_object")]
    pub spec: Option<Map<String, Value>>,
    /// Accepted, without effect.
    #[schemars(default, schema_with = "crate::schema::free_form_object")]
    pub status: Option<Map<String, Value>>,
}

impl Foreign for PersistentVolumeClaim {
    type Core = v1::PersistentVolumeClaim;
}

/// Metadata of a claim.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, rename_all = "camelCase")]
pub struct ClaimMetadata {
    /// Name of the volume in the Pods; claims are called `<this>-<pod>`.
    pub name: Option<String>,
    /// Accepted, without effect: claims are in the namespace of their Pods.
    pub namespace: Option<String>,
    /// Labels of the claims.
    pub labels: Option<BTreeMap<String, String>>,
    /// Annotations of the claims.
    pub annotations: Option<BTreeMap<String, String>>,
    /// Finalizers of the claims.
    pub finalizers: Option<Vec<String>>,
}
