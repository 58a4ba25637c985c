//! Finalizers and annotations, written against the version that was read, so that two writers cannot both win.

use std::{collections::BTreeMap, fmt::Debug};

use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Adds the finalizer unless it is there. Returns the object as it is then.
pub async fn add_finalizer<K>(api: &Api<K>, object: &K, finalizer: &str) -> Result<K, kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    if object.finalizers().iter().any(|present| present == finalizer) {
        return Ok(object.clone());
    }
    let mut finalizers = object.finalizers().to_vec();
    finalizers.push(finalizer.to_owned());
    patch(api, object, json!({ "finalizers": finalizers })).await
}

/// Removes the finalizer if it is there; that the object is gone is fine.
pub async fn remove_finalizer<K>(api: &Api<K>, object: &K, finalizer: &str) -> Result<(), kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    if !object.finalizers().iter().any(|present| present == finalizer) {
        return Ok(());
    }
    let others: Vec<_> = object
        .finalizers()
        .iter()
        .filter(|present| *present != finalizer)
        .collect();
    match patch(api, object, json!({ "finalizers": others })).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        result => result.map(drop),
    }
}

/// Sets (`Some`) and removes (`None`) annotations, unless all are as asked. Returns the object as it is then.
///
/// Fails with a conflict when the object changed since it was read.
pub async fn annotate<K>(
    api: &Api<K>,
    object: &K,
    changes: &BTreeMap<&str, Option<String>>,
) -> Result<K, kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let present = object.annotations();
    if changes
        .iter()
        .all(|(key, value)| present.get(*key) == value.as_ref())
    {
        return Ok(object.clone());
    }
    patch(api, object, json!({ "annotations": changes })).await
}

/// Merges `metadata` into the object's, if it is still the version that was read.
async fn patch<K>(api: &Api<K>, object: &K, mut metadata: Value) -> Result<K, kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    if let (Value::Object(fields), Some(version)) = (&mut metadata, object.resource_version()) {
        fields.insert("resourceVersion".to_owned(), Value::from(version));
    }
    let patch = Patch::Merge(json!({ "metadata": metadata }));
    api.patch(&object.name_any(), &PatchParams::default(), &patch)
        .await
}
