//! `migrate check` of what the original's releases have made: nothing of it is lost, refused or rolled.

// clippy.toml allows these in test functions; the functions that they call are meant too.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::{collections::BTreeMap, fs, path::PathBuf, sync::LazyLock};

use k0smotron_cli::{
    document,
    migrate::{Effect, World, of_object},
    schema::Schemas,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const RELEASES: [&str; 3] = ["1.10", "2.0", "2.1"];

/// Rules take long to compile.
static SCHEMAS: LazyLock<Schemas> = LazyLock::new(|| Schemas::new().unwrap());

/// What this version does not run, so that it does not touch it either.
const HELD: [&str; 10] = [
    "spec.ingress",
    "spec.monitoring.enabled: true",
    "spec.patches",
    "spec.remoteHostCluster",
    "spec.storage.etcd.defragJob.enabled: true",
    "spec.storage.type: kine",
    "spec.replicas: 3",
    "spec.provisioner.type: ignition",
    "spec.provisioner.type: powershell-xml",
    "spec.provisioner.platform: windows",
];
/// Its Machines are not among those objects.
const WITHOUT_MACHINES: &str = "K0sControlPlane/demo";

#[test]
fn stored_objects_are_taken_over_as_they_are() {
    let golden = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../api/tests/golden");
    let (mut objects, mut wrong) = (0, Vec::new());
    for release in RELEASES {
        for file in fs::read_dir(golden.join(release)).unwrap() {
            let text = fs::read_to_string(file.unwrap().path()).unwrap();
            for (_, object) in document::objects(&text).unwrap() {
                objects += 1;
                let title = document::title(&object);
                for effect in of_object(&object, &SCHEMAS, &World::default()) {
                    let expected = match &effect {
                        Effect::Note(_) | Effect::Rewrite(_) => true,
                        Effect::Hold(why) => HELD.iter().any(|held| why.contains(held)),
                        Effect::Roll(_) => title == WITHOUT_MACHINES,
                        Effect::Refuse(_) | Effect::Change(_) => false,
                    };
                    if !expected {
                        wrong.push(format!("{release} {title}: {effect}"));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(objects > 40, "{objects} objects");
}

/// The objects of a cluster with one controller and one worker.
fn cluster(release: &str) -> Vec<Value> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/clusters");
    let text = fs::read_to_string(directory.join(format!("{release}.yaml"))).unwrap();
    let objects = document::objects(&text).unwrap().into_iter();
    let mut objects: Vec<_> = objects.map(|(_, object)| object).collect();
    for object in &mut objects {
        object["metadata"]["namespace"] = json!("default");
    }
    objects
}

/// What Cluster API says of them.
fn world(objects: &[Value]) -> World {
    fn of<K: DeserializeOwned>(objects: &[Value], kind: &str) -> Vec<K> {
        let of_kind = objects.iter().filter(|object| object["kind"] == kind);
        of_kind
            .map(|object| serde_json::from_value(object.clone()).unwrap())
            .collect()
    }
    let infrastructure = objects.iter().filter(|object| object["kind"] == "RemoteMachine");
    World {
        clusters: of(objects, "Cluster"),
        machines: of(objects, "Machine"),
        origins: infrastructure
            .map(|object| {
                let name = object["metadata"]["name"].as_str().unwrap().to_owned();
                let annotations = serde_json::from_value(object["metadata"]["annotations"].clone());
                (("default".to_owned(), name), annotations.unwrap_or_default())
            })
            .collect::<BTreeMap<_, _>>(),
        now: "2026-06-01T00:00:00Z".parse().unwrap(),
    }
}

/// What somebody has to look at, after `change` of the cluster's objects.
fn found(release: &str, change: impl Fn(&mut Value)) -> Vec<String> {
    let mut objects = cluster(release);
    objects.iter_mut().for_each(change);
    let world = world(&objects);
    let ours = objects.iter().filter(|object| SCHEMAS.serve(object));
    let effects = ours.flat_map(|object| {
        let effects = of_object(object, &SCHEMAS, &world).into_iter();
        let counting = effects.filter(Effect::counts);
        counting.map(|effect| format!("{}: {effect}", document::title(object)))
    });
    effects.collect()
}

#[test]
fn clusters_of_every_release_are_left_alone() {
    for release in RELEASES {
        assert_eq!(found(release, |_| ()), [""; 0], "{release}");
    }
}

#[test]
fn what_would_roll_is_named() {
    type Change = fn(&mut Value);
    // Kind, what is changed of the controller's object of that kind, and what is said then.
    let table: [(&str, Change, &str); 8] = [
        (
            "K0sControlPlane",
            |plane| plane["spec"]["k0sConfigSpec"]["args"] = json!(["--debug"]),
            "K0sControlPlane/demo: roll: Machine demo-x7k2p would be replaced: spec.k0sConfigSpec.args changed",
        ),
        (
            "Machine",
            |machine| machine["spec"]["version"] = json!("v1.31.2+k0s.0"),
            "K0sControlPlane/demo: roll: Machine demo-x7k2p would be ",
        ),
        (
            "RemoteMachine",
            |machine| {
                machine["metadata"]["annotations"]["cluster.x-k8s.io/cloned-from-name"] = json!("old");
            },
            "K0sControlPlane/demo: roll: Machine demo-x7k2p would be replaced: the infrastructure template's name is old",
        ),
        (
            "K0sControlPlane",
            |plane| plane["spec"]["replicas"] = json!(3),
            "K0sControlPlane/demo: roll: there are 1 machines, and spec.replicas asks for 3",
        ),
        (
            "Machine",
            |machine| machine["metadata"]["ownerReferences"][0]["name"] = json!("other"),
            "K0sControlPlane/demo: roll: there are 0 machines",
        ),
        (
            "Machine",
            |machine| {
                machine["status"]["conditions"] = json!([{"type": "OwnerRemediated", "status": "False", "reason": "WaitingForRemediation",
                    "message": "", "lastTransitionTime": "2026-05-01T00:00:00Z"}]);
            },
            "K0sControlPlane/demo: roll: Machine demo-x7k2p would be replaced: its MachineHealthCheck",
        ),
        (
            "RemoteMachine",
            |machine| drop(machine["spec"].as_object_mut().unwrap().remove("providerID")),
            "RemoteMachine/demo-x7k2p: roll: its host would be set up again",
        ),
        (
            "RemoteMachine",
            |machine| {
                machine["spec"].as_object_mut().unwrap().remove("providerID");
                machine["status"] = json!({});
            },
            "RemoteMachine/demo-x7k2p: roll: its host is being set up",
        ),
    ];
    for release in RELEASES {
        for (kind, change, expected) in &table {
            let found = found(release, |object| {
                if object["kind"] == *kind
                    && object["metadata"]["name"].as_str().unwrap().len() <= "demo-x7k2p".len()
                {
                    change(object);
                }
            });
            assert!(
                found.len() == 1 && found[0].starts_with(expected),
                "{release}: {found:?}, not {expected}"
            );
        }
    }
}

#[test]
fn a_version_changes_as_the_strategy_says() {
    for (release, verb) in [("1.10", "replaced"), ("2.1", "updated in place")] {
        let found = found(release, |object| {
            if object["kind"] == "K0sControlPlane" {
                let version = object["spec"]["version"]
                    .as_str()
                    .unwrap()
                    .replace("+k0s.0", "+k0s.1");
                object["spec"]["version"] = json!(version);
            }
        });
        assert!(
            found[0].contains(&format!("would be {verb}: version is")),
            "{found:?}"
        );
    }
}

#[test]
fn nothing_is_rolled_of_what_is_not_written_to() {
    let found = found("2.1", |object| {
        if object["kind"] == "K0sControlPlane" {
            object["spec"]["k0sConfigSpec"]["args"] = json!(["--debug"]);
            object["spec"]["k0sConfigSpec"]["tunneling"]["enabled"] = json!(true);
        }
    });
    assert!(found.len() == 1 && found[0].contains("hold: "), "{found:?}");
}
