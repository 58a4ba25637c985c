//! Single decisions about the membership, one situation each, written as lines: a Machine, and what etcd has of it.
//! What follows from them over whole histories is proven by the model checker in `tests/membership`.

use super::{
    decide_tests::{live, machine, running},
    membership::{Membership, Wait, Why},
    observed::{Etcd, MachineFacts, MemberFacts, Observed, Repair, Strategy},
};

/// A control plane of so many replicas, one word a Machine. Letters: `v` voter, `d` one that is down, `n` newcomer,
/// `N` one that is stalled, `u` one that was not started, `x` one that has left, `-` none but a member; then `o` outdated, `g`
/// being deleted, `r` to be replaced as unhealthy, `p` preferred, `l` asked to leave; `1` to `3` the failure domain.
pub fn plane(replicas: usize, text: &str) -> Observed {
    let mut machines = Vec::new();
    let mut members = Vec::new();
    for (index, word) in text.split_whitespace().enumerate() {
        let name = format!("m{}", index + 1);
        let has = |letter| word.contains(letter);
        if !has('-') {
            machines.push(MachineFacts {
                deleting: has('g'),
                outdated: if has('o') {
                    vec!["version".to_owned()]
                } else {
                    Vec::new()
                },
                started: !has('u'),
                stalled: has('N'),
                preferred: has('p'),
                repair: has('r').then_some(Repair::Due),
                domain: word.matches(char::is_numeric).next().map(str::to_owned),
                ..machine(&name)
            });
        }
        if has('v') || has('d') || has('x') {
            members.push(MemberFacts {
                name,
                left: has('x'),
                leaving: has('l'),
                ready: has('v'),
                message: String::new(),
                ours: true,
            });
        }
    }
    Observed {
        replicas,
        next_name: "next".to_owned(),
        domains: ["1", "2", "3"].map(str::to_owned).into(),
        machines,
        etcd: Etcd::Members { fresh: true, members },
        ..running()
    }
}

pub fn delete_first(observed: Observed) -> Observed {
    Observed {
        strategy: Strategy::DeleteFirst,
        ..observed
    }
}

/// The change, in a few words.
pub fn change(observed: &Observed) -> String {
    match live(observed).membership {
        Membership::Steady => "steady".to_owned(),
        Membership::Create { founds: false, .. } => "create".to_owned(),
        Membership::Create { founds: true, .. } => "found".to_owned(),
        Membership::Delete { name, why } => {
            let why = match why {
                Why::Excess => "excess",
                Why::Outdated => "outdated",
                Why::Unhealthy => "unhealthy",
                Why::Left => "left",
            };
            format!("delete {name} {why}")
        }
        Membership::Leave { name } => format!("leave {name}"),
        Membership::Wait(wait) => match wait {
            Wait::Gone { name } => format!("gone {name}"),
            Wait::Joined { name } => format!("joined {name}"),
            Wait::Left { name, .. } => format!("left {name}"),
            Wait::Quorum { .. } => "quorum".to_owned(),
            Wait::Healthy { names } => format!("healthy {}", names.join(",")),
            Wait::Drained { name } => format!("drained {name}"),
            other => format!("{other:?}"),
        },
    }
}

#[track_caller]
fn table(rows: &[(usize, &str, &str)]) {
    for (replicas, text, expected) in rows {
        assert_eq!(change(&plane(*replicas, text)), *expected, "{replicas}: {text}");
    }
}

#[test]
fn one_controller_more_or_less_at_a_time() {
    table(&[
        (3, "v", "create"),
        (5, "v n", "joined m2"),
        (5, "v v", "create"),
        (5, "v u", "joined m2"),
        (3, "v v v", "steady"),
        (1, "v v v", "delete m1 excess"),
        (1, "v v vp", "delete m3 excess"),
        (1, "vg v v", "leave m1"),
        (1, "vgl v v", "left m1"),
        (1, "xg v v", "gone m1"),
        (1, "v v", "delete m1 excess"),
        (1, "vg v", "leave m1"),
        (1, "v", "steady"),
        // Not wanted any more before it has joined.
        (1, "v u", "delete m2 excess"),
        (1, "v n", "joined m2"),
        (1, "v N", "delete m2 excess"),
    ]);
}

#[test]
fn of_several_the_one_in_the_fullest_failure_domain_goes() {
    table(&[
        (1, "v1 v2 v2", "delete m2 excess"),
        // What is wanted, or differs, or is down, comes before where it is.
        (1, "v1p v2 v2", "delete m1 excess"),
        (1, "v1o v2 v2", "delete m1 outdated"),
        (1, "d1 v2 v2", "delete m1 excess"),
        (3, "v1 v2o v3o v1", "delete m2 outdated"),
        (3, "v1o v2o v3o v2", "delete m2 outdated"),
    ]);
    let rolled = delete_first(plane(3, "v1o v2o v2"));
    assert_eq!(change(&rolled), "delete m2 outdated");
}

#[test]
fn a_dead_member_does_not_wait_for_a_newcomer_that_etcd_does_not_let_in_beside_it() {
    table(&[
        (3, "vo vo dr n", "delete m3 unhealthy"),
        (3, "vo vo dg n", "leave m3"),
        (3, "vo vo d- u", "leave m3"),
        (5, "v v v dr dr n", "delete m4 unhealthy"),
        // Nobody asks that it go, or too few could agree on it.
        (3, "vo vo d n", "joined m4"),
        (3, "vo dr dr n", "joined m4"),
    ]);
}

#[test]
fn no_removal_without_a_quorum_of_healthy_voters() {
    table(&[
        (1, "v d", "quorum"),
        (1, "vg d", "quorum"),
        (2, "v dr", "quorum"),
        (3, "v v dr", "delete m3 unhealthy"),
        (3, "v v drg", "leave m3"),
        (1, "v v d", "delete m3 excess"),
        // One is needed until there is another.
        (1, "vr", "create"),
        (3, "v vr d", "create"),
        (1, "vg", "create"),
        (1, "vg n", "joined m2"),
        (1, "vg v", "leave m1"),
        // One that leaves is awaited, whatever else happens.
        (3, "vgl v dr", "left m1"),
    ]);
}

#[test]
fn a_rollout_makes_one_first_or_deletes_one_first() {
    table(&[
        (1, "vo", "create"),
        (1, "vo v", "delete m1 outdated"),
        (3, "vo vo vo", "create"),
        (3, "vo vo vo u", "joined m4"),
        (3, "vo vo vo v", "delete m1 outdated"),
        (3, "vo vo vog v", "leave m3"),
        // A corrected spec replaces the newcomer that the wrong one broke.
        (3, "vo vo vo No", "delete m4 outdated"),
        (3, "vo vo vo uo", "delete m4 outdated"),
        // Of the outdated ones that go, the one that is down goes first.
        (3, "vo do vo v", "delete m2 outdated"),
        (3, "vo v d", "healthy m3"),
    ]);
    let rows = [
        (3, "vo vo vo", "delete m1 outdated"),
        (3, "vog vo vo", "leave m1"),
        (3, "xog vo vo", "gone m1"),
        (3, "vo vo", "create"),
        // Too few to go without one.
        (1, "vo", "create"),
    ];
    for (replicas, text, expected) in rows {
        assert_eq!(
            change(&delete_first(plane(replicas, text))),
            expected,
            "{replicas}: {text}"
        );
    }
}

#[test]
fn what_is_left_of_machines_that_are_gone() {
    // Somebody removed the hook: the member is ours to take out.
    table(&[
        (3, "v v -d", "leave m3"),
        (2, "v v -x", "steady"),
        (3, "v v x", "delete m3 left"),
    ]);
    assert_eq!(live(&plane(2, "v v -x")).forget, ["m3"]);
    assert_eq!(live(&plane(3, "v v xg")).release, ["m3"]);
    assert_eq!(live(&plane(3, "v v vg")).release, [""; 0]);
    assert_eq!(live(&plane(3, "v v ug")).release, ["m3"]);
    let mut foreign = plane(1, "v -v -v");
    if let Etcd::Members { members, .. } = &mut foreign.etcd {
        for member in members {
            member.ours = false;
        }
    }
    assert_eq!(change(&foreign), "steady", "members that others look after");
}

#[test]
fn nothing_changes_on_what_was_seen_before_the_last_change() {
    for text in ["v", "vg v v", "v v v v", "vo vo vo"] {
        let mut observed = plane(3, text);
        if let Etcd::Members { fresh, .. } = &mut observed.etcd {
            *fresh = false;
        }
        assert_eq!(
            live(&observed).membership,
            Membership::Wait(Wait::Members(None)),
            "{text}"
        );
    }
}

#[test]
fn pods_move_before_the_member_leaves() {
    let mut observed = plane(2, "vg v v");
    observed.machines[0].drained = false;
    assert_eq!(change(&observed), "drained m1");
}

#[test]
fn a_version_that_is_changed_in_place_replaces_nothing() {
    let mut observed = plane(3, "vo vo vo");
    for machine in &mut observed.machines {
        machine.in_place = true;
    }
    assert_eq!(change(&observed), "steady");
}
