//! Carries a step out: writes to objects, begins attempts.

use std::{collections::BTreeMap, future::Future, sync::Arc};

use k0smotron_api::{
    capi::Machine,
    infrastructure::v1beta2::{PooledRemoteMachine, RemoteMachine},
    names::{annotations, conditions::reasons::CLEANED_UP, finalizers},
};
use k0smotron_runtime::metadata;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
    core::PartialObjectMeta,
};
use rand::RngExt;
use serde_json::json;

use super::{
    Error,
    decide::Step,
    fetch::Sources,
    observed::{Data, Observed},
    plan,
    report::CLEAN,
    task,
};
use crate::{host::Problem, pool};

/// What became of a step.
pub enum Applied {
    /// The object changed: look again.
    Changed(Arc<RemoteMachine>),
    /// That is all for now.
    Settled { machine: Arc<RemoteMachine>, step: Step },
    /// The object is none of ours any more.
    Gone,
}

/// Carries out `step`.
pub async fn apply(observed: &Observed, step: Step, sources: &Sources) -> Result<Applied, Error> {
    let machine = &observed.machine;
    let api: Api<RemoteMachine> = sources.context.api(&machine.namespace().unwrap_or_default());
    match step {
        Step::Leave => Ok(Applied::Gone),
        Step::Hold => {
            let held = metadata::add_finalizer(&api, machine.as_ref(), finalizers::REMOTE_MACHINE).await;
            Ok(Applied::Changed(Arc::new(
                held.map_err(Error::write("finalizer"))?,
            )))
        }
        Step::Claim(entry) => claim(observed, entry, &api, sources).await,
        Step::Provision { number } => {
            if let (0, Data::Ready(work)) = (number, &observed.data)
                && !work.ignored.is_empty()
            {
                let note = format!(
                    "not done, of what the bootstrap data asks for: {}",
                    work.ignored.join(", ")
                );
                sources
                    .context
                    .events
                    .warn_later(machine.as_ref(), "BootstrapDataIgnored", &note);
            }
            let work = task::provision(observed, sources);
            sources
                .provisioning
                .begin(machine, number, plan::inputs(observed), begun(work));
            Ok(Applied::Settled {
                machine: machine.clone(),
                step: Step::Provision { number },
            })
        }
        Step::CleanUp { number } => {
            // A bootstrap that runs is stopped on the host by the clean-up; nobody waits for it any more.
            sources.provisioning.forget(machine);
            let work = task::clean_up(observed, sources);
            sources
                .cleaning
                .begin(machine, number, plan::inputs(observed), begun(work));
            Ok(Applied::Settled {
                machine: machine.clone(),
                step: Step::CleanUp { number },
            })
        }
        Step::Publish { reserve } => publish(observed, reserve, &api, sources).await,
        Step::Release { left } => release(observed, left, &api, sources).await,
        step @ (Step::Pause(_)
        | Step::Wait { .. }
        | Step::Refuse(_)
        | Step::Provisioning
        | Step::Retry { .. }
        | Step::CleaningUp
        | Step::RetryCleanUp { .. }
        | Step::CleanedUp) => Ok(Applied::Settled {
            machine: machine.clone(),
            step,
        }),
    }
}

/// An attempt that could not even begin is one that failed: it is told, counted and tried again as such.
async fn begun(work: Result<impl Future<Output = Result<(), Problem>>, Problem>) -> Result<(), Problem> {
    work?.await
}

/// The entry first: its version decides between two that want it. What is written into the machine then can be found
/// out again from the entry.
async fn claim(
    observed: &Observed,
    entry: Option<Arc<PooledRemoteMachine>>,
    api: &Api<RemoteMachine>,
    sources: &Sources,
) -> Result<Applied, Error> {
    let machine = &observed.machine;
    if let Some(entry) = &entry {
        if !sources.claims.take(entry, machine) {
            // Another machine of this process chose it in the same moment: look for the next one.
            return Ok(Applied::Changed(machine.clone()));
        }
        if let Err(error) = reserve(machine, entry, sources).await {
            sources.claims.give_up(entry);
            return Err(error);
        }
        let note = format!(
            "host {} of pool {} is reserved",
            entry.name_any(),
            entry.spec.pool
        );
        sources
            .context
            .events
            .normal_later(machine.as_ref(), "HostReserved", &note);
    }
    let install_id = format!("{:032x}", rand::rng().random::<u128>());
    let patch = Patch::Merge(plan::claim(machine, entry.as_deref(), &install_id));
    let claimed = api
        .patch(&machine.name_any(), &PatchParams::default(), &patch)
        .await;
    Ok(Applied::Changed(Arc::new(
        claimed.map_err(Error::write("install id"))?,
    )))
}

async fn reserve(
    machine: &RemoteMachine,
    entry: &PooledRemoteMachine,
    sources: &Sources,
) -> Result<(), Error> {
    let entries: Api<PooledRemoteMachine> = sources.context.api(&entry.namespace().unwrap_or_default());
    let change = BTreeMap::from([(annotations::RESERVED_BY, Some(machine.name_any()))]);
    metadata::annotate(&entries, entry, &change)
        .await
        .map_err(Error::write("reservation"))?;
    Ok(())
}

/// The provider ID last, since it is what keeps this from being done again.
async fn publish(
    observed: &Observed,
    entry: Option<Arc<PooledRemoteMachine>>,
    api: &Api<RemoteMachine>,
    sources: &Sources,
) -> Result<Applied, Error> {
    let machine = &observed.machine;
    if let Some(entry) = &entry {
        reserve(machine, entry, sources).await?;
        let change = BTreeMap::from([(annotations::POOLED_MACHINE, Some(entry.name_any()))]);
        metadata::annotate(api, machine.as_ref(), &change)
            .await
            .map_err(Error::write("reservation"))?;
    }
    let mut machine = machine.clone();
    if machine.spec.provider_id.as_deref().unwrap_or_default().is_empty() {
        hand_on_metadata(observed, sources).await?;
        let patch = json!({
            "metadata": { "resourceVersion": machine.resource_version() },
            "spec": { "providerID": plan::provider_id(&machine.spec) },
        });
        let published = api
            .patch(&machine.name_any(), &PatchParams::default(), &Patch::Merge(patch))
            .await;
        machine = Arc::new(published.map_err(Error::write("provider ID"))?);
    }
    sources.provisioning.forget(&machine);
    Ok(Applied::Settled {
        machine,
        step: Step::Publish { reserve: None },
    })
}

/// Labels and annotations of a host go on to its Machine, and from there to its Node (facts: machine 18.2, 21.17).
async fn hand_on_metadata(observed: &Observed, sources: &Sources) -> Result<(), Error> {
    let Some((name, Some(owner))) = &observed.owner else {
        return Ok(());
    };
    let labels = plan::missing(observed.machine.labels(), owner.labels());
    let annotations = plan::missing(observed.machine.annotations(), owner.annotations());
    if labels.is_empty() && annotations.is_empty() {
        return Ok(());
    }
    let machines: Api<Machine> = sources.context.api(&owner.namespace().unwrap_or_default());
    let patch = Patch::Merge(json!({ "metadata": { "labels": labels, "annotations": annotations } }));
    let patched: Result<PartialObjectMeta<Machine>, _> = machines
        .patch_metadata(name, &PatchParams::default(), &patch)
        .await;
    patched.map(drop).map_err(Error::write("labels of the Machine"))
}

/// The slot of the pool first: once the object is gone nobody knows of it.
async fn release(
    observed: &Observed,
    left: Option<Problem>,
    api: &Api<RemoteMachine>,
    sources: &Sources,
) -> Result<Applied, Error> {
    let machine = &observed.machine;
    let (namespace, name) = (machine.namespace().unwrap_or_default(), machine.name_any());
    let entries: Api<PooledRemoteMachine> = sources.context.api(&namespace);
    for entry in &observed.entries {
        let is_reserved = pool::reserved_by(entry) == Some(&name);
        let is_named =
            pool::entry_of(machine) == Some(&entry.name_any()) && pool::reserved_by(entry).is_none();
        if !is_reserved && !is_named {
            continue;
        }
        let mut change = BTreeMap::from([(annotations::RESERVED_BY, None)]);
        if let Some(problem) = &left {
            let why = format!(
                "{}: {} (left by RemoteMachine {name})",
                problem.reason, problem.message
            );
            change.insert(annotations::QUARANTINED, Some(why));
        }
        sources.claims.give_up(entry);
        match metadata::annotate(&entries, entry.as_ref(), &change).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            result => {
                result.map_err(Error::write("reservation"))?;
            }
        }
    }
    let events = &sources.context.events;
    match &left {
        Some(problem) => {
            let note = format!("the host was left as it is: {}", problem.message);
            events.warn_later(machine.as_ref(), problem.reason, &note);
        }
        None if machine.annotations().contains_key(annotations::INSTALL_ID) => {
            events.normal_later(machine.as_ref(), CLEANED_UP, CLEAN);
        }
        None => {}
    }
    metadata::remove_finalizer(api, machine.as_ref(), finalizers::REMOTE_MACHINE)
        .await
        .map_err(Error::write("finalizer"))?;
    sources.provisioning.forget(machine);
    sources
        .cleaning
        .over_for(machine, &sources.remote_machines.state());
    Ok(Applied::Gone)
}
