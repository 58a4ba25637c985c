//! Objects as the original's releases have stored them, written from what they are known to write: ours read them as they are.
//!
//! For: what stays in the API server when the manager is swapped, with all that the original's webhook and controllers left in it. Not
//! for: what users write; see `manifests.rs`.

// clippy.toml allows these in test functions; the functions that they call are meant too.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod files;
mod kinds;

use std::{collections::BTreeSet, path::Path};

use k0smotron_api::{
    conversion::{Version, convert},
    embedded::Quantity,
    k0smotron::v1beta2::{Cluster, PersistenceType},
};
use kinds::{assert_kept, through_type};
use serde::de::DeserializeOwned;
use serde_json::Value;

const RELEASES: [&str; 3] = ["1.10", "2.0", "2.1"];

/// The objects of a release.
fn objects(release: &str) -> Vec<Value> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(release);
    files::files(&directory)
        .iter()
        .flat_map(|(_, text)| {
            let documents = text.split("---\n");
            documents
                .map(|document| serde_yaml::from_str(document).unwrap())
                .collect::<Vec<_>>()
        })
        .collect()
}

fn named<T: DeserializeOwned>(release: &str, name: &str) -> T {
    let object = objects(release)
        .into_iter()
        .find(|object| object["metadata"]["name"] == name)
        .unwrap();
    serde_json::from_value(object).unwrap()
}

/// Each release has objects of each kind that it serves.
#[test]
fn every_kind_is_there() {
    let kinds: BTreeSet<_> = k0smotron_api::crds()
        .into_iter()
        .map(|crd| crd.spec.names.kind)
        .collect();
    for release in RELEASES {
        let found: BTreeSet<_> = objects(release)
            .iter()
            .map(|object| object["kind"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(found, kinds, "{release}");
    }
}

#[test]
fn objects_of_v1beta2_keep_every_field() {
    for release in ["2.0", "2.1"] {
        for object in objects(release) {
            let name = format!("{release} {} {}", object["kind"], object["metadata"]["name"]);
            let kept = through_type(&object).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_kept(&object, &kept, &name);
        }
    }
}

#[test]
fn objects_of_v1beta1_decode_once_converted_and_come_back() {
    for object in objects("1.10") {
        let name = format!("1.10 {} {}", object["kind"], object["metadata"]["name"]);
        let converted = convert(object.clone(), Version::V1Beta2).unwrap();
        let kept = through_type(&converted).unwrap_or_else(|error| panic!("{name}: {error}"));
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

/// The values of machine clusters that decide what a controller does with a stored object.
#[test]
fn what_was_renamed_has_moved() {
    let converted: Vec<_> = objects("1.10")
        .into_iter()
        .map(|object| convert(object, Version::V1Beta2).unwrap())
        .collect();
    let find = |kind: &str, name: &str| {
        converted
            .iter()
            .find(|object| object["kind"] == kind && object["metadata"]["name"] == name)
            .unwrap()
    };
    let plane = find("K0sControlPlane", "demo");
    let config = &plane["spec"]["k0sConfigSpec"];
    assert_eq!(config["preK0sCommands"][0], "echo before");
    assert_eq!(config["postK0sCommands"][0], "echo after");
    assert_eq!(
        config["provisioner"]["customUserDataRef"]["configMapRef"]["name"],
        "user-data"
    );
    assert_eq!(plane["status"]["initialization"]["controlPlaneInitialized"], true);
    assert_eq!(plane["status"]["upToDateReplicas"], 3);
    assert_eq!(plane["status"]["availableReplicas"], 2);
    let worker = find("K0sWorkerConfig", "demo-w1");
    assert_eq!(worker["spec"]["provisioner"]["type"], "ignition");
    assert_eq!(worker["spec"]["provisioner"]["ignition"]["variant"], "fcos");
    assert_eq!(worker["status"]["initialization"]["dataSecretCreated"], true);
    let template = find("K0sWorkerConfigTemplate", "demo-workers");
    assert_eq!(
        template["spec"]["template"]["spec"]["preK0sCommands"][0],
        "echo before"
    );
    let machine = find("RemoteMachine", "demo-x7k2p");
    assert_eq!(machine["spec"]["cleanUpCommands"][0], "k0s stop");
    assert_eq!(machine["status"]["initialization"]["provisioned"], true);
    let cluster = find("RemoteCluster", "demo");
    assert_eq!(cluster["status"]["initialization"]["provisioned"], true);
    let entry = find("PooledRemoteMachine", "host-1");
    assert_eq!(entry["spec"]["machine"]["cleanUpCommands"][0], "k0s reset");
}
