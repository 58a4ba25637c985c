//! Decisions proven over whole histories: a small world to which steps are applied, with crashes between any two
//! writes, users who delete Machines, hosts that come up late, and answers that get lost.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{
    decide::{Leave, Live, Membership, Step, Wait, decide},
    observed::{
        Answer, Authority, AuthorityState, Begun, KubeconfigState, MachineFacts, Observed, Owner, Refusal,
        RefusalKind,
    },
};

/// A control plane that has everything it needs and nothing yet.
fn ready() -> Observed {
    Observed {
        owner: Owner::Found,
        paused: None,
        deleting: false,
        finalizer: true,
        endpoint: true,
        refusals: Vec::new(),
        exists: false,
        exists_persisted: false,
        begun: None,
        next_name: "demo-1".to_owned(),
        authorities: all(&AuthorityState::Present),
        kubeconfig: KubeconfigState::Good,
        template: None,
        machines: Vec::new(),
        workers: 0,
        answer: Answer::NotAsked,
    }
}

fn all(state: &AuthorityState) -> BTreeMap<Authority, AuthorityState> {
    Authority::ALL
        .into_iter()
        .map(|authority| (authority, state.clone()))
        .collect()
}

fn machine(name: &str) -> MachineFacts {
    MachineFacts {
        name: name.to_owned(),
        deleting: false,
        hooked: true,
        outdated: Vec::new(),
    }
}

fn yes() -> Answer {
    Answer::Yes {
        cluster_uid: "uid".to_owned(),
    }
}

fn running() -> Observed {
    Observed {
        exists: true,
        exists_persisted: true,
        answer: yes(),
        machines: vec![machine("demo-1")],
        ..ready()
    }
}

fn live(observed: &Observed) -> Live {
    match decide(observed) {
        Step::Live(live) => live,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_new_control_plane_gets_everything_in_one_pass() {
    let nothing = Observed {
        authorities: all(&AuthorityState::Missing),
        kubeconfig: KubeconfigState::Missing,
        ..ready()
    };
    let live = live(&nothing);
    assert_eq!(live.generate, Authority::ALL);
    assert!(live.lacking.is_empty() && live.issue_kubeconfig && live.probe);
    assert_eq!(
        live.membership,
        Membership::Create {
            name: "demo-1".to_owned()
        }
    );
}

#[test]
fn authorities_do_not_wait_for_the_endpoint_and_machines_do() {
    let early = Observed {
        endpoint: false,
        authorities: all(&AuthorityState::Missing),
        kubeconfig: KubeconfigState::Missing,
        ..ready()
    };
    let live = live(&early);
    assert_eq!(live.generate, Authority::ALL);
    assert!(!live.issue_kubeconfig && !live.probe);
    assert_eq!(live.membership, Membership::Wait(Wait::Endpoint));
}

#[test]
fn what_is_missing_is_waited_for() {
    let mut broken = ready();
    broken
        .authorities
        .insert(Authority::Etcd, AuthorityState::Unusable("no key".to_owned()));
    assert_eq!(live(&broken).membership, Membership::Wait(Wait::Certificates));
    assert_eq!(live(&broken).lacking, [Authority::Etcd]);

    let gone = Observed {
        template: Some("gone".to_owned()),
        ..ready()
    };
    assert_eq!(
        live(&gone).membership,
        Membership::Wait(Wait::Template("gone".to_owned()))
    );
}

#[test]
fn lost_authorities_of_a_cluster_are_never_replaced() {
    let lost = Observed {
        authorities: all(&AuthorityState::Missing),
        ..running()
    };
    assert_eq!(live(&lost).generate, []);
    assert_eq!(live(&lost).lacking, Authority::ALL);
    // Not even before it answered: its host has the old ones.
    let booting = Observed {
        exists: false,
        answer: Answer::NotAsked,
        ..lost
    };
    assert_eq!(live(&booting).generate, []);
}

#[test]
fn an_interrupted_creation_is_finished_under_its_name() {
    let begun = || {
        Some(Begun {
            name: "demo-1".to_owned(),
        })
    };
    let interrupted = Observed {
        begun: begun(),
        next_name: "demo-2".to_owned(),
        ..ready()
    };
    assert_eq!(
        live(&interrupted).membership,
        Membership::Create {
            name: "demo-1".to_owned()
        }
    );
    let created = Observed {
        machines: vec![machine("demo-1")],
        ..interrupted
    };
    assert_eq!(live(&created).membership, Membership::Steady);
    assert!(live(&created).confirm);
}

#[test]
fn the_only_member_of_a_cluster_is_held() {
    let deleted = MachineFacts {
        deleting: true,
        ..machine("demo-1")
    };
    let held = live(&Observed {
        machines: vec![deleted.clone()],
        ..running()
    });
    assert_eq!(
        held.membership,
        Membership::Wait(Wait::MemberDeleted {
            name: "demo-1".to_owned()
        })
    );
    assert_eq!(held.release, [""; 0]);

    let never_up = live(&Observed {
        machines: vec![deleted],
        answer: Answer::No("down".to_owned()),
        ..ready()
    });
    assert_eq!(
        never_up.membership,
        Membership::Wait(Wait::Gone {
            name: "demo-1".to_owned()
        })
    );
    assert_eq!(never_up.release, ["demo-1"]);

    let lost = live(&Observed {
        machines: vec![],
        answer: Answer::No("down".to_owned()),
        ..running()
    });
    assert_eq!(lost.membership, Membership::Wait(Wait::Lost));
}

#[test]
fn existence_is_persisted_once_somebody_answered() {
    let answered = Observed {
        answer: yes(),
        machines: vec![machine("demo-1")],
        ..ready()
    };
    assert!(live(&answered).persist_existence);
    assert!(!live(&running()).persist_existence);
    // Status was restored or the control plane was taken over: the mark is made up for.
    assert!(
        live(&Observed {
            exists_persisted: false,
            ..running()
        })
        .persist_existence
    );
}

#[test]
fn refusals_stop_what_was_not_begun_and_nothing_else() {
    let refusal = Refusal {
        field: "spec.replicas".to_owned(),
        value: "3".to_owned(),
        remedy: "set it to 1".to_owned(),
        kind: RefusalKind::Unsupported,
    };
    let fresh = Observed {
        refusals: vec![refusal.clone()],
        ..ready()
    };
    assert_eq!(decide(&fresh), Step::Leave(Leave::Refused));
    let lives = live(&Observed {
        refusals: vec![refusal],
        ..running()
    });
    assert_eq!(lives.membership, Membership::Steady);
    assert!(lives.probe);
}

#[test]
fn nothing_is_touched_without_an_owner_or_while_paused() {
    assert_eq!(
        decide(&Observed {
            owner: Owner::None,
            ..ready()
        }),
        Step::Leave(Leave::NoOwner)
    );
    let gone = Observed {
        owner: Owner::Missing("demo".to_owned()),
        ..ready()
    };
    assert_eq!(decide(&gone), Step::Leave(Leave::OwnerMissing("demo".to_owned())));
    let paused = Observed {
        paused: Some("because".to_owned()),
        deleting: true,
        ..running()
    };
    assert_eq!(decide(&paused), Step::Leave(Leave::Paused("because".to_owned())));
}

#[test]
fn deletion_goes_workers_first_and_skips_no_hook() {
    let deletion = |observed: &Observed| match decide(observed) {
        Step::Delete(deletion) => deletion,
        other => panic!("{other:?}"),
    };
    let with_workers = deletion(&Observed {
        deleting: true,
        workers: 2,
        ..running()
    });
    assert_eq!((with_workers.workers, with_workers.finished), (2, false));
    assert_eq!((with_workers.delete, with_workers.release), (vec![], vec![]));

    let going = MachineFacts {
        deleting: true,
        ..machine("demo-0")
    };
    let mixed = Observed {
        deleting: true,
        machines: vec![going, machine("demo-1")],
        ..running()
    };
    let step = deletion(&mixed);
    assert_eq!(step.delete, ["demo-1"]);
    assert_eq!(step.release, ["demo-0", "demo-1"]);
    assert!(!step.finished);

    assert!(
        deletion(&Observed {
            deleting: true,
            machines: vec![],
            ..running()
        })
        .finished
    );
    // Nobody finishes the Machines of a Cluster that is gone.
    assert!(
        deletion(&Observed {
            owner: Owner::None,
            ..mixed
        })
        .finished
    );
}

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
        let created = match &live.membership {
            Membership::Create { name } => Some(name.clone()),
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
        if (live.confirm || matches!(live.membership, Membership::Create { .. })) && write() {
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
            Membership::Steady | Membership::Wait(Wait::Lost | Wait::MemberDeleted { .. })
        );
        prop_assert!(settled, "ends in {:?}", end.membership);
        prop_assert!(!end.issue_kubeconfig || !end.lacking.is_empty());
        prop_assert_eq!(world.observed.begun, None);
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
