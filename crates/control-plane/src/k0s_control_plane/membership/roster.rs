//! Who is there: Machines beside the members that k0s tells of, and what each counts for. Pure.

use k0smotron_k0s::membership::{Vote, Voters};

use crate::k0s_control_plane::observed::{MachineFacts, MemberFacts, Observed};

/// What a Machine is to etcd.
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

    /// Whether the Machine can be destroyed without its member having left before.
    pub fn may_go_unseen(machine: &MachineFacts, standing: Standing) -> bool {
        match standing {
            Standing::Absent | Standing::Left => true,
            Standing::Joining => machine.stalled,
            Standing::Voter { .. } => false,
        }
    }

    /// Machines on their way out that are no members.
    pub fn releasable(&self) -> Vec<String> {
        self.going()
            .filter(|(machine, standing)| machine.hooked && Self::may_go_unseen(machine, *standing))
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
