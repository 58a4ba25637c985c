//! The rules of every kind, as pairs of what is given and what it becomes: `conversion/*.yaml`, two documents each.
//!
//! The second line of a file says what holds:
//! - `both`: each document becomes the other exactly, without an annotation.
//! - `kept`: the first becomes the second, with an annotation by which it comes back.
//! - `adopted`: the first becomes the second exactly, and comes back in the form that is written now, which stays as it is.

// clippy.toml allows these in test functions; the functions that they call are meant too.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod files;

use std::path::Path;

use k0smotron_api::conversion::{ANNOTATION, Version, convert, managed_fields};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use serde_json::{Value, json};

fn converted(object: &Value) -> Value {
    let to = match object["apiVersion"].as_str().unwrap().rsplit('/').next().unwrap() {
        "v1beta1" => Version::V1Beta2,
        _ => Version::V1Beta1,
    };
    convert(object.clone(), to).unwrap()
}

/// Without the annotation; whether there was one.
fn stripped(mut object: Value) -> (Value, bool) {
    let Some(annotations) = object["metadata"]["annotations"].as_object_mut() else {
        object["metadata"].as_object_mut().unwrap().remove("annotations");
        return (object, false);
    };
    let kept = annotations.remove(ANNOTATION).is_some();
    if annotations.is_empty() {
        object["metadata"].as_object_mut().unwrap().remove("annotations");
    }
    (object, kept)
}

fn check(name: &str, text: &str) {
    let ways = text.lines().nth(1).and_then(|line| line.strip_prefix("# ways: "));
    let (first, second) = text.split_once("\n---\n").unwrap();
    let [first, second]: [Value; 2] = [first, second].map(|text| serde_yaml::from_str(text).unwrap());
    let there = converted(&first);
    match ways {
        Some("both") => {
            assert_same(&there, &second, name);
            assert_same(&converted(&second), &first, name);
        }
        Some("kept") => {
            let (plain, kept) = stripped(there.clone());
            assert_same(&plain, &second, name);
            assert!(kept, "{name}: nothing is kept");
            assert_same(&converted(&there), &first, name);
        }
        Some("adopted") => {
            assert_same(&there, &second, name);
            let back = converted(&there);
            assert_ne!(back, first, "{name}: nothing to adopt");
            assert_same(&converted(&back), &there, name);
        }
        _ => panic!("{name}: the second line has to be `# ways: both`, `kept` or `adopted`"),
    }
}

/// Two whole objects on the terminal help more as YAML.
fn assert_same(one: &Value, other: &Value, name: &str) {
    let yaml = |value| serde_yaml::to_string(value).unwrap();
    assert!(
        one == other,
        "{name}\n--- is\n{}\n--- should be\n{}",
        yaml(one),
        yaml(other)
    );
}

fn files(directory: &str) -> Vec<(String, String)> {
    files::files(
        &Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests")
            .join(directory),
    )
}

#[test]
fn pairs_become_each_other() {
    let files = files("conversion");
    let crds = k0smotron_api::crds();
    for crd in crds.iter().filter(|crd| crd.spec.versions.len() == 2) {
        let kind = format!("\nkind: {}\n", crd.spec.names.kind);
        assert!(
            files.iter().any(|(_, text)| text.contains(&kind)),
            "no pair for{kind}"
        );
    }
    for (name, text) in files {
        check(&name, &text);
    }
}

/// An edit through v1beta1 of an object that has more to say than v1beta1 can.
#[test]
fn an_edit_through_v1beta1_leaves_the_rest_alone() {
    let object = json!({
        "apiVersion": "bootstrap.cluster.x-k8s.io/v1beta2", "kind": "K0sWorkerConfig", "metadata": {"name": "w"},
        "spec": {"provisioner": {"type": "powershell", "platform": "windows"}, "args": ["--a"]},
    });
    let mut read = converted(&object);
    read["spec"]["args"] = json!(["--b"]);
    let mut expected = object;
    expected["spec"]["args"] = json!(["--b"]);
    assert_eq!(converted(&read), expected);
    // Choosing a format through v1beta1 is an edit of the format.
    read["spec"]["ignition"] = json!({"variant": "fcos", "version": "1.5.0"});
    assert_eq!(converted(&read)["spec"]["provisioner"]["type"], "ignition");
}

/// Parts of an old v1beta1 status do not haunt the ones that are computed later.
#[test]
fn a_new_status_is_not_mixed_with_an_old_one() {
    let stored = json!({
        "apiVersion": "controlplane.cluster.x-k8s.io/v1beta1", "kind": "K0sControlPlane", "metadata": {"name": "c"},
        "status": {"ready": false, "initialized": true, "initialization": {"controlPlaneInitialized": true}, "replicas": 1, "readyReplicas": 1, "unavailableReplicas": 0},
    });
    let mut now = converted(&stored);
    assert_eq!(converted(&now)["status"]["ready"], false);
    now["status"]["observedGeneration"] = json!(2);
    assert_eq!(converted(&now)["status"]["ready"], true);
}

fn entries(value: Value) -> Vec<ManagedFieldsEntry> {
    serde_json::from_value(value).unwrap()
}

#[test]
fn owners_own_the_same_at_v1beta2() {
    let mut owners = entries(json!([
        {"manager": "gitops", "operation": "Apply", "apiVersion": "bootstrap.cluster.x-k8s.io/v1beta1", "fieldsType": "FieldsV1", "time": "2026-01-01T00:00:00Z",
         "fieldsV1": {
            "f:metadata": {"f:labels": {"f:a": {}}},
            "f:spec": {"f:ignition": {".": {}, "f:variant": {}}, "f:preStartCommands": {}, "f:args": {}, "f:files": {"k:{\"path\":\"/x\"}": {".": {}, "f:content": {}, "f:path": {}}}},
        }},
        {"manager": "manager", "operation": "Update", "subresource": "status", "apiVersion": "bootstrap.cluster.x-k8s.io/v1beta1", "fieldsType": "FieldsV1", "time": "2026-01-01T00:00:00Z",
         "fieldsV1": {"f:status": {"f:ready": {}, "f:gone": {"f:x": {}}}}},
        {"manager": "manager", "operation": "Update", "subresource": "status", "apiVersion": "bootstrap.cluster.x-k8s.io/v1beta2", "fieldsType": "FieldsV1", "time": "2026-01-02T00:00:00Z",
         "fieldsV1": {"f:status": {"f:dataSecretName": {}}}},
        {"manager": "other", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:preStartCommands": {}}}},
        {"manager": "empty", "operation": "Update", "apiVersion": "bootstrap.cluster.x-k8s.io/v1beta1"},
    ]));
    let (group, kind) = ("bootstrap.cluster.x-k8s.io", "K0sWorkerConfig");
    assert!(managed_fields(group, kind, &mut owners));
    let expected = entries(json!([
        {"manager": "gitops", "operation": "Apply", "apiVersion": "bootstrap.cluster.x-k8s.io/v1beta2", "fieldsType": "FieldsV1", "time": "2026-01-01T00:00:00Z",
         "fieldsV1": {
            "f:metadata": {"f:labels": {"f:a": {}}},
            "f:spec": {"f:provisioner": {"f:type": {}, "f:ignition": {".": {}, "f:variant": {}}}, "f:preK0sCommands": {}, "f:args": {}, "f:files": {"k:{\"path\":\"/x\"}": {".": {}, "f:content": {}, "f:path": {}}}},
        }},
        {"manager": "manager", "operation": "Update", "subresource": "status", "apiVersion": "bootstrap.cluster.x-k8s.io/v1beta2", "fieldsType": "FieldsV1", "time": "2026-01-02T00:00:00Z",
         "fieldsV1": {"f:status": {"f:dataSecretName": {}, "f:initialization": {"f:dataSecretCreated": {}}}}},
        {"manager": "other", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:preStartCommands": {}}}},
        {"manager": "empty", "operation": "Update", "apiVersion": "bootstrap.cluster.x-k8s.io/v1beta2"},
    ]));
    assert_eq!(owners, expected);
    assert!(!managed_fields(group, kind, &mut owners));
    assert_eq!(owners, expected);
}

/// Whoever owns the data source at v1beta1 has chosen the storage by it.
#[test]
fn owners_own_what_is_computed_from_theirs() {
    let mut owners = entries(json!([
        {"manager": "gitops", "operation": "Apply", "apiVersion": "k0smotron.io/v1beta1", "fieldsV1": {"f:spec": {"f:kineDataSourceURL": {}, "f:kubeconfigRef": {"f:name": {}}}}},
    ]));
    assert!(managed_fields("k0smotron.io", "Cluster", &mut owners));
    let expected = json!({"f:spec": {"f:storage": {"f:kine": {"f:dataSourceURL": {}}, "f:type": {}}, "f:remoteHostCluster": {"f:kubeconfigRef": {"f:name": {}}}}});
    assert_eq!(json!(owners[0].fields_v1), expected);
}

/// What the original's releases have stored comes back as it was; settings of the Service once they are fields.
#[test]
fn stored_objects_come_back() {
    let releases = ["1.10", "2.0", "2.1"];
    let files = releases.map(|release| files(&format!("golden/{release}")));
    let texts = files.iter().flatten().flat_map(|(_, text)| text.split("---\n"));
    let mut count = 0;
    for text in texts {
        let object: Value = serde_yaml::from_str(text).unwrap();
        let there = converted(&object);
        let back = converted(&there);
        if text.contains("conversion-dropped-service") {
            assert_same(&converted(&converted(&back)), &back, text);
        } else {
            assert_same(&back, &object, text);
        }
        assert_same(&converted(&back), &there, text);
        count += 1;
    }
    assert!(count > 5);
}
