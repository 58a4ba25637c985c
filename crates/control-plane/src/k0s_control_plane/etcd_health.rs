//! What is true of the members of etcd, as conditions (contract C10). Pure.

use k0smotron_api::names::conditions::{reasons, types};
use k0smotron_runtime::conditions::Conditions;

use super::observed::{Answer, Etcd, Observed, Repair};

/// Reason: every member is healthy.
const HEALTHY: &str = "Healthy";
/// Reason: some member is not.
const NOT_HEALTHY: &str = "NotHealthy";

/// Whether the controller of a Machine serves, as far as is known: where its member was asked for, that one is healthy.
pub fn serves(etcd: &Etcd, machine: &str) -> bool {
    match etcd {
        Etcd::Members { members, .. } | Etcd::Shared { members, .. } => members
            .iter()
            .any(|member| member.name == machine && member.ready),
        Etcd::Unknown(_) | Etcd::Elsewhere => true,
    }
}

/// Sets the condition EtcdMemberHealthy of a Machine; leaves it as it is where nothing was found out.
pub fn say_of(machine: &str, observed: &Observed, conditions: &mut Conditions) {
    let type_ = types::ETCD_MEMBER_HEALTHY;
    match (&observed.etcd, &observed.answer) {
        (Etcd::Members { members, .. }, _) => match members.iter().find(|member| member.name == machine) {
            Some(member) if member.left => {
                conditions.set_false(type_, NOT_HEALTHY, "it has left etcd");
            }
            Some(member) if member.ready => conditions.set_true(type_, HEALTHY, ""),
            Some(_) => {
                let message =
                    "the API server beside it does not answer, or says that it gets no answer from it";
                conditions.set_false(type_, NOT_HEALTHY, message);
            }
            None => {
                conditions.set_unknown(type_, reasons::INSPECTION_FAILED, "it is no member of etcd yet");
            }
        },
        // The API server answers from the only etcd that there is.
        (Etcd::Unknown(_), Answer::Yes { .. }) if observed.exists && observed.machines.len() == 1 => {
            conditions.set_true(type_, HEALTHY, "");
        }
        (Etcd::Unknown(_), Answer::No(reason)) if conditions.get(type_).is_some() => {
            conditions.set_unknown(type_, reasons::INSPECTION_FAILED, reason.as_str());
        }
        (Etcd::Unknown(_) | Etcd::Shared { .. } | Etcd::Elsewhere, _) => {}
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
        Etcd::Unknown(_) | Etcd::Shared { .. } | Etcd::Elsewhere => {}
    }
    let repaired: Vec<_> = observed
        .machines
        .iter()
        .filter_map(|machine| match machine.repair.as_ref()? {
            Repair::Due => Some(machine.name.clone()),
            Repair::Waits(message) => Some(format!("{} ({message})", machine.name)),
        })
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
