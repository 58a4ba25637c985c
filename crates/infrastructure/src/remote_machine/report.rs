//! What is said of a RemoteMachine: its status, and the events that go with a change of it. Pure.

use k0smotron_api::{
    capi::{MachineAddress, MachineAddressType},
    infrastructure::v1beta2::{Provisioning, RemoteMachine, RemoteMachineStatus},
    names::conditions::{
        reasons::{self, BOOTSTRAP_EXEC_SUCCEEDED as SUCCEEDED},
        types::{BOOTSTRAP_EXEC_SUCCEEDED, HOST_CLEAN, PAUSED, READY, STALLED, UNSUPPORTED},
    },
    unsupported,
};
use k0smotron_runtime::conditions::Conditions;

use super::{decide::Step, observed::Observed};
use crate::host::Problem;

/// What is said of a host that was cleaned up.
pub const CLEAN: &str = "nothing of the machine is left on its host";

/// An event to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub is_warning: bool,
    pub reason: String,
    pub note: String,
}

/// The status of `machine` after `step`.
pub fn status(machine: &RemoteMachine, step: &Step, observed: &Observed) -> RemoteMachineStatus {
    let before = machine.status.clone().unwrap_or_default();
    let generation = machine.metadata.generation;
    let mut conditions = Conditions::of(&before.conditions, generation);
    let mut after = before;
    if let Step::Pause(why) = step {
        conditions.set_true(PAUSED, reasons::PAUSED, why.as_str());
        after.conditions = conditions.into_vec();
        after.observed_generation = generation;
        return after;
    }
    conditions.set_false(PAUSED, reasons::NOT_PAUSED, "");
    match step {
        Step::Wait { reason, message } => not_ready(&mut conditions, reason, message, false),
        Step::Refuse(problem) => failed(&mut conditions, problem),
        Step::Retry { problem, .. } => failed(&mut conditions, problem),
        // What the last attempt failed with stays said until the next one is over.
        Step::Provision { .. } | Step::Provisioning => match observed.provisioning.problem() {
            Some(problem) => failed(&mut conditions, problem),
            None => not_ready(
                &mut conditions,
                reasons::PROVISIONING,
                "the host is being set up",
                false,
            ),
        },
        Step::Publish { .. } => {
            conditions.set_true(BOOTSTRAP_EXEC_SUCCEEDED, SUCCEEDED, "");
            conditions.set_true(READY, reasons::READY, "");
            conditions.set_false(STALLED, reasons::PROGRESSING, "");
            // Never taken back (contract IM5).
            after.initialization = Some(Provisioning {
                provisioned: Some(true),
            });
            after.addresses = vec![MachineAddress {
                type_: MachineAddressType::ExternalIP,
                address: machine.spec.address.clone().unwrap_or_default(),
            }];
            after.failure_domain = machine.spec.failure_domain.clone();
        }
        Step::CleanUp { .. } | Step::CleaningUp => match observed.cleaning.problem() {
            Some(problem) => unclean(&mut conditions, problem),
            None => {
                conditions.set_false(READY, reasons::DELETING, "the host is being cleaned up");
                conditions.set_false(HOST_CLEAN, reasons::CLEANING_UP, "the host is being cleaned up");
            }
        },
        Step::RetryCleanUp { problem, .. } => unclean(&mut conditions, problem),
        Step::CleanedUp => match observed.cleaning.problem() {
            Some(problem) => unclean(&mut conditions, problem),
            None => {
                conditions.set_false(READY, reasons::DELETING, CLEAN);
                conditions.set_true(HOST_CLEAN, reasons::CLEANED_UP, CLEAN);
            }
        },
        // Nothing is said of these: the object changes at once, or is gone.
        Step::Pause(_) | Step::Hold | Step::Claim(_) | Step::Leave | Step::Release { .. } => {}
    }
    // There is no condition for what is supported.
    match unsupported::message(&machine.spec.unsupported()) {
        Some(message) => conditions.set_true(UNSUPPORTED, reasons::UNSUPPORTED, message),
        None => conditions.remove(UNSUPPORTED),
    }
    after.conditions = conditions.into_vec();
    after.observed_generation = generation;
    after
}

fn not_ready(conditions: &mut Conditions, reason: &str, message: &str, stuck: bool) {
    conditions.set_false(BOOTSTRAP_EXEC_SUCCEEDED, reason, message);
    conditions.set_false(READY, reason, message);
    if stuck {
        conditions.set_true(STALLED, reason, message);
    } else {
        conditions.set_false(STALLED, reasons::PROGRESSING, "");
    }
}

fn failed(conditions: &mut Conditions, problem: &Problem) {
    not_ready(conditions, problem.reason, &problem.message, problem.stuck);
}

fn unclean(conditions: &mut Conditions, problem: &Problem) {
    let message = format!("the host cannot be cleaned up yet: {}", problem.message);
    conditions.set_false(READY, problem.reason, message.as_str());
    conditions.set_false(HOST_CLEAN, problem.reason, message);
}

/// The events that tell of the difference between two statuses: each change is told once, however often it is looked at.
pub fn events(before: &RemoteMachineStatus, after: &RemoteMachineStatus) -> Vec<Said> {
    let watched = [BOOTSTRAP_EXEC_SUCCEEDED, HOST_CLEAN];
    watched
        .into_iter()
        .filter_map(|type_| {
            let now = after
                .conditions
                .iter()
                .find(|condition| condition.type_ == type_)?;
            let then = before
                .conditions
                .iter()
                .find(|condition| condition.type_ == type_);
            if then.is_some_and(|then| {
                (&then.status, &then.reason, &then.message) == (&now.status, &now.reason, &now.message)
            }) {
                return None;
            }
            let is_progress = now.status == "True"
                || now.reason.starts_with("WaitingFor")
                || [
                    reasons::PROVISIONING,
                    reasons::CLEANING_UP,
                    reasons::CLUSTER_NOT_FOUND,
                ]
                .contains(&now.reason.as_str());
            let note = if now.message.is_empty() {
                "the host is set up"
            } else {
                now.message.as_str()
            };
            Some(Said {
                is_warning: !is_progress,
                reason: now.reason.clone(),
                note: note.to_owned(),
            })
        })
        // Waiting is normal at the start of every machine, and the condition says it.
        .filter(|said| !said.reason.starts_with("WaitingFor"))
        .collect()
}
