//! Properties of validation that hold for any JSON: it answers, quickly, and never refuses what is stored already.

// clippy.toml allows these in test functions; the functions that they call are meant too.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use k0smotron_api::validation::{admission, apply_defaults, defaulting, to_dry_run, validate};
use kube::core::{DynamicObject, admission::AdmissionReview};
use proptest::prelude::*;
use serde_json::{Value, json};

const KINDS: [(&str, &str); 14] = [
    ("k0smotron.io", "Cluster"),
    ("k0smotron.io", "JoinTokenRequest"),
    ("controlplane.cluster.x-k8s.io", "K0smotronControlPlane"),
    ("controlplane.cluster.x-k8s.io", "K0smotronControlPlaneTemplate"),
    ("controlplane.cluster.x-k8s.io", "K0sControlPlane"),
    ("controlplane.cluster.x-k8s.io", "K0sControlPlaneTemplate"),
    ("bootstrap.cluster.x-k8s.io", "K0sControllerConfig"),
    ("bootstrap.cluster.x-k8s.io", "K0sWorkerConfig"),
    ("bootstrap.cluster.x-k8s.io", "K0sWorkerConfigTemplate"),
    ("infrastructure.cluster.x-k8s.io", "PooledRemoteMachine"),
    ("infrastructure.cluster.x-k8s.io", "RemoteCluster"),
    ("infrastructure.cluster.x-k8s.io", "RemoteClusterTemplate"),
    ("infrastructure.cluster.x-k8s.io", "RemoteMachine"),
    ("infrastructure.cluster.x-k8s.io", "RemoteMachineTemplate"),
];

/// Names of fields that rules look at, so that arbitrary objects reach them.
const NAMES: &[&str] = &[
    "address",
    "annotations",
    "apiHost",
    "apiPort",
    "args",
    "certificateRefs",
    "clusterName",
    "component",
    "content",
    "contentFrom",
    "controlPlaneEndpoint",
    "dataSourceURL",
    "defragJob",
    "deploy",
    "etcd",
    "expiry",
    "externalAddress",
    "files",
    "host",
    "ignition",
    "image",
    "ingress",
    "jobSpecTemplate",
    "k0s",
    "k0sConfig",
    "k0sConfigSpec",
    "key",
    "kind",
    "kine",
    "konnectivityHost",
    "konnectivityPort",
    "labels",
    "machine",
    "machineTemplate",
    "manifests",
    "metadata",
    "mounts",
    "name",
    "nats",
    "network",
    "patch",
    "patches",
    "path",
    "persistence",
    "persistentVolumeClaim",
    "platform",
    "podCIDR",
    "pool",
    "port",
    "provisionJob",
    "provisioner",
    "replicas",
    "schedule",
    "secretRef",
    "service",
    "size",
    "spec",
    "sshKeyRef",
    "storage",
    "target",
    "template",
    "tokenID",
    "tunneling",
    "type",
    "version",
    "versions",
];

/// Texts that rules tell apart.
const TEXTS: &[&str] = &[
    "",
    "0s",
    "1h",
    "1.34.0",
    "1Gi",
    "0",
    "a",
    "A b",
    "10.0.0.0/8",
    "192.0.2.1",
    "etcd",
    "hostPath",
    "ignition",
    "json",
    "kine",
    "merge",
    "nats",
    "powershell",
    "pvc",
    "v1.30.0-k0s.1",
    "v1.36.3+k0s.2",
    "v1.36.3",
    "windows",
    "* * * * *",
    "[{\"op\": \"add\"}]",
    "{}",
    "&a [*a]",
    "é",
    "\u{0}",
    "18446744073709551615.0.0",
];

fn any_json() -> impl Strategy<Value = Value> {
    let text = prop_oneof![proptest::sample::select(TEXTS).prop_map(str::to_owned), ".{0,20}",];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-2i64..5).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 100, 8, |inner| {
        let name = prop_oneof![
            9 => proptest::sample::select(NAMES).prop_map(str::to_owned),
            1 => ".{0,10}",
        ];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::btree_map(name, inner, 0..8)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn any_object() -> impl Strategy<Value = Value> {
    let version = prop_oneof![3 => Just("v1beta2"), 1 => Just("v1beta1")];
    (proptest::sample::select(&KINDS), version, any_json(), any_json(), any_json()).prop_map(
        |((group, kind), version, metadata, spec, status)| {
            json!({"apiVersion": format!("{group}/{version}"), "kind": kind, "metadata": metadata, "spec": spec, "status": status})
        },
    )
}

fn review_of(operation: &str, object: &Value, old: Option<&Value>) -> AdmissionReview<DynamicObject> {
    serde_json::from_value(json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": {"group": "k0smotron.io", "version": "v1beta2", "kind": "Cluster"},
            "resource": {"group": "k0smotron.io", "version": "v1beta2", "resource": "clusters"},
            "name": "demo",
            "namespace": "default",
            "operation": operation,
            "userInfo": {},
            "object": object,
            "oldObject": old,
        }
    }))
    .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_json_gets_an_answer(value in any_json(), other in any_json()) {
        let _ = validate(&value, Some(&other));
        let _ = to_dry_run(&value, Some(&other));
        let mut defaulted = value;
        apply_defaults(&mut defaulted);
    }

    #[test]
    fn what_is_stored_is_never_refused(object in any_object()) {
        let findings = validate(&object, Some(&object));
        prop_assert_eq!(findings.errors, vec![]);
        prop_assert_eq!(to_dry_run(&object, Some(&object)), vec![]);
    }

    #[test]
    fn what_is_being_deleted_is_never_refused(object in any_object(), old in any_object()) {
        let mut object = object;
        object["metadata"] = json!({"deletionTimestamp": "2026-01-01T00:00:00Z"});
        prop_assert_eq!(validate(&object, Some(&old)).errors, vec![]);
    }

    #[test]
    fn any_update_gets_an_answer(object in any_object(), spec in any_json()) {
        let mut new = object.clone();
        new["spec"] = spec;
        for finding in validate(&new, Some(&object)).errors {
            prop_assert!(!finding.field.is_empty() && !finding.message.is_empty());
        }
    }

    #[test]
    fn defaults_are_filled_in_once(object in any_object()) {
        let mut once = object;
        apply_defaults(&mut once);
        let mut twice = once.clone();
        apply_defaults(&mut twice);
        prop_assert_eq!(&once, &twice);
    }

    #[test]
    fn admission_answers_as_the_rules_do(object in any_object()) {
        let mut object = object;
        object["metadata"] = json!({"name": "demo"});
        let asked = review_of("CREATE", &object, None);
        let response = admission(asked.clone()).response.unwrap();
        let findings = validate(&object, None);
        prop_assert_eq!(response.allowed, findings.errors.is_empty());
        prop_assert_eq!(response.uid, "705ab4f5-6393-11e8-b7cc-42010a800002");
        let causes = response.result.details.map(|details| details.causes.len());
        prop_assert_eq!(causes.unwrap_or(0), findings.errors.len());

        let mut patched = object.clone();
        if let Some(patch) = defaulting(asked).response.unwrap().patch {
            json_patch::patch(&mut patched, &serde_json::from_slice::<json_patch::Patch>(&patch).unwrap()).unwrap();
        }
        apply_defaults(&mut object);
        prop_assert_eq!(&patched, &object);

        let deleted = admission(review_of("DELETE", &Value::Null, Some(&object))).response.unwrap();
        prop_assert!(deleted.allowed);
    }
}

/// Time that this thread has been running: unlike the clock, it does not count what else the machine does meanwhile.
fn cpu_time() -> Duration {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(statistics.split_whitespace().next().unwrap().parse().unwrap())
}

#[test]
fn as_much_as_a_request_can_carry_is_answered_within_a_second() {
    // The API server takes 3 MiB.
    let files = vec![json!({"path": "a b", "contentFrom": {"secretRef": {"name": "A"}}}); 52_000];
    let patch = "[".repeat(500_000);
    for object in [
        json!({"apiVersion": "bootstrap.cluster.x-k8s.io/v1beta2", "kind": "K0sWorkerConfig", "spec": {"files": files}}),
        json!({"apiVersion": "k0smotron.io/v1beta2", "kind": "Cluster", "spec": {
            "patches": vec![json!({"patch": {"type": "json", "content": patch}}); 6],
        }}),
    ] {
        assert!(object.to_string().len() > 2_900_000);
        let begin = cpu_time();
        assert!(!validate(&object, None).errors.is_empty());
        let creation = cpu_time() - begin;
        assert!(validate(&object, Some(&object)).errors.is_empty());
        let update = cpu_time() - begin - creation;
        // Without optimisation, and an update asks the rules twice.
        assert!(creation < Duration::from_secs(1), "{creation:?}");
        assert!(update < Duration::from_secs(2), "{update:?}");
    }
}
