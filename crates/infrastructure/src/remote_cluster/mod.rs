//! RemoteCluster: its hosts exist already, so that there is nothing to provision but the endpoint that the user wrote.
//!
//! Nothing is held for it either: it has no finalizer, and goes when Cluster API deletes it.

mod decide;
mod report;

use std::sync::Arc;

use k0smotron_api::{capi::Cluster, infrastructure::v1beta2::RemoteCluster};
use k0smotron_runtime::{Context, Controller, Outcome, ReconcileError, shared::Shared, status};
use kube::{ResourceExt, runtime::reflector::ObjectRef};

use crate::belonging::{adopter, belongs_to, core_owner, paused};

/// Runs the controller until dropped.
pub async fn run(context: Context, clusters: Shared<Cluster>) {
    let controller = Controller::<RemoteCluster>::new("remote-cluster", &context);
    let store = controller.store();
    controller
        .follows(&clusters, move |cluster| {
            store
                .state()
                .iter()
                .filter(|object| belongs_to(object.as_ref(), cluster))
                .map(|object| ObjectRef::from(object.as_ref()))
                .collect()
        })
        .run(move |object| reconcile(object, context.clone(), clusters.clone()))
        .await;
}

async fn reconcile(
    object: Arc<RemoteCluster>,
    context: Context,
    clusters: Shared<Cluster>,
) -> Result<Outcome, Error> {
    let namespace = object.namespace().unwrap_or_default();
    let owner = core_owner(object.as_ref(), "Cluster");
    let cluster = match &owner {
        None => adopter(object.as_ref(), &clusters),
        Some(name) => match clusters.get(&namespace, name) {
            Some(cluster) => Some(cluster),
            // The reference may be younger than what the watch has seen.
            None => context
                .api::<Cluster>(&namespace)
                .get_opt(name)
                .await
                .map_err(Error::ReadCluster)?
                .map(Arc::new),
        },
    };
    let has_owner = owner.is_some() || cluster.is_some();
    let paused = paused(object.as_ref(), cluster.as_deref());
    let Some(verdict) = decide::decide(&object, has_owner, paused) else {
        return Ok(Outcome::Waiting);
    };
    let before = object.status.clone().unwrap_or_default();
    let after = report::status(&before, object.metadata.generation, &verdict);
    status::patch_if_changed(&context.api(&namespace), object.as_ref(), Some(&before), &after).await?;
    Ok(Outcome::Done)
}

/// What a pass may fail with.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("failed to read the Cluster")]
    ReadCluster(#[source] kube::Error),
    #[error(transparent)]
    WriteStatus(#[from] status::Error),
}

impl ReconcileError for Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::ReadCluster(_) => "ReadClusterFailed",
            Self::WriteStatus(_) => "WriteStatusFailed",
        }
    }
}
