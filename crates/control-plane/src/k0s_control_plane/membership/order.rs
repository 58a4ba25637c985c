//! What comes first: each step says what it does or waits for, and leaves the rest to those after it. Pure.

use k0smotron_k0s::membership::{Vote, Voters};

use super::{
    Membership, Wait, Why, create, delete, gone,
    roster::{Roster, Standing, vote},
};
use crate::k0s_control_plane::{
    domains,
    observed::{MachineFacts, Repair, Strategy},
};

/// From this many controllers on, one may be missing while another is made.
const SPARE: usize = 3;

impl<'a> Roster<'a> {
    /// The first thing that is to be done.
    pub fn next(&self, obstacle: Option<Wait>) -> Membership {
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
        // Nobody is let into a shared store.
        if !safe || count(&on_the_way) == 0 || self.share_a_store() {
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
            machine.hooked && *standing == Standing::Joining && !self.may_go_unseen(machine, *standing)
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
            Some(why) if self.may_go_unseen(machine, standing) => delete(machine, why),
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
        self.departure_if(|vote| self.may_lose(vote))
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
            // There is nothing to leave, and it is let go.
            true if self.share_a_store() => Membership::Wait(Wait::Gone { name }),
            true => Membership::Leave { name },
            false => Membership::Wait(Wait::Drained { name }),
        })
    }

    /// Machines on their way out that cannot go: what could help has been tried.
    fn held(&self) -> Option<Membership> {
        let (machine, standing) = self.going().find(|(machine, _)| machine.hooked)?;
        Some(match standing {
            Standing::Voter { .. } => self.needed(&machine.name),
            Standing::Joining | Standing::Absent | Standing::Left => Membership::Wait(Wait::Gone {
                name: machine.name.clone(),
            }),
        })
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
        if self.may_lose(standing.vote()) {
            return Some(delete(machine, Why::Unhealthy));
        }
        if self.can_change() {
            // It is needed until there is another one.
            return self.addition(self.observed.replicas.saturating_add(1), obstacle);
        }
        Some(self.needed(&machine.name))
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
        if !self.can_change() {
            return Some(self.needed(&self.observed.next_name));
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
        match self.may_lose(standing.vote()) {
            true => delete(machine, why),
            false => self.needed(&machine.name),
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
