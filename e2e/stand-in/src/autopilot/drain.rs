//! Takes pods off a node before its update, as `kubectl drain --force --ignore-daemonsets --delete-emptydir-data` does.

use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{
    Api, Client, ResourceExt as _,
    api::{EvictParams, ListParams, Patch, PatchParams},
};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::api;

/// Longest that the pods of a node may take to go.
const LIMIT: Duration = Duration::from_secs(120);
/// Pause after an eviction that a disruption budget has refused.
const REFUSED_PAUSE: Duration = Duration::from_secs(5);

/// Lets no new pods onto the node and evicts those that are there; an error when they are not gone in time.
pub async fn cordon_and_drain(client: &Client, node: &str) -> Result<()> {
    set_unschedulable(client, node, true).await?;
    let drain = async {
        let parameters = ListParams::default().fields(&format!("spec.nodeName={node}"));
        let pods = Api::<Pod>::all(client.clone()).list(&parameters).await?;
        futures::future::try_join_all(
            pods.iter()
                .filter(|pod| is_evicted(pod))
                .map(|pod| evict(client, pod)),
        )
        .await?;
        Ok(())
    };
    timeout(LIMIT, drain)
        .await
        .with_context(|| format!("the pods of node {node} are not gone in time"))?
}

/// Lets pods onto the node again.
pub async fn uncordon(client: &Client, node: &str) -> Result<()> {
    set_unschedulable(client, node, false).await
}

async fn set_unschedulable(client: &Client, node: &str, unschedulable: bool) -> Result<()> {
    let nodes: Api<Node> = Api::all(client.clone());
    let current = nodes.get(node).await.context("failed to get node")?;
    if current
        .spec
        .and_then(|spec| spec.unschedulable)
        .unwrap_or_default()
        == unschedulable
    {
        return Ok(());
    }
    let patch = json!({"spec": {"unschedulable": unschedulable.then_some(true)}});
    nodes
        .patch(node, &PatchParams::default(), &Patch::Merge(&patch))
        .await?;
    Ok(())
}

/// Pods of DaemonSets would come back at once, and static ones are not the API's to evict.
fn is_evicted(pod: &Pod) -> bool {
    let of_daemon_set = pod
        .owner_references()
        .iter()
        .any(|owner| owner.controller == Some(true) && owner.kind == "DaemonSet");
    !of_daemon_set && !pod.annotations().contains_key("kubernetes.io/config.mirror")
}

async fn evict(client: &Client, pod: &Pod) -> Result<()> {
    let namespace = pod.namespace().unwrap_or_default();
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let name = pod.name_any();
    loop {
        match pods.evict(&name, &EvictParams::default()).await {
            Ok(_) => break,
            Err(error) if api::is_not_found(&error) => return Ok(()),
            Err(kube::Error::Api(status)) if status.code == 429 => sleep(REFUSED_PAUSE).await,
            Err(error) => {
                return Err(error).with_context(|| format!("pod {namespace}/{name} cannot be evicted"));
            }
        }
    }
    while pods
        .get_opt(&name)
        .await?
        .is_some_and(|now| now.uid() == pod.uid())
    {
        sleep(Duration::from_secs(1)).await;
    }
    tracing::info!("evicted pod {namespace}/{name}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(metadata: serde_json::Value) -> Pod {
        serde_json::from_value(json!({"metadata": metadata})).unwrap()
    }

    #[test]
    fn pods_of_daemon_sets_and_static_pods_stay() {
        let owner = |kind: &str| {
            json!({"ownerReferences": [
                {"apiVersion": "apps/v1", "kind": kind, "name": "a", "uid": "b", "controller": true},
            ]})
        };
        assert!(is_evicted(&pod(owner("ReplicaSet"))));
        assert!(
            is_evicted(&pod(json!({}))),
            "nobody makes it again, and it goes nevertheless"
        );
        assert!(!is_evicted(&pod(owner("DaemonSet"))));
        let mirror = json!({"annotations": {"kubernetes.io/config.mirror": "a"}});
        assert!(!is_evicted(&pod(mirror)));
    }
}
