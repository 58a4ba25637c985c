//! The next change of a control plane's membership: one at a time, and none that could cost the quorum. Pure and total.
//!
//! What is not known counts against a change: a member that was not seen healthy counts as one that is down, and a
//! Machine that was started and is no member yet as a voter that is down. Nothing depends on time but one thing: a
//! newcomer that was started and never joined cannot be told from one that is made a voter this very moment. It is let
//! go only once it is stalled, for k0s would never learn that such a voter is gone.

use k0smotron_k0s::membership::{Vote, Voters};

use super::{
    domains,
    observed::{Etcd, MachineFacts, MemberFacts, Observed, Repair, Strategy},
};

/// From this many controllers on, one may be missing while another is made.
const SPARE: usize = 3;

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
    /// The cluster does not keep its data in k0s' etcd, whose members are all that can be told apart.
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
        Etcd::Members { fresh, members } => {
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

/// What a Machine is to etcd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It was never started.
    Absent,
    /// It was started and is no member that k0s tells of: it may be a learner, or become a voter this very moment.
    Joining,
    Voter {
        ready: bool,
    },
    Left,
}

impl Standing {
    const fn vote(self) -> Vote {
        match self {
            Self::Voter { ready: true } => Vote::Healthy,
            Self::Voter { ready: false } | Self::Joining => Vote::Suspect,
            Self::Absent | Self::Left => Vote::None,
        }
    }
}

/// Whether it serves and goes on doing so: one that k0s updates stops any moment.
fn is_ready(observed: &Observed, member: &MemberFacts) -> bool {
    member.ready && !observed.autopilot.updates(&member.name)
}

fn vote(observed: &Observed, member: &MemberFacts) -> Vote {
    match (member.left, is_ready(observed, member)) {
        (true, _) => Vote::None,
        (false, true) => Vote::Healthy,
        (false, false) => Vote::Suspect,
    }
}

/// Machines beside members.
struct Roster<'a> {
    observed: &'a Observed,
    members: &'a [MemberFacts],
    machines: Vec<(&'a MachineFacts, Standing)>,
    voters: Voters,
}

impl<'a> Roster<'a> {
    fn new(observed: &'a Observed, members: &'a [MemberFacts]) -> Self {
        let standing = |machine: &MachineFacts| {
            match members.iter().find(|member| member.name == machine.name) {
                Some(member) if member.left => Standing::Left,
                // One that nothing holds may be gone at any moment.
                Some(member) => Standing::Voter {
                    ready: is_ready(observed, member) && (machine.hooked || !machine.deleting),
                },
                None if machine.started => Standing::Joining,
                None => Standing::Absent,
            }
        };
        let machines: Vec<_> = observed
            .machines
            .iter()
            .map(|machine| (machine, standing(machine)))
            .collect();
        let mut roster = Self {
            observed,
            members,
            machines,
            voters: Voters::default(),
        };
        let others = roster.strangers().map(|member| vote(observed, member));
        let ours = roster.machines.iter().map(|(_, standing)| standing.vote());
        roster.voters = ours.chain(others).collect();
        roster
    }

    /// Members without a Machine.
    fn strangers(&self) -> impl Iterator<Item = &'a MemberFacts> {
        let known = |name: &str| self.observed.machines.iter().any(|machine| machine.name == name);
        self.members.iter().filter(move |member| !known(&member.name))
    }

    fn active(&self) -> impl DoubleEndedIterator<Item = (&'a MachineFacts, Standing)> {
        self.machines
            .iter()
            .filter(|(machine, _)| !machine.deleting)
            .copied()
    }

    fn going(&self) -> impl Iterator<Item = (&'a MachineFacts, Standing)> {
        self.machines
            .iter()
            .filter(|(machine, _)| machine.deleting)
            .copied()
    }

    /// Whether the Machine can be destroyed without its member having left before.
    fn may_go_unseen(machine: &MachineFacts, standing: Standing) -> bool {
        match standing {
            Standing::Absent | Standing::Left => true,
            Standing::Joining => machine.stalled,
            Standing::Voter { .. } => false,
        }
    }

    /// Machines on their way out that are no members.
    fn releasable(&self) -> Vec<String> {
        self.going()
            .filter(|(machine, standing)| machine.hooked && Self::may_go_unseen(machine, *standing))
            .map(|(machine, _)| machine.name.clone())
            .collect()
    }

    fn forgettable(&self) -> Vec<String> {
        self.strangers()
            .filter(|member| member.left && member.ours)
            .map(|member| member.name.clone())
            .collect()
    }

    fn next(&self, obstacle: Option<Wait>) -> Membership {
        self.leaving()
            .or_else(|| self.burden())
            .or_else(|| self.newcomer())
            .or_else(|| self.departure())
            .or_else(|| self.repair(obstacle.clone()))
            .or_else(|| self.missing(obstacle.clone()))
            .or_else(|| self.held())
            .or_else(|| self.excess())
            .or_else(|| self.rollout(obstacle))
            .unwrap_or_else(|| gone(self.observed))
    }

    /// A member that was asked to leave does so before anything else happens. Two that leave at once could need one
    /// another.
    fn leaving(&self) -> Option<Membership> {
        let member = self
            .members
            .iter()
            .find(|member| member.leaving && !member.left)?;
        Some(Membership::Wait(Wait::Left {
            name: member.name.clone(),
            message: member.message.clone(),
        }))
    }

    /// A member that is down and has to go does so even while a newcomer is on its way: etcd lets nobody in while so many
    /// are down that one more would cost the quorum, and the newcomer would be awaited for ever.
    ///
    /// That a quorum can agree on it is not for the newcomer to say, which may be no voter yet; afterwards it may be one.
    fn burden(&self) -> Option<Membership> {
        let on_the_way = |standing| matches!(standing, Standing::Absent | Standing::Joining);
        let count = |which: &dyn Fn(Standing) -> bool| {
            let found = self.machines.iter().filter(|(_, standing)| which(*standing));
            found.count()
        };
        let joining = count(&|standing| standing == Standing::Joining);
        let certain = Voters {
            suspect: self.voters.suspect.saturating_sub(joining),
            ..self.voters
        };
        let safe = certain.have_quorum() && self.voters.without(Vote::Suspect).have_quorum();
        if !safe || count(&on_the_way) == 0 {
            return None;
        }
        let down = |standing| standing == Standing::Voter { ready: false };
        self.departure_if(|vote| vote == Vote::Suspect).or_else(|| {
            let mut active = self.active();
            let due =
                active.find(|(machine, standing)| down(*standing) && machine.repair == Some(Repair::Due));
            due.map(|(machine, _)| delete(machine, Why::Unhealthy))
        })
    }

    /// A newcomer is a voter before anything else happens, or is not wanted any more.
    fn newcomer(&self) -> Option<Membership> {
        // One on its way out may become a voter too.
        let undecided = self.going().find(|(machine, standing)| {
            machine.hooked && *standing == Standing::Joining && !Self::may_go_unseen(machine, *standing)
        });
        if let Some((machine, _)) = undecided {
            return Some(Membership::Wait(Wait::Joined {
                name: machine.name.clone(),
            }));
        }
        let pending = |standing| matches!(standing, Standing::Absent | Standing::Joining);
        let (machine, standing) = self.active().rev().find(|(_, standing)| pending(*standing))?;
        let unwanted = if !machine.outdated.is_empty() {
            Some(Why::Outdated)
        } else if machine.repair == Some(Repair::Due) {
            Some(Why::Unhealthy)
        } else if self.active().count()
            > self
                .observed
                .replicas
                .saturating_add(usize::from(self.replaces()))
        {
            Some(Why::Excess)
        } else {
            None
        };
        Some(match unwanted {
            Some(why) if Self::may_go_unseen(machine, standing) => delete(machine, why),
            _ => Membership::Wait(Wait::Joined {
                name: machine.name.clone(),
            }),
        })
    }

    /// Whether there is one to be replaced, for which another one is made first.
    fn replaces(&self) -> bool {
        self.active().any(|(machine, _)| {
            !machine.outdated.is_empty() && !machine.in_place || machine.repair == Some(Repair::Due)
        })
    }

    /// Members whose Machines are on their way out, or gone: those first that are down already.
    fn departure(&self) -> Option<Membership> {
        self.departure_if(|vote| self.voters.may_lose(vote))
    }

    fn departure_if(&self, may_go: impl Fn(Vote) -> bool) -> Option<Membership> {
        let machines = self
            .going()
            .filter(|(machine, standing)| machine.hooked && matches!(standing, Standing::Voter { .. }))
            .map(|(machine, standing)| (machine.name.as_str(), standing.vote(), machine.drained));
        let strangers = self
            .strangers()
            .filter(|member| member.ours && !member.left)
            .map(|member| (member.name.as_str(), vote(self.observed, member), true));
        let mut candidates: Vec<_> = machines.chain(strangers).collect();
        candidates.sort_by_key(|(_, vote, drained)| (*vote == Vote::Healthy, !drained));
        let (name, _, drained) = candidates.into_iter().find(|(_, vote, _)| may_go(*vote))?;
        let name = name.to_owned();
        Some(match drained {
            true => Membership::Leave { name },
            false => Membership::Wait(Wait::Drained { name }),
        })
    }

    /// Machines on their way out that cannot go: what could help has been tried.
    fn held(&self) -> Option<Membership> {
        let (machine, standing) = self.going().find(|(machine, _)| machine.hooked)?;
        let name = machine.name.clone();
        Some(Membership::Wait(match standing {
            Standing::Voter { .. } => Wait::Quorum {
                name,
                voters: self.voters,
            },
            Standing::Joining | Standing::Absent | Standing::Left => Wait::Gone { name },
        }))
    }

    /// Machines that have lost their member, or that somebody asks to be replaced.
    fn repair(&self, obstacle: Option<Wait>) -> Option<Membership> {
        if let Some((machine, _)) = self.active().find(|(_, standing)| *standing == Standing::Left) {
            return Some(delete(machine, Why::Left));
        }
        let (machine, standing) = self
            .active()
            .filter(|(machine, _)| machine.repair == Some(Repair::Due))
            .min_by_key(|(_, standing)| standing.vote() == Vote::Healthy)?;
        // One that is down is taken out even while another one is held: without it that one may be able to go.
        if standing.vote() == Vote::Healthy
            && let wait @ Membership::Wait(_) = gone(self.observed)
        {
            return (self.active().count() >= self.observed.replicas).then_some(wait);
        }
        if self.voters.may_lose(standing.vote()) {
            return Some(delete(machine, Why::Unhealthy));
        }
        if self.voters.have_quorum() {
            // It is needed until there is another one.
            return self.addition(self.observed.replicas.saturating_add(1), obstacle);
        }
        Some(Membership::Wait(Wait::Quorum {
            name: machine.name.clone(),
            voters: self.voters,
        }))
    }

    /// Fewer Machines than asked for.
    fn missing(&self, obstacle: Option<Wait>) -> Option<Membership> {
        let wanted = self.observed.replicas;
        if self.active().count() >= wanted {
            return None;
        }
        self.addition(wanted.saturating_add(self.surge()), obstacle)
    }

    /// One Machine more, if there are less than `limit`, those on their way out among them.
    fn addition(&self, limit: usize, obstacle: Option<Wait>) -> Option<Membership> {
        if self.machines.len() >= limit {
            // What holds the others is said of them.
            return match self.held() {
                Some(_) => None,
                None => Some(gone(self.observed)),
            };
        }
        if !self.voters.have_quorum() {
            return Some(Membership::Wait(Wait::Quorum {
                name: self.observed.next_name.clone(),
                voters: self.voters,
            }));
        }
        Some(match obstacle {
            Some(wait) => Membership::Wait(wait),
            None => create(self.observed, false),
        })
    }

    /// Machines that there may be beyond those asked for.
    fn surge(&self) -> usize {
        match self.observed.strategy {
            Strategy::DeleteFirst if self.observed.replicas >= SPARE => 0,
            Strategy::DeleteFirst | Strategy::CreateFirst => 1,
        }
    }

    /// More Machines than asked for.
    fn excess(&self) -> Option<Membership> {
        let count = self.active().count();
        if count <= self.observed.replicas {
            return None;
        }
        let (machine, standing) = self.first_to_go(
            |_| true,
            |machine, standing| {
                (
                    !machine.preferred,
                    machine.outdated.is_empty(),
                    standing.vote() == Vote::Healthy,
                )
            },
        )?;
        Some(self.removal(
            machine,
            standing,
            match machine.outdated.is_empty() {
                true => Why::Excess,
                false => Why::Outdated,
            },
        ))
    }

    /// Machines that differ from the spec.
    fn rollout(&self, obstacle: Option<Wait>) -> Option<Membership> {
        let (machine, standing) = self.first_to_go(
            |machine| !machine.outdated.is_empty() && !machine.in_place,
            |_, standing| standing.vote() == Vote::Healthy,
        )?;
        if self.surge() == 0 {
            return Some(self.removal(machine, standing, Why::Outdated));
        }
        if let Some(wait) = self.unhealthy_beside(&machine.name) {
            return Some(wait);
        }
        self.addition(self.observed.replicas.saturating_add(1), obstacle)
    }

    /// Of the Machines that may go the one that goes first: of the least rank, and of equals in the fullest failure domain.
    fn first_to_go<R: Ord>(
        &self,
        may_go: impl Fn(&MachineFacts) -> bool,
        rank: impl Fn(&MachineFacts, Standing) -> R,
    ) -> Option<(&'a MachineFacts, Standing)> {
        let rank = |&(machine, standing): &(&MachineFacts, Standing)| rank(machine, standing);
        let candidates = || self.active().filter(|(machine, _)| may_go(machine));
        let least = candidates().map(|candidate| rank(&candidate)).min()?;
        let equals = candidates()
            .filter(|candidate| rank(candidate) == least)
            .collect();
        domains::fullest(self.observed, equals, |(machine, _)| machine)
    }

    /// The removal of a member that serves, if the others are well.
    fn removal(&self, machine: &MachineFacts, standing: Standing, why: Why) -> Membership {
        if let wait @ Membership::Wait(_) = gone(self.observed) {
            return wait;
        }
        if let Some(wait) = self.unhealthy_beside(&machine.name) {
            return wait;
        }
        match self.voters.may_lose(standing.vote()) {
            true => delete(machine, why),
            false => Membership::Wait(Wait::Quorum {
                name: machine.name.clone(),
                voters: self.voters,
            }),
        }
    }

    /// Waits for members other than this one that are not healthy, unless they are to be replaced too.
    fn unhealthy_beside(&self, name: &str) -> Option<Membership> {
        let limits = self.active().find_map(|(machine, _)| match &machine.repair {
            Some(Repair::Waits(message)) if machine.name != name => Some(Wait::Repair {
                name: machine.name.clone(),
                message: message.clone(),
            }),
            _ => None,
        });
        let machines = self
            .machines
            .iter()
            .filter(|(machine, standing)| {
                standing.vote() == Vote::Suspect && machine.outdated.is_empty() && machine.name != name
            })
            .map(|(machine, _)| machine.name.clone());
        let strangers = self
            .strangers()
            .filter(|member| !member.left && !member.ready)
            .map(|member| member.name.clone());
        let names: Vec<_> = machines.chain(strangers).collect();
        limits
            .or_else(|| (!names.is_empty()).then_some(Wait::Healthy { names }))
            .map(Membership::Wait)
    }
}
