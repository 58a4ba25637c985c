//! Objects as the original's releases have stored them, written from what they are known to write: ours read them as they are.
//!
//! For: what stays in the API server when the manager is swapped, with all that the original's webhook and controllers left in it. Not
//! for: what users write; see `manifests.rs`.

// clippy.toml allows these in test functions; the functions that they call are meant too.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::{fs, path::PathBuf};

use k0smotron_api::{
    control_plane::v1beta2::{K0smotronControlPlane, K0smotronControlPlaneTemplate},
    conversion::{Version, convert},
    embedded::Quantity,
    k0smotron::v1beta2::{Cluster, JoinTokenRequest, PersistenceType},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// The objects of a release.
fn objects(release: &str) -> Vec<Value> {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(release)
        .join("hosted.yaml");
    let text = fs::read_to_string(file).unwrap();
    text.split("---\n")
        .map(|document| serde_yaml::from_str(document).unwrap())
        .collect()
}

fn named<T: DeserializeOwned>(release: &str, name: &str) -> T {
    let object = objects(release)
        .into_iter()
        .find(|object| object["metadata"]["name"] == name)
        .unwrap();
    serde_json::from_value(object).unwrap()
}

/// Decodes a v1beta2 object by its kind, and gives back what would be written.
fn through_type(object: &Value) -> Value {
    fn through<T: Serialize + DeserializeOwned>(object: &Value) -> Value {
        let typed: T = serde_json::from_value(object.clone())
            .unwrap_or_else(|error| panic!("{} {}: {error}", object["kind"], object["metadata"]["name"]));
        serde_json::to_value(typed).unwrap()
    }
    match object["kind"].as_str().unwrap() {
        "Cluster" => through::<Cluster>(object),
        "JoinTokenRequest" => through::<JoinTokenRequest>(object),
        "K0smotronControlPlane" => through::<K0smotronControlPlane>(object),
        "K0smotronControlPlaneTemplate" => through::<K0smotronControlPlaneTemplate>(object),
        other => panic!("no type for kind {other}"),
    }
}

/// Everything in `stored` is in `kept`, unchanged, but for what says nothing.
fn assert_kept(stored: &Value, kept: &Value, path: &str) {
    match (stored, kept) {
        (Value::Object(stored), Value::Object(kept)) => {
            for (key, value) in stored {
                match kept.get(key) {
                    Some(kept) => assert_kept(value, kept, &format!("{path}.{key}")),
                    None => assert!(
                        value == &Value::Bool(false) || value == "",
                        "{path}.{key} is lost: {value}"
                    ),
                }
            }
        }
        (Value::Array(stored), Value::Array(kept)) => {
            assert_eq!(stored.len(), kept.len(), "{path}");
            stored
                .iter()
                .zip(kept)
                .for_each(|(stored, kept)| assert_kept(stored, kept, path));
        }
        _ => assert_eq!(stored, kept, "{path}"),
    }
}

#[test]
fn objects_of_v1beta2_keep_every_field() {
    for release in ["2.0", "2.1"] {
        for object in objects(release) {
            let name = format!("{release} {} {}", object["kind"], object["metadata"]["name"]);
            assert_kept(&object, &through_type(&object), &name);
        }
    }
}

#[test]
fn objects_of_v1beta1_decode_once_converted_and_come_back() {
    for object in objects("1.10") {
        let name = format!("1.10 {} {}", object["kind"], object["metadata"]["name"]);
        let converted = convert(object.clone(), Version::V1Beta2).unwrap();
        let kept = through_type(&converted);
        assert_kept(&converted, &kept, &name);
        // As it is stored again once a controller has written it.
        assert_kept(&object, &convert(kept, Version::V1Beta1).unwrap(), &name);
    }
}

/// What the original's webhook stores for a section that was never set counts as not set.
#[test]
fn empty_texts_count_as_the_defaults() {
    let plane: Cluster = named("2.1", "shortest");
    let monitoring = plane.spec.monitoring.unwrap();
    assert_eq!(
        monitoring.prometheus_image(),
        "quay.io/k0sproject/prometheus:v2.44.0"
    );
    assert_eq!(monitoring.proxy_image(), "nginx:1.19.10");
    assert_eq!(plane.spec.persistence.unwrap().r#type, PersistenceType::Unset);
    let etcd = plane.spec.storage.unwrap().etcd;
    assert_eq!(etcd.persistence.size(), Quantity::from("1Gi"));
    let defrag = etcd.defrag_job.unwrap();
    assert_eq!(defrag.schedule(), "0 12 * * *");
    assert_eq!(defrag.image(), "ghcr.io/ahrtr/etcd-defrag:v0.16.0");
    assert!(defrag.rule().starts_with("dbQuotaUsage"));
}

/// Volumes are those of Kubernetes, also the ones whose schema is open.
#[test]
fn volumes_become_those_of_kubernetes() {
    let plane: Cluster = named("2.1", "full");
    let stack = plane.spec.manifests[0].decode().unwrap();
    assert_eq!(stack.secret.unwrap().secret_name.as_deref(), Some("stack"));
    let legacy = plane.spec.mounts[2].source.decode().unwrap();
    assert_eq!(legacy.rbd.unwrap().monitors, ["10.0.0.1", "10.0.0.2"]);
    assert!(plane.spec.mounts[1].read_only);
    let spread = plane.spec.topology_spread_constraints[0].decode().unwrap();
    assert_eq!(spread.max_skew, 1);
    let claim = plane
        .spec
        .persistence
        .unwrap()
        .persistent_volume_claim
        .unwrap()
        .decode()
        .unwrap();
    assert_eq!(claim.metadata.name.as_deref(), Some("kmc-full"));
}
