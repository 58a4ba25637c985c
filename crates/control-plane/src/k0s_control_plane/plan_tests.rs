//! Updates in place, one situation each. That a Plan and a change of membership never overlap is proven by the model checker
//! in `tests/membership`.

use std::{collections::BTreeMap, slice};

use k0smotron_api::k0s_objects::{ControlNode, Plan};
use serde_json::json;

use super::{
    autopilot::{Autopilot, Controller, PlanFacts, Seen, SeenPlan, State, facts, seen},
    decide_tests::{live, machine, running},
    membership::{Membership, Wait, Why},
    observed::{Answer, Etcd, MachineFacts, MemberFacts, Observed, Repair},
    plan::{self, Update},
};

/// Three controllers, one word each: `o` runs the old version, `n` the new one; then `u` it is being updated, `d` it is down,
/// `r` it is to be replaced as unhealthy, `-` it has no ControlNode.
fn three(text: &str, plan: Option<PlanFacts>) -> Observed {
    let (mut machines, mut members, mut controllers) = (Vec::new(), Vec::new(), BTreeMap::new());
    for (index, word) in text.split_whitespace().enumerate() {
        let name = format!("m{}", index + 1);
        let has = |letter| word.contains(letter);
        machines.push(MachineFacts {
            outdated: vec!["version".to_owned()],
            in_place: true,
            repair: has('r').then_some(Repair::Due),
            ..machine(&name)
        });
        members.push(MemberFacts {
            name: name.clone(),
            left: false,
            leaving: false,
            ready: !has('d'),
            message: String::new(),
            ours: true,
        });
        let controller = Controller {
            version: if has('n') { "new" } else { "old" }.to_owned(),
            up_to_date: has('n'),
            updating: has('u').then(|| "Restart".to_owned()),
        };
        if !has('-') {
            controllers.insert(name, controller);
        }
    }
    Observed {
        replicas: 3,
        next_name: "next".to_owned(),
        machines,
        etcd: Etcd::Members { fresh: true, members },
        autopilot: Autopilot::Known {
            fresh: true,
            plan,
            controllers,
        },
        ..running()
    }
}

fn ours(state: State, fits: bool) -> Option<PlanFacts> {
    Some(PlanFacts {
        id: "id-demo-1".to_owned(),
        uid: "uid".to_owned(),
        ours: true,
        fits,
        controllers: state != State::Done,
        state,
    })
}

fn foreign(state: State) -> Option<PlanFacts> {
    ours(state, false).map(|plan| PlanFacts {
        id: "theirs".to_owned(),
        ours: false,
        ..plan
    })
}

fn failed() -> State {
    State::Failed("m1 cannot download".to_owned())
}

/// What is done, in a word and what it says.
fn update(observed: &Observed) -> String {
    match live(observed).updates.update {
        Update::None => "none".to_owned(),
        Update::Begin { machines } => format!("begin {}", machines.join(" ")),
        Update::Remove { .. } => "remove".to_owned(),
        Update::Look => "look".to_owned(),
        Update::Wait { message } => format!("wait: {message}"),
        Update::Failed { message } => format!("failed: {message}"),
    }
}

#[test]
fn a_plan_begins_when_all_are_well_and_nothing_else_is_to_change() {
    let begun = [
        ("o o o", None, "begin m1 m2 m3"),
        ("n o o", None, "begin m2 m3"),
        ("n n n", None, "none"),
        ("o o o", ours(State::Done, false), "remove"),
        ("o o o", ours(failed(), false), "remove"),
        ("o o o", foreign(State::Done), "remove"),
        ("o o o", ours(State::Running, false), "remove"),
        ("n n n", ours(State::Running, false), "remove"),
        ("n n n", ours(State::Running, true), "none"),
        ("n n n", foreign(failed()), "none"),
    ];
    for (text, plan, expected) in begun {
        assert_eq!(update(&three(text, plan.clone())), expected, "{text} {plan:?}");
    }
}

#[test]
fn what_holds_an_update_back_is_said() {
    let held = [
        ("od o o", None, "wait: ", "not healthy: m1"),
        ("o ou o", None, "wait: ", "m2 (Restart)"),
        ("o o- o", None, "failed: ", "AUTOPILOT_HOSTNAME=m2"),
        (
            "n ou o",
            ours(State::Running, true),
            "wait: ",
            "m2, m3, now m2 (Restart)",
        ),
        ("n o od", ours(State::Running, true), "wait: ", "not healthy: m3"),
        (
            "o ou o",
            ours(State::Running, false),
            "wait: ",
            "when m2 (Restart) is done",
        ),
        ("o o o", foreign(State::Running), "wait: ", "id theirs"),
        ("o o o", foreign(failed()), "failed: ", "delete it"),
        ("o o o", ours(failed(), true), "failed: ", "m1 cannot download"),
        ("n n o", ours(State::Done, true), "failed: ", "m3 runs old"),
    ];
    for (text, plan, kind, part) in held {
        let said = update(&three(text, plan.clone()));
        assert!(
            said.starts_with(kind) && said.contains(part),
            "{text} {plan:?}: {said}"
        );
    }
    let mut oci = three("o o o", None);
    oci.download = Some("oci://registry/k0s".to_owned());
    assert!(update(&oci).contains("cannot update itself from oci://registry/k0s"));
    let mut away = three("o o o", None);
    away.answer = Answer::No("refused".to_owned());
    assert!(update(&away).starts_with("wait: "));
    let mut unknown = three("o o o", None);
    unknown.autopilot = Autopilot::Unknown("forbidden".to_owned());
    assert!(update(&unknown).contains("forbidden"));
}

#[test]
fn a_plan_is_made_on_what_was_asked_for_after_the_last_change() {
    let mut stale = three("o o o", None);
    if let Autopilot::Known { fresh, .. } = &mut stale.autopilot {
        *fresh = false;
    }
    assert_eq!(update(&stale), "look");
}

#[test]
fn what_runs_the_version_is_recorded_whoever_brought_it() {
    for plan in [None, ours(State::Running, true), foreign(State::Running)] {
        assert_eq!(live(&three("n o n", plan)).updates.recorded, ["m1", "m3"]);
    }
}

#[test]
fn a_single_controller_of_any_storage_is_updated() {
    let single = |etcd| {
        let mut observed = three("o", None);
        (observed.replicas, observed.etcd) = (1, etcd);
        update(&observed)
    };
    assert_eq!(single(Etcd::Elsewhere), "begin m1");
    assert_eq!(
        single(Etcd::Unknown("it has no EtcdMembers".to_owned())),
        "begin m1"
    );
}

#[test]
fn a_change_of_membership_waits_for_a_plan_and_a_repair_ends_it() {
    let scaled = |text, plan| Observed {
        replicas: 5,
        ..three(text, plan)
    };
    let waits = Membership::Wait(Wait::Updated {
        plan: "id-demo-1".to_owned(),
    });
    let up = live(&scaled("n o o", ours(State::Running, true)));
    assert_eq!(up.membership, waits);
    assert!(matches!(up.updates.update, Update::Wait { .. }));

    let repaired = three("n o odr", ours(State::Running, true));
    assert_eq!(live(&repaired).membership, waits);
    assert_eq!(update(&repaired), "remove");

    let unhappy = three("n o odr", foreign(State::Running));
    assert_eq!(
        live(&unhappy).membership,
        Membership::Delete {
            name: "m3".to_owned(),
            why: Why::Unhealthy
        }
    );

    // One that restarts any moment is not counted on.
    let early = three("n ou odr", foreign(State::Running));
    assert!(matches!(
        live(&early).membership,
        Membership::Create { .. } | Membership::Wait(Wait::Quorum { .. })
    ));
    // What k0s does on workers is in nobody's way.
    let mut workers = scaled("n n n", foreign(State::Running));
    if let Autopilot::Known { plan: Some(plan), .. } = &mut workers.autopilot {
        plan.controllers = false;
    }
    assert!(matches!(live(&workers).membership, Membership::Create { .. }));
}

#[test]
fn the_plan_is_of_the_shape_that_k0s_wants() {
    let names = ["demo-a".to_owned(), "demo-b".to_owned()];
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    let made = plan::plan("demo", "v1.36.3+k0s.2", None, &names, now);
    insta::assert_yaml_snapshot!("plan", made);
    assert!(plan::is_ours(&made.spec.id, "demo"));
    for other in ["id-demo-", "id-demo-x-1", "id-demos-1", "id1", "my-plan"] {
        assert!(!plan::is_ours(other, "demo"), "{other}");
    }
    let fits =
        |version, download| plan::fits(&made.spec.commands, version, download, slice::from_ref(&names[0]));
    assert!(fits("v1.36.3+k0s.2", None));
    assert!(!fits("v1.36.3+k0s.3", None) && !fits("v1.36.3+k0s.2", Some("http://mirror/k0s")));
    let others = ["demo-c".to_owned()];
    assert!(!plan::fits(&made.spec.commands, "v1.36.3+k0s.2", None, &others));
    assert_eq!(plan::download(Some("https://get.k0s.sh/")), None);
    assert_eq!(
        plan::download(Some(" http://mirror/k0s ")).as_deref(),
        Some("http://mirror/k0s")
    );
}

/// A controller that was told to bring v1.36.3+k0s.3, as k0s writes it.
fn node(version: &str, step: Option<&str>) -> ControlNode {
    let mut signal = json!({
        "planId": "id-demo-1",
        "created": "2026-01-01T00:00:00Z",
        "command": { "id": 0, "k0supdate": { "url": "http://mirror/k0s", "version": "v1.36.3+k0s.3" } },
    });
    if let Some(step) = step {
        signal["status"] = json!({ "status": step, "timestamp": "2026-01-01T00:00:00Z" });
    }
    serde_json::from_value(json!({
        "apiVersion": "autopilot.k0sproject.io/v1beta2",
        "kind": "ControlNode",
        "metadata": {
            "name": "m1",
            "annotations": { "k0sproject.io/autopilot-signal-data": signal.to_string() },
        },
        "status": { "k0sVersion": version },
    }))
    .unwrap()
}

fn known(node: &ControlNode, status: serde_json::Value, now: &str) -> (PlanFacts, Controller) {
    let plan: Plan = serde_json::from_value(json!({
        "apiVersion": "autopilot.k0sproject.io/v1beta2",
        "kind": "Plan",
        "metadata": { "name": "autopilot" },
        "spec": { "id": "id-demo-1", "timestamp": "1", "commands": [] },
        "status": status,
    }))
    .unwrap();
    let found = Seen {
        plan: Some(SeenPlan {
            uid: "uid".to_owned(),
            created: Some("2026-01-01T00:00:00Z".parse().unwrap()),
            plan,
        }),
        controllers: vec![seen(node)],
    };
    let now = now.parse().unwrap();
    let version = "v1.36.3+k0s.3";
    let Autopilot::Known {
        plan: Some(plan),
        controllers,
        ..
    } = facts(&found, true, version, |_| true, |_| true, now)
    else {
        panic!("there is one");
    };
    (plan, controllers["m1"].clone())
}

#[test]
fn how_far_a_controller_is_follows_from_its_signal_and_what_it_runs() {
    let (old, new) = ("v1.36.3+k0s.2", "v1.36.3+k0s.3");
    let (soon, late) = ("2026-01-01T00:00:30Z", "2026-01-01T00:05:00Z");
    let running = || json!({ "state": "SchedulableWait" });
    let steps = [
        (old, None, soon, Some("Signaled"), None),
        (new, None, soon, None, None),
        (old, Some("Downloading"), late, Some("Downloading"), None),
        (old, Some("Cordoning"), late, Some("Cordoning"), None),
        (old, Some("ApplyingUpdate"), soon, Some("ApplyingUpdate"), None),
        (old, Some("Restart"), soon, Some("Restart"), None),
        (new, Some("Restart"), soon, None, None),
        (
            old,
            Some("Restart"),
            late,
            None,
            Some("m1 runs v1.36.3+k0s.2 after the restart"),
        ),
        (new, Some("UnCordoning"), soon, None, None),
        (
            old,
            Some("FailedDownload"),
            soon,
            None,
            Some("cannot download http://mirror/k0s"),
        ),
        (new, Some("Completed"), soon, None, None),
    ];
    for (version, step, now, updating, failure) in steps {
        let (plan, controller) = known(&node(version, step), running(), now);
        assert_eq!(controller.updating.as_deref(), updating, "{version} {step:?}");
        match (failure, plan.state) {
            (None, State::Running) => {}
            (Some(part), State::Failed(reason)) => assert!(reason.contains(part), "{reason}"),
            (_, state) => panic!("{version} {step:?}: {state:?}"),
        }
    }
}

#[test]
fn what_k0s_says_of_a_plan_is_understood() {
    let told = |status| known(&node("v1.36.3+k0s.2", None), status, "2026-01-01T00:00:30Z").0;
    let targets = |state: &str, target: &str| {
        json!({ "state": state, "commands": [{ "id": 0, "state": state, "k0supdate": { "controllers": [
            { "name": "m2", "state": target, "lastUpdatedTimestamp": "2026-01-01T00:00:00Z" },
        ] } }] })
    };
    assert_eq!(told(json!({})).state, State::Running);
    assert_eq!(told(targets("Completed", "SignalCompleted")).state, State::Done);
    assert!(!told(targets("SchedulableWait", "SignalCompleted")).controllers);
    assert!(told(targets("SchedulableWait", "SignalSent")).controllers);
    let failures = [
        (
            targets("IncompleteTargets", "SignalMissingNode"),
            "there is no ControlNode m2",
        ),
        (
            targets("IncompleteTargets", "SignalMissingPlatform"),
            "platform of m2",
        ),
        (targets("ApplyFailed", "SignalApplyFailed"), "m2 has failed"),
        (json!({ "state": "Restricted" }), "excluded from Plans"),
        (
            json!({ "state": "Warning", "commands": [{ "id": 0, "state": "Warning", "description": "removed APIs" }] }),
            "Warning: removed APIs",
        ),
    ];
    for (status, part) in failures {
        match told(status).state {
            State::Failed(reason) => assert!(reason.contains(part), "{reason}"),
            state => panic!("{part}: {state:?}"),
        }
    }
    // k0s takes up only what it sees appear; what it has missed is made again.
    let late = known(&node("v1.36.3+k0s.2", None), json!({}), "2026-01-01T00:02:00Z").0;
    assert!(told(json!({})).fits && !late.fits);
}
