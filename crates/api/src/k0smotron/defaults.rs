//! Defaults that are whole objects.
//!
//! For: what the API server fills in where an object is absent, which differs from the defaults of the object's fields. Not for: defaults
//! of fields, which stand beside the field.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{CustomResourceDefinition, JSON};
use serde_json::{Value, json};

use super::{DEFAULT_API_PORT, DEFAULT_ETCD_IMAGE, DEFAULT_KONNECTIVITY_PORT};
use crate::{control_plane, schema::at};

/// Sets the defaults of the kinds of hosted control planes; other definitions stay as they are.
pub(crate) fn set(crd: &mut CustomResourceDefinition) {
    let standalone = crd.spec.group == super::GROUP;
    let plane: &[&str] = match crd.spec.names.kind.as_str() {
        "Cluster" if standalone => &["spec"],
        "K0smotronControlPlane" if crd.spec.group == control_plane::GROUP => &["spec"],
        "K0smotronControlPlaneTemplate" => &["spec", "template", "spec"],
        _ => return,
    };
    for version in &mut crd.spec.versions {
        let old = version.name == "v1beta1";
        let Some(root) = version
            .schema
            .as_mut()
            .and_then(|validation| validation.open_api_v3_schema.as_mut())
        else {
            continue;
        };
        let mut set = |path: &[&str], value: Value| {
            if let Some(schema) = at(root, path) {
                schema.default = Some(JSON(value));
            }
        };
        let mut within = |path: &[&str], value: Value| set(&[plane, path].concat(), value);
        within(
            &["service"],
            json!({
                "type": "ClusterIP",
                "apiPort": DEFAULT_API_PORT,
                "konnectivityPort": DEFAULT_KONNECTIVITY_PORT,
            }),
        );
        let etcd = json!({"image": DEFAULT_ETCD_IMAGE, "persistence": {}});
        if old {
            within(&["persistence"], json!({"type": "emptyDir"}));
            within(&["etcd"], etcd);
        } else {
            within(&["storage", "etcd"], etcd);
        }
        if crd.spec.names.kind == "Cluster" {
            // Not what the defaults of the fields would give: the shortest manifest makes a plane that can be reached from outside.
            set(&["spec"], json!({"service": {"type": "NodePort"}}));
        } else if crd.spec.names.kind == "K0smotronControlPlane" {
            set(&["spec"], json!({}));
            set(&["status"], initial_status(old));
        }
        root.required = None;
    }
}

/// Status of a K0smotronControlPlane that no controller has seen yet.
fn initial_status(old: bool) -> Value {
    let mut status = json!({
        "version": "",
        "initialization": {"controlPlaneInitialized": false},
        "conditions": [{
            "type": if old { "ControlPlaneReady" } else { "Available" },
            "status": "Unknown",
            "reason": "ControlPlaneDoesNotExist",
            "message": "Waiting for cluster topology to be reconciled",
            "lastTransitionTime": "1970-01-01T00:00:00Z",
        }],
    });
    if old && let Some(fields) = status.as_object_mut() {
        fields.insert("ready".to_owned(), json!(false));
        fields.insert("initialized".to_owned(), json!(false));
    }
    status
}
