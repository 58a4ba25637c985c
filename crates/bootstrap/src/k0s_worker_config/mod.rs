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
//!
//! A token that expired before its host came up is not renewed yet.

mod apply;
mod build;
#[cfg(test)]
mod build_tests;
mod decide;
mod fetch;

use std::sync::Arc;

use futures::future::BoxFuture;
use k0smotron_api::{
    bootstrap::v1beta2::K0sWorkerConfig,
    capi::{Cluster, Machine},
    control_plane::v1beta2::K0sControlPlane,
    names::labels,
};
use k0smotron_k0s::{cloud_config::RenderError, plan::PlanError, token::TokenError};
use k0smotron_runtime::{
    Context, Controller, Outcome, ReconcileError, shared::Shared, status, workload::ClusterKey,
};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;

use crate::{belonging, join_token, prerequisites::GENERATION_FAILED, report, verdict::Verdict};
use decide::Step;
use fetch::Inputs;

/// Runs the controller until dropped.
pub fn controller(
    context: &Context,
    clusters: &Shared<Cluster>,
    machines: &Shared<Machine>,
) -> BoxFuture<'static, ()> {
    let controller = Controller::<K0sWorkerConfig>::new("k0sworkerconfig", context);
    let (store, unmade) = (controller.store(), controller.store());
    let controller = controller
        .owns::<Secret>(labels::CLUSTER_NAME)
        .follows(clusters, move |cluster| belonging::of_cluster(&store, cluster))
        // Nothing of it but that it changed: the control plane may be of another provider, or of none.
        .watches_metadata::<K0sControlPlane>("", move |plane| belonging::unmade(&unmade, plane))
        .follows(machines, belonging::concerned_by::<K0sWorkerConfig>);
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
                Verdict::Available {
                    secret: config.name_any(),
                }
            }
            Err(error @ (Error::Plan(_) | Error::Render(_) | Error::Join(_))) => Verdict::Stalled {
                reason: GENERATION_FAILED,
                message: error.to_string(),
            },
            Err(error) => return Err(error),
        },
    };
    report::report(context, config.as_ref(), config.status.as_ref(), &verdict)
        .await
        .map_err(Error::Report)
}

/// Nobody joins with the token any more. Where the whole cluster goes it goes too.
fn revoke_token(inputs: &Inputs, context: &Context) {
    let stays = |cluster: &&Arc<Cluster>| cluster.metadata.deletion_timestamp.is_none();
    let Some(cluster) = inputs.cluster.as_ref().filter(stays) else {
        return;
    };
    let namespace = inputs.config.namespace().unwrap_or_default();
    let config = join_token::For {
        namespace: namespace.clone(),
        name: inputs.config.name_any(),
    };
    let cluster = ClusterKey {
        namespace,
        name: cluster.name_any(),
    };
    join_token::revoke(config, cluster, context);
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
    #[error("the cloud-config cannot be made: {0}")]
    Render(RenderError),
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
            Self::Plan(_) | Self::Render(_) | Self::Join(_) => GENERATION_FAILED,
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
