//! Manifests as users write them: what the schemas accept, our types keep.
//!
//! How the documents are written is said in `rules.rs`.

// clippy.toml allows these in test functions; the functions that they call are meant too.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::{fs, path::PathBuf};

use k0smotron_api::{
    bootstrap::v1beta2::{K0sControllerConfig, K0sWorkerConfig, K0sWorkerConfigTemplate},
    control_plane::v1beta2::{
        K0sControlPlane, K0sControlPlaneTemplate, K0smotronControlPlane, K0smotronControlPlaneTemplate,
    },
    conversion::{Version, convert},
    infrastructure::v1beta2::{
        PooledRemoteMachine, RemoteCluster, RemoteClusterTemplate, RemoteMachine, RemoteMachineTemplate,
    },
    k0smotron::v1beta2::{Cluster, JoinTokenRequest},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

fn documents(directory: &str) -> Vec<(String, String)> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/manifests")
        .join(directory);
    let mut files: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let documents = files.into_iter().flat_map(|file| {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&file).unwrap();
        text.split("---\n")
            .map(|document| (name.clone(), document.to_owned()))
            .collect::<Vec<_>>()
    });
    documents.collect()
}

/// A document at the version of our types.
fn read(text: &str) -> Value {
    convert(serde_yaml::from_str(text).unwrap(), Version::V1Beta2).unwrap()
}

/// Decodes by kind and gives back what the type would write.
fn through_type(document: &Value) -> Result<Value, serde_json::Error> {
    fn through<T: Serialize + DeserializeOwned>(document: &Value) -> Result<Value, serde_json::Error> {
        serde_json::to_value(serde_json::from_value::<T>(document.clone())?)
    }
    match document["kind"].as_str().unwrap() {
        "Cluster" => through::<Cluster>(document),
        "JoinTokenRequest" => through::<JoinTokenRequest>(document),
        "K0smotronControlPlane" => through::<K0smotronControlPlane>(document),
        "K0smotronControlPlaneTemplate" => through::<K0smotronControlPlaneTemplate>(document),
        "K0sControlPlane" => through::<K0sControlPlane>(document),
        "K0sControlPlaneTemplate" => through::<K0sControlPlaneTemplate>(document),
        "K0sControllerConfig" => through::<K0sControllerConfig>(document),
        "K0sWorkerConfig" => through::<K0sWorkerConfig>(document),
        "K0sWorkerConfigTemplate" => through::<K0sWorkerConfigTemplate>(document),
        "RemoteCluster" => through::<RemoteCluster>(document),
        "RemoteClusterTemplate" => through::<RemoteClusterTemplate>(document),
        "RemoteMachine" => through::<RemoteMachine>(document),
        "RemoteMachineTemplate" => through::<RemoteMachineTemplate>(document),
        "PooledRemoteMachine" => through::<PooledRemoteMachine>(document),
        other => panic!("no type for kind {other}"),
    }
}

/// Everything in `written` is in `kept`, unchanged; `kept` may have defaults beside it.
fn assert_kept(written: &Value, kept: &Value, path: &str) {
    match (written, kept) {
        (Value::Object(written), Value::Object(kept)) => {
            for (key, value) in written {
                match kept.get(key) {
                    Some(kept) => assert_kept(value, kept, &format!("{path}.{key}")),
                    // What says nothing may be left out.
                    None => assert!(
                        [json!(false), json!(""), json!({}), json!([])].contains(value),
                        "{path}.{key} is lost: {value}"
                    ),
                }
            }
        }
        (Value::Array(written), Value::Array(kept)) => {
            assert_eq!(written.len(), kept.len(), "{path}");
            written
                .iter()
                .zip(kept)
                .for_each(|(written, kept)| assert_kept(written, kept, path));
        }
        _ => assert_eq!(written, kept, "{path}"),
    }
}

fn assert_no_nulls(value: &Value, path: &str) {
    match value {
        Value::Null => panic!("{path} is written as null, which server-side apply would own"),
        Value::Object(fields) => fields
            .iter()
            .for_each(|(key, value)| assert_no_nulls(value, &format!("{path}.{key}"))),
        Value::Array(items) => items.iter().for_each(|value| assert_no_nulls(value, path)),
        _ => {}
    }
}

#[test]
fn accepted_manifests_keep_every_field() {
    let documents = documents("accept");
    assert!(documents.len() > 15);
    for (file, text) in documents {
        let document = read(&text);
        let name = format!("{file}: {} {}", document["kind"], document["metadata"]["name"]);
        let kept = through_type(&document).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_kept(&document, &kept, &name);
        assert_no_nulls(&kept, &name);
        assert_eq!(
            through_type(&kept).unwrap(),
            kept,
            "{name} changes when it is read again"
        );
    }
}

/// A stored object that newer rules would refuse must not stop a watch, so it decodes; only foreign enum values cannot.
#[test]
fn refused_manifests_still_decode() {
    for (file, text) in documents("refuse") {
        let document = read(&text);
        let foreign_value = text.starts_with("# refused: Unsupported value");
        assert_eq!(through_type(&document).is_err(), foreign_value, "{file}: {text}");
    }
}
