//! Requests to replace unhealthy Machines (contract 2.8): who asks, whether the limits that the spec sets allow it, what
//! is kept of it, and what is said to those who asked. Pure.
//!
//! Whether a removal is safe is decided in [`super::membership`], and nothing here can overrule that.

use jiff::{SignedDuration, Timestamp};
use k0smotron_api::{
    capi::Machine,
    control_plane::v1beta2::{LastRemediation, Remediation},
    names::{
        annotations,
        conditions::{reasons, types},
        labels,
    },
};
use k0smotron_runtime::conditions::Conditions;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::ResourceExt;
use serde::{Deserialize, Serialize};

use super::{
    decide::Live,
    etcd_health,
    fetch::Inputs,
    membership::{Membership, Wait, Why},
    observed::{Answer, Etcd, Observed, Repair},
    waits,
};

/// Seconds for which a replacement has to be healthy where the spec does not say: an hour, as in Cluster API's own
/// control plane provider.
const MIN_HEALTHY_PERIOD: i32 = 3600;

/// What is kept of a replacement: on the control plane until the new Machine is made, then on that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    /// The Machine that was unhealthy.
    machine: String,
    timestamp: Time,
    /// How often replacements had been replaced before.
    #[serde(default)]
    retry_count: i32,
}

impl Record {
    /// What is not readable, as the `true` of other releases, says nothing.
    fn read(annotation: Option<&String>) -> Option<Self> {
        serde_json::from_str(annotation?).ok()
    }

    fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Due(Record),
    /// Not before this moment.
    Later(Timestamp, String),
    /// Not before somebody changes something.
    Never(String),
    /// The Machine is well, and who asks cannot know.
    Mistaken(String),
}

fn says(machine: &Machine, condition: &str, status: &str) -> bool {
    machine
        .condition(condition)
        .is_some_and(|condition| condition.status == status)
}

/// Whether a MachineHealthCheck asks that the Machine be replaced by its owner.
fn is_requested(machine: &Machine) -> bool {
    says(machine, types::HEALTH_CHECK_SUCCEEDED, "False") && says(machine, types::OWNER_REMEDIATED, "False")
}

/// What becomes of the request to replace the Machine; none without a request.
fn verdict(inputs: &Inputs, etcd: &Etcd, machine: &Machine) -> Option<Verdict> {
    if !is_requested(machine) {
        return None;
    }
    if is_mistaken(inputs, etcd, machine) {
        let message = "the controller serves and is no node of the cluster, by which the MachineHealthCheck measures it: \
                       set its nodeStartupTimeoutSeconds to 0, and check the condition EtcdMemberHealthy instead";
        return Some(Verdict::Mistaken(message.to_owned()));
    }
    let mut record = Record {
        machine: machine.name_any(),
        timestamp: Time(inputs.now),
        retry_count: 0,
    };
    let limits = inputs.plane.spec.remediation.unwrap_or_default();
    Some(
        match Record::read(machine.annotations().get(annotations::REMEDIATION_FOR)) {
            Some(last) if inputs.now < after(last.timestamp.0, healthy_period(limits)) => {
                record.retry_count = last.retry_count;
                retry(record, &last, limits, inputs.now)
            }
            _ => Verdict::Due(record),
        },
    )
}

fn healthy_period(limits: Remediation) -> i32 {
    limits.min_healthy_period_seconds.unwrap_or(MIN_HEALTHY_PERIOD)
}

fn after(time: Timestamp, seconds: i32) -> Timestamp {
    let period = SignedDuration::from_secs(i64::from(seconds));
    time.checked_add(period).unwrap_or(Timestamp::MAX)
}

/// What is allowed for a replacement that is unhealthy too.
fn retry(mut record: Record, last: &Record, limits: Remediation, now: Timestamp) -> Verdict {
    let period = limits.retry_period_seconds.unwrap_or(0);
    let from = after(last.timestamp.0, period);
    if now < from {
        let message = format!(
            "it was made for {}, which was unhealthy too, less than {period} s ago (spec.remediation.retryPeriodSeconds)",
            last.machine
        );
        return Verdict::Later(from, message);
    }
    if let Some(most) = limits.max_retry.filter(|most| record.retry_count >= *most) {
        return Verdict::Never(format!(
            "it was made for {}, which was unhealthy too, after {} retries (spec.remediation.maxRetry is {most}); delete \
             the Machine to have it replaced all the same",
            last.machine, record.retry_count
        ));
    }
    record.retry_count = record.retry_count.saturating_add(1);
    Verdict::Due(record)
}

/// Where controllers are no nodes, a MachineHealthCheck that waits for nodes would replace them all for ever, one after
/// the other.
fn is_mistaken(inputs: &Inputs, etcd: &Etcd, machine: &Machine) -> bool {
    let waits_for_node = machine
        .condition(types::HEALTH_CHECK_SUCCEEDED)
        .is_some_and(|check| check.reason == reasons::NODE_STARTUP_TIMEOUT);
    let node = machine.node_name().is_some()
        || machine
            .labels()
            .contains_key(labels::CONTROL_PLANE_WORKER_ENABLED);
    waits_for_node
        && !node
        && matches!(inputs.answer, Answer::Yes { .. })
        && etcd_health::serves(etcd, &machine.name_any())
}

/// Whether the Machine is to be replaced because it is unhealthy.
pub fn repair(inputs: &Inputs, etcd: &Etcd, machine: &Machine) -> Option<Repair> {
    match verdict(inputs, etcd, machine)? {
        Verdict::Due(_) => Some(Repair::Due),
        // On its way out already, it is waited for.
        Verdict::Later(..) | Verdict::Never(_) if machine.is_deleting() => Some(Repair::Due),
        Verdict::Later(_, message) | Verdict::Never(message) => Some(Repair::Waits(message)),
        Verdict::Mistaken(_) => None,
    }
}

/// When the next request falls due that has to wait.
pub fn next_due(inputs: &Inputs, etcd: &Etcd) -> Option<Timestamp> {
    let times = inputs
        .staying()
        .filter_map(|machine| match verdict(inputs, etcd, machine)? {
            Verdict::Later(time, _) => Some(time),
            Verdict::Due(_) | Verdict::Never(_) | Verdict::Mistaken(_) => None,
        });
    times.min()
}

fn in_progress(inputs: &Inputs) -> Option<&String> {
    inputs
        .plane
        .annotations()
        .get(annotations::REMEDIATION_IN_PROGRESS)
}

/// The record of what a pass replaces, for the control plane, to be written before the Machine is deleted.
pub fn begun(inputs: &Inputs, etcd: &Etcd, membership: &Membership) -> Option<String> {
    let Membership::Delete {
        name,
        why: Why::Unhealthy,
    } = membership
    else {
        return None;
    };
    let machine = inputs
        .machines
        .iter()
        .find(|machine| machine.name_any() == *name)?;
    let Some(Verdict::Due(mut record)) = verdict(inputs, etcd, machine) else {
        return None;
    };
    let made_for = |other: &Machine| {
        Record::read(other.annotations().get(annotations::REMEDIATION_FOR))
            .is_some_and(|record| record.machine == *name)
    };
    if inputs.machines.iter().any(made_for) {
        return None;
    }
    if let Some(other) = Record::read(in_progress(inputs)) {
        if other.machine == *name {
            return None;
        }
        // One new Machine stands for both.
        record.retry_count = record.retry_count.max(other.retry_count);
    }
    Some(record.to_text())
}

/// The record that a new Machine bears: of the one that it is made for.
pub fn made_for(inputs: &Inputs, etcd: &Etcd) -> Option<String> {
    if let Some(kept) = Record::read(in_progress(inputs)) {
        return Some(kept.to_text());
    }
    // One that serves is replaced by one that comes first.
    inputs
        .staying()
        .find_map(|machine| match verdict(inputs, etcd, machine)? {
            Verdict::Due(record) => Some(record.to_text()),
            Verdict::Later(..) | Verdict::Never(_) | Verdict::Mistaken(_) => None,
        })
}

/// Whether the control plane's record is over: its new Machine is there, or none is needed.
pub fn is_over(inputs: &Inputs, membership: &Membership) -> bool {
    let Some(kept) = in_progress(inputs) else {
        return false;
    };
    let taken = |machine: &Machine| machine.annotations().get(annotations::REMEDIATION_FOR) == Some(kept);
    *membership == Membership::Steady || inputs.machines.iter().any(taken)
}

/// The last replacement that anything still tells of.
pub fn last(inputs: &Inputs) -> Option<LastRemediation> {
    let made = inputs
        .machines
        .iter()
        .filter_map(|machine| Record::read(machine.annotations().get(annotations::REMEDIATION_FOR)));
    Record::read(in_progress(inputs))
        .into_iter()
        .chain(made)
        .max_by_key(|record| record.timestamp.0)
        .map(|record| LastRemediation {
            machine: record.machine,
            time: record.timestamp,
            retry_count: record.retry_count,
        })
}

/// What is said to those who asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// The condition OwnerRemediated as it is to be.
    Say(Condition),
    /// The Machine is well again: the condition with this index, and so the request, is taken away.
    Withdraw(usize),
}

/// Replies that Machines do not bear yet, by name of the Machine.
pub fn replies(inputs: &Inputs, observed: &Observed, live: &Live) -> Vec<(String, Reply)> {
    inputs
        .staying()
        .filter_map(|machine| Some((machine.name_any(), reply(inputs, observed, live, machine)?)))
        .collect()
}

fn reply(inputs: &Inputs, observed: &Observed, live: &Live, machine: &Machine) -> Option<Reply> {
    let Some(verdict) = verdict(inputs, &observed.etcd, machine) else {
        let healthy = says(machine, types::HEALTH_CHECK_SUCCEEDED, "True");
        let asked =
            |condition: &Condition| condition.type_ == types::OWNER_REMEDIATED && condition.status == "False";
        let index = machine.conditions().iter().position(asked)?;
        return healthy.then_some(Reply::Withdraw(index));
    };
    let (reason, message) = match verdict {
        Verdict::Due(_) => progress(&machine.name_any(), &live.membership)?,
        Verdict::Later(_, message) => (reasons::REMEDIATION_DEFERRED, message),
        Verdict::Never(message) | Verdict::Mistaken(message) => (reasons::CANNOT_BE_REMEDIATED, message),
    };
    let mut conditions = Conditions::of(machine.conditions(), machine.metadata.generation);
    conditions.set_false(types::OWNER_REMEDIATED, reason, message);
    let wanted = conditions.get(types::OWNER_REMEDIATED)?;
    (machine.condition(types::OWNER_REMEDIATED) != Some(wanted)).then(|| Reply::Say(wanted.clone()))
}

/// How far the replacement of a Machine is; none when that is about to be known.
fn progress(machine: &str, membership: &Membership) -> Option<(&'static str, String)> {
    Some(match membership {
        Membership::Delete { name, .. } if name == machine => {
            (reasons::MACHINE_DELETING, "the Machine is deleted".to_owned())
        }
        Membership::Wait(Wait::Members(None)) => return None,
        Membership::Wait(wait) => {
            let reason = match wait {
                Wait::Quorum { name, .. } | Wait::Serving { name } if name == machine => {
                    reasons::CANNOT_BE_REMEDIATED
                }
                _ => reasons::REMEDIATION_DEFERRED,
            };
            let said = waits::said(wait).map(|(_, message)| message);
            (
                reason,
                said.unwrap_or_else(|| "something else comes first".to_owned()),
            )
        }
        Membership::Create { name, .. } => (
            reasons::REMEDIATION_DEFERRED,
            format!("Machine {name} is made first"),
        ),
        Membership::Delete { name, .. } | Membership::Leave { name } => (
            reasons::REMEDIATION_DEFERRED,
            format!("Machine {name} goes first"),
        ),
        Membership::Steady => (
            reasons::REMEDIATION_DEFERRED,
            "something else comes first".to_owned(),
        ),
    })
}
