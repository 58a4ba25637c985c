//! The objects that carry signals: ControlNodes for controllers, Nodes for workers.

use std::collections::BTreeMap;

use anyhow::Result;
use kube::{
    Api, Client, ResourceExt as _,
    api::{DynamicObject, ListParams, Patch, PatchParams},
    core::GroupVersionKind,
};
use serde_json::{Value, json};

use super::{MODE_ANNOTATION, MODE_CONTROLLER_WORKER, signal::Signal};
use crate::api;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalKind {
    ControlNode,
    Node,
}

/// Signal nodes of one kind by name.
pub type SignalNodes = BTreeMap<String, SignalNode>;

/// What autopilot reads of a node's object.
#[derive(Clone, Debug, Default)]
pub struct SignalNode {
    /// `os-architecture`, when the labels say both.
    pub platform: Option<String>,
    pub signal: Option<Signal>,
    /// Condition `Ready` of a Node.
    pub ready: bool,
    /// First internal address of a ControlNode.
    pub internal_address: Option<String>,
    /// Name of the Node whose pods have to go before an update; none for a controller without pods.
    pub node_name: Option<String>,
    pub resource_version: Option<String>,
}

impl SignalKind {
    pub fn api(self, client: &Client) -> Api<DynamicObject> {
        let kind = match self {
            Self::ControlNode => GroupVersionKind::gvk("autopilot.k0sproject.io", "v1beta2", "ControlNode"),
            Self::Node => GroupVersionKind::gvk("", "v1", "Node"),
        };
        api::dynamic(client, &kind, None)
    }

    pub async fn list(self, client: &Client, parameters: &ListParams) -> Result<SignalNodes, kube::Error> {
        let objects = self.api(client).list(parameters).await?;
        Ok(objects
            .iter()
            .map(|object| (object.name_any(), self.parse(object)))
            .collect())
    }

    pub fn parse(self, object: &DynamicObject) -> SignalNode {
        let label = |name: &str| object.labels().get(name).map(String::as_str);
        let platform = label("kubernetes.io/os").zip(label("kubernetes.io/arch"));
        let entries = |path: &str| {
            object
                .data
                .pointer(path)
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default()
        };
        let addresses = entries("/status/addresses");
        let address = |kind: &str| {
            let found = addresses
                .iter()
                .find(|address| address.get("type").is_some_and(|found| found == kind))?;
            found.get("address")?.as_str().map(str::to_owned)
        };
        let node_name = match self {
            Self::Node => Some(object.name_any()),
            Self::ControlNode => {
                let mode = object.annotations().get(MODE_ANNOTATION);
                let has_pods = mode.is_some_and(|mode| mode == MODE_CONTROLLER_WORKER);
                has_pods.then(|| address("Hostname").unwrap_or_else(|| object.name_any()))
            }
        };
        SignalNode {
            platform: platform.map(|(system, architecture)| format!("{system}-{architecture}")),
            signal: Signal::read(object.annotations()),
            ready: entries("/status/conditions").iter().any(|condition| {
                condition.get("type").is_some_and(|kind| kind == "Ready")
                    && condition.get("status").is_some_and(|status| status == "True")
            }),
            internal_address: address("InternalIP"),
            node_name,
            resource_version: object.resource_version(),
        }
    }

    /// Writes a signal onto the object as it was read; a conflict when it has changed since.
    pub async fn write(
        self,
        client: &Client,
        name: &str,
        resource_version: Option<&str>,
        signal: &Signal,
    ) -> Result<(), kube::Error> {
        let patch = json!({"metadata": {
            "resourceVersion": resource_version,
            "annotations": signal.annotations(),
        }});
        self.api(client)
            .patch(name, &PatchParams::default(), &Patch::Merge(&patch))
            .await
            .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control_node(mode: &str) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "autopilot.k0sproject.io/v1beta2",
            "kind": "ControlNode",
            "metadata": {
                "name": "machine-1",
                "labels": {"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"},
                "annotations": {MODE_ANNOTATION: mode},
            },
            "status": {"addresses": [
                {"type": "InternalIP", "address": "10.0.0.5"},
                {"type": "Hostname", "address": "node-1"},
            ]},
        }))
        .unwrap()
    }

    #[test]
    fn a_control_node_names_its_platform_address_and_the_node_beside_it() {
        let node = SignalKind::ControlNode.parse(&control_node(MODE_CONTROLLER_WORKER));
        assert_eq!(node.platform.as_deref(), Some("linux-amd64"));
        assert_eq!(node.internal_address.as_deref(), Some("10.0.0.5"));
        assert_eq!(node.node_name.as_deref(), Some("node-1"));
        assert_eq!(node.signal, None);
    }

    #[test]
    fn a_controller_without_pods_has_nothing_to_drain() {
        assert_eq!(
            SignalKind::ControlNode
                .parse(&control_node("controller"))
                .node_name,
            None
        );
    }
}
