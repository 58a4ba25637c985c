//! K0sControllerConfig: bootstrap data of one controller.
//!
//! The founder of a cluster gets the cluster's authorities, and k0s makes a new cluster of them. Which Machine founds the
//! cluster is written on the Cluster before any data is, so that there are never two. Every other controller gets a
//! token and no key: k0s hands the authorities over itself, through the join API of a controller that runs.
//!
//! | event | what happens |
//! |---|---|
//! | a Machine refers to the config | the config is looked at for the first time |
//! | the Cluster gets an endpoint (where no control plane wrote it into the config), is paused or not any more | looked at again |
//! | the Machine goes and nothing holds it | the config goes, its Secret with it, and its join token |
//! | the Secret is deleted | made again for the same Machine, under the same name |
//! | half of the life of the join token is over | it gets a later end, until the controller runs |
//! | the controller runs | its join token is revoked |

mod apply;
mod build;
#[cfg(test)]
mod build_tests;
mod decide;
mod fetch;
mod peers;

use std::sync::Arc;

use futures::future::BoxFuture;
use k0smotron_api::{
    bootstrap::v1beta2::K0sControllerConfig,
    capi::{Cluster, Machine},
    names::{annotations, labels},
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
    prerequisites::GENERATION_FAILED,
    report,
    token_upkeep::{self, Kept},
    verdict::Verdict,
};
use decide::Step;

/// Runs the controller until dropped.
pub fn controller(
    context: &Context,
    clusters: &Shared<Cluster>,
    machines: &Shared<Machine>,
) -> BoxFuture<'static, ()> {
    let controller = Controller::<K0sControllerConfig>::new("k0scontrollerconfig", context);
    let (store, waiting) = (controller.store(), controller.store());
    let controller = controller
        .owns::<Secret>(labels::CLUSTER_NAME)
        .follows(clusters, move |cluster| belonging::of_cluster(&store, cluster))
        .follows(machines, move |machine| {
            belonging::concerned_by::<K0sControllerConfig>(&waiting, machine)
        });
    let (context, clusters) = (context.clone(), clusters.clone());
    Box::pin(controller.run(move |config| {
        let (context, clusters) = (context.clone(), clusters.clone());
        async move { reconcile(config, &context, &clusters).await }
    }))
}

async fn reconcile(
    config: Arc<K0sControllerConfig>,
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
        step @ (Step::Found { .. } | Step::Join) => match build::build(&inputs, &step) {
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
    let kept = Kept {
        config: fetch::token_of(&config),
        role: Role::Controller,
        token: inputs.issued.as_ref(),
        status: config.status.as_ref(),
        cluster: inputs.cluster.as_deref(),
        machine: inputs.machine.as_deref(),
    };
    let (verdict, again) = token_upkeep::look_after(context, verdict, &kept).await;
    let outcome = report::report(context, config.as_ref(), config.status.as_ref(), &verdict)
        .await
        .map_err(Error::Report)?;
    Ok(again.map_or(outcome, Outcome::After))
}

/// Nobody joins with the token any more. Where the whole cluster goes it goes too, and a founder has none.
fn revoke_token(inputs: &fetch::Inputs, context: &Context) {
    let stays = |cluster: &&Arc<Cluster>| cluster.metadata.deletion_timestamp.is_none();
    let founds = inputs
        .config
        .annotations()
        .contains_key(annotations::FOUNDS_CLUSTER);
    let Some(cluster) = inputs.cluster.as_ref().filter(stays).filter(|_| !founds) else {
        return;
    };
    let owner = fetch::token_of(&inputs.config);
    let cluster = ClusterKey {
        namespace: owner.namespace.clone(),
        name: cluster.name_any(),
    };
    join_token::revoke(owner, cluster, context);
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
    #[error("failed to appoint the founder of the cluster")]
    Appoint(#[source] kube::Error),
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
            Self::Appoint(_) => "AppointmentFailed",
            Self::Apply(_) => "ApplyFailed",
            Self::Remove(_) => "DeletionFailed",
            Self::Report(_) => "ReportFailed",
        }
    }

    fn is_noteworthy(&self) -> bool {
        match self {
            Self::Incomplete => false,
            Self::Appoint(kube::Error::Api(status)) => !status.is_conflict(),
            Self::Apply(error) => !error.is_conflict(),
            _ => true,
        }
    }
}
