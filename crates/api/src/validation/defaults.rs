//! Values that are filled in where nothing was said, and which the schema cannot know.
//!
//! Only what is meant is written: an object that was not there does not appear for the sake of its fields.

use serde_json::{Map, Value, json};

use crate::k0smotron::{DEFAULT_API_PORT, DEFAULT_ETCD_IMAGE, DEFAULT_KONNECTIVITY_PORT, DEFAULT_VERSION};

/// Version of k0s for control planes that are created without one. Those that exist without one run [`DEFAULT_VERSION`], and must not be
/// upgraded by a default.
pub const VERSION_OF_NEW_CLUSTERS: &str = "v1.36.3-k0s.2";

/// Fills in what the kind's defaults are, for an object that is about to be created.
pub fn apply_defaults(object: &mut Value) {
    apply_defaults_over(object, None);
}

/// Fills in what the kind's defaults are; for an existing object, so that nothing changes for it.
pub fn apply_defaults_over(object: &mut Value, old: Option<&Value>) {
    let group = object
        .get("apiVersion")
        .and_then(Value::as_str)
        .and_then(|version| version.split_once('/'))
        .map(|(group, _)| group);
    let kind = object.get("kind").and_then(Value::as_str);
    let hosted = matches!(
        (group, kind),
        (Some("k0smotron.io"), Some("Cluster"))
            | (
                Some("controlplane.cluster.x-k8s.io"),
                Some("K0smotronControlPlane")
            )
    );
    let Some(object) = object.as_object_mut().filter(|_| hosted) else {
        return;
    };
    // An object without spec is told apart by the schema: it gets a Service of type NodePort, which is not a default of fields.
    if let Some(Value::Object(spec)) = object.get_mut("spec") {
        apply_to_spec(spec, old.map(|old| old.get("spec").unwrap_or(&Value::Null)));
    }
}

fn apply_to_spec(spec: &mut Map<String, Value>, old: Option<&Value>) {
    if matches!(spec.get("replicas").and_then(Value::as_i64), Some(0)) {
        spec.insert("replicas".to_owned(), json!(1));
    }
    if is_empty(spec.get("version")) {
        let version = match old {
            None => VERSION_OF_NEW_CLUSTERS,
            Some(old) => old
                .get("version")
                .and_then(Value::as_str)
                .filter(|version| !version.is_empty())
                .unwrap_or(DEFAULT_VERSION),
        };
        spec.insert("version".to_owned(), json!(version));
    }
    if let Some(service) = spec.get_mut("service").and_then(Value::as_object_mut)
        && is_empty(service.get("type"))
    {
        service.insert("type".to_owned(), json!("ClusterIP"));
        service.entry("apiPort").or_insert(json!(DEFAULT_API_PORT));
        service
            .entry("konnectivityPort")
            .or_insert(json!(DEFAULT_KONNECTIVITY_PORT));
    }
    if let Some(etcd) = spec
        .get_mut("storage")
        .and_then(|storage| storage.get_mut("etcd"))
        .and_then(Value::as_object_mut)
        && is_empty(etcd.get("image"))
    {
        etcd.insert("image".to_owned(), json!(DEFAULT_ETCD_IMAGE));
    }
    if let Some(ingress) = spec.get_mut("ingress").and_then(Value::as_object_mut)
        && ingress.get("deploy").is_none_or(Value::is_null)
    {
        ingress.insert("deploy".to_owned(), json!(true));
    }
}

fn is_empty(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(_) => false,
    }
}
