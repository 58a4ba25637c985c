//! Single decisions, one situation each. Whole histories are in `history_tests`.

use std::collections::BTreeMap;

use super::{
    autopilot::Autopilot,
    decide::{Leave, Live, Step, decide},
    membership::{Membership, Wait, Why},
    observed::{
        Answer, Authority, AuthorityState, Begun, Etcd, KubeconfigState, MachineFacts, Observed, Owner,
        Refusal, RefusalKind, Strategy,
    },
};

/// A control plane that has everything it needs and nothing yet.
pub fn ready() -> Observed {
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
        replicas: 1,
        strategy: Strategy::CreateFirst,
        domains: Vec::new(),
        machines: Vec::new(),
        etcd: Etcd::Unknown("not asked".to_owned()),
        autopilot: Autopilot::Known {
            fresh: true,
            plan: None,
            controllers: BTreeMap::new(),
        },
        download: None,
        workers: 0,
        goes: false,
        goes_next: false,
        answer: Answer::NotAsked,
    }
}

pub fn all(state: &AuthorityState) -> BTreeMap<Authority, AuthorityState> {
    Authority::ALL
        .into_iter()
        .map(|authority| (authority, state.clone()))
        .collect()
}

pub fn machine(name: &str) -> MachineFacts {
    MachineFacts {
        name: name.to_owned(),
        deleting: false,
        hooked: true,
        outdated: Vec::new(),
        in_place: false,
        started: true,
        stalled: false,
        // Without pods nothing is waited for when it is deleted.
        drained: true,
        preferred: false,
        repair: None,
        domain: None,
    }
}

pub fn yes() -> Answer {
    Answer::Yes {
        cluster_uid: "uid".to_owned(),
    }
}

pub fn running() -> Observed {
    Observed {
        exists: true,
        exists_persisted: true,
        answer: yes(),
        machines: vec![machine("demo-1")],
        ..ready()
    }
}

pub fn live(observed: &Observed) -> Live {
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
            name: "demo-1".to_owned(),
            founds: true
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
            name: "demo-1".to_owned(),
            founds: true
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
fn members_of_a_cluster_that_goes_are_let_go_with_its_workers() {
    let deciding = |goes_next| {
        live(&Observed {
            machines: vec![machine("demo-1")],
            goes_next,
            ..running()
        })
    };
    assert_eq!(deciding(true).release, ["demo-1"]);
    assert_eq!(deciding(true).membership, Membership::Steady);
    assert_eq!(deciding(false).release, [""; 0]);
}

/// Its API may be gone already: whatever asked for it would stand in the way.
#[test]
fn nothing_joins_or_leaves_a_cluster_that_goes() {
    let mid_replacement = Observed {
        replicas: 3,
        goes: true,
        answer: Answer::No("gone".to_owned()),
        machines: vec![
            MachineFacts {
                deleting: true,
                ..machine("demo-1")
            },
            MachineFacts {
                deleting: true,
                started: false,
                ..machine("demo-2")
            },
            machine("demo-3"),
        ],
        ..running()
    };
    let with_workers = live(&mid_replacement);
    assert!(matches!(
        with_workers.membership,
        Membership::Wait(Wait::Gone { .. })
    ));
    assert_eq!(with_workers.release, ["demo-2"]);
    let without = live(&Observed {
        goes_next: true,
        ..mid_replacement.clone()
    });
    assert_eq!(without.release, ["demo-1", "demo-2", "demo-3"]);
    let Step::Delete(deletion) = decide(&Observed {
        deleting: true,
        ..mid_replacement
    }) else {
        panic!("it is to be deleted")
    };
    assert_eq!(deletion.release, ["demo-1", "demo-2", "demo-3"]);
    assert_eq!(deletion.delete, ["demo-3"]);
}

#[test]
fn the_only_machine_is_replaced_before_there_is_a_cluster_and_held_afterwards() {
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
        Membership::Wait(Wait::Members(Some("not asked".to_owned())))
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

    // A corrected spec replaces it, as long as it has not come up.
    let outdated = Observed {
        machines: vec![MachineFacts {
            outdated: vec!["version".to_owned()],
            ..machine("demo-1")
        }],
        ..ready()
    };
    assert_eq!(
        live(&outdated).membership,
        Membership::Delete {
            name: "demo-1".to_owned(),
            why: Why::Outdated
        }
    );

    let lost = live(&Observed {
        machines: vec![],
        answer: Answer::No("down".to_owned()),
        ..running()
    });
    assert_eq!(lost.membership, Membership::Wait(Wait::Lost));
}

#[test]
fn what_answers_from_a_machine_that_was_let_go_is_no_evidence() {
    let leaving = MachineFacts {
        deleting: true,
        hooked: false,
        ..machine("demo-1")
    };
    let answered = Observed {
        answer: yes(),
        machines: vec![leaving],
        ..ready()
    };
    assert!(!live(&answered).persist_existence);
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
