//! K0sWorkerConfig: bootstrap data of one worker.
//!
//! Once the cluster's API server answers, a join token is made in the workload cluster and, with it, the Secret that
//! the infrastructure provider runs on the host. It is made once: a host that has run it must not find another one.
//!
//! | event | what happens |
//! |---|---|
//! | a Machine refers to the config | the config is looked at for the first time |
//! | the Cluster gets an endpoint, its control plane answers, it is paused or not any more | looked at again |
//! | the Machine goes and nothing holds it | the config goes, its Secret with it, and its join token |
//! | the Secret is deleted | made again under the same name |
//! | half of the life of the join token is over | a Machine's gets a later end, until the Machine has its node; a pool gets another one, and data with it |
//! | the Machine has its node | its join token is revoked |

mod apply;
mod build;
#[cfg(test)]
mod build_tests;
mod decide;
mod fetch;

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use k0smotron_api::{
    bootstrap::v1beta2::K0sWorkerConfig,
    capi::{Cluster, Machine},
    control_plane::v1beta2::K0sControlPlane,
    names::labels,
};
use k0smotron_k0s::{plan::PlanError, token::TokenError};
use k0smotron_runtime::{
    Context, Controller, Outcome, ReconcileError, shared::Shared, status, workload::ClusterKey,
};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;

use crate::{
    belonging,
    join_token::{self, Role},
    payload::PayloadError,
    prerequisites::{DataSecret, GENERATION_FAILED},
    report,
    token_upkeep::{self, Kept},
    verdict::Verdict,
};
use decide::{Observed, Step};
use fetch::Inputs;

/// How soon to try again to give a pool another token.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// Runs the controller until dropped.
pub fn controller(
    context: &Context,
    clusters: &Shared<Cluster>,
    machines: &Shared<Machine>,
) -> BoxFuture<'static, ()> {
    let controller = Controller::<K0sWorkerConfig>::new("k0sworkerconfig", context);
    let (store, unmade, waiting) = (controller.store(), controller.store(), controller.store());
    let controller = controller
        .owns::<Secret>(labels::CLUSTER_NAME)
        .follows(clusters, move |cluster| belonging::of_cluster(&store, cluster))
        // Nothing of it but that it changed: the control plane may be of another provider, or of none.
        .watches_metadata::<K0sControlPlane>("", move |plane| belonging::unmade(&unmade, plane))
        .follows(machines, move |machine| {
            belonging::concerned_by::<K0sWorkerConfig>(&waiting, machine)
        });
    let (context, clusters) = (context.clone(), clusters.clone());
    Box::pin(controller.run(move |config| {
        let (context, clusters) = (context.clone(), clusters.clone());
        async move { reconcile(config, &context, &clusters).await }
    }))
}

async fn reconcile(
    config: Arc<K0sWorkerConfig>,
    context: &Context,
    clusters: &Shared<Cluster>,
) -> Result<Outcome, Error> {
    let (inputs, observed) = fetch::fetch(&config, context, clusters).await?;
    let verdict = match decide::decide(&observed) {
        Step::Say(verdict) => verdict,
        Step::Remove => {
            revoke_token(&inputs, context);
            belonging::remove(context, config.as_ref())
                .await
                .map_err(Error::Remove)?;
            return Ok(Outcome::Done);
        }
        Step::Generate => match build::build(&inputs) {
            Ok(built) => {
                apply::apply(built, &inputs, context).await?;
                // The Secret's event brings the config back, to look after the token.
                observed.prerequisites.available()
            }
            Err(error @ (Error::Plan(_) | Error::Payload(_) | Error::Join(_))) => Verdict::Stalled {
                reason: GENERATION_FAILED,
                message: error.to_string(),
            },
            Err(error) => return Err(error),
        },
    };
    let (verdict, again) = follow_up(&inputs, &observed, verdict, context).await;
    let outcome = report::report(context, config.as_ref(), config.status.as_ref(), &verdict)
        .await
        .map_err(Error::Report)?;
    Ok(again.map_or(outcome, Outcome::After))
}

/// What becomes of the token that is in the bootstrap data.
async fn follow_up(
    inputs: &Inputs,
    observed: &Observed,
    verdict: Verdict,
    context: &Context,
) -> (Verdict, Option<Duration>) {
    if inputs.pool {
        // What stands against another token now does not make the one that is there a worse one.
        let verdict = match verdict {
            Verdict::Waiting { .. } if observed.prerequisites.secret == DataSecret::Aging => {
                observed.prerequisites.available()
            }
            verdict => verdict,
        };
        let left = inputs.rotation.map(|due| due.duration_since(inputs.now));
        let left = left.map(|left| Duration::try_from(left).unwrap_or_default());
        return (verdict, left.map(|left| left.max(LOOK_AGAIN)));
    }
    let kept = Kept {
        config: inputs.token_of(),
        role: Role::Worker,
        token: inputs.issued.as_ref(),
        status: inputs.config.status.as_ref(),
        cluster: inputs.cluster.as_deref(),
        machine: inputs.machine.as_deref(),
    };
    token_upkeep::look_after(context, verdict, &kept).await
}

/// Nobody joins with the token any more. Where the whole cluster goes it goes too.
fn revoke_token(inputs: &Inputs, context: &Context) {
    let stays = |cluster: &&Arc<Cluster>| cluster.metadata.deletion_timestamp.is_none();
    let Some(cluster) = inputs.cluster.as_ref().filter(stays) else {
        return;
    };
    let cluster = ClusterKey {
        namespace: inputs.config.namespace().unwrap_or_default(),
        name: cluster.name_any(),
    };
    join_token::revoke(inputs.token_of(), cluster, context);
}

/// What a pass may fail with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("failed to read what the config refers to")]
    Read(#[source] kube::Error),
    #[error("what the bootstrap data is made from went away meanwhile")]
    Incomplete,
    #[error("the install plan cannot be made: {0}")]
    Plan(PlanError),
    #[error(transparent)]
    Payload(PayloadError),
    #[error("the join token cannot be made: {0}")]
    Join(TokenError),
    #[error("failed to write the join token into the workload cluster")]
    Token(#[source] kube::Error),
    #[error("failed to write the bootstrap data")]
    Apply(#[source] k0smotron_runtime::apply::Error),
    #[error("failed to delete the config after its Machine")]
    Remove(#[source] kube::Error),
    #[error("failed to report")]
    Report(#[source] status::Error),
}

impl ReconcileError for Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::Read(_) => "ReadFailed",
            Self::Incomplete => "SourcesChanged",
            Self::Plan(_) | Self::Payload(_) | Self::Join(_) => GENERATION_FAILED,
            Self::Token(_) => "TokenFailed",
            Self::Apply(_) => "ApplyFailed",
            Self::Remove(_) => "DeletionFailed",
            Self::Report(_) => "ReportFailed",
        }
    }

    fn is_noteworthy(&self) -> bool {
        match self {
            Self::Incomplete => false,
            Self::Apply(error) => !error.is_conflict(),
            _ => true,
        }
    }
}
