//! What users, Cluster API and kstatus read.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use k0smotron_api::infrastructure::v1beta2::{RemoteMachine, RemoteMachineStatus, Upload};

use super::{
    access::Secrets,
    attempts::{Ended, History, Inputs},
    decide::Step,
    observed::{Data, Observed},
    report,
};
use crate::host::Problem;

/// A machine that has an address and a key.
pub(super) fn observed() -> Observed {
    let machine: RemoteMachine = serde_yaml::from_str(
        "apiVersion: infrastructure.cluster.x-k8s.io/v1beta2\nkind: RemoteMachine\n\
         metadata: {name: m, namespace: ns, generation: 3}\nspec: {address: 10.0.0.1, sshKeyRef: {name: key}}\n",
    )
    .unwrap();
    Observed {
        machine: Arc::new(machine),
        now: "2026-01-01T00:00:00Z".parse().unwrap(),
        owner: None,
        cluster: None,
        is_going: false,
        nothing_to_provision: false,
        paused: None,
        entries: Vec::new(),
        others: Vec::new(),
        taken: BTreeSet::new(),
        data: Data::Unread,
        secrets: Secrets::new(),
        provisioning: History::default(),
        cleaning: History::default(),
    }
}

fn after(observed: &mut Observed, step: &Step) -> RemoteMachineStatus {
    let status = report::status(&observed.machine, step, observed);
    Arc::make_mut(&mut observed.machine).status = Some(status.clone());
    status
}

fn said(status: &RemoteMachineStatus) -> Vec<String> {
    let mut said: Vec<_> = status
        .conditions
        .iter()
        .map(|c| format!("{}={} {} {}", c.type_, c.status, c.reason, c.message))
        .collect();
    said.sort();
    said
}

fn refused() -> Problem {
    Problem::lasting("AuthenticationFailed", "no")
}

#[test]
fn a_machine_tells_its_story() {
    let mut world = observed();
    let waiting = Step::Wait {
        reason: "WaitingForBootstrapData",
        message: "waiting".into(),
    };
    let first = after(&mut world, &waiting);
    assert_eq!(
        said(&first),
        [
            "BootstrapExecSucceeded=False WaitingForBootstrapData waiting",
            "Paused=False NotPaused ",
            "Ready=False WaitingForBootstrapData waiting",
            "Stalled=False Progressing ",
        ]
    );
    assert_eq!(first.observed_generation, Some(3));
    assert!(
        first
            .conditions
            .iter()
            .all(|condition| condition.observed_generation == Some(3))
    );

    let second = after(
        &mut world,
        &Step::Retry {
            problem: refused(),
            after: Duration::from_secs(1),
        },
    );
    assert!(said(&second).contains(&"Ready=False AuthenticationFailed no".to_owned()));
    assert!(said(&second).contains(&"Stalled=True AuthenticationFailed no".to_owned()));

    // While the next attempt runs, the failure stays said.
    let ended = Ended {
        number: 0,
        inputs: Inputs {
            digest: 0,
            host_key: None,
        },
        at: world.now,
        result: Err(refused()),
    };
    world.provisioning = History {
        running: true,
        last: Some(ended),
    };
    assert_eq!(after(&mut world, &Step::Provisioning), second);

    let last = after(&mut world, &Step::Publish { reserve: None });
    assert_eq!(
        said(&last),
        [
            "BootstrapExecSucceeded=True BootstrapExecSucceeded ",
            "Paused=False NotPaused ",
            "Ready=True Ready ",
            "Stalled=False Progressing ",
        ]
    );
    assert!(last.provisioned());
    assert_eq!(
        serde_json::to_value(&last.addresses).unwrap(),
        serde_json::json!([{"type": "ExternalIP", "address": "10.0.0.1"}])
    );
    assert_eq!(
        after(&mut world, &Step::Publish { reserve: None }),
        last,
        "nothing is written twice"
    );

    let paused = after(&mut world, &Step::Pause("because".into()));
    assert!(said(&paused).contains(&"Paused=True Paused because".to_owned()));
    assert!(said(&paused).contains(&"Ready=True Ready ".to_owned()));
    assert!(paused.provisioned());
}

#[test]
fn what_is_unsupported_is_said_until_it_is_gone() {
    let mut world = observed();
    Arc::make_mut(&mut world.machine).spec.uploads = vec![Upload::default()];
    let status = after(
        &mut world,
        &Step::Refuse(Problem::lasting("Unsupported", "a jump host")),
    );
    let unsupported = |status: &RemoteMachineStatus| {
        said(status)
            .into_iter()
            .find(|condition| condition.starts_with("Unsupported"))
    };
    let said_so = unsupported(&status).unwrap();
    assert!(said_so.starts_with("Unsupported=True") && said_so.contains("spec.uploads"));
    Arc::make_mut(&mut world.machine).spec.uploads.clear();
    let status = after(&mut world, &Step::Provision { number: 0 });
    assert_eq!(unsupported(&status), None);
}

#[test]
fn deletion_says_what_it_waits_for() {
    let mut world = observed();
    let status = after(&mut world, &Step::CleanUp { number: 0 });
    assert!(said(&status).contains(&"HostClean=False CleaningUp the host is being cleaned up".to_owned()));
    let retry = Step::RetryCleanUp {
        problem: refused(),
        after: Duration::from_secs(1),
    };
    let status = after(&mut world, &retry);
    assert!(
        said(&status)
            .contains(&"Ready=False AuthenticationFailed the host cannot be cleaned up yet: no".to_owned())
    );
}

#[test]
fn every_change_is_told_once() {
    let mut world = observed();
    let none = RemoteMachineStatus::default();
    let waiting = after(
        &mut world,
        &Step::Wait {
            reason: "WaitingForOwner",
            message: "x".into(),
        },
    );
    assert_eq!(report::events(&none, &waiting), []);
    let failed = after(&mut world, &Step::Refuse(refused()));
    let events = report::events(&waiting, &failed);
    assert_eq!(events.len(), 1);
    assert!(events[0].is_warning && events[0].reason == "AuthenticationFailed" && events[0].note == "no");
    assert_eq!(report::events(&failed, &failed), []);
    let done = after(&mut world, &Step::Publish { reserve: None });
    let events = report::events(&failed, &done);
    assert!(
        !events[0].is_warning && events[0].reason == "BootstrapExecSucceeded",
        "{events:?}"
    );
}
