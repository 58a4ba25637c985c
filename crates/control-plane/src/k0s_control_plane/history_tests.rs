//! Decisions proven over whole histories: a small world to which steps are applied, with crashes between any two
//! writes, users who delete Machines, hosts that come up late, and answers that get lost.

use proptest::prelude::*;

use super::{
    decide::{Step, decide},
    decide_tests::{all, machine, ready, yes},
    membership::{Membership, Wait},
    observed::{Answer, AuthorityState, Begun, KubeconfigState, Observed},
};

/// What happens to the world between two passes.
#[derive(Clone, Debug)]
enum Event {
    /// A whole pass.
    Pass,
    /// A pass of which only so many writes are made.
    Crash(usize),
    /// The host of the Machine has been set up and the API server answers.
    HostUp,
    /// The API server is away.
    HostDown,
    /// The process starts anew and has asked nobody.
    Restart,
    /// A user deletes the Machine.
    DeleteMachine,
    /// Cluster API finishes Machines that nothing holds.
    FinishMachines,
    /// Move or restore: status is lost, metadata stays.
    LoseStatus,
    /// The Cluster gets or loses its endpoint.
    Endpoint(bool),
    /// Somebody deletes the Secrets of the authorities.
    LoseAuthorities,
}

fn events() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => Just(Event::Pass),
        4 => (0..8_usize).prop_map(Event::Crash),
        1 => Just(Event::HostUp),
        1 => Just(Event::HostDown),
        1 => Just(Event::Restart),
        1 => Just(Event::DeleteMachine),
        2 => Just(Event::FinishMachines),
        1 => Just(Event::LoseStatus),
        1 => any::<bool>().prop_map(Event::Endpoint),
        1 => Just(Event::LoseAuthorities),
    ]
}

/// A control plane and everything that its history is checked against.
struct World {
    observed: Observed,
    sequence: u32,
    /// The Machine whose host has the cluster's data.
    member: Option<String>,
}

impl World {
    fn new() -> Self {
        let observed = Observed {
            authorities: all(&AuthorityState::Missing),
            kubeconfig: KubeconfigState::Missing,
            ..ready()
        };
        Self {
            observed,
            sequence: 0,
            member: None,
        }
    }

    fn apply(&mut self, event: &Event) {
        match event {
            Event::Pass => self.pass(usize::MAX),
            Event::Crash(writes) => self.pass(*writes),
            Event::HostUp => self.host_up(),
            Event::HostDown => self.observed.answer = Answer::No("down".to_owned()),
            Event::Restart => self.observed.answer = Answer::NotAsked,
            Event::DeleteMachine => {
                for machine in &mut self.observed.machines {
                    machine.deleting = true;
                }
            }
            Event::FinishMachines => self.finish(),
            Event::LoseStatus => self.observed.exists = self.observed.exists_persisted,
            Event::Endpoint(known) => self.observed.endpoint = *known,
            Event::LoseAuthorities => self.observed.authorities = all(&AuthorityState::Missing),
        }
    }

    fn host_up(&mut self) {
        let Some(machine) = self.observed.machines.first() else {
            return;
        };
        if self.member.as_ref() != Some(&machine.name) {
            assert!(!self.observed.exists_persisted, "a second cluster came up");
            self.member = Some(machine.name.clone());
        }
        self.observed.answer = yes();
    }

    fn finish(&mut self) {
        self.observed
            .machines
            .retain(|machine| !machine.deleting || machine.hooked);
        if self.observed.machines.is_empty() {
            self.observed.answer = Answer::No("gone".to_owned());
        }
    }

    /// One pass, in the order of `super::apply`, cut off after so many writes.
    fn pass(&mut self, writes: usize) {
        let Step::Live(live) = decide(&self.observed) else {
            return;
        };
        let founding = !self.observed.exists && self.observed.machines.is_empty();
        assert!(
            live.generate.is_empty() || founding,
            "authorities of a cluster replaced"
        );
        let mut left = writes;
        let mut write = || {
            let may = left > 0;
            left = left.saturating_sub(1);
            may
        };
        if live.persist_existence {
            if !write() {
                return;
            }
            self.observed.exists_persisted = true;
            self.observed.exists = true;
        }
        if live.confirm {
            if !write() {
                return;
            }
            self.observed.begun = None;
        }
        let created = match &live.membership {
            Membership::Create { name, .. } => Some(name.clone()),
            _ => None,
        };
        if let Some(name) = &created {
            assert!(!self.observed.exists, "a second cluster begun");
            if self.observed.begun.is_none() {
                if !write() {
                    return;
                }
                self.sequence += 1;
                self.observed.begun = Some(Begun { name: name.clone() });
                self.observed.next_name = format!("demo-{}", self.sequence + 1);
            }
        }
        for authority in live.generate {
            if !write() {
                return;
            }
            self.observed
                .authorities
                .insert(authority, AuthorityState::Present);
        }
        if live.issue_kubeconfig {
            if !write() {
                return;
            }
            self.observed.kubeconfig = KubeconfigState::Good;
        }
        if let Some(name) = created {
            if !write() {
                return;
            }
            if !self.observed.machines.iter().any(|machine| machine.name == name) {
                self.observed.machines.push(machine(&name));
            }
        }
        for name in live.release {
            if !write() {
                return;
            }
            for machine in self
                .observed
                .machines
                .iter_mut()
                .filter(|machine| machine.name == name)
            {
                machine.hooked = false;
            }
        }
        if matches!(live.membership, Membership::Create { .. }) && write() {
            self.observed.begun = None;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// Whatever happens in whatever order: one Machine, one cluster, and nothing is left half-done in the end.
    #[test]
    fn one_machine_and_one_cluster_through_every_history(history in prop::collection::vec(events(), 0..60)) {
        let mut world = World::new();
        for event in &history {
            world.apply(event);
            prop_assert!(world.observed.machines.len() <= 1, "two Machines after {event:?}");
        }
        // Faults stop; the world goes on.
        world.observed.endpoint = true;
        for _ in 0..6 {
            world.apply(&Event::Pass);
            world.apply(&Event::FinishMachines);
        }
        let Step::Live(end) = decide(&world.observed) else { return Err(TestCaseError::fail("not live")) };
        let settled = matches!(
            &end.membership,
            Membership::Steady | Membership::Wait(Wait::Lost | Wait::Members(_))
        );
        prop_assert!(settled, "ends in {:?}", end.membership);
        prop_assert!(!end.issue_kubeconfig || !end.lacking.is_empty());
        prop_assert!(world.observed.begun.is_none() || end.membership == Membership::Wait(Wait::Lost));
    }

    /// A pass over what the last one left changes nothing.
    #[test]
    fn a_settled_world_is_left_alone(history in prop::collection::vec(events(), 0..40)) {
        let mut world = World::new();
        for event in &history {
            world.apply(event);
        }
        for _ in 0..4 {
            world.apply(&Event::Pass);
        }
        let before = world.observed.clone();
        world.apply(&Event::Pass);
        prop_assert_eq!(before, world.observed);
    }
}
