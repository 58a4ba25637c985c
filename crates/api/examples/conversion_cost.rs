//! What conversion costs: time and memory of one review of many objects, as the API server sends it for a list.
//!
//! `cargo run -p k0smotron-api --release --example conversion_cost [objects]`. Linux only, because it reads `/proc`.

use std::{error::Error, fs, time::Instant};

use k0smotron_api::conversion::answer;
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn Error>> {
    let count = std::env::args().nth(1).map_or(Ok(2000), |count| count.parse())?;
    let started = Instant::now();
    let first = answer(review("v1beta1", vec![control_plane(0)]).to_string().as_bytes())?;
    println!(
        "first object, with reading of all schemas: {:?}, {} KiB resident, {} KiB at most",
        started.elapsed(),
        memory("VmRSS")?,
        memory("VmHWM")?
    );
    drop(first);

    let body = review("v1beta1", (0..count).map(control_plane).collect())
        .to_string()
        .into_bytes();
    let down = measured("v1beta2 to v1beta1", count, &body)?;
    let mut answer: Value = serde_json::from_slice(&down)?;
    let objects = answer.pointer_mut("/response/convertedObjects").map(Value::take);
    drop(answer);
    drop((down, body));
    let body = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview",
        "request": {"uid": "u", "desiredAPIVersion": "controlplane.cluster.x-k8s.io/v1beta2", "objects": objects},
    })
    .to_string()
    .into_bytes();
    drop(objects);
    measured("v1beta1 to v1beta2", count, &body)?;
    Ok(())
}

fn measured(what: &str, count: usize, body: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    // Resets the peak of resident memory (proc(5)).
    fs::write("/proc/self/clear_refs", "5")?;
    let before = memory("VmRSS")?;
    let started = Instant::now();
    let answered = answer(body)?;
    let elapsed = started.elapsed();
    println!(
        "{count} objects {what}: {elapsed:?}, {} KiB asked, {} KiB answered, {} KiB more memory at most",
        body.len() / 1024,
        answered.len() / 1024,
        memory("VmHWM")?.saturating_sub(before)
    );
    Ok(answered)
}

/// A line of `/proc/self/status`, in KiB.
fn memory(line: &str) -> Result<usize, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let value = status
        .lines()
        .find_map(|text| text.strip_prefix(line))
        .ok_or("no such line")?;
    let digits: String = value.chars().filter(char::is_ascii_digit).collect();
    Ok(digits.parse()?)
}

fn review(version: &str, objects: Vec<Value>) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview",
        "request": {"uid": "u", "desiredAPIVersion": format!("controlplane.cluster.x-k8s.io/{version}"), "objects": objects},
    })
}

/// A control plane as it is found in a cluster: with conditions, owners of its fields, and settings that v1beta1 does not have.
fn control_plane(index: usize) -> Value {
    let condition = |name: &str| json!({"type": name, "status": "True", "reason": "AsItShouldBe", "message": "", "observedGeneration": 7, "lastTransitionTime": "2026-01-02T03:04:05Z"});
    let owned = json!({"f:spec": {"f:k0sConfigSpec": {"f:args": {}, "f:files": {}, "f:k0s": {".": {}, "f:spec": {"f:api": {}}}, "f:provisioner": {"f:platform": {}, "f:type": {}}}, "f:machineTemplate": {"f:spec": {"f:infrastructureRef": {}}}, "f:replicas": {}, "f:version": {}}});
    let file =
        |path: &str| json!({"path": path, "permissions": "0644", "content": "line of a file\n".repeat(20)});
    json!({
        "apiVersion": "controlplane.cluster.x-k8s.io/v1beta2",
        "kind": "K0sControlPlane",
        "metadata": {
            "name": format!("control-plane-{index}"), "namespace": format!("team-{}", index % 50), "uid": format!("{index:032x}"),
            "generation": 7, "resourceVersion": "123456", "creationTimestamp": "2026-01-02T03:04:05Z",
            "labels": {"cluster.x-k8s.io/cluster-name": format!("cluster-{index}"), "app.kubernetes.io/managed-by": "gitops"},
            "annotations": {"k0smotron.io/cluster-initialized": "kube-system:0123"},
            "managedFields": [
                {"manager": "gitops", "operation": "Apply", "apiVersion": "controlplane.cluster.x-k8s.io/v1beta2", "fieldsType": "FieldsV1", "fieldsV1": owned},
                {"manager": "k0smotron", "operation": "Update", "subresource": "status", "apiVersion": "controlplane.cluster.x-k8s.io/v1beta2", "fieldsType": "FieldsV1", "fieldsV1": owned},
            ],
        },
        "spec": {
            "replicas": 3, "version": "v1.36.3+k0s.2", "updateStrategy": "InPlace",
            "k0sConfigSpec": {
                "provisioner": {"type": "cloud-config", "platform": "linux", "customUserDataRef": {"secretRef": {"name": "user-data", "key": "value"}}},
                "secretMetadata": {"labels": {"kept": "in the annotation"}},
                "args": ["--enable-worker", "--no-taints", "--disable-components=metrics-server"],
                "preK0sCommands": ["modprobe br_netfilter"], "postK0sCommands": ["true"],
                "files": [file("/etc/a"), file("/etc/b"), file("/etc/c")],
                "k0s": {"apiVersion": "k0s.k0sproject.io/v1beta1", "kind": "ClusterConfig", "spec": {"api": {"extraArgs": {"anonymous-auth": "true"}, "sans": ["a.example.org", "b.example.org"]}, "network": {"provider": "calico", "calico": {"mode": "vxlan"}}}},
            },
            "machineTemplate": {"spec": {"infrastructureRef": {"apiGroup": "infrastructure.cluster.x-k8s.io", "kind": "RemoteMachineTemplate", "name": "hosts"}}},
        },
        "status": {
            "observedGeneration": 7, "replicas": 3, "readyReplicas": 3, "availableReplicas": 3, "upToDateReplicas": 3, "version": "v1.36.3+k0s.2",
            "selector": "cluster.x-k8s.io/cluster-name=c", "initialization": {"controlPlaneInitialized": true},
            "conditions": [condition("Available"), condition("Ready"), condition("ScalingUp"), condition("ScalingDown"), condition("Paused"), condition("MachinesReady")],
        },
    })
}
