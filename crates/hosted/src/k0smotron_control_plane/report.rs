//! Says what came of a pass over a control plane: status, once and if it changed, and Events.

use std::time::Duration;

use k0smotron_api::{
    control_plane::v1beta2::{K0smotronControlPlane, K0smotronControlPlaneStatus},
    names::conditions::types,
};
use k0smotron_runtime::{
    Context, Outcome,
    conditions::{find, is_true},
    status as write,
};

use super::{Error, decide::Step, fetch::Inputs, status};

/// How soon to ask the API server again who it is: it said that it answers, but did not.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Writes status and Events, and says when to look again.
pub async fn report(inputs: &Inputs, step: &Step, context: &Context) -> Result<Outcome, Error> {
    let plane = inputs.plane.as_ref();
    let after = status::status(inputs, step);
    let api = context.api::<K0smotronControlPlane>(&inputs.namespace());
    let changed = write::patch_if_changed(&api, plane, plane.status.as_ref(), &after)
        .await
        .map_err(Error::Report)?;
    if changed {
        tell(plane, &after, context);
    }
    let unknown = inputs.identity.is_none()
        && inputs
            .cluster
            .as_ref()
            .is_some_and(|cluster| cluster.recorded_cluster_id().is_none());
    let answers = matches!(step, Step::Host) && is_true(&after.conditions, types::AVAILABLE);
    Ok(match answers && unknown {
        true => Outcome::After(LOOK_AGAIN),
        false => Outcome::Waiting,
    })
}

fn tell(plane: &K0smotronControlPlane, after: &K0smotronControlPlaneStatus, context: &Context) {
    let is_initialized = |status: &K0smotronControlPlaneStatus| {
        let steps = status.initialization.as_ref();
        steps
            .and_then(|steps| steps.control_plane_initialized)
            .unwrap_or_default()
    };
    if is_initialized(after) && !plane.status.as_ref().is_some_and(is_initialized) {
        context
            .events
            .normal_later(plane, "Initialized", "the API server answers");
    }
    if let Some(stalled) = find(&after.conditions, types::STALLED).filter(|said| said.status == "True") {
        context
            .events
            .warn_later(plane, &stalled.reason, &stalled.message);
    }
}
