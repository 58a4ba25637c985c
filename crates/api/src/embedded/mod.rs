//! Kubernetes' own types inside of our kinds: volumes, resources, scheduling, security contexts, claims.
//!
//! A value is kept as it was written ([`Embedded`]) and becomes the type of `k8s-openapi` where it is used, so that a field that is newer
//! than this crate is not lost, and a value that Kubernetes would refuse stops nobody from reading the object around it.
//! The types in here are the schemas: upstream's fields and list keys, with one sentence for each field instead of upstream's pages,
//! since a definition has to stay small enough for `kubectl apply`.

mod affinity;
mod claim;
mod quantity;
mod resources;
mod scheduling;
mod security;
mod selector;
mod sources;
mod volume;

use std::{borrow::Cow, fmt, marker::PhantomData};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
use serde_json::{Map, Value};

pub use affinity::{
    Affinity, NodeAffinity, NodeSelector, NodeSelectorTerm, PodAffinity, PodAffinityTerm,
    PreferredSchedulingTerm, WeightedPodAffinityTerm,
};
pub use claim::{ClaimMetadata, PersistentVolumeClaim};
pub use quantity::{Quantity, quantity};
pub use resources::{ResourceClaim, ResourceRequirements};
pub use scheduling::{Toleration, TopologySpreadConstraint};
pub use security::{
    AppArmorProfile, Capabilities, PodSecurityContext, SeLinuxOptions, SeccompProfile, SecurityContext,
    Sysctl,
};
pub use selector::{LabelSelector, SelectorRequirement};
pub use sources::{
    ConfigMapProjection, CsiVolume, DownwardApiFile, DownwardApiProjection, DownwardApiVolume,
    EmptyDirVolume, FieldSelector, HostPathVolume, ImageVolume, KeyToPath, NfsVolume,
    PersistentVolumeClaimVolume, PodCertificateProjection, ProjectedVolume, Projection,
    ResourceFieldSelector, SecretName, SecretProjection, SecretVolume, ServiceAccountTokenProjection,
    TrustBundleProjection, VolumeOfConfigMap,
};
pub use volume::{Volume, VolumeSource};

/// The schema of a type of Kubernetes, and the type it stands for.
pub trait Foreign: JsonSchema {
    /// The type that the value becomes.
    type Core: DeserializeOwned;
}

/// A value of a type of Kubernetes, as it was written.
pub struct Embedded<F> {
    fields: Map<String, Value>,
    schema: PhantomData<fn() -> F>,
}

impl<F: Foreign> Embedded<F> {
    /// The value as the type it is meant to be.
    ///
    /// # Errors
    /// When a field has another type than Kubernetes expects; admission refuses such values.
    pub fn decode(&self) -> Result<F::Core, serde_json::Error> {
        serde_json::from_value(Value::Object(self.fields.clone()))
    }
}

impl<F> Embedded<F> {
    /// The fields as they were written.
    #[must_use]
    pub fn fields(&self) -> &Map<String, Value> {
        &self.fields
    }
}

impl<F> From<Map<String, Value>> for Embedded<F> {
    fn from(fields: Map<String, Value>) -> Self {
        Self {
            fields,
            schema: PhantomData,
        }
    }
}

impl<F> Default for Embedded<F> {
    fn default() -> Self {
        Map::new().into()
    }
}

impl<F> Clone for Embedded<F> {
    fn clone(&self) -> Self {
        self.fields.clone().into()
    }
}

impl<F> PartialEq for Embedded<F> {
    fn eq(&self, other: &Self) -> bool {
        self.fields == other.fields
    }
}

impl<F> Eq for Embedded<F> {}

impl<F> fmt::Debug for Embedded<F> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fields.fmt(out)
    }
}

impl<F> Serialize for Embedded<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.fields.serialize(serializer)
    }
}

impl<'de, F> Deserialize<'de> for Embedded<F> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Map::deserialize(deserializer).map(Into::into)
    }
}

impl<F: JsonSchema> JsonSchema for Embedded<F> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        F::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        F::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_kept_and_decoded() {
        let written = json!({"name": "stack", "configMap": {"name": "c"}, "newerThanUs": {"x": 1}});
        let volume: Embedded<Volume> = serde_json::from_value(written.clone()).unwrap();
        assert_eq!(serde_json::to_value(&volume).unwrap(), written);
        let core = volume.decode().unwrap();
        assert_eq!(core.config_map.unwrap().name, "c");
    }

    #[test]
    fn odd_values_are_kept_and_refused_where_they_are_used() {
        let written = json!({"name": "stack", "rbd": {"monitors": "not a list"}});
        let volume: Embedded<Volume> = serde_json::from_value(written.clone()).unwrap();
        assert_eq!(serde_json::to_value(&volume).unwrap(), written);
        assert!(volume.decode().is_err());
    }
}
