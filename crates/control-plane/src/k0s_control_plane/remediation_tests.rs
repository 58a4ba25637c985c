//! From a MachineHealthCheck's request, as it is on a Machine, to what is done, kept and said about it.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use k0smotron_api::{
    capi::Machine,
    control_plane::v1beta2::{K0sControlPlane, LastRemediation},
};
use k8s_openapi::api::core::v1::Secret;
use tokio::time::Instant;

use super::{
    apply::Applied,
    autopilot::Seen,
    build::Built,
    decide::decide,
    example_tests::{built, inputs, yaml},
    fetch::Inputs,
    observe::observe,
    observed::{Answer, Authority, Repair},
    remediation::{Reply, next_due},
    status::status,
    survey::{Survey, Surveyed},
};

const IN_PROGRESS: &str = "controlplane.cluster.x-k8s.io/remediation-in-progress";
const FOR: &str = "controlplane.cluster.x-k8s.io/remediation-for";

/// Made once: keys take their time.
static AUTHORITIES: LazyLock<BTreeMap<Authority, Secret>> = LazyLock::new(|| {
    let secrets = built(&inputs()).authorities;
    Authority::ALL.into_iter().zip(secrets).collect()
});

/// A Machine of that name with these annotations and conditions.
fn machine(name: &str, annotations: &str, conditions: &str) -> Machine {
    yaml(&format!(
        "{{apiVersion: cluster.x-k8s.io/v1beta2, kind: Machine, \
         metadata: {{name: {name}, namespace: default, annotations: \
         {{pre-terminate.delete.hook.machine.cluster.x-k8s.io/kcp-cleanup: '' {annotations}}}}}, \
         spec: {{clusterName: demo, version: v1.36.3+k0s.2}}, \
         status: {{initialization: {{infrastructureProvisioned: true}}, conditions: [{conditions}]}}}}"
    ))
}

fn condition(type_: &str, status: &str, reason: &str) -> String {
    format!(
        "{{type: {type_}, status: '{status}', reason: {reason}, message: '', lastTransitionTime: '2025-12-31T23:00:00Z'}}"
    )
}

/// What a MachineHealthCheck leaves on a Machine that it finds unhealthy for this reason.
fn request(reason: &str) -> String {
    [
        condition("HealthCheckSucceeded", "False", reason),
        condition("OwnerRemediated", "False", "WaitingForRemediation"),
    ]
    .join(", ")
}

/// Three controllers that are all members; the first one is asked to be replaced, and is down or not.
fn three(annotations: &str, conditions: &str, first_serves: bool) -> Inputs {
    let mut inputs = inputs();
    let mut plane = K0sControlPlane::clone(&inputs.plane);
    plane.spec.replicas = 3;
    plane.spec.k0s_config_spec.args.clear();
    plane.metadata.annotations.as_mut().unwrap().insert(
        "k0smotron.io/cluster-initialized".to_owned(),
        "kube-system:abc".to_owned(),
    );
    inputs.plane = Arc::new(plane);
    inputs.machines = vec![
        machine("one", annotations, conditions),
        machine("two", "", ""),
        machine("three", "", ""),
    ];
    inputs.authorities = AUTHORITIES.clone();
    inputs.answer = Answer::Yes {
        cluster_uid: "abc".to_owned(),
    };
    let member = |name: &str, ready| Surveyed {
        name: name.to_owned(),
        member: name.to_owned(),
        left: false,
        leaving: false,
        ready,
        message: String::new(),
    };
    let members = vec![
        member("one", first_serves),
        member("two", true),
        member("three", true),
    ];
    let survey = Survey {
        begun: Instant::now(),
        autopilot: Ok(Seen::default()),
        members: Ok(members),
    };
    inputs.survey = Some((survey, true));
    inputs
}

fn limited(mut inputs: Inputs, remediation: &str) -> Inputs {
    let mut plane = K0sControlPlane::clone(&inputs.plane);
    plane.spec.remediation = Some(yaml(remediation));
    inputs.plane = Arc::new(plane);
    inputs
}

fn repair(inputs: &Inputs) -> Option<Repair> {
    observe(inputs).machines[0].repair.clone()
}

/// Reason and message that are said to those who asked.
fn told(built: &Built) -> Vec<String> {
    let text = |(name, reply): &(String, Reply)| match reply {
        Reply::Say(condition) => format!("{name} {} {}", condition.reason, condition.message),
        Reply::Withdraw(index) => format!("{name} withdrawn {index}"),
    };
    built.replies.iter().map(text).collect()
}

/// The annotation of a Machine that was made for `old` so many minutes before midnight.
fn made_for(minutes: u32, retries: u32) -> String {
    let time = format!("2025-12-31T23:{:02}:00Z", 60 - minutes);
    format!(", {FOR}: '{{\"machine\":\"old\",\"timestamp\":\"{time}\",\"retryCount\":{retries}}}'")
}

#[test]
fn a_machine_is_replaced_when_its_owner_is_asked_to() {
    let unhealthy = || condition("HealthCheckSucceeded", "False", "UnhealthyMachine");
    assert_eq!(repair(&three("", &unhealthy(), false)), None);
    let external = format!(
        "{}, {}",
        unhealthy(),
        condition("ExternallyRemediated", "False", "WaitingForRemediation")
    );
    assert_eq!(repair(&three("", &external, false)), None);
    assert_eq!(
        repair(&three("", &request("UnhealthyMachine"), false)),
        Some(Repair::Due)
    );

    let lost = built(&three("", &request("UnhealthyMachine"), false));
    assert_eq!(lost.deletions, ["one"]);
    assert_eq!(told(&lost), ["one MachineDeleting the Machine is deleted"]);
    assert_eq!(
        lost.marks[IN_PROGRESS].as_deref(),
        Some(r#"{"machine":"one","timestamp":"2026-01-01T00:00:00Z","retryCount":0}"#)
    );
}

#[test]
fn what_is_kept_of_a_replacement_goes_to_the_new_machine() {
    let mut lost = three("", &request("UnhealthyMachine"), false);
    let record = built(&lost).marks[IN_PROGRESS].clone().unwrap();
    let mut plane = K0sControlPlane::clone(&lost.plane);
    let annotations = plane.metadata.annotations.as_mut().unwrap();
    annotations.insert(IN_PROGRESS.to_owned(), record.clone());
    lost.plane = Arc::new(plane);
    // After a crash before the deletion: the same again.
    assert!(!built(&lost).marks.contains_key(IN_PROGRESS));
    assert_eq!(built(&lost).deletions, ["one"]);

    let mut gone = lost.clone();
    gone.machines.remove(0);
    gone.survey
        .as_mut()
        .unwrap()
        .0
        .members
        .as_mut()
        .unwrap()
        .remove(0);
    let new = built(&gone);
    let made = new.creation.unwrap().machine;
    assert_eq!(made.metadata.annotations.as_ref().unwrap()[FOR], record);
    assert_eq!(new.unmarks[IN_PROGRESS], None);
    assert!(!new.marks.contains_key(IN_PROGRESS));

    // A crash after its creation leaves the mark behind, and it stays on the Machine whatever is kept in place.
    gone.machines.push(made);
    let after = built(&gone);
    assert_eq!(after.marks[IN_PROGRESS], None);
    let kept = after.kept.last().unwrap();
    assert_eq!(kept.metadata.annotations.as_ref().unwrap()[FOR], record);

    // Nor does it stay when no new Machine is needed.
    let mut plane = K0sControlPlane::clone(&lost.plane);
    plane.spec.replicas = 2;
    lost.plane = Arc::new(plane);
    lost.machines.remove(0);
    lost.survey
        .as_mut()
        .unwrap()
        .0
        .members
        .as_mut()
        .unwrap()
        .remove(0);
    assert_eq!(built(&lost).marks[IN_PROGRESS], None);
}

#[test]
fn retries_are_counted_and_limited() {
    let asked = request("UnhealthyMachine");
    let table = [
        // A replacement that fails soon is a retry, one that was well for an hour is none.
        (made_for(10, 1), "{maxRetry: 5}", "due 2"),
        (
            made_for(10, 1),
            "{maxRetry: 5, minHealthyPeriodSeconds: 600}",
            "due 0",
        ),
        (made_for(10, 1), "{retryPeriodSeconds: 600}", "due 2"),
        (made_for(10, 1), "{retryPeriodSeconds: 900}", "later 300"),
        (made_for(10, 1), "{maxRetry: 1}", "never"),
        (
            made_for(10, 1),
            "{maxRetry: 0, minHealthyPeriodSeconds: 60}",
            "due 0",
        ),
        (String::new(), "{maxRetry: 0}", "due 0"),
        // What somebody wrote there counts for nothing.
        (format!(", {FOR}: 'true'"), "{maxRetry: 0}", "due 0"),
    ];
    for (annotations, limits, expected) in table {
        let inputs = limited(three(&annotations, &asked, false), limits);
        let built = built(&inputs);
        let said = match built.deletions.is_empty() {
            false => {
                let mark: serde_json::Value =
                    serde_json::from_str(built.marks[IN_PROGRESS].as_ref().unwrap()).unwrap();
                format!("due {}", mark["retryCount"])
            }
            true => match next_due(&inputs, &observe(&inputs).etcd) {
                Some(time) => format!("later {}", time.duration_since(inputs.now).as_secs()),
                None => "never".to_owned(),
            },
        };
        assert_eq!(said, expected, "{annotations} {limits}");
    }
    let waits = limited(three(&made_for(10, 1), &asked, false), "{maxRetry: 1}");
    assert!(told(&built(&waits))[0].starts_with("one CannotBeRemediated it was made for old"));
}

#[test]
fn one_that_serves_is_replaced_by_one_that_comes_first() {
    let mut only = three("", &request("UnhealthyNode"), true);
    let mut plane = K0sControlPlane::clone(&only.plane);
    plane.spec.replicas = 1;
    only.plane = Arc::new(plane);
    only.machines.truncate(1);
    only.survey
        .as_mut()
        .unwrap()
        .0
        .members
        .as_mut()
        .unwrap()
        .truncate(1);
    let first = built(&only);
    assert!(first.deletions.is_empty());
    let made = first.creation.unwrap().machine;
    let record = &made.metadata.annotations.as_ref().unwrap()[FOR];
    assert!(record.contains(r#""machine":"one""#), "{record}");
}

#[test]
fn without_nodes_the_start_of_nodes_says_nothing_about_a_controller_that_serves() {
    let asked = request("NodeStartupTimeout");
    let well = three("", &asked, true);
    assert_eq!(repair(&well), None);
    let told = told(&built(&well));
    assert!(
        told[0].starts_with("one CannotBeRemediated") && told[0].contains("nodeStartupTimeoutSeconds"),
        "{told:?}"
    );
    assert_eq!(repair(&three("", &asked, false)), Some(Repair::Due));
    // A controller that is a node should have one.
    let mut nodes = well;
    let label = (
        "k0smotron.io/control-plane-worker-enabled".to_owned(),
        "true".to_owned(),
    );
    nodes.machines[0].metadata.labels = Some([label].into());
    assert_eq!(repair(&nodes), Some(Repair::Due));
}

#[test]
fn a_machine_that_is_well_again_is_left_alone() {
    let well = [
        condition("Ready", "True", "Ready"),
        condition("HealthCheckSucceeded", "True", "HealthCheckSucceeded"),
        condition("OwnerRemediated", "False", "RemediationDeferred"),
    ]
    .join(", ");
    let built = built(&three("", &well, true));
    assert_eq!(told(&built), ["one withdrawn 2"]);
    assert!(built.deletions.is_empty());
}

#[test]
fn machines_say_whether_their_members_are_healthy() {
    let health = |inputs: &Inputs| -> Vec<String> {
        let of = |(name, conditions): (String, Vec<_>)| {
            let mut conditions = conditions.into_iter();
            conditions
                .find(
                    |condition: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| {
                        condition.type_ == "EtcdMemberHealthy"
                    },
                )
                .map(|condition| format!("{name} {} {}", condition.status, condition.reason))
        };
        built(inputs).conditions.into_iter().filter_map(of).collect()
    };
    let mut plane = three("", "", false);
    assert_eq!(
        health(&plane),
        ["one False NotHealthy", "two True Healthy", "three True Healthy"]
    );
    plane
        .survey
        .as_mut()
        .unwrap()
        .0
        .members
        .as_mut()
        .unwrap()
        .remove(0);
    assert_eq!(health(&plane)[0], "one Unknown InspectionFailed");
    // Not known is said only of what was known.
    plane.answer = Answer::No("no connection to it can be made".to_owned());
    assert_eq!(health(&plane), [""; 0]);
    let known = condition("EtcdMemberHealthy", "True", "Healthy");
    let mut known = three("", &known, true);
    known.answer = Answer::No("no connection to it can be made".to_owned());
    assert_eq!(health(&known), ["one Unknown InspectionFailed"]);
    // After a restart of the operator nothing is known, and what was said stands.
    (known.answer, known.survey) = (Answer::NotAsked, None);
    assert_eq!(health(&known), ["one True Healthy"]);
}

#[test]
fn the_first_machine_is_replaced_as_long_as_there_is_no_cluster() {
    let mut first = inputs();
    first.machines = vec![machine("one", "", &request("NodeStartupTimeout"))];
    assert_eq!(built(&first).deletions, ["one"]);
    first.answer = Answer::No("no connection to it can be made".to_owned());
    let mut lost = first;
    let mut plane = K0sControlPlane::clone(&lost.plane);
    let annotations = plane.metadata.annotations.as_mut().unwrap();
    annotations.insert("k0smotron.io/cluster-initialized".to_owned(), "true".to_owned());
    lost.plane = Arc::new(plane);
    let kept = built(&lost);
    assert!(kept.deletions.is_empty() && kept.creation.is_none());
    assert!(
        told(&kept)[0].starts_with("one RemediationDeferred"),
        "{:?}",
        told(&kept)
    );
}

#[test]
fn the_status_tells_of_the_last_replacement_when_nothing_else_does_any_more() {
    let said = |inputs: &Inputs| {
        let observed = observe(inputs);
        status(inputs, &observed, &decide(&observed), &Applied::default()).last_remediation
    };
    assert_eq!(said(&three("", "", true)), None);
    let replaced = LastRemediation {
        machine: "old".to_owned(),
        time: yaml("2025-12-31T23:50:00Z"),
        retry_count: 2,
    };
    let mut inputs = three(&made_for(10, 2), "", true);
    assert_eq!(said(&inputs), Some(replaced.clone()));

    let mut plane = K0sControlPlane::clone(&inputs.plane);
    plane.status.get_or_insert_default().last_remediation = Some(replaced.clone());
    inputs.plane = Arc::new(plane);
    inputs.machines.remove(0);
    assert_eq!(said(&inputs), Some(replaced));
}
