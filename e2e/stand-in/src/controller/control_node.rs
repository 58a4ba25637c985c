//! The ControlNode of this controller, named by `AUTOPILOT_HOSTNAME` or the host name.

use std::time::Duration;

use anyhow::Result;
use kube::{
    Client,
    api::{Patch, PatchParams, PostParams},
    core::GroupVersionKind,
};
use serde_json::json;
use tokio::time::sleep;

use super::objects;
use crate::{
    api,
    autopilot::{MODE_ANNOTATION, MODE_CONTROLLER, MODE_CONTROLLER_WORKER},
    paths::k0s_version,
};

/// What the ControlNode says.
pub struct ControlNode {
    pub name: String,
    /// Name of the node on the same host; the ControlNode's own when there is none.
    pub node_name: String,
    pub address: String,
    pub workloads: bool,
}

impl ControlNode {
    /// Creates the object, or refreshes the status of the one that is there; tries until it succeeds.
    pub async fn publish(&self, client: &Client) {
        loop {
            match self.try_publish(client).await {
                Ok(()) => return,
                Err(error) => tracing::warn!("ControlNode {} is not published: {error:#}", self.name),
            }
            sleep(Duration::from_secs(1)).await;
        }
    }

    async fn try_publish(&self, client: &Client) -> Result<()> {
        objects::wait_established(client, "controlnodes.autopilot.k0sproject.io").await?;
        let kind = GroupVersionKind::gvk("autopilot.k0sproject.io", "v1beta2", "ControlNode");
        let nodes = api::dynamic(client, &kind, None);
        if nodes.get_opt(&self.name).await?.is_none() {
            let object = json!({
                "apiVersion": kind.api_version(),
                "kind": kind.kind,
                "metadata": {
                    "name": self.name,
                    "labels": {
                        "kubernetes.io/hostname": self.node_name,
                        "kubernetes.io/os": "linux",
                        "kubernetes.io/arch": architecture(),
                    },
                    "annotations": {
                        MODE_ANNOTATION: if self.workloads { MODE_CONTROLLER_WORKER } else { MODE_CONTROLLER },
                    },
                },
            });
            nodes
                .create(&PostParams::default(), &serde_json::from_value(object)?)
                .await?;
        }
        let status = json!({"status": {
            "addresses": [
                {"type": "InternalIP", "address": self.address},
                {"type": "Hostname", "address": self.node_name},
            ],
            "k0sVersion": k0s_version(),
        }});
        nodes
            .patch_status(&self.name, &PatchParams::default(), &Patch::Merge(&status))
            .await?;
        Ok(())
    }
}

/// Go's name of this machine's architecture.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
