//! Objects of Kubernetes that users write inside ours, where the schema leaves them open: the API server is asked about them by
//! creating them for trial, which stores nothing.

use serde_json::{Map, Value, json};

use super::{Field, Kind};

/// An object to create with `dryRun=All`; when the API server finds it invalid, so is the field.
#[derive(Clone, Debug, PartialEq)]
pub struct DryRun {
    /// Where the user wrote it, such as `spec.provisionJob.jobSpecTemplate`.
    pub field: String,
    /// The object, with kind, namespace and `metadata.generateName`.
    pub object: Value,
}

/// What to create for trial before the object is accepted. What `old` has too has been accepted before and is left out.
///
/// Only an answer that the object is invalid (status 422, or 400 where it cannot even be read) speaks against the field. Anything
/// else, such as missing permissions, a quota or another webhook's opinion, does not: the real object may fare differently.
#[must_use]
pub fn to_dry_run(object: &Value, old: Option<&Value>) -> Vec<DryRun> {
    let known = old.map(embedded).unwrap_or_default();
    let mut trials = embedded(object);
    trials.retain(|trial| !known.contains(trial));
    trials
}

fn embedded(object: &Value) -> Vec<DryRun> {
    let object = super::latest(object);
    let object = Field::root(&object);
    let Some(kind) = Kind::of(&object) else {
        return Vec::new();
    };
    let spec = kind.spec(&object);
    let (field, api_version, made) = match kind {
        Kind::RemoteMachine | Kind::RemoteMachineTemplate => {
            (spec.get("provisionJob").get("jobSpecTemplate"), "batch/v1", "Job")
        }
        Kind::Cluster | Kind::K0smotronControlPlane | Kind::K0smotronControlPlaneTemplate => (
            spec.get("persistence").get("persistentVolumeClaim"),
            "v1",
            "PersistentVolumeClaim",
        ),
        _ => return Vec::new(),
    };
    if !field.is_set() {
        return Vec::new();
    }
    let namespace = object.get("metadata").get("namespace");
    let mut metadata = Map::new();
    metadata.insert("generateName".to_owned(), json!("k0smotron-trial-"));
    metadata.insert(
        "namespace".to_owned(),
        json!(namespace.text().unwrap_or("default")),
    );
    for key in ["labels", "annotations"] {
        let value = field.get("metadata").get(key);
        if value.is_set() {
            metadata.insert(key.to_owned(), value.value().clone());
        }
    }
    vec![DryRun {
        field: field.path().to_owned(),
        object: json!({
            "apiVersion": api_version,
            "kind": made,
            "metadata": metadata,
            "spec": field.get("spec").value(),
        }),
    }]
}
