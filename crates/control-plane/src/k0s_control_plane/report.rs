//! Says what came of a pass over a control plane: status, once and if it changed, and Events.

use std::time::Duration;

use k0smotron_api::{
    control_plane::v1beta2::{K0sControlPlane, K0sControlPlaneStatus},
    names::conditions::types,
};
use k0smotron_runtime::{Context, Outcome, ReconcileError, controller::chain, status as write};
use kube::ResourceExt;

use super::{
    Error, LOOK_AGAIN,
    apply::Applied,
    decide::{Live, Step},
    fetch::Inputs,
    membership::{Membership, Wait, Why},
    observe::{rollout_after, stalls_at},
    observed::Observed,
    plan::Update,
    remediation, status,
};

/// How soon to look whether an update in place takes too long.
const OVERDUE: Duration = Duration::from_secs(30);

/// Writes status and Events, and says when to look again.
pub async fn report(
    inputs: &Inputs,
    observed: &Observed,
    step: &Step,
    applied: &Applied,
    context: &Context,
) -> Result<Outcome, Error> {
    let plane = inputs.plane.as_ref();
    if matches!(step, Step::Delete(deletion) if deletion.finished) {
        return Ok(Outcome::Done);
    }
    let after = status::status(inputs, observed, step, applied);
    let api = context.api::<K0sControlPlane>(&plane.namespace().unwrap_or_default());
    let changed = write::patch_if_changed(&api, plane, plane.status.as_ref(), &after)
        .await
        .map_err(Error::Report)?;
    if let Some(machine) = &applied.created {
        let note = format!("created Machine {}", machine.name_any());
        context.events.normal(plane, "MachineCreated", &note).await;
    }
    if let Step::Live(Live {
        membership: Membership::Delete { name, why },
        ..
    }) = step
    {
        let why = match why {
            Why::Excess => "there are more than asked for",
            Why::Outdated => "it differs from the spec",
            Why::Unhealthy => "it is unhealthy",
            Why::Left => "its member has left etcd",
        };
        let note = format!("deleted Machine {name}: {why}");
        context.events.normal(plane, "MachineDeleted", &note).await;
    }
    let was = plane
        .status
        .as_ref()
        .is_some_and(K0sControlPlaneStatus::control_plane_initialized);
    if after.control_plane_initialized() && !was {
        context
            .events
            .normal(plane, "Initialized", "the API server answers")
            .await;
    }
    if changed
        && let Some(stalled) = after
            .conditions
            .iter()
            .find(|c| c.type_ == types::STALLED && c.status == "True")
    {
        context
            .events
            .warning(plane, &stalled.reason, &stalled.message)
            .await;
    }
    if let Step::Live(live) = step {
        for name in &live.updates.recorded {
            let note = format!("the controller of Machine {name} was updated in place");
            context.events.normal(plane, "MachineUpdated", &note).await;
        }
    }
    let without_event = matches!(
        step,
        Step::Live(Live {
            membership: Membership::Wait(Wait::Template(_)),
            ..
        })
    );
    let soon = (without_event || applied.look_again).then_some(LOOK_AGAIN);
    let next = next_look(inputs, observed, step).into_iter().chain(soon).min();
    Ok(next.map_or(Outcome::Waiting, Outcome::After))
}

/// How long until time alone changes what is to be done.
pub fn next_look(inputs: &Inputs, observed: &Observed, step: &Step) -> Option<Duration> {
    let rollout = rollout_after(inputs).filter(|after| *after > inputs.now);
    let repair = remediation::next_due(inputs, &observed.etcd);
    let stall = match step {
        Step::Live(Live {
            membership: Membership::Wait(Wait::Joined { name }),
            ..
        }) => {
            let mut machines = inputs.machines.iter();
            let newcomer = machines.find(|machine| machine.name_any() == *name);
            newcomer.and_then(stalls_at).filter(|at| *at > inputs.now)
        }
        _ => None,
    };
    let next = rollout.into_iter().chain(repair).chain(stall).min();
    let due = next.map(|next| {
        let wait = Duration::try_from(next.duration_since(inputs.now)).unwrap_or_default();
        // The moment itself may not be enough.
        wait.saturating_add(Duration::from_millis(100))
    });
    let updates = match step {
        Step::Live(live) => matches!(live.updates.update, Update::Wait { .. }).then_some(OVERDUE),
        Step::Leave(_) | Step::Delete(_) => None,
    };
    due.into_iter().chain(updates).min()
}

/// Says what was observed and what a pass failed with, which is returned to the controller besides.
pub async fn failed(inputs: &Inputs, observed: Observed, step: &Step, error: &Error, context: &Context) {
    // A conflict is over with the next pass.
    if !error.is_noteworthy() {
        return;
    }
    let plane = inputs.plane.as_ref();
    let after = status::failed(inputs, observed, step, error.reason(), &chain(error));
    let api = context.api::<K0sControlPlane>(&plane.namespace().unwrap_or_default());
    if let Err(error) = write::patch_if_changed(&api, plane, plane.status.as_ref(), &after).await {
        tracing::info!(error = %chain(&error), "a failure cannot be reported");
    }
}
