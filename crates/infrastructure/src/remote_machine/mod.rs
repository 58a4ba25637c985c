//! RemoteMachine: one existing host that becomes a machine of a cluster.
//!
//! A pass reads the world ([`fetch`]), decides on one step ([`decide`]), carries it out ([`apply`]) and says how things
//! are ([`report`]). Steps that only change the object are followed by another look at once. What happens on the host
//! ([`task`], [`crate::host`]) runs beside, and its end begins another pass.
//!
//! In order: an owner, a cluster, the finalizer, the cluster's infrastructure, bootstrap data, a host (of the pool or the
//! one in the spec, which nobody else may have), an SSH key, an install id, the attempt itself, the provider ID. On
//! deletion: the host is cleaned up, its slot in the pool is freed or quarantined, the finalizer goes; a bound on the
//! time makes sure of the last. A host that goes with its cluster is cleaned up as soon as nothing holds its Machine.

mod access;
mod apply;
mod attempts;
mod decide;
mod early;
mod fetch;
mod observed;
mod peers;
mod plan;
mod report;
mod task;
mod trust;
mod turns;

#[cfg(test)]
mod access_tests;
#[cfg(test)]
mod decide_tests;
#[cfg(test)]
mod plan_tests;
#[cfg(test)]
mod report_tests;
#[cfg(test)]
mod trust_tests;

use std::{sync::Arc, time::Duration};

use k0smotron_api::{
    bootstrap::{
        self,
        v1beta2::{K0sControllerConfig, K0sWorkerConfig},
    },
    capi::{Cluster, Machine},
    infrastructure::v1beta2::{PooledRemoteMachine, RemoteMachine},
    names::conditions::reasons::HOST_IN_USE,
};
use k0smotron_runtime::{Context, Controller, Outcome, ReconcileError, shared::Shared, status};
use k0smotron_ssh::Transport;
use k8s_openapi::{api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Resource, ResourceExt,
    runtime::reflector::{ObjectRef, Store},
};

use self::{
    apply::{Applied, apply},
    attempts::Attempts,
    decide::{Step, decide},
    fetch::{Sources, fetch},
};
use crate::{
    belonging::belongs_to,
    pool::{self, Claims},
};

/// Hosts that are set up at the same time. Each costs a connection and next to no work: the host does it.
const PROVISIONED_AT_ONCE: usize = 256;
/// Hosts that are cleaned up at the same time, whatever else is hanging.
const CLEANED_AT_ONCE: usize = 256;
/// The object changes at most twice before a pass settles, by finalizer and claim; the rest is for machines that go for
/// one host in the same moment.
const STEPS_PER_PASS: usize = 16;
/// How soon a machine whose host another one has looks again: that one's end has no event for it.
const HOST_IN_USE_AGAIN: Duration = Duration::from_secs(15);

/// Runs the controller until dropped.
pub async fn run(
    context: Context,
    clusters: Shared<Cluster>,
    machines: Shared<Machine>,
    pool: Shared<PooledRemoteMachine>,
    transport: Arc<dyn Transport>,
) {
    let (provisioning, provisioned) = Attempts::new(PROVISIONED_AT_ONCE);
    let (cleaning, cleaned) = Attempts::new(CLEANED_AT_ONCE);
    let controller = Controller::<RemoteMachine>::new("remote-machine", &context);
    let sources = Sources {
        remote_machines: controller.store(),
        context,
        clusters: clusters.clone(),
        machines: machines.clone(),
        pool: pool.clone(),
        provisioning,
        cleaning,
        claims: Claims::default(),
        transport,
    };
    let (of_machine, of_cluster, of_secret) = (sources.clone(), sources.clone(), sources.clone());
    let (of_controller_config, of_worker_config) = (sources.clone(), sources.clone());
    let of_pool = sources.remote_machines.clone();
    controller
        .on(provisioned)
        .on(cleaned)
        .follows(&machines, move |machine| {
            owned(&of_machine.remote_machines, machine)
        })
        .follows(&clusters, move |cluster| {
            let namespace = cluster.namespace().unwrap_or_default();
            of_cluster
                .machines
                .list(&namespace, |machine| {
                    machine.spec.cluster_name == cluster.name_any()
                })
                .iter()
                .flat_map(|machine| owned(&of_cluster.remote_machines, machine))
                .collect()
        })
        // A slot that is free is for whoever waits; an entry that changed is for whoever has it.
        .follows(&pool, move |entry| {
            select(
                &of_pool,
                entry.namespace().as_deref(),
                |machine| match pool::entry_of(machine) {
                    Some(name) => name == entry.name_any(),
                    None => pool::selects(&machine.spec, entry),
                },
            )
        })
        // SSH keys and passwords, which users write, and bootstrap data, which may be late or mended.
        .watches_metadata::<Secret>("", move |secret| {
            let (namespace, name) = (secret.namespace().unwrap_or_default(), secret.name_any());
            let mut found = select(&of_secret.remote_machines, Some(&namespace), |machine| {
                access::secrets(&machine.spec).contains(name.as_str())
            });
            let uses = |machine: &Machine| machine.spec.bootstrap.data_secret_name.as_deref() == Some(&name);
            for machine in of_secret.machines.list(&namespace, uses) {
                found.extend(owned(&of_secret.remote_machines, &machine));
            }
            found
        })
        // Configs of ours, whose data is taken before Cluster API says it again. Nothing waits for these watches: with
        // another bootstrap provider their kinds do not exist.
        .watches_metadata::<K0sControllerConfig>("", move |config| {
            awaiting(
                &of_controller_config,
                &K0sControllerConfig::kind(&()),
                &config.metadata,
            )
        })
        .watches_metadata::<K0sWorkerConfig>("", move |config| {
            awaiting(&of_worker_config, &K0sWorkerConfig::kind(&()), &config.metadata)
        })
        .run(move |machine| reconcile(machine, sources.clone()))
        .await;
}

/// The RemoteMachines of a Machine.
fn owned(store: &Store<RemoteMachine>, machine: &Machine) -> Vec<ObjectRef<RemoteMachine>> {
    select(store, machine.namespace().as_deref(), |object| {
        belongs_to(object, machine)
    })
}

/// The RemoteMachines whose Machine has not got the bootstrap data of this config yet.
fn awaiting(sources: &Sources, kind: &str, config: &ObjectMeta) -> Vec<ObjectRef<RemoteMachine>> {
    let (namespace, name) = (config.namespace.as_deref(), config.name.as_deref());
    let awaits = |machine: &Machine| {
        let bootstrap = &machine.spec.bootstrap;
        let reference = bootstrap.config_ref.as_ref();
        bootstrap.data_secret_name.is_none()
            && reference.is_some_and(|reference| {
                reference.is(bootstrap::GROUP, kind) && Some(reference.name.as_str()) == name
            })
    };
    sources
        .machines
        .list(namespace.unwrap_or_default(), awaits)
        .iter()
        .flat_map(|machine| owned(&sources.remote_machines, machine))
        .collect()
}

fn select(
    store: &Store<RemoteMachine>,
    namespace: Option<&str>,
    wanted: impl Fn(&RemoteMachine) -> bool,
) -> Vec<ObjectRef<RemoteMachine>> {
    let all = store.state();
    let found = all
        .iter()
        .filter(|machine| machine.namespace().as_deref() == namespace && wanted(machine));
    found.map(|machine| ObjectRef::from(machine.as_ref())).collect()
}

async fn reconcile(machine: Arc<RemoteMachine>, sources: Sources) -> Result<Outcome, Error> {
    if sources.cleaning.is_over(&machine) {
        return Ok(Outcome::Done);
    }
    let mut machine = machine;
    for _ in 0..STEPS_PER_PASS {
        let observed = fetch(machine, &sources).await?;
        let step = decide(&observed);
        match apply(&observed, step, &sources).await? {
            Applied::Gone => return Ok(Outcome::Done),
            Applied::Changed(changed) => machine = changed,
            Applied::Settled { machine, step } => {
                let before = machine.status.clone().unwrap_or_default();
                let after = report::status(&machine, &step, &observed);
                let api = sources.context.api(&machine.namespace().unwrap_or_default());
                if status::patch_if_changed(&api, machine.as_ref(), Some(&before), &after).await? {
                    let events = &sources.context.events;
                    for said in report::events(&before, &after) {
                        if said.is_warning {
                            events.warn_later(machine.as_ref(), &said.reason, &said.note);
                        } else {
                            events.normal_later(machine.as_ref(), &said.reason, &said.note);
                        }
                    }
                }
                return Ok(outcome(&step));
            }
        }
    }
    Err(Error::Unsettled)
}

fn outcome(step: &Step) -> Outcome {
    match step {
        Step::Retry { after, .. } | Step::RetryCleanUp { after, .. } => Outcome::After(*after),
        Step::Refuse(problem) if problem.reason == HOST_IN_USE => Outcome::After(HOST_IN_USE_AGAIN),
        Step::Publish { .. } => Outcome::Done,
        _ => Outcome::Waiting,
    }
}

/// What a pass may fail with. Failures on hosts are none: they are conditions.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("failed to read the {what}")]
    Read { what: &'static str, source: kube::Error },
    #[error("failed to write the {what}")]
    Write { what: &'static str, source: kube::Error },
    #[error(transparent)]
    WriteStatus(#[from] status::Error),
    #[error("the object kept changing")]
    Unsettled,
}

impl Error {
    fn read(what: &'static str) -> impl FnOnce(kube::Error) -> Self {
        move |source| Self::Read { what, source }
    }

    fn write(what: &'static str) -> impl FnOnce(kube::Error) -> Self {
        move |source| Self::Write { what, source }
    }
}

impl ReconcileError for Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::Read { .. } => "ReadFailed",
            Self::Write { .. } => "WriteFailed",
            Self::WriteStatus(_) => "WriteStatusFailed",
            Self::Unsettled => "Unsettled",
        }
    }

    fn is_noteworthy(&self) -> bool {
        // Another writer was faster, or our watch lags behind our own write: the retry resolves it.
        !matches!(self, Self::Write { source: kube::Error::Api(status), .. } if status.is_conflict())
    }
}
