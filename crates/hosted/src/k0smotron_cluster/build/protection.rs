//! What protects the pods: from being drained all at once, and from who has no business with them.

use k0smotron_api::k0smotron::v1beta2::{Budget, Cluster};
use serde_json::{Value, json};

use super::{
    Kind, Object, insert, members, metadata, replicas,
    services::{ETCD_CLIENT, ETCD_PEER},
};
use crate::k0smotron_cluster::names::{self, Component, Names};

/// Disruption budgets. A single pod has none: it would hold up every drain.
pub fn budgets(plane: &Cluster, names: &Names) -> Vec<Object> {
    let disruption = plane.spec.disruption.clone().unwrap_or_default();
    if disruption.budget == Budget::None {
        return Vec::new();
    }
    let budget = |name: String, component, labels: names::Labels, allowed: (&str, Value)| {
        let mut spec = json!({"selector": {"matchLabels": labels}});
        insert(&mut spec, allowed.0, allowed.1);
        let metadata = metadata(plane, names, &name, labels_of(plane, component), component);
        Object {
            kind: Kind::PodDisruptionBudget,
            value: json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata, "spec": spec}),
            name,
        }
    };
    let mut budgets = Vec::new();
    if replicas(plane) > 1 {
        let allowed = match (&disruption.max_unavailable, &disruption.min_available) {
            (None, Some(fewest)) => ("minAvailable", json!(fewest)),
            (most, _) => (
                "maxUnavailable",
                most.as_ref().map_or_else(|| json!(1), |most| json!(most)),
            ),
        };
        let selector = names::k0s_selector(plane);
        budgets.push(budget(names.k0s(), Component::ControlPlane, selector, allowed));
    }
    if members(plane) > 1 {
        // As many as leave a quorum; while one is down for another reason that is none.
        let most = (members(plane) - 1) / 2;
        let selector = names::etcd_selector(plane);
        budgets.push(budget(
            names.etcd(),
            Component::Etcd,
            selector,
            ("maxUnavailable", json!(most)),
        ));
    }
    budgets
}

fn labels_of(plane: &Cluster, component: Component) -> names::Labels {
    match component {
        Component::Etcd => names::etcd_selector(plane),
        _ => names::k0s_selector(plane),
    }
}

/// Who may reach the pods. Clients of etcd authenticate, so they may come from anywhere; peers are pods of etcd, and its
/// health is for the kubelet alone, which no policy keeps out.
pub fn policies(plane: &Cluster, names: &Names) -> Vec<Object> {
    let selector = names::etcd_selector(plane);
    let metadata = metadata(plane, names, &names.etcd(), selector.clone(), Component::Etcd);
    let spec = json!({
        "podSelector": {"matchLabels": selector},
        "policyTypes": ["Ingress"],
        "ingress": [
            {"ports": [{"port": ETCD_CLIENT, "protocol": "TCP"}]},
            {"from": [{"podSelector": {"matchLabels": selector}}], "ports": [{"port": ETCD_PEER, "protocol": "TCP"}]},
        ],
    });
    vec![Object {
        kind: Kind::NetworkPolicy,
        name: names.etcd(),
        value: json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec}),
    }]
}
