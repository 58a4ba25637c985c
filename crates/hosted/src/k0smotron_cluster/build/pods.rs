//! What pods of k0s and of etcd have in common: where they run, and with which rights.

use k0smotron_api::k0smotron::v1beta2::Cluster;
use serde_json::{Map, Value, json};

use crate::k0smotron_cluster::names::Labels;

/// What a program says last is kept in its pod's status, so that it can be told why one does not run without its log.
pub const LAST_WORDS: &str = "FallbackToLogsOnError";

/// A pod's spec without containers and volumes. `apart` selects the pods that it keeps apart from; `context` are the rights
/// that it has by default.
pub fn spec(plane: &Cluster, apart: &Labels, context: Value) -> Map<String, Value> {
    let mut spec = Map::new();
    spec.insert("automountServiceAccountToken".to_owned(), json!(false));
    let mut set = |field: &str, value: Value| {
        let is_set = match &value {
            Value::Null => false,
            Value::String(text) => !text.is_empty(),
            Value::Array(items) => !items.is_empty(),
            Value::Object(fields) => !fields.is_empty(),
            _ => true,
        };
        if is_set {
            spec.insert(field.to_owned(), value);
        }
    };
    let scheduling = plane.spec.scheduling.clone().unwrap_or_default();
    set("serviceAccountName", json!(plane.spec.service_account));
    set(
        "topologySpreadConstraints",
        json!(plane.spec.topology_spread_constraints),
    );
    set("nodeSelector", json!(scheduling.node_selector));
    set("tolerations", json!(scheduling.tolerations));
    set(
        "affinity",
        scheduling
            .affinity
            .map_or_else(|| keep_apart(apart), |affinity| json!(affinity)),
    );
    set("priorityClassName", json!(scheduling.priority_class_name));
    set("imagePullSecrets", json!(scheduling.image_pull_secrets));
    let users = plane
        .spec
        .security
        .as_ref()
        .and_then(|security| security.pod_security_context.as_ref());
    set(
        "securityContext",
        over(context, users.map(|context| json!(context))),
    );
    spec
}

/// The container's rights: the user's, field by field over what it has by default.
pub fn rights(plane: &Cluster, context: Value) -> Value {
    let users = plane
        .spec
        .security
        .as_ref()
        .and_then(|security| security.security_context.as_ref());
    over(context, users.map(|context| json!(context)))
}

fn over(mut default: Value, users: Option<Value>) -> Value {
    if let (Some(fields), Some(Value::Object(users))) = (default.as_object_mut(), users) {
        fields.extend(users);
    }
    default
}

/// Zones count more than nodes.
fn keep_apart(labels: &Labels) -> Value {
    let term = |weight: u8, key: &str| {
        json!({
            "weight": weight,
            "podAffinityTerm": {"labelSelector": {"matchLabels": labels}, "topologyKey": key},
        })
    };
    let terms = [
        term(100, "topology.kubernetes.io/zone"),
        term(50, "kubernetes.io/hostname"),
    ];
    json!({"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": terms}})
}

/// A variable of the environment with a field of the pod.
pub fn variable(name: &str, field: &str) -> Value {
    json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": field}}})
}
