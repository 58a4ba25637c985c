//! Says what came of a pass over a bootstrap config: status, Event, and when to look again.

use std::{fmt::Debug, time::Duration};

use k0smotron_api::{bootstrap::v1beta2::BootstrapStatus, names::conditions::reasons};
use k0smotron_runtime::{Context, Outcome, status};
use kube::{Resource, ResourceExt, core::NamespaceResourceScope};
use serde::de::DeserializeOwned;

use crate::{
    prerequisites::WAITING_FOR_FOUNDER,
    verdict::{self, Verdict},
};

/// How soon to look again for what has no event: references into Secrets and ConfigMaps, a workload cluster that does
/// not answer.
const LOOK_AGAIN: Duration = Duration::from_secs(3);

/// Writes the verdict, if it changes anything.
///
/// # Errors
/// Whatever the API answers.
pub async fn report<K>(
    context: &Context,
    config: &K,
    before: Option<&BootstrapStatus>,
    verdict: &Verdict,
) -> Result<Outcome, status::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Sync,
{
    let known = before.cloned().unwrap_or_default();
    let after = verdict::status(&known, config.meta().generation, verdict);
    let api = context.api::<K>(&config.namespace().unwrap_or_default());
    if status::patch_if_changed(&api, config, before, &after).await? {
        tell(context, config, &known, verdict).await;
    }
    Ok(outcome(verdict))
}

/// Tells people, as an Event, what a verdict changed.
async fn tell<K>(context: &Context, config: &K, before: &BootstrapStatus, verdict: &Verdict)
where
    K: Resource<DynamicType = ()> + Sync,
{
    match verdict {
        Verdict::Available { secret, .. } if !before.data_secret_created() => {
            let note = format!("bootstrap data is in Secret {secret}");
            context.events.normal(config, "DataSecretCreated", &note).await;
        }
        Verdict::Stalled { reason, message } => context.events.warning(config, reason, message).await,
        Verdict::Available { .. } | Verdict::Waiting { .. } | Verdict::Paused { .. } => {}
    }
}

fn outcome(verdict: &Verdict) -> Outcome {
    let without_event = [
        reasons::CONTENT_SOURCE_NOT_FOUND,
        reasons::CONNECTION_DOWN,
        reasons::WAITING_FOR_CERTIFICATES,
        WAITING_FOR_FOUNDER,
    ];
    match verdict {
        Verdict::Waiting { reason, .. } if without_event.contains(reason) => Outcome::After(LOOK_AGAIN),
        Verdict::Waiting { .. } | Verdict::Paused { .. } => Outcome::Waiting,
        Verdict::Available { .. } | Verdict::Stalled { .. } => Outcome::Done,
    }
}
