//! Says what came of a pass over a request: status, Event, and when to look again.

use std::time::Duration;

use jiff::Timestamp;
use k0smotron_api::{
    k0smotron::v1beta2::{
        DeprecatedRequestStatus, DeprecatedRequestV1Beta1, JoinTokenRequest, JoinTokenRequestStatus,
    },
    names::conditions::{
        reasons,
        types::{DELETING, JOIN_TOKEN_SECRET_CREATED, READY, STALLED, UNSUPPORTED},
    },
};
use k0smotron_runtime::{Context, Outcome, conditions::Conditions, status};
use kube::ResourceExt;

use super::{Error, fetch::Inputs};

/// What the status of v1beta1 says of a request that has its token.
const SUCCESS: &str = "Reconciliation successful";
/// An object is looked at again after about as long by itself.
const SOON: Duration = Duration::from_secs(40 * 60);

/// What is to be said about a request after a pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The Secret holds this token, which is to be replaced then.
    Provided { id: String, renewal: Option<Timestamp> },
    /// Something is awaited that comes by itself.
    Waiting { reason: &'static str, message: String },
    /// Somebody has to change something.
    Stalled { reason: &'static str, message: String },
    /// It goes, and this is awaited.
    Deleting { message: String },
}

/// Writes the verdict, if it changes anything.
pub async fn report(inputs: &Inputs, verdict: &Verdict, context: &Context) -> Result<Outcome, Error> {
    let request = &inputs.request;
    let uid = inputs.cluster.as_ref().and_then(ResourceExt::uid);
    let before = request.status.clone().unwrap_or_default();
    let after = status(&before, request.metadata.generation, verdict, uid);
    let api = context.api::<JoinTokenRequest>(&request.namespace().unwrap_or_default());
    let changed = status::patch_if_changed(&api, request.as_ref(), request.status.as_ref(), &after)
        .await
        .map_err(Error::Report)?;
    if changed {
        tell(&before, verdict, request, context);
    }
    Ok(outcome(verdict, inputs.now))
}

/// Tells people, as an Event, what a verdict changed. Nothing of the token itself.
fn tell(before: &JoinTokenRequestStatus, verdict: &Verdict, request: &JoinTokenRequest, context: &Context) {
    match verdict {
        Verdict::Provided { id, .. } if before.token_id.as_ref() != Some(id) => {
            let note = format!("a join token is in Secret {}", request.name_any());
            context.events.normal_later(request, "JoinTokenCreated", &note);
        }
        Verdict::Stalled { reason, message } => context.events.warn_later(request, reason, message),
        Verdict::Provided { .. } | Verdict::Waiting { .. } | Verdict::Deleting { .. } => {}
    }
}

fn outcome(verdict: &Verdict, now: Timestamp) -> Outcome {
    let wait = match verdict {
        Verdict::Provided {
            renewal: Some(renewal),
            ..
        } => Duration::try_from(renewal.duration_since(now)).unwrap_or_default(),
        Verdict::Provided { renewal: None, .. } | Verdict::Stalled { .. } => return Outcome::Done,
        Verdict::Waiting { .. } | Verdict::Deleting { .. } => return Outcome::Waiting,
    };
    match wait < SOON {
        // A little later, so that it is due then.
        true => Outcome::After(wait + Duration::from_secs(1)),
        false => Outcome::Done,
    }
}

/// The status after a pass.
fn status(
    before: &JoinTokenRequestStatus,
    generation: Option<i64>,
    verdict: &Verdict,
    cluster_uid: Option<String>,
) -> JoinTokenRequestStatus {
    let mut conditions = Conditions::of(&before.conditions, generation);
    let mut after = before.clone();
    let (text, created) = match verdict {
        Verdict::Provided { id, .. } => {
            conditions.set_true(JOIN_TOKEN_SECRET_CREATED, reasons::CREATED, "");
            conditions.set_true(READY, reasons::READY, "");
            after.token_id = Some(id.clone());
            (SUCCESS, true)
        }
        Verdict::Waiting { reason, message } | Verdict::Stalled { reason, message } => {
            conditions.set_false(JOIN_TOKEN_SECRET_CREATED, reason, message.as_str());
            (message.as_str(), false)
        }
        Verdict::Deleting { message } => {
            conditions.set_true(DELETING, reasons::DELETING, message.as_str());
            (message.as_str(), false)
        }
    };
    if !created {
        conditions.set_false(READY, reasons::NOT_READY, text);
    }
    match verdict {
        Verdict::Stalled { reason, message } => conditions.set_true(STALLED, reason, message.as_str()),
        _ => conditions.set_false(STALLED, reasons::PROGRESSING, ""),
    }
    // There is no condition for what is supported.
    match verdict {
        Verdict::Stalled { reason, message } if *reason == reasons::UNSUPPORTED => {
            conditions.set_true(UNSUPPORTED, reasons::UNSUPPORTED, message.as_str());
        }
        _ => conditions.remove(UNSUPPORTED),
    }
    after.deprecated = Some(DeprecatedRequestStatus {
        v1beta1: Some(DeprecatedRequestV1Beta1 {
            reconciliation_status: text.to_owned(),
            cluster_uid: cluster_uid.unwrap_or_default(),
        }),
    });
    after.conditions = conditions.into_vec();
    after.observed_generation = generation;
    after
}
