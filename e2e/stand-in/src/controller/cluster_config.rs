//! Where the cluster-wide configuration comes from: the file, or with `--enable-dynamic-config` the object
//! `kube-system/k0s`, which is made from the file once and followed from then on.

use anyhow::Result;
use futures::TryStreamExt as _;
use kube::{
    Client,
    api::PostParams,
    core::GroupVersionKind,
    runtime::{WatchStreamExt as _, watcher},
};
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use super::objects;
use crate::{
    api,
    config::{NodeConfig, Spec, parse_spec},
};

fn kind() -> GroupVersionKind {
    GroupVersionKind::gvk("k0s.k0sproject.io", "v1beta1", "ClusterConfig")
}

/// Makes the kind and the object when this controller leads, and waits for another one to make them otherwise.
pub async fn ensure(
    client: &Client,
    node: &NodeConfig,
    crds: &[Value],
    leading: &watch::Receiver<bool>,
) -> Result<()> {
    let api = api::dynamic(client, &kind(), Some("kube-system"));
    loop {
        if *leading.borrow() {
            objects::apply_crds(client, crds).await?;
            let object = serde_json::from_value(node.cluster_wide())?;
            match api.create(&PostParams::default(), &object).await {
                Ok(_) => return Ok(()),
                Err(kube::Error::Api(status)) if status.is_already_exists() => return Ok(()),
                Err(error) => tracing::debug!("the cluster configuration is not there yet: {error}"),
            }
        } else if matches!(api.get_opt("k0s").await, Ok(Some(_))) {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
}

/// Sends every valid state of the object, the present one first.
pub async fn follow(client: Client, changes: mpsc::Sender<Spec>) {
    let api = api::dynamic(&client, &kind(), Some("kube-system"));
    let config = watcher::Config::default().fields("metadata.name=k0s");
    let mut events = std::pin::pin!(watcher(api, config).default_backoff().applied_objects());
    loop {
        match events.try_next().await {
            Ok(Some(object)) => {
                let given = object
                    .data
                    .get("spec")
                    .and_then(Value::as_object)
                    .cloned()
                    .unwrap_or_default();
                match parse_spec(&given) {
                    Ok(spec) => {
                        if changes.send(spec).await.is_err() {
                            return;
                        }
                    }
                    Err(error) => tracing::error!("failed to validate cluster configuration: {error:#}"),
                }
            }
            Ok(None) => return,
            Err(error) => tracing::debug!("watching the cluster configuration: {error}"),
        }
    }
}
