//! Small duties of the leading controller: the `kubernetes` endpoint when the API has an external address, and the
//! role label of nodes.

use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Node;
use kube::{
    Api, Client, ResourceExt as _,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::json;
use tokio::{sync::watch, time::sleep};

use crate::{api, config::Api as ApiSpec};

/// Label that k0s gives its own nodes; its value becomes the node's role.
pub const ROLE_LABEL: &str = "node.k0sproject.io/role";
const ROLE_PREFIX: &str = "node-role.kubernetes.io/";

/// Points the `kubernetes` endpoint at the external address, every ten seconds.
pub async fn run(client: Client, spec: ApiSpec, leading: watch::Receiver<bool>) {
    loop {
        sleep(Duration::from_secs(10)).await;
        if *leading.borrow()
            && let Err(error) = reconcile(&client, &spec).await
        {
            tracing::warn!("external API address reconciliation failed: {error:#}");
        }
    }
}

async fn reconcile(client: &Client, spec: &ApiSpec) -> Result<()> {
    let host = spec.external_host();
    let mut addresses: Vec<String> = tokio::net::lookup_host((host, spec.external_port()))
        .await
        .with_context(|| format!("{host} cannot be resolved"))?
        .filter(std::net::SocketAddr::is_ipv4)
        .map(|address| address.ip().to_string())
        .collect();
    addresses.sort();
    addresses.dedup();
    let wanted = json!({
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": "kubernetes", "namespace": "default"},
        "subsets": [{
            "addresses": addresses.iter().map(|ip| json!({"ip": ip})).collect::<Vec<_>>(),
            "ports": [{"name": "https", "protocol": "TCP", "port": spec.external_port()}],
        }],
    });
    api::apply(client, &wanted).await?;
    Ok(())
}

/// Gives every node that k0s labelled with a role the role label that kubectl shows, every minute.
pub async fn label_roles(client: Client) {
    loop {
        sleep(Duration::from_secs(60)).await;
        if let Err(error) = label_once(&client).await {
            tracing::warn!("node roles cannot be set: {error:#}");
        }
    }
}

async fn label_once(client: &Client) -> Result<()> {
    let nodes: Api<Node> = Api::all(client.clone());
    for node in nodes.list(&ListParams::default()).await? {
        let labels = node.labels();
        if labels.keys().any(|key| key.starts_with(ROLE_PREFIX)) {
            continue;
        }
        if let Some(role) = labels.get(ROLE_LABEL) {
            let key = format!("{ROLE_PREFIX}{role}");
            let patch = json!({"metadata": {"labels": {key: "true"}}});
            nodes
                .patch(&node.name_any(), &PatchParams::default(), &Patch::Merge(&patch))
                .await?;
        }
    }
    Ok(())
}
