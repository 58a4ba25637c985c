//! What is true of the members of etcd, as conditions (contract C10). Pure.

use k0smotron_api::names::conditions::{reasons, types};
use k0smotron_runtime::conditions::Conditions;

use super::observed::{Etcd, Observed};

/// Reason: every member is healthy.
const HEALTHY: &str = "Healthy";
/// Reason: some member is not.
const NOT_HEALTHY: &str = "NotHealthy";

/// Whether the controller of a Machine serves, as far as is known: where its member was asked for, that one is healthy.
pub fn serves(observed: &Observed, machine: &str) -> bool {
    match &observed.etcd {
        Etcd::Members { members, .. } => members
            .iter()
            .any(|member| member.name == machine && member.ready),
        Etcd::Unknown(_) | Etcd::Elsewhere => true,
    }
}

/// Says whether the members are healthy, and whether unhealthy Machines are being replaced.
pub fn say(observed: &Observed, conditions: &mut Conditions) {
    match &observed.etcd {
        Etcd::Members { members, .. } => {
            let ill: Vec<_> = members
                .iter()
                .filter(|member| !member.left && !member.ready)
                .map(|member| member.name.as_str())
                .collect();
            match ill.is_empty() {
                true => conditions.set_true(types::ETCD_CLUSTER_HEALTHY, HEALTHY, ""),
                false => conditions.set_false(
                    types::ETCD_CLUSTER_HEALTHY,
                    NOT_HEALTHY,
                    format!("not healthy: {}", ill.join(", ")),
                ),
            }
        }
        // Not asked for since: one that was never asked for says nothing.
        Etcd::Unknown(reason) if conditions.get(types::ETCD_CLUSTER_HEALTHY).is_some() => {
            conditions.set_unknown(
                types::ETCD_CLUSTER_HEALTHY,
                reasons::INSPECTION_FAILED,
                reason.as_str(),
            );
        }
        Etcd::Unknown(_) | Etcd::Elsewhere => {}
    }
    let repaired: Vec<_> = observed
        .active()
        .filter(|machine| machine.repair.is_some())
        .map(|machine| machine.name.as_str())
        .collect();
    match repaired.is_empty() {
        true => conditions.set_false(types::REMEDIATING, reasons::NOT_REMEDIATING, ""),
        false => conditions.set_true(
            types::REMEDIATING,
            reasons::REMEDIATING,
            format!("unhealthy: {}", repaired.join(", ")),
        ),
    }
}
