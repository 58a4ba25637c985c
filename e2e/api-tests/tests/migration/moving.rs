//! `clusterctl move` between two planes, with the webhooks of both.
//!
//! What belongs to the cluster is paused one by one: what is looked at is whether all arrives with what cannot be found out again. What the managers make of it on the
//! other side is told where there are machines.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use k0smotron_api::names::annotations;
use k0smotron_e2e_api_tests::served::{api_of, apply, missing, namespace, store};
use k0smotron_e2e_plane::manifests;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, ResourceExt,
    api::{DynamicObject, PostParams},
};
use serde_json::{Value, json};

use super::planes::{ours, with_planes};

const FROM: u8 = 97;
const TO: u8 = 98;
const NAMESPACE: &str = "fleet";

/// What is kept on objects because nobody could find it out again.
fn pins(kind: &str) -> Value {
    match kind {
        "K0sControlPlane" => {
            json!({annotations::CLUSTER_INITIALIZED: "kube-system:0d2b6b9e", annotations::MACHINE_SEQUENCE: "7"})
        }
        "RemoteMachine" => json!({annotations::SSH_HOST_KEY: "SHA256:aaaa", annotations::INSTALL_ID: "1f0c"}),
        "PooledRemoteMachine" => {
            json!({
                annotations::SSH_HOST_KEY: "SHA256:bbbb",
                annotations::SSH_JUMP_HOST_KEYS: "bastion:22 SHA256:cccc",
                annotations::RESERVED_BY: "demo-x7k2p",
            })
        }
        _ => json!({}),
    }
}

/// A cluster with one controller and one worker, and the host in the pool; paused, pinned, and every node there.
fn documents() -> Vec<Value> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/cli/tests/clusters/2.1.yaml");
    let mut documents = manifests::documents(&fs::read_to_string(file).unwrap()).unwrap();
    documents.push(json!({
        "apiVersion": "infrastructure.cluster.x-k8s.io/v1beta2", "kind": "PooledRemoteMachine", "metadata": {"name": "host-1"},
        "spec": {"pool": "controllers", "machine": {"address": "192.0.2.11", "sshKeyRef": {"name": "ssh-key"}}},
    }));
    for document in &mut documents {
        let kind = document["kind"].as_str().unwrap().to_owned();
        let annotations = document["metadata"]
            .as_object_mut()
            .unwrap()
            .entry("annotations")
            .or_insert_with(|| json!({}));
        // clusterctl pauses the Cluster itself.
        if kind != "Cluster" {
            annotations["cluster.x-k8s.io/paused"] = json!("");
        }
        annotations
            .as_object_mut()
            .unwrap()
            .extend(pins(&kind).as_object().unwrap().clone());
        let condition = |type_: &str| json!([{"type": type_, "status": "True", "reason": type_, "message": "", "lastTransitionTime": "2026-05-01T00:00:00Z"}]);
        match kind.as_str() {
            "Cluster" => document["status"]["conditions"] = condition("ControlPlaneInitialized"),
            "Machine" => document["status"]["nodeRef"] = json!({"name": document["metadata"]["name"]}),
            _ => {}
        }
    }
    documents
}

/// Stores the object below its owner as that is here; without one below the Cluster, as Cluster API would have it.
async fn store_owned(client: &Client, document: &Value) -> Result<()> {
    let mut document = document.clone();
    if !["Cluster", "PooledRemoteMachine"].contains(&document["kind"].as_str().unwrap()) {
        let cluster = json!([{"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Cluster", "name": "demo"}]);
        let metadata = document["metadata"].as_object_mut().unwrap();
        let owners = metadata.entry("ownerReferences").or_insert(cluster);
        for owner in owners.as_array_mut().unwrap() {
            let found = api_of(client, owner, NAMESPACE)?
                .get(owner["name"].as_str().unwrap())
                .await?;
            owner["uid"] = json!(found.uid());
        }
    }
    store(client, &document, NAMESPACE, "gitops").await
}

async fn find(client: &Client, document: &Value) -> Result<Option<DynamicObject>> {
    let name = document["metadata"]["name"].as_str().unwrap();
    Ok(api_of(client, document, NAMESPACE)?.get_opt(name).await?)
}

/// The webhooks answer: no schema knows that this version is too old for a new cluster.
async fn assert_guarded(client: &Client) -> Result<()> {
    let mut plane = documents()
        .into_iter()
        .find(|document| document["kind"] == "K0sControlPlane")
        .unwrap();
    plane["metadata"] = json!({"name": "too-old"});
    plane["spec"]["version"] = json!("v1.30.0+k0s.0");
    plane.as_object_mut().unwrap().remove("status");
    let refused = apply(client, &plane, NAMESPACE, "test").await.unwrap_err();
    ensure!(format!("{refused:#}").contains("v1.31.6"), "{refused:#}");
    Ok(())
}

async fn scenario(state: PathBuf) -> Result<()> {
    let (from, clusterctl) = ours(&state, FROM).await?;
    let (to, _) = ours(&state, TO).await?;
    let (source, target) = (from.client()?, to.client()?);
    namespace(&source, NAMESPACE).await?;
    for document in documents() {
        store_owned(&source, &document)
            .await
            .with_context(|| document.to_string())?;
    }
    let secret: Secret = serde_json::from_value(json!({
        "metadata": {"name": "demo-ca", "labels": {"cluster.x-k8s.io/cluster-name": "demo"}}, "type": "cluster.x-k8s.io/secret",
        "stringData": {"tls.crt": "certificate"},
    }))?;
    let secrets: Api<Secret> = Api::namespaced(source.clone(), NAMESPACE);
    secrets.create(&PostParams::default(), &secret).await?;
    assert_guarded(&source).await?;

    let kubeconfig = to.kubeconfig().display().to_string();
    clusterctl
        .run(&["move", "-n", NAMESPACE, "--to-kubeconfig", &kubeconfig])
        .await?;

    for document in documents() {
        let title = format!("{} {}", document["kind"], document["metadata"]["name"]);
        ensure!(
            find(&source, &document).await?.is_none(),
            "{title} is still where it was"
        );
        let arrived = find(&target, &document)
            .await?
            .with_context(|| format!("{title} is lost"))?;
        let pins = pins(document["kind"].as_str().unwrap());
        for (key, value) in pins.as_object().unwrap() {
            let arrived = arrived.annotations().get(key).map(String::as_str);
            ensure!(arrived == value.as_str(), "{title}: {key}: {arrived:?}");
        }
        let lost = missing(&document["spec"], &arrived.data["spec"]);
        ensure!(lost.is_none(), "{title}: spec{}", lost.unwrap_or_default());
    }
    let secrets: Api<Secret> = Api::namespaced(target.clone(), NAMESPACE);
    secrets.get("demo-ca").await?;
    assert_guarded(&target).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clusterctl_moves_a_cluster_with_its_pins() -> Result<()> {
    with_planes(&[FROM, TO], scenario).await
}
