//! Who is there: Machines beside the members that k0s tells of, and what each counts for. Pure.

use k0smotron_k0s::membership::{Vote, Voters};

use super::{Membership, Wait};
use crate::k0s_control_plane::observed::{Etcd, MachineFacts, MemberFacts, Observed};

/// What a Machine is to etcd, or as a controller where there are no members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
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
    pub const fn vote(self) -> Vote {
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

/// The vote of a member without a Machine.
pub fn vote(observed: &Observed, member: &MemberFacts) -> Vote {
    match (member.left, is_ready(observed, member)) {
        (true, _) => Vote::None,
        (false, true) => Vote::Healthy,
        (false, false) => Vote::Suspect,
    }
}

/// Machines beside members.
pub struct Roster<'a> {
    pub observed: &'a Observed,
    pub members: &'a [MemberFacts],
    pub machines: Vec<(&'a MachineFacts, Standing)>,
    pub voters: Voters,
}

impl<'a> Roster<'a> {
    pub fn new(observed: &'a Observed, members: &'a [MemberFacts]) -> Self {
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
    pub fn strangers(&self) -> impl Iterator<Item = &'a MemberFacts> {
        let known = |name: &str| self.observed.machines.iter().any(|machine| machine.name == name);
        self.members.iter().filter(move |member| !known(&member.name))
    }

    pub fn active(&self) -> impl DoubleEndedIterator<Item = (&'a MachineFacts, Standing)> {
        self.machines
            .iter()
            .filter(|(machine, _)| !machine.deleting)
            .copied()
    }

    pub fn going(&self) -> impl Iterator<Item = (&'a MachineFacts, Standing)> {
        self.machines
            .iter()
            .filter(|(machine, _)| machine.deleting)
            .copied()
    }

    /// Whether nobody is a member of anything, because all controllers share a store.
    pub fn share_a_store(&self) -> bool {
        matches!(self.observed.etcd, Etcd::Shared { .. })
    }

    /// Whether somebody can agree on a change. Of a shared store nobody has to; somebody has to serve.
    pub fn can_change(&self) -> bool {
        match self.share_a_store() {
            true => self.voters.healthy > 0,
            false => self.voters.have_quorum(),
        }
    }

    /// Whether one of this kind can go, and the others go on.
    pub fn may_lose(&self, vote: Vote) -> bool {
        match self.share_a_store() {
            true => vote == Vote::None || self.voters.without(vote).healthy > 0,
            false => self.voters.may_lose(vote),
        }
    }

    /// Waits because that is not so.
    pub fn needed(&self, name: &str) -> Membership {
        let name = name.to_owned();
        Membership::Wait(match self.share_a_store() {
            true => Wait::Serving { name },
            false => Wait::Quorum {
                name,
                voters: self.voters,
            },
        })
    }

    /// Whether the Machine can be destroyed without its member having left before.
    pub fn may_go_unseen(&self, machine: &MachineFacts, standing: Standing) -> bool {
        match standing {
            Standing::Absent | Standing::Left => true,
            Standing::Joining => machine.stalled || self.share_a_store(),
            Standing::Voter { .. } => false,
        }
    }

    /// Machines on their way out that are no members.
    pub fn releasable(&self) -> Vec<String> {
        let held = || self.going().filter(|(machine, _)| machine.hooked);
        let unseen = held().filter(|(machine, standing)| self.may_go_unseen(machine, *standing));
        // One at a time: the next one only once this one does not serve any more.
        let leaving = held().find(|(machine, standing)| {
            let serves = matches!(standing, Standing::Voter { .. });
            self.share_a_store() && serves && machine.drained && self.may_lose(standing.vote())
        });
        unseen
            .chain(leaving)
            .map(|(machine, _)| machine.name.clone())
            .collect()
    }

    pub fn forgettable(&self) -> Vec<String> {
        self.strangers()
            .filter(|member| member.left && member.ours)
            .map(|member| member.name.clone())
            .collect()
    }
}
