//! What is to be done about a RemoteMachine. Pure and total.

use std::{sync::Arc, time::Duration};

use k0smotron_api::{
    capi::Machine,
    infrastructure::v1beta2::PooledRemoteMachine,
    names::{
        annotations,
        conditions::reasons::{
            CLUSTER_NOT_FOUND, HOST_IN_USE, MISSING_FIELDS, NO_FREE_HOST, UNSUPPORTED,
            WAITING_FOR_BOOTSTRAP_DATA, WAITING_FOR_CLUSTER_INFRASTRUCTURE_READY, WAITING_FOR_OWNER,
        },
        finalizers,
    },
    unsupported,
};
use kube::ResourceExt;

use super::{
    access,
    attempts::Next,
    observed::{Data, Observed},
    peers, plan, trust,
};
use crate::{
    host::Problem,
    pool::{self, Choice},
};

/// For how long after the request a clean-up that fails is begun again: long enough for a reboot of the host.
const CLEANING: Duration = Duration::from_secs(3 * 60);
/// The same while the whole cluster goes, when nobody waits for the host's node.
const CLEANING_WITH_CLUSTER: Duration = Duration::from_secs(60);

/// One step. Those above the line change the object and are followed by another look at it.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Put the finalizer on: from now on there may be something to clean up.
    Hold,
    /// Take this host of the pool (`None`: the one in the spec), under an install id.
    Claim(Option<Arc<PooledRemoteMachine>>),
    // ----
    /// Not ours, or not any more.
    Leave,
    /// Nothing may be done, because of this.
    Pause(String),
    /// Something is awaited that comes by itself.
    Wait { reason: &'static str, message: String },
    /// Somebody has to change something.
    Refuse(Problem),
    /// Begin this attempt to set the host up.
    Provision { number: u32 },
    /// An attempt is under way.
    Provisioning,
    /// The last attempt failed; the next one is due after this time.
    Retry { problem: Problem, after: Duration },
    /// The host is set up: tell Cluster API. The entry is given when its reservation was lost.
    Publish {
        reserve: Option<Arc<PooledRemoteMachine>>,
    },
    /// Begin this attempt to clean the host up.
    CleanUp { number: u32 },
    /// An attempt is under way.
    CleaningUp,
    /// The last attempt failed; the next one is due after this time.
    RetryCleanUp { problem: Problem, after: Duration },
    /// The host is clean already; Cluster API is about to delete the object.
    CleanedUp,
    /// Give the host back and let the object go. `left`: why the host is not known to be clean.
    Release { left: Option<Problem> },
}

impl Step {
    fn wait(reason: &'static str, message: impl Into<String>) -> Self {
        Self::Wait {
            reason,
            message: message.into(),
        }
    }
}

/// The next step.
pub fn decide(observed: &Observed) -> Step {
    let machine = &observed.machine;
    let held = machine
        .finalizers()
        .iter()
        .any(|name| name == finalizers::REMOTE_MACHINE);
    if machine.metadata.deletion_timestamp.is_some() && !held {
        return Step::Leave;
    }
    if let Some(why) = &observed.paused {
        return Step::Pause(why.clone());
    }
    if machine.metadata.deletion_timestamp.is_some() {
        return clean_up(observed);
    }
    if held && observed.is_going {
        // Everything but the last step, which is for an object that is being deleted.
        return match clean_up(observed) {
            Step::Release { .. } => Step::CleanedUp,
            step => step,
        };
    }
    let owner = match &observed.owner {
        None => {
            return Step::wait(
                WAITING_FOR_OWNER,
                "waiting for a Machine whose infrastructureRef names this object",
            );
        }
        Some((name, None)) => {
            return Step::wait(
                WAITING_FOR_OWNER,
                format!("waiting for Machine {name}, which does not exist"),
            );
        }
        Some((_, Some(owner))) => owner,
    };
    let Some(cluster) = &observed.cluster else {
        let message = format!(
            "waiting for Cluster {}, which does not exist",
            owner.spec.cluster_name
        );
        return Step::wait(CLUSTER_NOT_FOUND, message);
    };
    let is_provisioned = machine
        .spec
        .provider_id
        .as_deref()
        .is_some_and(|id| !id.is_empty());
    let is_provisioned = is_provisioned || is_adopted(observed, owner);
    // A host that is set up stays a machine: nothing is done to it before it goes.
    if !is_provisioned && let Some(message) = unsupported::message(&machine.spec.unsupported()) {
        return Step::Refuse(Problem::lasting(UNSUPPORTED, message));
    }
    if !held {
        return Step::Hold;
    }
    if is_provisioned {
        return Step::Publish {
            reserve: lost_reservation(observed),
        };
    }
    if !cluster.infrastructure_provisioned() && !observed.nothing_to_provision {
        let message = format!("waiting for the infrastructure of Cluster {}", cluster.name_any());
        return Step::wait(WAITING_FOR_CLUSTER_INFRASTRUCTURE_READY, message);
    }
    match &observed.data {
        Data::Unread => {
            let message = format!("waiting for the bootstrap data of Machine {}", owner.name_any());
            return Step::wait(WAITING_FOR_BOOTSTRAP_DATA, message);
        }
        Data::Missing(secret) => {
            let message =
                format!("waiting for Secret {secret} with the bootstrap data, which does not exist");
            return Step::wait(WAITING_FOR_BOOTSTRAP_DATA, message);
        }
        Data::Invalid(problem) => return Step::Refuse(problem.clone()),
        Data::Ready(_) => {}
    }
    provision(observed)
}

/// Whether the Machine has the provider ID of this host although the object has none: who wrote it there says that the
/// host is a node already, set up by hand (facts: machine 19, adoption). Its bootstrap data is something else then, such as the
/// kubeconfig of the cluster, and nothing to be run. Cluster API takes the ID from this object only.
fn is_adopted(observed: &Observed, owner: &Machine) -> bool {
    let spec = &observed.machine.spec;
    let has_address = spec.address.as_deref().is_some_and(|address| !address.is_empty());
    has_address && owner.spec.provider_id.as_deref() == Some(&plan::provider_id(spec))
}

/// Everything that the host is set up from is there.
fn provision(observed: &Observed) -> Step {
    let machine = &observed.machine;
    let claimed = machine.annotations().contains_key(annotations::INSTALL_ID);
    if pool::is_drawn(&machine.spec) {
        let domain = wanted_domain(observed);
        match pool::choose(
            machine,
            domain,
            &observed.entries,
            &observed.others,
            &observed.taken,
        ) {
            // The entry may not be there any more; what it said was copied.
            _ if claimed && pool::entry_of(machine).is_some_and(|entry| !has_entry(observed, entry)) => {}
            Choice::Entry(entry)
                if !claimed
                    || pool::entry_of(machine) != Some(&entry.name_any())
                    || is_mended(observed, &entry) =>
            {
                return Step::Claim(Some(entry));
            }
            Choice::Entry(_) => {}
            Choice::Lost { entry, by } => {
                return Step::Refuse(Problem::lasting(
                    HOST_IN_USE,
                    format!(
                        "PooledRemoteMachine {entry}, which this machine had, is reserved for RemoteMachine {by}; \
                         delete the Machine of one of the two"
                    ),
                ));
            }
            Choice::Full {
                domain,
                hosts,
                quarantined,
            } => {
                let pool = pool::described(&machine.spec);
                let (place, there) = match domain {
                    Some(domain) => (format!("failure domain {domain} of {pool}"), " there"),
                    None => (pool, ""),
                };
                let message = format!(
                    "waiting for a free host in {place}, which has {hosts} ({quarantined} quarantined); add a \
                     PooledRemoteMachine{there}, delete a machine, or roll without spare hosts (maxSurge: 0)"
                );
                return Step::wait(NO_FREE_HOST, message);
            }
        }
    }
    if machine.spec.address.as_deref().unwrap_or_default().is_empty() {
        return Step::Refuse(Problem::lasting(
            MISSING_FIELDS,
            "none of spec.address, spec.pool and spec.poolSelector is set; give the address of a host, or a pool",
        ));
    }
    if let Some(peer) = peers::first_with_address(machine, &observed.others) {
        return Step::Refuse(Problem::lasting(
            HOST_IN_USE,
            format!(
                "RemoteMachine {peer} has the same address {}:{}; delete the Machine of one of the two, or correct \
                 its address",
                machine.spec.address.as_deref().unwrap_or_default(),
                machine.spec.port,
            ),
        ));
    }
    if let Err(problem) = access::target(observed) {
        return Step::Refuse(problem);
    }
    if !claimed {
        return Step::Claim(None);
    }
    match observed.provisioning.next(&plan::inputs(observed), observed.now) {
        Next::Begin { number } => Step::Provision { number },
        Next::Await => Step::Provisioning,
        Next::Done => Step::Publish { reserve: None },
        Next::Wait(after) => match observed.provisioning.problem() {
            Some(problem) => Step::Retry {
                problem: problem.clone(),
                after,
            },
            None => Step::Provisioning,
        },
    }
}

/// The failure domain that a host is asked for in: by the Machine, else by the object itself, as long as that does not say
/// where its host stands.
fn wanted_domain(observed: &Observed) -> Option<&str> {
    let owner = observed.owner.as_ref().and_then(|(_, owner)| owner.as_deref());
    let own = || observed.machine.spec.failure_domain.as_deref();
    owner
        .and_then(|owner| owner.spec.failure_domain.as_deref())
        .or_else(own)
        .filter(|domain| !domain.is_empty())
}

fn has_entry(observed: &Observed, name: &str) -> bool {
    observed.entries.iter().any(|entry| entry.name_any() == name)
}

/// Whether the entry says another way to the host than when it was copied: users mend it there. Another host it must not
/// become once something may have run on the first one.
fn is_mended(observed: &Observed, entry: &PooledRemoteMachine) -> bool {
    let spec = &observed.machine.spec;
    let mended = plan::with_host(spec, &entry.spec.machine);
    let is_same_host = (&mended.address, mended.port) == (&spec.address, spec.port);
    mended != *spec && (is_same_host || !trust::may_have_been_used(observed))
}

/// The entry whose reservation for this machine was lost in a restore, or never was an annotation.
fn lost_reservation(observed: &Observed) -> Option<Arc<PooledRemoteMachine>> {
    let machine = &observed.machine;
    if !pool::is_drawn(&machine.spec) {
        return None;
    }
    match pool::choose(
        machine,
        None,
        &observed.entries,
        &observed.others,
        &observed.taken,
    ) {
        Choice::Entry(entry) => {
            let is_mine = pool::reserved_by(&entry) == Some(&machine.name_any())
                && pool::entry_of(machine) == Some(&entry.name_any());
            let has_its_host = machine.spec.address.as_deref() == Some(&entry.spec.machine.address);
            (!is_mine && has_its_host).then_some(entry)
        }
        Choice::Lost { .. } | Choice::Full { .. } => None,
    }
}

/// The object is being deleted, or is about to be, and the finalizer is on.
fn clean_up(observed: &Observed) -> Step {
    let machine = &observed.machine;
    let is_provisioned = machine
        .spec
        .provider_id
        .as_deref()
        .is_some_and(|id| !id.is_empty());
    let is_claimed = machine.annotations().contains_key(annotations::INSTALL_ID);
    let was_there = is_provisioned || (is_claimed && trust::may_have_been_used(observed));
    if !was_there && !observed.provisioning.running {
        return Step::Release { left: None };
    }
    if let Some(message) = unsupported::message(&machine.spec.unsupported()) {
        let message = format!("the host was not cleaned up: {message}");
        return Step::Release {
            left: Some(Problem::lasting(UNSUPPORTED, message)),
        };
    }
    if !is_claimed {
        // Set up by the controller before this one, which locked no host.
        return Step::Claim(None);
    }
    let asked = machine
        .metadata
        .deletion_timestamp
        .as_ref()
        .map_or(observed.now, |time| time.0);
    let goes = observed
        .cluster
        .as_ref()
        .is_none_or(|cluster| cluster.metadata.deletion_timestamp.is_some());
    let bound = if goes { CLEANING_WITH_CLUSTER } else { CLEANING };
    let waited = Duration::try_from(observed.now.duration_since(asked)).unwrap_or_default();
    let Some(left) = bound.checked_sub(waited).filter(|left| !left.is_zero()) else {
        return out_of_time(observed);
    };
    if machine.spec.address.as_deref().unwrap_or_default().is_empty() {
        let message = "there is no address, so the host was not cleaned up";
        return Step::Release {
            left: Some(Problem::lasting(MISSING_FIELDS, message)),
        };
    }
    if let Err(problem) = access::target(observed) {
        // Whoever deletes everything at once deletes the key first; until the bound it may come back.
        return Step::RetryCleanUp { problem, after: left };
    }
    match observed.cleaning.next(&plan::inputs(observed), observed.now) {
        Next::Begin { number } => Step::CleanUp { number },
        Next::Await => Step::CleaningUp,
        Next::Done => Step::Release { left: None },
        Next::Wait(after) => match observed.cleaning.problem() {
            // It will never be ours to clean.
            Some(problem) if problem.reason == HOST_IN_USE => Step::Release {
                left: Some(problem.clone()),
            },
            Some(problem) => Step::RetryCleanUp {
                problem: problem.clone(),
                after: after.min(left),
            },
            None => Step::CleaningUp,
        },
    }
}

/// The bound is over: an attempt under way may end, each has a deadline, but none is begun, unless there was none.
fn out_of_time(observed: &Observed) -> Step {
    if observed.cleaning.running {
        return Step::CleaningUp;
    }
    match &observed.cleaning.last {
        Some(last) => Step::Release {
            left: last.result.clone().err(),
        },
        None => match access::target(observed) {
            Ok(_) => Step::CleanUp { number: 0 },
            Err(problem) => Step::Release { left: Some(problem) },
        },
    }
}
