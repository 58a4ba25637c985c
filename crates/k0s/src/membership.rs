//! Arithmetic of etcd membership: what may be taken out of a cluster without losing its quorum.
//!
//! What cannot be known counts against a change: a member that was not seen healthy counts as one that is down, and a
//! host that may have become a voter unseen counts as a voter that is down. Nothing here knows hosts or time.

/// Members needed to agree on anything, of so many voters.
#[must_use]
pub const fn quorum(voters: usize) -> usize {
    voters / 2 + 1
}

/// What a member is to the quorum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Vote {
    /// It votes, and was seen healthy.
    Healthy,
    /// It votes or may vote, and was not seen healthy.
    Suspect,
    /// It does not vote for certain: it never started, or it has left.
    None,
}

/// The voters of a cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Voters {
    pub healthy: usize,
    pub suspect: usize,
}

impl Voters {
    #[must_use]
    pub const fn total(self) -> usize {
        self.healthy.saturating_add(self.suspect)
    }

    /// Whether the healthy ones can agree on a change, even if every other one is down.
    #[must_use]
    pub const fn have_quorum(self) -> bool {
        self.healthy >= quorum(self.total())
    }

    /// The voters without one of this kind.
    #[must_use]
    pub const fn without(self, vote: Vote) -> Self {
        match vote {
            Vote::Healthy => Self {
                healthy: self.healthy.saturating_sub(1),
                ..self
            },
            Vote::Suspect => Self {
                suspect: self.suspect.saturating_sub(1),
                ..self
            },
            Vote::None => self,
        }
    }

    /// Whether a member may be taken out: the cluster can agree on it, and can still agree on something afterwards.
    ///
    /// The removal itself is an entry in the log of all voters, so a quorum is needed before it too.
    #[must_use]
    pub const fn may_lose(self, vote: Vote) -> bool {
        match vote {
            Vote::None => true,
            Vote::Healthy | Vote::Suspect => {
                let rest = self.without(vote);
                self.have_quorum() && rest.have_quorum()
            }
        }
    }
}

impl FromIterator<Vote> for Voters {
    fn from_iter<I: IntoIterator<Item = Vote>>(votes: I) -> Self {
        votes
            .into_iter()
            .fold(Self::default(), |voters, vote| match vote {
                Vote::Healthy => Self {
                    healthy: voters.healthy.saturating_add(1),
                    ..voters
                },
                Vote::Suspect => Self {
                    suspect: voters.suspect.saturating_add(1),
                    ..voters
                },
                Vote::None => voters,
            })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn voters(healthy: usize, suspect: usize) -> Voters {
        Voters { healthy, suspect }
    }

    #[test]
    fn quorum_is_more_than_half() {
        let quorums: Vec<_> = (1..=7).map(quorum).collect();
        assert_eq!(quorums, [1, 2, 2, 3, 3, 4, 4]);
    }

    #[test]
    fn what_may_go() {
        let table = [
            // (healthy, suspect), a healthy one may go, a suspect one may go
            ((1, 0), false, true),
            ((2, 0), true, true),
            ((1, 1), false, false),
            ((3, 0), true, true),
            // The dead one of three, and not one of the two that are left.
            ((2, 1), false, true),
            ((1, 2), false, false),
            ((3, 1), true, true),
            ((4, 1), true, true),
            ((3, 2), false, true),
        ];
        for ((healthy, suspect), one_healthy, one_suspect) in table {
            let all = voters(healthy, suspect);
            assert_eq!(all.may_lose(Vote::Healthy), one_healthy, "{all:?}");
            if suspect > 0 {
                assert_eq!(all.may_lose(Vote::Suspect), one_suspect, "{all:?}");
            }
            assert!(all.may_lose(Vote::None));
        }
    }

    proptest! {
        /// Whatever is allowed leaves a quorum, and is allowed still when a suspect one turns out to be well.
        #[test]
        fn allowed_is_safe_and_more_health_forbids_nothing(healthy in 1_usize..6, suspect in 0_usize..6) {
            let all = voters(healthy, suspect);
            if all.may_lose(Vote::Healthy) {
                let rest = all.without(Vote::Healthy);
                prop_assert!(rest.healthy >= quorum(rest.total()) && rest.healthy > 0);
                if suspect > 0 {
                    prop_assert!(voters(healthy + 1, suspect - 1).may_lose(Vote::Healthy));
                }
            }
        }

        /// A newcomer that was promoted lives, so a cluster that had a quorum has one with it.
        #[test]
        fn promotion_keeps_the_quorum(healthy in 1_usize..6, suspect in 0_usize..6) {
            let all = voters(healthy, suspect);
            prop_assume!(all.have_quorum());
            prop_assert!(voters(healthy + 1, suspect).have_quorum());
        }
    }
}
