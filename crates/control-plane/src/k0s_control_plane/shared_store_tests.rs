//! Controllers that share a store which is none of theirs: nobody is a member of anything, and whatever happens to them,
//! one of them serves.

use proptest::prelude::*;

use super::{
    decide_tests::{live, machine},
    membership::{Membership, Wait},
    membership_tests::{change, delete_first, plane},
    observed::{Etcd, MachineFacts, MemberFacts, Observed},
};

/// Controllers as [`plane`] has them, `v` being one that serves and `d` one that does not.
fn shared(replicas: usize, text: &str) -> Observed {
    let mut observed = plane(replicas, text);
    if let Etcd::Members { fresh, members } = observed.etcd {
        observed.etcd = Etcd::Shared { fresh, members };
    }
    observed
}

fn members(observed: &mut Observed) -> &mut Vec<MemberFacts> {
    match &mut observed.etcd {
        Etcd::Shared { members, .. } => members,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn table(rows: &[(usize, &str, &str, &[&str])]) {
    for (replicas, text, expected, released) in rows {
        let observed = shared(*replicas, text);
        assert_eq!(change(&observed), *expected, "{replicas}: {text}");
        assert_eq!(live(&observed).release, *released, "{replicas}: {text}");
    }
}

#[test]
fn controllers_come_and_go_one_at_a_time() {
    table(&[
        (3, "v", "create", &[]),
        (3, "v n", "joined m2", &[]),
        (3, "v v v", "steady", &[]),
        (1, "v v v", "delete m1 excess", &[]),
        // Nothing has to be left: it is let go.
        (2, "vg v v", "gone m1", &["m1"]),
        (2, "vg vg v v", "gone m1", &["m1"]),
        (2, "dg v v", "gone m1", &["m1"]),
        // What has never joined leaves nothing behind, whenever it was started.
        (1, "v ng", "gone m2", &["m2"]),
        (1, "v no", "delete m2 outdated", &[]),
    ]);
}

#[test]
fn the_last_one_that_serves_stays_until_another_one_does() {
    table(&[
        (1, "vg", "create", &[]),
        (1, "vg n", "joined m2", &[]),
        (1, "vg v", "gone m1", &["m1"]),
        (1, "vr", "create", &[]),
        (1, "vg d", "Serving { name: \"m1\" }", &[]),
        // Of two one does: with members that would be no quorum.
        (2, "dr v", "delete m1 unhealthy", &[]),
        (2, "dg v d", "gone m1", &["m1"]),
    ]);
}

#[test]
fn a_roll_waits_for_those_that_do_not_serve() {
    table(&[
        (3, "vo v v", "create", &[]),
        (3, "vo v v n", "joined m4", &[]),
        (3, "vo v v v", "delete m1 outdated", &[]),
        (3, "vo v d", "healthy m3", &[]),
    ]);
    assert_eq!(change(&delete_first(shared(3, "vo v v"))), "delete m1 outdated");
    assert_eq!(change(&delete_first(shared(3, "vo v d"))), "healthy m3");
}

#[test]
fn pods_are_moved_away_before_a_controller_is_let_go() {
    let mut draining = shared(1, "vg v");
    draining.machines[0].drained = false;
    assert_eq!(change(&draining), "drained m1");
    assert_eq!(live(&draining).release, [""; 0]);
}

#[test]
fn what_k0s_keeps_of_those_that_are_gone_is_removed() {
    let mut gone = shared(1, "v x-");
    assert_eq!(live(&gone).forget, ["m2"]);
    members(&mut gone)[1].ours = false;
    assert_eq!(live(&gone).forget, [""; 0]);
}

#[test]
fn what_was_seen_before_the_last_change_allows_no_other() {
    let mut stale = shared(2, "vg v v");
    if let Etcd::Shared { fresh, .. } = &mut stale.etcd {
        *fresh = false;
    }
    assert_eq!(change(&stale), "Members(None)");
    assert_eq!(live(&stale).release, [""; 0]);
}

/// What a pass decided is done, and whatever was made starts and serves a little later.
fn pass(observed: &mut Observed, number: usize) -> bool {
    observed.next_name = format!("new-{number}");
    let live = live(observed);
    for name in &live.forget {
        members(observed).retain(|member| member.name != *name);
    }
    observed
        .machines
        .retain(|machine| !live.release.contains(&machine.name));
    let known: Vec<_> = observed
        .machines
        .iter()
        .map(|machine| machine.name.clone())
        .collect();
    for member in members(observed) {
        if !known.contains(&member.name) {
            (member.left, member.ready) = (true, false);
        }
    }
    let started: Vec<_> = observed
        .machines
        .iter_mut()
        .filter_map(|machine| std::mem::replace(&mut machine.started, true).then(|| machine.name.clone()))
        .collect();
    for name in started {
        if !members(observed).iter().any(|member| member.name == name) {
            members(observed).push(MemberFacts {
                name,
                left: false,
                leaving: false,
                ready: true,
                message: String::new(),
                ours: true,
            });
        }
    }
    match &live.membership {
        Membership::Create { name, .. } => observed.machines.push(MachineFacts {
            started: false,
            ..machine(name)
        }),
        Membership::Delete { name, .. } => {
            for machine in observed
                .machines
                .iter_mut()
                .filter(|machine| machine.name == *name)
            {
                machine.deleting = true;
            }
        }
        Membership::Leave { name } => panic!("{name} is a member of nothing"),
        Membership::Wait(Wait::Quorum { .. }) => panic!("there is no quorum of anything"),
        Membership::Steady | Membership::Wait(_) => {}
    }
    live.membership == Membership::Steady && live.release.is_empty() && live.forget.is_empty()
}

proptest! {
    /// From whatever is there, as long as one serves and those that do not are to be replaced: one serves all the time, there
    /// is never more than one beyond what is asked for and was there, and in the end all are there and as asked for.
    #[test]
    fn one_serves_all_the_time_and_all_in_the_end(
        replicas in 1_usize..6, first in prop::sample::select(vec!["v", "vo", "vg", "vr"]),
        others in prop::collection::vec(
            prop::sample::select(vec!["v", "vo", "vg", "vr", "dr", "dg", "dog", "n", "no", "u", "ug"]), 0..5),
        deletes_first in any::<bool>(),
    ) {
        let text = [vec![first], others].concat().join(" ");
        let mut observed = shared(replicas, &text);
        if deletes_first {
            observed = delete_first(observed);
        }
        let most = observed.machines.len().max(replicas + 1);
        let settled = (0..200).any(|number| {
            let settled = pass(&mut observed, number);
            let serving = members(&mut observed).iter().filter(|member| member.ready).count();
            assert!(serving > 0, "nobody serves: {observed:?}");
            assert!(observed.machines.len() <= most, "too many: {observed:?}");
            settled
        });
        prop_assert!(settled, "{:?}", observed);
        prop_assert_eq!(observed.machines.len(), replicas);
        let as_asked = |machine: &MachineFacts| machine.outdated.is_empty() && machine.repair.is_none() && !machine.deleting;
        prop_assert!(observed.machines.iter().all(as_asked), "{:?}", observed);
    }
}
