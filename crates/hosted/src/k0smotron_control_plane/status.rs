//! What is true of a control plane now, as status and conditions (contract C3, C4, C6, C8, C10): what the hosted Cluster
//! reports, as the contract wants it. Pure.

use k0smotron_api::{
    capi::find_condition,
    control_plane::v1beta2::{
        ControlPlaneInitialization, K0smotronControlPlane, K0smotronControlPlaneStatus,
    },
    k0smotron::v1beta2::{Cluster, ClusterStatus},
    names::conditions::{reasons, types},
};
use k0smotron_runtime::conditions::{ConditionStatus, Conditions};

use super::{
    decide::{Step, Verdict},
    fetch::Inputs,
};

/// Conditions that are the hosted Cluster's word for word, where it has them.
const REPEATED: [&str; 3] = [
    types::CERTIFICATES_AVAILABLE,
    types::ETCD_CLUSTER_HEALTHY,
    types::UNSUPPORTED,
];

/// The status after a pass.
pub fn status(inputs: &Inputs, step: &Step) -> K0smotronControlPlaneStatus {
    let plane = inputs.plane.as_ref();
    let mut after = plane.status.clone().unwrap_or_default();
    let generation = plane.metadata.generation;
    let mut conditions = Conditions::of(&after.conditions, generation);
    after.observed_generation = generation;
    if let Step::Pause(message) = step {
        // What else is said was true when work stopped, and stays.
        conditions.set_true(types::PAUSED, reasons::PAUSED, message.as_str());
        after.conditions = conditions.into_vec();
        return after;
    }
    conditions.set_false(types::PAUSED, reasons::NOT_PAUSED, "");
    let hosted = inputs.hosted.as_ref().filter(|_| is_ours(step));
    let reported = hosted
        .and_then(|hosted| hosted.status.clone())
        .unwrap_or_default();
    count(&reported, &mut after);
    if matches!(step, Step::Host) && is_true(&reported, types::AVAILABLE) {
        after.initialization = Some(ControlPlaneInitialization {
            control_plane_initialized: Some(true),
        });
    }
    let initialized = after
        .initialization
        .as_ref()
        .and_then(|steps| steps.control_plane_initialized)
        .unwrap_or_default();
    match initialized {
        true => conditions.set_true(types::INITIALIZED, reasons::INITIALIZED, ""),
        false => {
            let message = "the API server has not answered yet";
            conditions.set_false(types::INITIALIZED, reasons::NOT_INITIALIZED, message);
        }
    }
    repeat(&reported, step, &mut conditions);
    say_scaling(&after, plane, step, &mut conditions);
    say_rollout(&after, hosted, &mut conditions);
    say_deleting(step, &mut conditions);
    say_progress(&reported, step, &mut conditions);
    after.conditions = conditions.into_vec();
    after
}

/// Whether the hosted Cluster is this control plane's.
fn is_ours(step: &Step) -> bool {
    !matches!(
        step,
        Step::Say(Verdict::Stalled {
            reason: reasons::NAME_TAKEN,
            ..
        })
    )
}

fn count(reported: &ClusterStatus, after: &mut K0smotronControlPlaneStatus) {
    after.replicas = Some(reported.replicas.unwrap_or_default());
    after.ready_replicas = Some(reported.ready_replicas.unwrap_or_default());
    // A pod is ready when its API server serves.
    after.available_replicas = after.ready_replicas;
    after.up_to_date_replicas = Some(reported.updated_replicas.unwrap_or_default());
    after.selector = reported.selector.clone().or_else(|| after.selector.take());
    after.external_address = reported.external_address.clone();
    after.external_managed_control_plane = Some(true);
    // Pods that are on their way out and back run the version that they ran: without one Cluster API would take the control
    // plane for a new one, and make no workers.
    if !reported.versions.is_empty() {
        after.versions = reported.versions.clone();
        after.version = reported.version.clone();
    }
}

fn is_true(reported: &ClusterStatus, type_: &str) -> bool {
    find_condition(&reported.conditions, type_).is_some_and(|condition| condition.status == "True")
}

fn repeat(reported: &ClusterStatus, step: &Step, conditions: &mut Conditions) {
    for type_ in REPEATED {
        match find_condition(&reported.conditions, type_) {
            Some(said) => conditions.set(type_, parsed(&said.status), &said.reason, said.message.as_str()),
            None => conditions.remove(type_),
        }
    }
    let available = types::AVAILABLE;
    match (step, find_condition(&reported.conditions, available)) {
        (Step::Delete | Step::Say(Verdict::Deleting { .. }), _) => {
            let message = "the control plane is being deleted";
            conditions.set_false(available, reasons::NOT_AVAILABLE, message);
        }
        (_, Some(said)) => match said.status.as_str() {
            "True" => conditions.set_true(available, reasons::AVAILABLE, ""),
            "False" => conditions.set_false(available, reasons::NOT_AVAILABLE, said.message.as_str()),
            _ => conditions.set_unknown(available, reasons::AVAILABLE_UNKNOWN, said.message.as_str()),
        },
        (_, None) => {
            let message = "the control plane is not initialized yet";
            conditions.set_false(available, reasons::NOT_AVAILABLE, message);
        }
    }
}

fn parsed(status: &str) -> ConditionStatus {
    match status {
        "True" => ConditionStatus::True,
        "False" => ConditionStatus::False,
        _ => ConditionStatus::Unknown,
    }
}

fn say_scaling(
    after: &K0smotronControlPlaneStatus,
    plane: &K0smotronControlPlane,
    step: &Step,
    conditions: &mut Conditions,
) {
    let ends = matches!(step, Step::Delete | Step::Say(Verdict::Deleting { .. }));
    let have = after.replicas.unwrap_or_default();
    // 0 counts as 1.
    let want = if ends { 0 } else { plane.spec.plane.replicas.max(1) };
    match want > have {
        true => {
            let message = format!("scaling up from {have} to {want} replicas");
            conditions.set_true(types::SCALING_UP, reasons::SCALING_UP, message);
        }
        false => conditions.set_false(types::SCALING_UP, reasons::NOT_SCALING_UP, ""),
    }
    match want < have {
        true => {
            let message = format!("scaling down from {have} to {want} replicas");
            conditions.set_true(types::SCALING_DOWN, reasons::SCALING_DOWN, message);
        }
        false => conditions.set_false(types::SCALING_DOWN, reasons::NOT_SCALING_DOWN, ""),
    }
}

fn say_rollout(after: &K0smotronControlPlaneStatus, hosted: Option<&Cluster>, conditions: &mut Conditions) {
    let have = after.replicas.unwrap_or_default();
    let outdated = have.saturating_sub(after.up_to_date_replicas.unwrap_or_default());
    let unseen = hosted.is_some_and(|hosted| {
        let status = hosted.status.as_ref();
        status.and_then(|status| status.observed_generation) != hosted.metadata.generation
    });
    let message = match (outdated > 0, unseen && have > 0) {
        (true, _) => format!("{outdated} of {have} replicas are not up to date"),
        (false, true) => "a change of the spec is being brought in".to_owned(),
        (false, false) => {
            conditions.set_false(types::ROLLING_OUT, reasons::NOT_ROLLING_OUT, "");
            return;
        }
    };
    conditions.set_true(types::ROLLING_OUT, reasons::ROLLING_OUT, message);
}

fn say_deleting(step: &Step, conditions: &mut Conditions) {
    match step {
        Step::Say(Verdict::Deleting { reason, message }) => {
            conditions.set_true(types::DELETING, reason, message.as_str());
        }
        Step::Delete => conditions.set_true(types::DELETING, reasons::DELETING, "the pods are going"),
        _ => conditions.set_false(types::DELETING, reasons::NOT_DELETING, ""),
    }
}

/// Ready and Stalled, which sum up for kstatus whether work goes on, is done, or needs somebody.
fn say_progress(reported: &ClusterStatus, step: &Step, conditions: &mut Conditions) {
    let stalled = match step {
        Step::Say(Verdict::Stalled { reason, message }) => Some(((*reason).to_owned(), message.clone())),
        _ => find_condition(&reported.conditions, types::STALLED)
            .filter(|said| said.status == "True")
            .map(|said| (said.reason.clone(), said.message.clone())),
    };
    if let Some((reason, message)) = stalled {
        if reason == reasons::UNSUPPORTED {
            conditions.set_true(types::UNSUPPORTED, reasons::UNSUPPORTED, message.as_str());
        }
        conditions.set_true(types::STALLED, &reason, message.as_str());
        conditions.set_false(types::READY, reasons::NOT_READY, message);
        return;
    }
    conditions.set_false(types::STALLED, reasons::PROGRESSING, "");
    if let Step::Say(Verdict::Waiting { reason, message } | Verdict::Deleting { reason, message }) = step {
        conditions.set_false(types::READY, reason, message.as_str());
        return;
    }
    for (type_, good, reason) in [
        (types::AVAILABLE, "True", reasons::NOT_AVAILABLE),
        (types::SCALING_UP, "False", reasons::SCALING_UP),
        (types::SCALING_DOWN, "False", reasons::SCALING_DOWN),
        (types::ROLLING_OUT, "False", reasons::ROLLING_OUT),
    ] {
        let said = conditions.get(type_).filter(|said| said.status != good);
        if let Some(message) = said.map(|said| said.message.clone()) {
            conditions.set_false(types::READY, reason, message);
            return;
        }
    }
    conditions.set_true(types::READY, reasons::READY, "");
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const BEFORE: &str = "status: {initialization: {controlPlaneInitialized: true}, versions: [{version: v1.36.3, replicas: 3}], version: v1.36.3}";

    fn inputs(plane: &str, hosted: Option<&str>) -> Inputs {
        let plane = serde_yaml::from_str(&format!(
            "apiVersion: controlplane.cluster.x-k8s.io/v1beta2\nkind: K0smotronControlPlane\n\
             metadata: {{name: cp, namespace: ns, generation: 4}}\nspec: {{version: v1.36.3, replicas: 3}}\n{plane}\n"
        ))
        .unwrap();
        let hosted = hosted.map(|status| {
            serde_yaml::from_str(&format!(
                "apiVersion: k0smotron.io/v1beta2\nkind: Cluster\nmetadata: {{name: demo, namespace: ns, generation: 2}}\nspec: {{}}\n\
                 status: {{observedGeneration: 2, {status}}}\n"
            ))
            .unwrap()
        });
        Inputs {
            plane: Arc::new(plane),
            cluster: None,
            hosted,
            infrastructure: None,
            identity: None,
        }
    }

    fn available(status: &str) -> String {
        format!(
            "conditions: [{{type: Available, status: '{status}', reason: R, message: no answer, lastTransitionTime: '2026-01-01T00:00:00Z'}}]"
        )
    }

    fn said(status: &K0smotronControlPlaneStatus) -> Vec<String> {
        let mut said: Vec<_> = status
            .conditions
            .iter()
            .map(|said| format!("{}={} {}", said.type_, said.status, said.reason))
            .collect();
        said.sort();
        said
    }

    #[test]
    fn nothing_yet_then_everything() {
        let first = status(&inputs("", Some("replicas: 1")), &Step::Host);
        assert_eq!(
            said(&first),
            [
                "Available=False NotAvailable",
                "Deleting=False NotDeleting",
                "Initialized=False NotInitialized",
                "Paused=False NotPaused",
                "Ready=False NotAvailable",
                "RollingOut=True RollingOut",
                "ScalingDown=False NotScalingDown",
                "ScalingUp=True ScalingUp",
                "Stalled=False Progressing",
            ]
        );
        assert_eq!(first.initialization, None);
        let all = format!(
            "replicas: 3, readyReplicas: 3, updatedReplicas: 3, selector: cluster=demo, externalAddress: 10.0.0.1, version: v1.36.3, \
             versions: [{{version: v1.36.3, replicas: 3}}], {}",
            available("True")
        );
        let after = status(&inputs("", Some(&all)), &Step::Host);
        insta::assert_yaml_snapshot!(after, { ".conditions[].lastTransitionTime" => "[time]" });
    }

    #[test]
    fn what_was_reached_stays_reached_while_the_pods_are_away() {
        let away = status(&inputs(BEFORE, Some(&available("False"))), &Step::Host);
        assert_eq!(away.initialization.unwrap().control_plane_initialized, Some(true));
        assert_eq!(
            away.version.as_deref(),
            Some("v1.36.3"),
            "no new workers otherwise"
        );
        assert!(
            said(&K0smotronControlPlaneStatus {
                conditions: away.conditions,
                ..Default::default()
            })
            .contains(&"Available=False NotAvailable".to_owned())
        );
    }

    #[test]
    fn a_spec_that_was_not_looked_at_yet_is_rolling_out() {
        let mut inputs = inputs(
            "",
            Some(&format!(
                "replicas: 3, readyReplicas: 3, updatedReplicas: 3, {}",
                available("True")
            )),
        );
        assert!(said(&status(&inputs, &Step::Host)).contains(&"Ready=True Ready".to_owned()));
        inputs.hosted.as_mut().unwrap().metadata.generation = Some(3);
        let after = said(&status(&inputs, &Step::Host));
        assert!(
            after.contains(&"RollingOut=True RollingOut".to_owned()),
            "{after:?}"
        );
        assert!(after.contains(&"Ready=False RollingOut".to_owned()), "{after:?}");
    }

    #[test]
    fn a_pause_says_only_that() {
        let before = inputs(BEFORE, Some("replicas: 1"));
        let after = status(&before, &Step::Pause("why".to_owned()));
        assert_eq!(said(&after), ["Paused=True Paused"]);
        assert_eq!(after.versions, before.plane.status.as_ref().unwrap().versions);
    }

    #[test]
    fn somebody_elses_cluster_is_not_reported() {
        let step = Step::Say(Verdict::Stalled {
            reason: reasons::NAME_TAKEN,
            message: "taken".to_owned(),
        });
        let after = status(
            &inputs("", Some(&format!("replicas: 3, {}", available("True")))),
            &step,
        );
        assert_eq!(after.replicas, Some(0));
        let said = said(&after);
        assert!(said.contains(&"Stalled=True NameTaken".to_owned()), "{said:?}");
        assert!(
            said.contains(&"Available=False NotAvailable".to_owned()),
            "{said:?}"
        );
    }

    #[test]
    fn a_control_plane_that_goes_is_not_available() {
        let all = format!(
            "replicas: 3, readyReplicas: 3, updatedReplicas: 3, {}",
            available("True")
        );
        let step = Step::Say(Verdict::Deleting {
            reason: reasons::WAITING_FOR_WORKERS_DELETION,
            message: "2 worker Machines".to_owned(),
        });
        for (step, reason) in [(step, "WaitingForWorkersDeletion"), (Step::Delete, "Deleting")] {
            let said = said(&status(&inputs(BEFORE, Some(&all)), &step));
            assert!(
                said.contains(&"Available=False NotAvailable".to_owned()),
                "{said:?}"
            );
            assert!(said.contains(&format!("Deleting=True {reason}")), "{said:?}");
            assert!(
                said.contains(&"ScalingDown=True ScalingDown".to_owned()),
                "{said:?}"
            );
        }
    }
}
