//! What a control plane waits for, in words. Pure.

use k0smotron_api::names::{annotations, conditions::reasons};
use k0smotron_k0s::membership::quorum;

use super::{autopilot::PLAN, membership::Wait};

/// Reason: a newcomer is no voter yet.
const WAITING_FOR_MEMBER: &str = "WaitingForMemberToJoin";
/// Reason: a member is leaving.
const WAITING_FOR_LEAVE: &str = "WaitingForMemberToLeave";
/// Reason: too few healthy voters would be left.
const WAITING_FOR_QUORUM: &str = "WaitingForQuorum";
/// Reason: no API server would be left.
const WAITING_FOR_SERVERS: &str = "WaitingForServingControllers";
/// Reason: some members are not healthy.
const WAITING_FOR_HEALTH: &str = "WaitingForHealthyMembers";
/// Reason: the members of etcd have not been asked yet.
const WAITING_FOR_MEMBERS: &str = "WaitingForMembers";
/// Reason: k0s updates controllers in place.
pub const WAITING_FOR_UPDATE: &str = "WaitingForUpdate";
/// Reason: pods are moved away.
const WAITING_FOR_DRAIN: &str = "WaitingForDrain";

/// Reason and message of what is awaited; none where it is said elsewhere.
pub fn said(wait: &Wait) -> Option<(&'static str, String)> {
    Some(match wait {
        Wait::Endpoint | Wait::Certificates | Wait::Template(_) | Wait::Lost | Wait::OtherStorage => {
            return None;
        }
        Wait::Gone { name } => (
            reasons::WAITING_FOR_MACHINES_DELETION,
            format!("Machine {name} goes before anything else changes"),
        ),
        Wait::Drained { name } => (
            WAITING_FOR_DRAIN,
            format!("the pods of Machine {name} are moved away before its member leaves"),
        ),
        Wait::Members(None) => (
            WAITING_FOR_MEMBERS,
            "the members of etcd are being asked".to_owned(),
        ),
        Wait::Members(Some(reason)) => (
            reasons::CONNECTION_DOWN,
            format!(
                "no member is added or removed while the cluster does not answer for its members: {reason}"
            ),
        ),
        Wait::Joined { name } => (
            WAITING_FOR_MEMBER,
            format!("Machine {name} is to join before anything else changes"),
        ),
        Wait::Left { name, message } => {
            let told = if message.is_empty() {
                String::new()
            } else {
                format!(": {message}")
            };
            (WAITING_FOR_LEAVE, format!("member {name} is leaving etcd{told}"))
        }
        Wait::Quorum { name, voters } => (
            WAITING_FOR_QUORUM,
            format!(
                "{} of {} voters are healthy, {} have to be: no change around {name} is safe. Bring the others back; \
                 to give up a Machine that is being deleted, with all that depends on it, remove its annotation {}",
                voters.healthy,
                voters.total(),
                quorum(voters.total()),
                annotations::PRE_TERMINATE_HOOK
            ),
        ),
        Wait::Serving { name } => (
            WAITING_FOR_SERVERS,
            format!(
                "no API server but that of Machine {name} is seen to serve at an address of its Machine: no change around \
                 it is safe. Bring another one up, or remove its annotation {} to give it up all the same",
                annotations::PRE_TERMINATE_HOOK
            ),
        ),
        Wait::Healthy { names } => (
            WAITING_FOR_HEALTH,
            format!(
                "nothing is replaced while members are not healthy: {}. Bring them back, or delete their Machines",
                names.join(", ")
            ),
        ),
        Wait::Updated { plan } => (
            WAITING_FOR_UPDATE,
            format!(
                "no member is added or removed while k0s updates controllers by Plan {PLAN} (id {plan}) of the workload cluster"
            ),
        ),
        Wait::Repair { name, message } => (
            reasons::WAITING_FOR_REMEDIATION,
            format!("Machine {name} is unhealthy: {message}"),
        ),
    })
}
