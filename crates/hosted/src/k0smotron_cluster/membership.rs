//! What may be done to the members of a control plane's etcd: one thing at a time, and nothing that could cost the quorum
//! or found a second cluster. Pure and total.
//!
//! A member is a pod of the StatefulSet, and bears its name. Only the very first one founds the cluster; every other one,
//! and one that has lost its data, is added without a vote, started, and given its vote once it has caught up. Its pod is
//! there and can be looked up before it is added: members ask for the name at once, and one that was asked for too early
//! is remembered as missing, for half a minute with k0s' CoreDNS. A member
//! whose data is gone cannot start by itself: what it is started with names nobody but itself, unless it is the one that
//! joins ([`Plan::joining`]).

use std::collections::{BTreeMap, BTreeSet};

use k0smotron_k0s::membership::{Vote, Voters};

/// A member, as etcd itself says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub id: u64,
    /// Ordinal of its pod; `None` for one that is none of ours.
    pub ordinal: Option<usize>,
    /// Whether it has ever started.
    pub started: bool,
    pub learner: bool,
}

/// A pod of etcd.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberPod {
    /// It answers, and knows a leader.
    pub ready: bool,
    pub terminating: bool,
    /// Its container has ended and is held back by the kubelet.
    pub crashed: bool,
    /// It is not of the revision that its StatefulSet asks for.
    pub outdated: bool,
    /// Its name leads to it.
    pub named: bool,
    /// UID of its claim.
    pub claim: Option<String>,
}

/// What is known of a control plane's etcd.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Etcd {
    /// There is durable evidence that the cluster was founded.
    pub founded: bool,
    /// Members asked for, odd.
    pub wanted: usize,
    /// Pods that the StatefulSet is to have; `None` while there is none.
    pub replicas: Option<usize>,
    pub pods: BTreeMap<usize, MemberPod>,
    /// As a majority of the members says; `None` while it says nothing.
    pub members: Option<Vec<Member>>,
    /// The leader's ID.
    pub leader: Option<u64>,
    /// UIDs of the claims with which members were seen well, by ordinal.
    pub claims: BTreeMap<usize, String>,
    /// Ordinals of which a claim exists.
    pub leftovers: BTreeSet<usize>,
}

/// The one thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Record that the cluster exists.
    Founded,
    /// Add the member of this ordinal, without a vote.
    Add(usize),
    /// Give the member its vote, if it has caught up.
    Promote {
        id: u64,
        ordinal: Option<usize>,
    },
    /// Take a member out.
    Remove {
        id: u64,
        ordinal: Option<usize>,
        why: Why,
    },
    /// Delete a pod, which then starts anew.
    Restart {
        ordinal: usize,
        why: Why,
    },
    /// Delete the claim, and the pod if there is one, of what is no member: its data is nobody's.
    Discard(usize),
    Wait(Wait),
    /// Everything is as it should be.
    Steady,
}

/// Why a member is taken out, or its pod is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// There are more than asked for.
    Excess,
    /// Its volume is not the one that it had.
    DataLost,
    /// It is of an older revision.
    Outdated,
    /// It was added while its container waited to be started again.
    Joins,
}

/// What is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The first member answers.
    First,
    /// The pod of a member that is to be added is there, and can be looked up.
    Place(usize),
    /// The pod of a new member starts and joins.
    Start(usize),
    /// A pod is on its way out, or comes back.
    Pod(usize),
    /// Whether there is a majority is not known yet.
    Answer,
    /// There is no majority: nothing may be changed until members are back.
    Quorum { healthy: usize, voters: usize },
}

/// What is to be done, and what the StatefulSet and its pods are to be meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub step: Step,
    /// Pods that the StatefulSet is to have.
    pub replicas: usize,
    /// The first member may found the cluster.
    pub founding: bool,
    /// The member that may join, and those that it joins, by ordinal.
    pub joining: Option<(usize, Vec<usize>)>,
    /// UIDs of claims of members that are well.
    pub claims: BTreeMap<usize, String>,
}

/// How many members serve so many pods of k0s: odd numbers, for an even one bears no more losses.
#[must_use]
pub fn members_for(replicas: i32) -> usize {
    let replicas = usize::try_from(replicas).unwrap_or(1).max(1);
    if replicas % 2 == 0 { replicas + 1 } else { replicas }
}

/// Decides. Not to be asked for pods that look after their membership themselves, as those of earlier releases do.
#[must_use]
pub fn plan(etcd: &Etcd) -> Plan {
    let step = step(etcd);
    let known = etcd.members.as_deref().unwrap_or_default();
    let added = match step {
        Step::Add(ordinal) => Some(ordinal),
        _ => None,
    };
    let newcomer = known
        .iter()
        .find(|member| !member.started)
        .and_then(|member| member.ordinal)
        .or(added);
    let joining = newcomer.map(|ordinal| {
        let others = known.iter().filter_map(|member| member.ordinal);
        (ordinal, others.filter(|other| *other != ordinal).collect())
    });
    let highest = known.iter().filter_map(|member| member.ordinal).max();
    // While nobody says how many there are: as many as there were.
    let replicas = highest.map_or_else(|| etcd.replicas.unwrap_or(1).max(1), |highest| highest + 1);
    Plan {
        replicas: replicas + usize::from(has_place(etcd, &step, replicas)),
        founding: !etcd.founded && step != Step::Founded,
        joining,
        claims: claims(etcd),
        step,
    }
}

/// Whether there is to be a pod beyond those of members: of the next one, which is added once its pod is there. It stays
/// while something else is awaited meanwhile.
fn has_place(etcd: &Etcd, step: &Step, next: usize) -> bool {
    match step {
        Step::Wait(Wait::Place(ordinal)) | Step::Add(ordinal) => *ordinal == next,
        _ => {
            let fresh = !etcd.claims.contains_key(&next);
            let pod = etcd.pods.get(&next).filter(|pod| fresh && !pod.terminating);
            etcd.members.is_some() && next < etcd.wanted && pod.is_some()
        }
    }
}

/// The claims with which members have run, those of former members included: what is on them is of no use to a new one.
fn claims(etcd: &Etcd) -> BTreeMap<usize, String> {
    let mut claims = etcd.claims.clone();
    let members = etcd.members.iter().flatten().filter(|member| member.started);
    for ordinal in members.filter_map(|member| member.ordinal) {
        let pod = etcd.pods.get(&ordinal);
        let Some(claim) = pod.and_then(|pod| pod.claim.clone()) else {
            continue;
        };
        // One that is not well may be so because this is not the claim that it had.
        if pod.is_some_and(|pod| pod.ready) || !claims.contains_key(&ordinal) {
            claims.insert(ordinal, claim);
        }
    }
    claims
}

fn step(etcd: &Etcd) -> Step {
    let Some(members) = &etcd.members else {
        return without_answer(etcd);
    };
    if !etcd.founded {
        return Step::Founded;
    }
    let voters: Vec<_> = members.iter().filter(|member| !member.learner).collect();
    let votes: Voters = voters.iter().map(|member| vote(etcd, member)).collect();
    if !votes.have_quorum() {
        // A majority has answered, and pods are told to be well a moment later than that.
        let down = voters.iter().find(|member| vote(etcd, member) == Vote::Suspect);
        let ordinal = down.and_then(|member| member.ordinal);
        return Step::Wait(ordinal.map_or(Wait::Answer, Wait::Pod));
    }
    lost_data(etcd, members, votes)
        .or_else(|| learners(etcd, members))
        .or_else(|| excess(etcd, &voters, votes))
        .or_else(|| missing(etcd, members, votes))
        .or_else(|| outdated(etcd, &voters, votes))
        .unwrap_or(Step::Steady)
}

/// What can be done while no majority answers: nothing but mend what is down anyway.
fn without_answer(etcd: &Etcd) -> Step {
    let down = etcd
        .pods
        .iter()
        .find(|(_, pod)| pod.outdated && !pod.ready && !pod.terminating);
    if let Some((ordinal, _)) = down {
        return Step::Restart {
            ordinal: *ordinal,
            why: Why::Outdated,
        };
    }
    if !etcd.founded {
        return Step::Wait(Wait::First);
    }
    let voters = etcd.replicas.unwrap_or(1);
    let healthy = etcd.pods.values().filter(|pod| pod.ready).count();
    if healthy > voters / 2 {
        Step::Wait(Wait::Answer)
    } else {
        Step::Wait(Wait::Quorum { healthy, voters })
    }
}

fn pod<'a>(etcd: &'a Etcd, member: &Member) -> Option<&'a MemberPod> {
    etcd.pods.get(&member.ordinal?)
}

fn vote(etcd: &Etcd, member: &Member) -> Vote {
    match pod(etcd, member) {
        Some(pod) if pod.ready && !pod.terminating => Vote::Healthy,
        _ => Vote::Suspect,
    }
}

fn has_lost_data(etcd: &Etcd, member: &Member) -> bool {
    let now = pod(etcd, member).and_then(|pod| pod.claim.as_ref());
    let before = member.ordinal.and_then(|ordinal| etcd.claims.get(&ordinal));
    let changed = matches!((now, before), (Some(now), Some(before)) if now != before);
    member.started && changed && vote(etcd, member) != Vote::Healthy
}

/// A member whose volume is gone never comes back by itself; taken out, it is added anew.
fn lost_data(etcd: &Etcd, members: &[Member], votes: Voters) -> Option<Step> {
    let lost = members.iter().find(|member| has_lost_data(etcd, member))?;
    let vote = match lost.learner {
        true => Vote::None,
        false => vote(etcd, lost),
    };
    votes.may_lose(vote).then_some(Step::Remove {
        id: lost.id,
        ordinal: lost.ordinal,
        why: Why::DataLost,
    })
}

/// Members without a vote: one at a time, until it has one.
fn learners(etcd: &Etcd, members: &[Member]) -> Option<Step> {
    let learner = members.iter().find(|member| member.learner)?;
    let Some(ordinal) = learner.ordinal.filter(|ordinal| *ordinal < etcd.wanted) else {
        return Some(Step::Remove {
            id: learner.id,
            ordinal: learner.ordinal,
            why: Why::Excess,
        });
    };
    let pod = etcd.pods.get(&ordinal);
    if learner.started && pod.is_some_and(|pod| pod.crashed) {
        // It has no vote, and nothing that the others lack: whatever it is that it cannot start with, it begins anew.
        return Some(Step::Remove {
            id: learner.id,
            ordinal: learner.ordinal,
            why: Why::DataLost,
        });
    }
    if learner.started {
        return Some(Step::Promote {
            id: learner.id,
            ordinal: learner.ordinal,
        });
    }
    let held = etcd
        .pods
        .get(&ordinal)
        .is_some_and(|pod| pod.crashed && !pod.terminating);
    Some(match held {
        true => Step::Restart {
            ordinal,
            why: Why::Joins,
        },
        false => Step::Wait(Wait::Start(ordinal)),
    })
}

/// The one with the highest ordinal goes first, for so does a StatefulSet.
fn excess(etcd: &Etcd, voters: &[&Member], votes: Voters) -> Option<Step> {
    let beyond = |member: &&&Member| member.ordinal.is_none_or(|ordinal| ordinal >= etcd.wanted);
    let last = voters
        .iter()
        .filter(beyond)
        .max_by_key(|member| member.ordinal.unwrap_or(usize::MAX))?;
    votes.may_lose(vote(etcd, last)).then_some(Step::Remove {
        id: last.id,
        ordinal: last.ordinal,
        why: Why::Excess,
    })
}

/// A member is added only to a cluster that is well, but for the one that is missing.
fn missing(etcd: &Etcd, members: &[Member], votes: Voters) -> Option<Step> {
    let ordinal = (0..etcd.wanted).find(|ordinal| {
        let mut known = members.iter().filter_map(|member| member.ordinal);
        !known.any(|known| known == *ordinal)
    })?;
    if votes.suspect > 0 {
        return None;
    }
    Some(match etcd.pods.get(&ordinal) {
        // Where the pod is asked for already, its claim comes before it.
        None if etcd.leftovers.contains(&ordinal) && etcd.replicas.is_some_and(|pods| pods <= ordinal) => {
            Step::Discard(ordinal)
        }
        Some(pod) if pod.terminating => Step::Wait(Wait::Pod(ordinal)),
        Some(pod) if pod.claim.is_some() && pod.claim.as_ref() == etcd.claims.get(&ordinal) => {
            Step::Discard(ordinal)
        }
        Some(pod) if pod.named => Step::Add(ordinal),
        _ => Step::Wait(Wait::Place(ordinal)),
    })
}

/// Pods of an older revision: one that is down first, the leader's last, and none while another one is down.
fn outdated(etcd: &Etcd, voters: &[&Member], votes: Voters) -> Option<Step> {
    let leaving = etcd.pods.iter().find(|(_, pod)| pod.terminating);
    if let Some((ordinal, _)) = leaving {
        return Some(Step::Wait(Wait::Pod(*ordinal)));
    }
    let mut old: Vec<_> = voters
        .iter()
        .filter(|member| pod(etcd, member).is_some_and(|pod| pod.outdated))
        .collect();
    old.sort_by_key(|member| {
        let down = vote(etcd, member) == Vote::Suspect;
        (!down, etcd.leader == Some(member.id), member.ordinal)
    });
    let next = old.first()?;
    let ordinal = next.ordinal?;
    if vote(etcd, next) == Vote::Healthy && votes.suspect > 0 {
        let down = voters.iter().find(|member| vote(etcd, member) == Vote::Suspect);
        return Some(Step::Wait(Wait::Pod(down.and_then(|member| member.ordinal)?)));
    }
    Some(Step::Restart {
        ordinal,
        why: Why::Outdated,
    })
}
