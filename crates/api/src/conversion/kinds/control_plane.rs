//! K0sControlPlane and its template, and the status that both kinds of control planes share.

use serde_json::Value;

use super::super::rules::{KindRules, Move, Object, Part, Rules, get, set};
use super::bootstrap::CONTROLLER;

pub(super) const KINDS: &[KindRules] = &[
    KindRules {
        group: "controlplane.cluster.x-k8s.io",
        kind: "K0sControlPlane",
        parts: &[("spec.k0sConfigSpec", &CONTROLLER), ("status", &STATUS)],
        ..KindRules::NONE
    },
    KindRules {
        group: "controlplane.cluster.x-k8s.io",
        kind: "K0sControlPlaneTemplate",
        parts: &[("spec.template.spec.k0sConfigSpec", &CONTROLLER)],
        ..KindRules::NONE
    },
];

/// Both versions count the same machines or pods; v1beta1 counts those that are not available, v1beta2 those that are.
pub(super) const STATUS: Rules = Rules {
    moves: &[Move::new("updatedReplicas", "upToDateReplicas")],
    computed: &[
        ("initialized", "initialization.controlPlaneInitialized"),
        ("unavailableReplicas", "availableReplicas"),
    ],
    up: |part| {
        // The original wrote both fields and read this one.
        if let Some(initialized @ Value::Bool(_)) = part.object.get("initialized").cloned() {
            let _ = set(part.object, INITIALIZED, initialized);
        }
        complement(part.object, "unavailableReplicas", "availableReplicas");
    },
    down: status_down,
    ..Rules::NONE
};

const INITIALIZED: &str = "initialization.controlPlaneInitialized";

fn status_down(part: &mut Part<'_>) {
    let status = &mut *part.object;
    let initialized = get(status, INITIALIZED).cloned().unwrap_or(Value::Bool(false));
    status.insert("initialized".to_owned(), initialized);
    let ready = count(status, "readyReplicas").is_some_and(|ready| ready > 0);
    status.insert("ready".to_owned(), ready.into());
    complement(status, "availableReplicas", "unavailableReplicas");
}

/// Writes how many of the replicas are left when those of one field are taken away.
fn complement(status: &mut Object, from: &str, to: &str) {
    if let Some(replicas) = count(status, "replicas") {
        let part = count(status, from).unwrap_or(0);
        let rest = replicas.saturating_sub(part).max(0);
        status.insert(to.to_owned(), rest.into());
    }
}

fn count(status: &Object, field: &str) -> Option<i64> {
    status.get(field)?.as_i64()
}
