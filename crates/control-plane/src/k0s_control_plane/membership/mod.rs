//! The next change of a control plane's membership: one at a time, and none that could cost the quorum. Pure and total.
//!
//! What is not known counts against a change: a member that was not seen healthy counts as one that is down, and a
//! Machine that was started and is no member yet as a voter that is down. Nothing depends on time but one thing: a
//! newcomer that was started and never joined cannot be told from one that is made a voter this very moment. It is let
//! go only once it is stalled, for k0s would never learn that such a voter is gone.
//!
//! Who is there, and what each is to etcd, is in `roster`; what comes first, in `order`.

mod order;
mod roster;

use k0smotron_k0s::membership::Voters;

use super::observed::{Etcd, MachineFacts, Observed, Repair};
use roster::Roster;

/// What happens to the membership in a pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// The one change, or why there is none.
    pub membership: Membership,
    /// Machines that are no members, and are not held any more.
    pub release: Vec<String>,
    /// What k0s still keeps of members that have left, and whose Machines are gone.
    pub forget: Vec<String>,
}

/// The one change of membership that a pass makes, or why it makes none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Membership {
    /// As many Machines as asked for, all as asked for.
    Steady,
    /// Create this Machine, its infrastructure machine and its config, whatever of them is there already.
    Create {
        name: String,
        /// It makes the cluster; else it joins it.
        founds: bool,
    },
    /// Delete this Machine. Our hook holds it until its member has left.
    Delete {
        name: String,
        why: Why,
    },
    /// Have k0s take this member out of etcd.
    Leave {
        name: String,
    },
    Wait(Wait),
}

impl Membership {
    /// Whether it changes anything.
    pub const fn is_change(&self) -> bool {
        !matches!(self, Self::Steady | Self::Wait(_))
    }
}

/// Why a Machine is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// There are more than asked for.
    Excess,
    /// It differs from the spec.
    Outdated,
    /// It is unhealthy.
    Unhealthy,
    /// Its member has left without it.
    Left,
}

/// What is awaited before the membership can change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Neither the Cluster nor its infrastructure has a control plane endpoint.
    Endpoint,
    /// The cluster's certificates are not complete.
    Certificates,
    /// The infrastructure template cannot be used, for this reason.
    Template(String),
    /// A Machine is on its way out, and another change comes after it.
    Gone { name: String },
    /// The pods of a Machine that is to leave are moved elsewhere first.
    Drained { name: String },
    /// The members of etcd have to be asked first. A reason is given when they do not answer.
    Members(Option<String>),
    /// A newcomer is no voter yet.
    Joined { name: String },
    /// k0s takes a member out; it says this about it.
    Left { name: String, message: String },
    /// Without this member there would be no quorum of healthy voters.
    Quorum { name: String, voters: Voters },
    /// Nothing is replaced while these members, which are none of those to be replaced, are not healthy.
    Healthy { names: Vec<String> },
    /// The limits that the spec sets to replacements.
    Repair { name: String, message: String },
    /// A Plan by which k0s updates controllers comes first.
    Updated { plan: String },
    /// Without this controller no API server would serve.
    Serving { name: String },
    /// The cluster keeps its data on its controller, where no other one finds it.
    OtherStorage,
    /// The cluster exists, and none of its Machines does.
    Lost,
}

/// The next change. `obstacle` is what stands against making a Machine.
pub fn next(observed: &Observed, exists: bool, obstacle: Option<Wait>) -> Changes {
    if observed.goes {
        return Changes {
            // Nothing joins a cluster that goes, and nobody has to leave it; the cluster may not even answer any more.
            membership: gone(observed),
            release: released(observed, |machine| !exists || !machine.started),
            forget: Vec::new(),
        };
    }
    if !exists {
        return founding(observed, obstacle);
    }
    let unstarted = released(observed, |machine| !machine.started);
    let idle = |membership| Changes {
        membership,
        release: unstarted.clone(),
        forget: Vec::new(),
    };
    if observed.machines.is_empty() {
        return idle(Membership::Wait(Wait::Lost));
    }
    match &observed.etcd {
        Etcd::Unknown(_) | Etcd::Elsewhere if settled(observed) => idle(Membership::Steady),
        Etcd::Elsewhere => idle(Membership::Wait(Wait::OtherStorage)),
        Etcd::Unknown(reason) => idle(Membership::Wait(Wait::Members(Some(reason.clone())))),
        Etcd::Members { fresh, members } | Etcd::Shared { fresh, members } => {
            let roster = Roster::new(observed, members);
            let changes = Changes {
                // The only Machine of a cluster that exists is its member, whatever is told of it.
                membership: match settled(observed) && observed.machines.len() == 1 {
                    true => Membership::Steady,
                    false => roster.next(obstacle),
                },
                release: roster.releasable(),
                forget: roster.forgettable(),
            };
            let changing = changes.membership.is_change() || changes.release != unstarted;
            if changing && !fresh {
                return idle(Membership::Wait(Wait::Members(None)));
            }
            changes
        }
    }
}

/// Whether there is nothing to be done, whatever the members are.
fn settled(observed: &Observed) -> bool {
    let replaced = |machine: &MachineFacts| {
        !machine.outdated.is_empty() && !machine.in_place || machine.repair.is_some()
    };
    observed.going().next().is_none()
        && observed.active().count() == observed.replicas
        && !observed.active().any(replaced)
}

/// Machines on their way out that our hook holds for nothing.
fn released(observed: &Observed, which: impl Fn(&MachineFacts) -> bool) -> Vec<String> {
    observed
        .going()
        .filter(|machine| machine.hooked && which(machine))
        .map(|machine| machine.name.clone())
        .collect()
}

/// While there is no cluster: one Machine that makes it, and that can be replaced as long as it has not.
fn founding(observed: &Observed, obstacle: Option<Wait>) -> Changes {
    let mut machines = observed.machines.iter();
    let membership = match (machines.next(), machines.next()) {
        (None, _) => match obstacle {
            Some(wait) => Membership::Wait(wait),
            None => create(observed, true),
        },
        (Some(only), None) if !only.deleting && !only.outdated.is_empty() => delete(only, Why::Outdated),
        (Some(only), None) if !only.deleting && only.repair == Some(Repair::Due) => {
            delete(only, Why::Unhealthy)
        }
        _ => match observed.active().next() {
            Some(_) => Membership::Steady,
            None => gone(observed),
        },
    };
    Changes {
        membership,
        release: released(observed, |_| true),
        forget: Vec::new(),
    }
}

fn create(observed: &Observed, founds: bool) -> Membership {
    let begun = observed.begun.as_ref().map(|begun| &begun.name);
    Membership::Create {
        name: begun.unwrap_or(&observed.next_name).clone(),
        founds,
    }
}

fn delete(machine: &MachineFacts, why: Why) -> Membership {
    Membership::Delete {
        name: machine.name.clone(),
        why,
    }
}

/// Waits for the first Machine on its way out, if there is one.
fn gone(observed: &Observed) -> Membership {
    match observed.going().next() {
        Some(machine) => Membership::Wait(Wait::Gone {
            name: machine.name.clone(),
        }),
        None => Membership::Steady,
    }
}
