//! A control plane's etcd in a small world: pods that start, end and lose their volumes at any time, and the controller
//! between them. Whatever happens, there is one cluster, no change costs the quorum, and in the end all is well.

// clippy.toml allows these in test functions; the functions that they call are meant too.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};

use k0smotron_hosted::k0smotron_cluster::membership::{Etcd, Member, MemberPod, Plan, Step, Wait, plan};
use proptest::prelude::*;

#[derive(Clone, Debug, Default)]
struct Pod {
    claim: u32,
    /// ID of the member whose data is on its volume.
    data: Option<u64>,
    up: bool,
    crashed: bool,
    outdated: bool,
    named: bool,
}

#[derive(Clone, Debug, Default)]
struct World {
    /// Clusters that were founded.
    founded: u32,
    members: Vec<Member>,
    pods: BTreeMap<usize, Pod>,
    counter: u32,
    // What the controller has written.
    replicas: Option<usize>,
    mark: bool,
    founding: bool,
    joining: Option<(usize, Vec<usize>)>,
    claims: BTreeMap<usize, String>,
    wanted: usize,
}

#[derive(Clone, Debug)]
enum Event {
    Controller,
    /// The StatefulSet controller makes and removes pods.
    Pods,
    /// DNS learns of a pod.
    Name(usize),
    Start(usize),
    Kill(usize),
    LoseVolume(usize),
    Roll,
    Scale(usize),
}

impl World {
    fn new(wanted: usize) -> Self {
        Self {
            wanted,
            founding: true,
            ..Self::default()
        }
    }

    fn voters(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| !member.learner)
    }

    fn is_up(&self, member: &Member) -> bool {
        let pod = member.ordinal.and_then(|ordinal| self.pods.get(&ordinal));
        pod.is_some_and(|pod| pod.up && pod.data == Some(member.id))
    }

    fn up(&self) -> usize {
        self.voters().filter(|member| self.is_up(member)).count()
    }

    fn has_quorum(&self) -> bool {
        self.up() > self.voters().count() / 2
    }

    fn view(&self) -> Etcd {
        let leader = self
            .voters()
            .find(|member| self.is_up(member))
            .map(|member| member.id);
        let facts = |pod: &Pod| MemberPod {
            ready: pod.up && self.has_quorum(),
            terminating: false,
            crashed: pod.crashed,
            outdated: pod.outdated,
            named: pod.named,
            claim: Some(pod.claim.to_string()),
        };
        Etcd {
            founded: self.mark,
            wanted: self.wanted,
            replicas: self.replicas,
            pods: self
                .pods
                .iter()
                .map(|(ordinal, pod)| (*ordinal, facts(pod)))
                .collect(),
            members: (!self.members.is_empty() && self.has_quorum()).then(|| self.members.clone()),
            leader,
            claims: self.claims.clone(),
            leftovers: self.pods.keys().copied().collect(),
        }
    }

    fn control(&mut self) -> Step {
        let Plan {
            step,
            replicas,
            founding,
            joining,
            claims,
        } = plan(&self.view());
        self.founding = founding;
        self.joining = joining;
        self.claims = claims;
        self.replicas = Some(replicas);
        match &step {
            Step::Founded => self.mark = true,
            Step::Add(ordinal) => {
                assert!(self.members.iter().all(|member| member.ordinal != Some(*ordinal)));
                assert!(self.pods[ordinal].named, "it is looked up too early");
                self.counter += 1;
                self.members.push(Member {
                    id: u64::from(self.counter),
                    ordinal: Some(*ordinal),
                    started: false,
                    learner: true,
                });
            }
            Step::Promote { id, .. } => {
                let index = self.members.iter().position(|member| member.id == *id).unwrap();
                // etcd refuses one that is not in sync.
                if self.is_up(&self.members[index]) {
                    self.members[index].learner = false;
                }
            }
            Step::Remove { id, .. } => {
                self.members.retain(|member| member.id != *id);
                assert!(self.has_quorum(), "a removal cost the quorum");
            }
            Step::Restart { ordinal, .. } => {
                let had = self.has_quorum();
                let alone = self.voters().count() == 1;
                if let Some(pod) = self.pods.get_mut(ordinal) {
                    (pod.up, pod.crashed, pod.outdated) = (false, false, false);
                }
                assert!(alone || !had || self.has_quorum(), "a restart cost the quorum");
            }
            Step::Discard(ordinal) => {
                assert!(self.members.iter().all(|member| member.ordinal != Some(*ordinal)));
                self.pods.remove(ordinal);
            }
            Step::Wait(_) | Step::Steady => {}
        }
        step
    }

    fn sync_pods(&mut self) {
        let replicas = self.replicas.unwrap_or(0);
        // Claims go with pods that are scaled away.
        self.pods.retain(|ordinal, _| *ordinal < replicas);
        for ordinal in 0..replicas {
            if !self.pods.contains_key(&ordinal) {
                self.counter += 1;
                let pod = Pod {
                    claim: self.counter,
                    ..Pod::default()
                };
                self.pods.insert(ordinal, pod);
            }
        }
    }

    fn name(&mut self, ordinal: usize) {
        if let Some(pod) = self.pods.get_mut(&ordinal) {
            pod.named = true;
        }
    }

    /// What etcd does when its container starts, which it does not before its pod is a member or if it has been one.
    fn start(&mut self, ordinal: usize) {
        let Some(mut pod) = self.pods.get(&ordinal).cloned().filter(|pod| !pod.up) else {
            return;
        };
        let mut ordinals = self.members.iter().filter_map(|member| member.ordinal);
        if pod.data.is_none() && !self.founding && !ordinals.any(|member| member == ordinal) {
            return;
        }
        match pod.data {
            Some(id) => pod.up = self.members.iter().any(|member| member.id == id),
            None if self.founding => {
                self.founded += 1;
                self.counter += 1;
                let id = u64::from(self.counter);
                self.members = vec![Member {
                    id,
                    ordinal: Some(ordinal),
                    started: true,
                    learner: false,
                }];
                (pod.up, pod.data) = (true, Some(id));
            }
            None => {
                let others = self.members.iter().filter_map(|member| member.ordinal);
                let others: BTreeSet<_> = others.filter(|other| *other != ordinal).collect();
                let joins = self.joining.as_ref().is_some_and(|(who, named)| {
                    *who == ordinal && named.iter().copied().collect::<BTreeSet<_>>() == others
                });
                let quorum = self.has_quorum();
                let member = self
                    .members
                    .iter_mut()
                    .find(|member| member.ordinal == Some(ordinal) && !member.started);
                if let (true, true, Some(member)) = (joins, quorum, member) {
                    member.started = true;
                    (pod.up, pod.data) = (true, Some(member.id));
                }
            }
        }
        pod.crashed = !pod.up;
        self.pods.insert(ordinal, pod);
    }

    /// Whether so many volumes stay that what a majority has agreed on is not lost, whoever looks after them.
    fn survives_without(&self, ordinal: usize) -> bool {
        let has_data = |member: &&Member| {
            let pod = member.ordinal.and_then(|other| self.pods.get(&other));
            member.ordinal != Some(ordinal) && pod.is_some_and(|pod| pod.data == Some(member.id))
        };
        self.mark && self.voters().filter(has_data).count() > self.voters().count() / 2
    }

    fn happen(&mut self, event: &Event) {
        match event {
            Event::Controller => drop(self.control()),
            Event::Pods => self.sync_pods(),
            Event::Name(ordinal) => self.name(*ordinal),
            Event::Start(ordinal) => self.start(*ordinal),
            Event::Kill(ordinal) => {
                if let Some(pod) = self.pods.get_mut(ordinal) {
                    pod.up = false;
                }
            }
            Event::LoseVolume(ordinal) => {
                let claim = self.counter + 1;
                let survives = self.survives_without(*ordinal);
                if let (true, Some(pod)) = (survives, self.pods.get_mut(ordinal)) {
                    self.counter = claim;
                    (pod.claim, pod.data, pod.up) = (claim, None, false);
                }
            }
            Event::Roll => self.pods.values_mut().for_each(|pod| pod.outdated = true),
            Event::Scale(wanted) => self.wanted = *wanted,
        }
        assert!(self.founded <= 1, "a second cluster was founded after {event:?}");
    }

    /// Nothing happens any more but what has to.
    fn settle(&mut self) -> Step {
        let mut step = Step::Steady;
        for _ in 0..60 {
            step = self.control();
            self.sync_pods();
            for ordinal in 0..8 {
                self.name(ordinal);
                self.start(ordinal);
            }
        }
        step
    }
}

fn events() -> impl Strategy<Value = Event> {
    let ordinal = || 0_usize..5;
    prop_oneof![
        6 => Just(Event::Controller),
        4 => Just(Event::Pods),
        4 => ordinal().prop_map(Event::Name),
        6 => ordinal().prop_map(Event::Start),
        2 => ordinal().prop_map(Event::Kill),
        1 => ordinal().prop_map(Event::LoseVolume),
        1 => Just(Event::Roll),
        1 => prop_oneof![Just(1_usize), Just(3), Just(5)].prop_map(Event::Scale),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn one_cluster_with_a_quorum_that_comes_to_rest(
        wanted in prop_oneof![Just(1_usize), Just(3)],
        happened in prop::collection::vec(events(), 0..80),
    ) {
        let mut world = World::new(wanted);
        for event in &happened {
            world.happen(event);
        }
        let step = world.settle();
        prop_assert_eq!(&step, &Step::Steady, "{:?}", world);
        prop_assert_eq!(world.founded, 1);
        let ordinals: BTreeSet<_> = world.voters().filter_map(|member| member.ordinal).collect();
        prop_assert_eq!(ordinals, (0..world.wanted).collect::<BTreeSet<_>>());
        prop_assert_eq!(world.members.len(), world.wanted);
        prop_assert_eq!(world.up(), world.wanted);
        prop_assert!(world.pods.values().all(|pod| !pod.outdated));
        prop_assert_eq!(world.pods.len(), world.wanted);
    }
}

/// Volumes of a majority are gone: nobody founds anything anew, and nothing is changed.
#[test]
fn a_lost_majority_is_told_and_left_alone() {
    let mut world = World::new(3);
    world.settle();
    for ordinal in [0, 1] {
        let pod = world.pods.get_mut(&ordinal).unwrap();
        (pod.claim, pod.data, pod.up) = (100, None, false);
    }
    let before = world.members.clone();
    let step = world.settle();
    assert!(
        matches!(step, Step::Wait(Wait::Quorum { voters: 3, .. })),
        "{step:?}"
    );
    assert_eq!(world.members, before);
    assert_eq!(world.founded, 1);
}

/// The only member's volume is gone, and with it everything: that is not made up for by an empty cluster.
#[test]
fn the_only_member_is_never_founded_twice() {
    let mut world = World::new(1);
    world.settle();
    let pod = world.pods.get_mut(&0).unwrap();
    (pod.claim, pod.data, pod.up) = (100, None, false);
    let step = world.settle();
    assert!(
        matches!(
            step,
            Step::Wait(Wait::Quorum {
                healthy: 0,
                voters: 1
            })
        ),
        "{step:?}"
    );
    assert_eq!(world.founded, 1);
}
