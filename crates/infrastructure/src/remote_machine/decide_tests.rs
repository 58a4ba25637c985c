//! Table of decisions: objects as users and Cluster API write them, and the step that follows.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use jiff::Timestamp;
use k0smotron_api::infrastructure::v1beta2::{PooledRemoteMachine, RemoteMachine};
use proptest::prelude::*;
use secrecy::SecretString;
use serde::de::DeserializeOwned;

use super::{
    access::Secrets,
    attempts::{Ended, History},
    decide::{Step, decide},
    observed::{Data, Observed, Work},
    plan,
};
use crate::host::{Problem, redact, script::Bootstrap};

const NOW: &str = "2026-01-01T01:00:00Z";

fn read<T: DeserializeOwned>(yaml: &str) -> T {
    serde_yaml::from_str(yaml).unwrap_or_else(|error| panic!("{error} in\n{yaml}"))
}

/// A RemoteMachine; `metadata` and `spec` are flow mappings without their braces.
fn machine(metadata: &str, spec: &str) -> Arc<RemoteMachine> {
    Arc::new(read(&format!(
        "apiVersion: infrastructure.cluster.x-k8s.io/v1beta2\nkind: RemoteMachine\n\
         metadata: {{name: m, namespace: ns, {metadata}}}\nspec: {{{spec}}}\n"
    )))
}

fn pooled(name: &str, annotations: &str) -> Arc<PooledRemoteMachine> {
    Arc::new(read(&format!(
        "apiVersion: infrastructure.cluster.x-k8s.io/v1beta2\nkind: PooledRemoteMachine\n\
         metadata: {{name: {name}, namespace: ns, annotations: {{{annotations}}}}}\n\
         spec: {{pool: p, machine: {{address: {name}.example.org, sshKeyRef: {{name: key}}}}}}\n"
    )))
}

const HELD: &str = "finalizers: [remotemachine.k0smotron.io/finalizer]";
const CLAIMED: &str =
    "finalizers: [remotemachine.k0smotron.io/finalizer], annotations: {k0smotron.io/install-id: i}";
const ADDRESS: &str = "address: 10.0.0.1, sshKeyRef: {name: key}";
const PINNED: &str = "finalizers: [remotemachine.k0smotron.io/finalizer], annotations: {k0smotron.io/install-id: i, \
                      k0smotron.io/ssh-host-key: 'SHA256:TY+7jF398fWZpqSN9qfhV9dMUBn4120LYmQ5l+sDElY'}";

/// Everything is there for the machine to be set up.
fn world(machine: Arc<RemoteMachine>) -> Observed {
    let owner = "apiVersion: cluster.x-k8s.io/v1beta2\nkind: Machine\nmetadata: {name: m, namespace: ns}\n\
                 spec: {clusterName: c, bootstrap: {dataSecretName: d}}\n";
    let cluster = "apiVersion: cluster.x-k8s.io/v1beta2\nkind: Cluster\nmetadata: {name: c, namespace: ns}\nspec: {}\n\
                   status: {initialization: {infrastructureProvisioned: true}}\n";
    let work = Work {
        bootstrap: Bootstrap {
            files: Vec::new(),
            commands: vec!["true".into()],
        },
        secrets: redact::Secrets::default(),
        ignored: Vec::new(),
    };
    Observed {
        machine,
        now: NOW.parse().unwrap(),
        owner: Some(("m".into(), Some(Arc::new(read(owner))))),
        cluster: Some(Arc::new(read(cluster))),
        is_going: false,
        nothing_to_provision: false,
        paused: None,
        entries: Vec::new(),
        others: Vec::new(),
        taken: BTreeSet::new(),
        data: Data::Ready(Arc::new(work)),
        secrets: secrets("key", "value", "key"),
        provisioning: History::default(),
        cleaning: History::default(),
    }
}

/// The one Secret, with one key.
fn secrets(name: &str, key: &str, text: &str) -> Secrets {
    let texts = [(key.to_owned(), SecretString::from(text))];
    Secrets::from([(name.to_owned(), Some(texts.into()))])
}

fn no_key(world: &mut Observed) {
    world.secrets.insert("key".to_owned(), None);
}

fn ended(observed: &Observed, seconds_ago: i64, result: Result<(), Problem>) -> History {
    let at = Timestamp::from_second(observed.now.as_second() - seconds_ago).unwrap();
    History {
        running: false,
        last: Some(Ended {
            number: 0,
            inputs: plan::inputs(observed),
            at,
            result,
        }),
    }
}

/// In words, so that a table can be read.
fn said(step: &Step) -> String {
    match step {
        Step::Wait { reason, .. } => format!("wait {reason}"),
        Step::Refuse(problem) => format!("refuse {}", problem.reason),
        Step::Retry { problem, after } => format!("retry {} {after:?}", problem.reason),
        Step::RetryCleanUp { problem, after } => format!("retry clean-up {} {after:?}", problem.reason),
        Step::Claim(entry) => format!(
            "claim {}",
            entry
                .as_ref()
                .map_or("-", |e| e.metadata.name.as_deref().unwrap())
        ),
        Step::Publish { reserve } => {
            format!("publish {}", if reserve.is_some() { "and reserve" } else { "-" })
        }
        Step::Release { left } => format!(
            "release {}",
            left.as_ref().map_or("clean", |problem| problem.reason)
        ),
        other => format!("{other:?}"),
    }
}

fn decided(observed: &Observed) -> String {
    said(&decide(observed))
}

#[test]
fn a_machine_goes_from_nothing_to_its_provider_id() {
    let with = |change: &dyn Fn(&mut Observed)| {
        let mut world = world(machine(CLAIMED, ADDRESS));
        change(&mut world);
        decided(&world)
    };
    assert_eq!(with(&|o| o.owner = None), "wait WaitingForOwner");
    assert_eq!(
        with(&|o| o.owner = Some(("gone".into(), None))),
        "wait WaitingForOwner"
    );
    assert_eq!(with(&|o| o.cluster = None), "wait ClusterNotFound");
    assert_eq!(with(&|o| o.paused = Some("x".into())), "Pause(\"x\")");
    assert_eq!(with(&|o| o.machine = machine("", ADDRESS)), "Hold");
    assert_eq!(
        with(&|o| Arc::make_mut(o.cluster.as_mut().unwrap()).status = None),
        "wait WaitingForClusterInfrastructureReady"
    );
    let endpoint_only = |o: &mut Observed| {
        Arc::make_mut(o.cluster.as_mut().unwrap()).status = None;
        o.nothing_to_provision = true;
    };
    assert_eq!(with(&endpoint_only), "Provision { number: 0 }");
    assert_eq!(with(&|o| o.data = Data::Unread), "wait WaitingForBootstrapData");
    assert_eq!(
        with(&|o| o.data = Data::Missing("d".into())),
        "wait WaitingForBootstrapData"
    );
    assert_eq!(
        with(&|o| o.data = Data::Invalid(Problem::lasting("InvalidBootstrapData", ""))),
        "refuse InvalidBootstrapData"
    );
    assert_eq!(with(&|o| o.machine = machine(HELD, "")), "refuse MissingFields");
    assert_eq!(
        with(&|o| o.machine = machine(CLAIMED, "address: 10.0.0.1")),
        "refuse MissingFields"
    );
    assert_eq!(with(&no_key), "refuse SSHKeyNotFound");
    assert_eq!(with(&|o| o.machine = machine(HELD, ADDRESS)), "claim -");
    assert_eq!(with(&|_| ()), "Provision { number: 0 }");
    assert_eq!(with(&|o| o.provisioning.running = true), "Provisioning");
    let failed =
        |o: &mut Observed, ago| o.provisioning = ended(o, ago, Err(Problem::passing("HostUnreachable", "")));
    assert_eq!(with(&|o| failed(o, 0)), "retry HostUnreachable 1s");
    assert_eq!(with(&|o| failed(o, 1)), "Provision { number: 1 }");
    assert_eq!(with(&|o| o.provisioning = ended(o, 0, Ok(()))), "publish -");
    let provisioned = format!("{ADDRESS}, providerID: 'remote-machine://10.0.0.1:22'");
    assert_eq!(with(&|o| o.machine = machine(CLAIMED, &provisioned)), "publish -");
    assert_eq!(
        with(&|o| o.machine = machine(HELD, "provisionJob: {}")),
        "refuse Unsupported"
    );
}

#[test]
fn a_mended_key_is_tried_at_once() {
    let mut world = world(machine(CLAIMED, ADDRESS));
    world.provisioning = ended(&world, 0, Err(Problem::lasting("AuthenticationFailed", "")));
    assert_eq!(decided(&world), "retry AuthenticationFailed 15s");
    world.secrets = secrets("key", "value", "another");
    assert_eq!(decided(&world), "Provision { number: 0 }");
}

#[test]
fn a_machine_that_lost_its_status_is_not_set_up_again() {
    // What clusterctl move and a restore leave: metadata and spec.
    let mut world = world(machine(
        HELD,
        "address: 10.0.0.1, providerID: 'remote-machine://10.0.0.1:22'",
    ));
    world.data = Data::Missing("d".into());
    no_key(&mut world);
    assert_eq!(decided(&world), "publish -");
}

/// As the guide to adoption has it: the Machine says which host it is, and its bootstrap data is the cluster's kubeconfig.
#[test]
fn a_host_that_was_set_up_by_hand_is_not_set_up_again() {
    let owned = |spec: &str, provider_id: &str| {
        let mut world = world(machine(HELD, spec));
        let owner = format!(
            "apiVersion: cluster.x-k8s.io/v1beta2\nkind: Machine\nmetadata: {{name: m, namespace: ns}}\n\
             spec: {{clusterName: c, providerID: '{provider_id}', bootstrap: {{dataSecretName: c-kubeconfig}}}}\n"
        );
        world.owner = Some(("m".into(), Some(Arc::new(read(&owner)))));
        world.data = Data::Invalid(Problem::lasting("InvalidBootstrapData", ""));
        decided(&world)
    };
    assert_eq!(owned(ADDRESS, "remote-machine://10.0.0.1:22"), "publish -");
    // Of another host: nobody has said anything about this one.
    for other in ["remote-machine://10.0.0.2:22", "aws:///i-1", ""] {
        assert_eq!(owned(ADDRESS, other), "refuse InvalidBootstrapData");
    }
    assert_eq!(
        owned("pool: p, sshKeyRef: {name: key}", "remote-machine://:22"),
        "refuse InvalidBootstrapData"
    );
}

#[test]
fn hosts_come_from_the_pool() {
    let from_pool = |entries: &[Arc<PooledRemoteMachine>], metadata: &str, spec: &str| {
        let mut world = world(machine(metadata, &format!("pool: p, {spec}")));
        world.entries = entries.to_vec();
        decided(&world)
    };
    let entries = [pooled("a", "k0smotron.io/reserved-by: other"), pooled("b", "")];
    assert_eq!(from_pool(&[], HELD, ""), "wait NoFreePooledMachine");
    assert_eq!(from_pool(&entries[..1], HELD, ""), "wait NoFreePooledMachine");
    assert_eq!(from_pool(&entries, HELD, ""), "claim b");
    let chosen = "finalizers: [remotemachine.k0smotron.io/finalizer], annotations: {k0smotron.io/install-id: i, \
                  k0smotron.io/pooled-machine: b}";
    let copied = "address: b.example.org, sshKeyRef: {name: key}";
    let mine = [pooled("b", "k0smotron.io/reserved-by: m")];
    assert_eq!(from_pool(&mine, chosen, copied), "Provision { number: 0 }");
    // A manager that died between the reservation and the copy.
    assert_eq!(from_pool(&mine, HELD, ""), "claim b");
    // The watch of the pool lags behind, or the entry was deleted: everything was copied.
    assert_eq!(from_pool(&entries, chosen, copied), "Provision { number: 0 }");
    assert_eq!(from_pool(&[], chosen, copied), "Provision { number: 0 }");
    let lost = [pooled("b", "k0smotron.io/reserved-by: other")];
    assert_eq!(from_pool(&lost, chosen, copied), "refuse HostInUse");
    // After a restore the entry has forgotten whose it is.
    let provisioned = format!("{copied}, providerID: x");
    assert_eq!(
        from_pool(&[pooled("b", "")], chosen, &provisioned),
        "publish and reserve"
    );
    assert_eq!(from_pool(&mine, chosen, &provisioned), "publish -");
}

#[test]
fn what_is_mended_in_the_pool_reaches_the_machine_that_waits() {
    const CHOSEN: &str = "k0smotron.io/install-id: i, k0smotron.io/pooled-machine: b";
    let with = |annotations: &str, of_entry: &str, change: &dyn Fn(&mut PooledRemoteMachine)| {
        let metadata =
            format!("finalizers: [remotemachine.k0smotron.io/finalizer], annotations: {{{annotations}}}");
        let mut world = world(machine(
            &metadata,
            "pool: p, address: b.example.org, sshKeyRef: {name: key}",
        ));
        let mut entry = pooled("b", &format!("k0smotron.io/reserved-by: m, {of_entry}"));
        change(Arc::make_mut(&mut entry));
        world.entries = vec![entry];
        decided(&world)
    };
    let pinned = "k0smotron.io/ssh-host-key: 'SHA256:TY+7jF398fWZpqSN9qfhV9dMUBn4120LYmQ5l+sDElY'";
    assert_eq!(with(CHOSEN, "", &|_| ()), "Provision { number: 0 }");
    for of_entry in ["", pinned] {
        assert_eq!(
            with(CHOSEN, of_entry, &|entry| entry.spec.machine.user = "ops".into()),
            "claim b"
        );
    }
    // The address too, as long as nobody was there.
    let moved = |entry: &mut PooledRemoteMachine| entry.spec.machine.address = "c.example.org".into();
    assert_eq!(with(CHOSEN, "", &moved), "claim b");
    assert_eq!(with(CHOSEN, pinned, &moved), "Provision { number: 0 }");
}

#[test]
fn a_host_of_the_pool_stands_where_the_machine_is_to() {
    let standing = |name: &str, domain: &str| {
        let mut entry = pooled(name, "");
        Arc::make_mut(&mut entry).spec.machine.failure_domain = Some(domain.to_owned());
        entry
    };
    let wanting = |domain: &str, spec: &str| {
        let mut world = world(machine(HELD, &format!("pool: p, {spec}")));
        world.entries = vec![standing("a", "rack-1"), standing("b", "rack-2")];
        let owner = format!(
            "apiVersion: cluster.x-k8s.io/v1beta2\nkind: Machine\nmetadata: {{name: m, namespace: ns}}\n\
             spec: {{clusterName: c, {domain}}}\n"
        );
        world.owner = Some(("m".into(), Some(Arc::new(read(&owner)))));
        decide(&world)
    };
    assert_eq!(said(&wanting("", "")), "claim a");
    assert_eq!(said(&wanting("failureDomain: rack-2", "")), "claim b");
    assert_eq!(said(&wanting("", "failureDomain: rack-2")), "claim b");
    assert_eq!(
        said(&wanting("failureDomain: rack-2", "failureDomain: rack-1")),
        "claim b"
    );
    let Step::Wait { reason, message } = wanting("failureDomain: rack-3", "") else {
        panic!("there is no host there")
    };
    assert_eq!(reason, "NoFreePooledMachine");
    assert!(message.contains("failure domain rack-3"), "{message}");
}

#[test]
fn one_address_is_for_one_machine() {
    let mut world = world(machine(HELD, ADDRESS));
    let mut other = (*machine(CLAIMED, ADDRESS)).clone();
    other.metadata.name = Some("first".into());
    world.others = vec![Arc::new(other)];
    assert_eq!(decided(&world), "refuse HostInUse");
    let Step::Refuse(problem) = decide(&world) else {
        unreachable!()
    };
    assert!(
        problem.message.contains("ns/first") && problem.message.contains("10.0.0.1:22"),
        "{}",
        problem.message
    );
}

/// Deleted so many seconds ago.
fn deleted(metadata: &str, spec: &str, seconds: i64) -> Observed {
    let at = Timestamp::from_second(NOW.parse::<Timestamp>().unwrap().as_second() - seconds).unwrap();
    world(machine(&format!("{metadata}, deletionTimestamp: '{at}'"), spec))
}

#[test]
fn deletion_never_waits_for_what_is_missing() {
    assert_eq!(decided(&deleted("labels: {}", ADDRESS, 0)), "Leave");
    for metadata in [HELD, CLAIMED] {
        let mut world = deleted(metadata, ADDRESS, 0);
        world.owner = None;
        world.cluster = None;
        no_key(&mut world);
        world.data = Data::Unread;
        assert_eq!(decided(&world), "release clean", "nobody was on the host");
    }
    let mut world = deleted(PINNED, ADDRESS, 0);
    world.owner = None;
    world.cluster = None;
    assert_eq!(decided(&world), "CleanUp { number: 0 }");
    no_key(&mut world);
    assert_eq!(decided(&world), "retry clean-up SSHKeyNotFound 60s");
    let mut late = deleted(PINNED, ADDRESS, 61);
    late.cluster = None;
    no_key(&mut late);
    assert_eq!(decided(&late), "release SSHKeyNotFound");
}

#[test]
fn clean_up_is_tried_for_a_bounded_time() {
    let unreachable = || Err(Problem::passing("HostUnreachable", ""));
    let at = |seconds, history: &dyn Fn(&Observed) -> History| {
        let mut world = deleted(PINNED, ADDRESS, seconds);
        world.cleaning = history(&world);
        decided(&world)
    };
    let running = |_: &Observed| History {
        running: true,
        last: None,
    };
    assert_eq!(at(0, &running), "CleaningUp");
    assert_eq!(
        at(1, &|o| ended(o, 0, unreachable())),
        "retry clean-up HostUnreachable 1s"
    );
    assert_eq!(at(9, &|o| ended(o, 5, unreachable())), "CleanUp { number: 1 }");
    assert_eq!(at(1, &|o| ended(o, 0, Ok(()))), "release clean");
    assert_eq!(
        at(1, &|o| ended(o, 0, Err(Problem::lasting("HostInUse", "")))),
        "release HostInUse"
    );
    // Three minutes; each attempt has its own deadline, and one there is always.
    assert_eq!(
        at(181, &|o| ended(o, 0, unreachable())),
        "release HostUnreachable"
    );
    assert_eq!(at(181, &running), "CleaningUp");
    assert_eq!(at(181, &|_| History::default()), "CleanUp { number: 0 }");
    // With its cluster: a minute.
    let mut world = deleted(PINNED, ADDRESS, 61);
    world.cleaning = ended(&world, 0, unreachable());
    assert_eq!(decided(&world), "retry clean-up HostUnreachable 1s");
    Arc::make_mut(world.cluster.as_mut().unwrap())
        .metadata
        .deletion_timestamp = world.machine.metadata.deletion_timestamp.clone();
    assert_eq!(decided(&world), "release HostUnreachable");
}

#[test]
fn machines_of_the_controller_before_are_cleaned_too() {
    let provisioned = format!("{ADDRESS}, providerID: 'remote-machine://10.0.0.1:22'");
    assert_eq!(decided(&deleted(HELD, &provisioned, 0)), "claim -");
    assert_eq!(
        decided(&deleted(CLAIMED, &provisioned, 0)),
        "CleanUp { number: 0 }"
    );
}

#[test]
fn a_host_that_goes_with_its_cluster_is_cleaned_before_its_object_is_deleted() {
    let provisioned = format!("{ADDRESS}, providerID: 'remote-machine://10.0.0.1:22'");
    let with = |metadata: &str, change: &dyn Fn(&mut Observed)| {
        let mut world = world(machine(metadata, &provisioned));
        world.is_going = true;
        change(&mut world);
        decided(&world)
    };
    assert_eq!(with(CLAIMED, &|_| ()), "CleanUp { number: 0 }");
    assert_eq!(with(CLAIMED, &|o| o.cleaning.running = true), "CleaningUp");
    let ends = |o: &mut Observed, result| o.cleaning = ended(o, 0, result);
    // The pool slot is not freed, and the finalizer not removed, before somebody deletes the object.
    assert_eq!(with(CLAIMED, &|o| ends(o, Ok(()))), "CleanedUp");
    let foreign = || Err(Problem::lasting("HostInUse", ""));
    assert_eq!(with(CLAIMED, &|o| ends(o, foreign())), "CleanedUp");
    let away = || Err(Problem::passing("HostUnreachable", ""));
    assert_eq!(
        with(CLAIMED, &|o| ends(o, away())),
        "retry clean-up HostUnreachable 1s"
    );
    assert_eq!(with(CLAIMED, &|o| o.paused = Some("x".into())), "Pause(\"x\")");
    // Nothing is begun on a host that nobody was on.
    let mut fresh = world(machine(CLAIMED, ADDRESS));
    fresh.is_going = true;
    assert_eq!(decided(&fresh), "CleanedUp");
}

#[test]
fn a_bootstrap_that_may_just_begin_is_cleaned_too() {
    let mut world = deleted(CLAIMED, ADDRESS, 0);
    world.provisioning.running = true;
    assert_eq!(decided(&world), "CleanUp { number: 0 }");
}

proptest! {
    /// Total, and never back to work that would touch the host of a machine that is set up, going or paused.
    #[test]
    fn every_world_has_a_step(
        held in any::<bool>(), claimed in any::<bool>(), provisioned in any::<bool>(), deleting in any::<bool>(),
        paused in any::<bool>(), going in any::<bool>(), owner in 0..3, cluster in any::<bool>(), data in 0..4, key in 0..4,
        running in any::<bool>(), failed in any::<bool>(), ago in 0_i64..1000,
    ) {
        let mut metadata = Vec::new();
        if held { metadata.push("finalizers: [remotemachine.k0smotron.io/finalizer]".to_owned()); }
        if claimed { metadata.push("annotations: {k0smotron.io/install-id: i, k0smotron.io/ssh-host-key: 'SHA256:TY+7jF398fWZpqSN9qfhV9dMUBn4120LYmQ5l+sDElY'}".to_owned()); }
        if deleting { metadata.push("deletionTimestamp: '2026-01-01T00:55:00Z'".to_owned()); }
        let spec = if provisioned { format!("{ADDRESS}, providerID: x") } else { ADDRESS.to_owned() };
        let mut world = world(machine(&metadata.join(", "), &spec));
        if paused { world.paused = Some("x".into()); }
        world.is_going = deleting || going;
        match owner { 0 => world.owner = None, 1 => world.owner = Some(("m".into(), None)), _ => {} }
        if !cluster { world.cluster = None; }
        match data { 0 => world.data = Data::Unread, 1 => world.data = Data::Missing("d".into()), _ => {} }
        match key { 0 => world.secrets.clear(), 1 => no_key(&mut world), 2 => world.secrets = secrets("key", "value", ""), _ => {} }
        let result = if failed { Err(Problem::passing("X", "")) } else { Ok(()) };
        world.provisioning = History { running, ..ended(&world, ago, result.clone()) };
        world.cleaning = ended(&world, ago, result);
        let step = decide(&world);
        let touches = matches!(step, Step::Provision { .. } | Step::Claim(_));
        prop_assert!(!touches || !provisioned || world.is_going, "{:?}", step);
        let still = matches!(step, Step::Pause(_) | Step::Leave);
        prop_assert!(!paused || still, "{:?}", step);
        let sets_up = matches!(step, Step::Provision { .. } | Step::Publish { .. } | Step::Hold);
        prop_assert!(!(deleting || going && held) || !sets_up, "{:?}", step);
        prop_assert!(deleting || !matches!(step, Step::Release { .. }), "{:?}", step);
        let begins = matches!(step, Step::Provision { .. });
        prop_assert!(!begins || (held && claimed), "{:?}", step);
        let goes = matches!(
            step,
            Step::Release { .. } | Step::CleanUp { .. } | Step::CleaningUp | Step::RetryCleanUp { .. } | Step::Claim(_)
        );
        prop_assert!(!deleting || !held || paused || goes, "{:?}", step);
        if let Step::Retry { after, .. } | Step::RetryCleanUp { after, .. } = step {
            prop_assert!(after > Duration::ZERO);
        }
    }
}
