//! JoinTokenRequest.

use serde_json::{Value, json};

use super::super::rules::{KindRules, Move, Part, Rules, get, set, take};
use super::hosted::require_reconciliation_status;

/// Namespace of the cluster, for requests that were written at v1beta1, where another one than the request's own could be given.
const NAMESPACE: &str = "k0smotron.io/cluster-ref-namespace";

pub(super) const KINDS: &[KindRules] = &[KindRules {
    group: "k0smotron.io",
    kind: "JoinTokenRequest",
    parts: &[("spec", &SPEC), ("status", &STATUS)],
    annotations: &[NAMESPACE],
}];

const SPEC: Rules = Rules {
    moves: &[Move::new("clusterRef.name", "clusterName")],
    up: |part| {
        part.annotations.remove(NAMESPACE);
        if let Some(Value::String(namespace)) = take(part.object, "clusterRef.namespace")
            && !namespace.is_empty()
        {
            part.annotations.insert(NAMESPACE.to_owned(), namespace.into());
        }
    },
    down: namespace_down,
    ..Rules::NONE
};

/// v1beta1 requires the namespace; empty stands for the request's own.
fn namespace_down(part: &mut Part<'_>) {
    let namespace = part.annotations.remove(NAMESPACE);
    if namespace.is_some() || get(part.object, "clusterRef").is_some() {
        let namespace = namespace.unwrap_or_else(|| json!(""));
        let _ = set(part.object, "clusterRef.namespace", namespace);
    }
}

const STATUS: Rules = Rules {
    moves: &[
        Move::new("clusterUID", "deprecated.v1beta1.clusterUID"),
        Move::new("reconciliationStatus", "deprecated.v1beta1.reconciliationStatus"),
    ],
    down: require_reconciliation_status,
    ..Rules::NONE
};
