//! RemoteCluster: its hosts exist already, so that there is nothing to provision; what the user wrote of the endpoint and of
//! failure domains is passed on.
//!
//! Nothing is held for it either: it has no finalizer, and goes when Cluster API deletes it, or a moment before that
//! when its Cluster goes and nobody is left who needs it.

mod decide;
mod report;

use std::sync::Arc;

use k0smotron_api::{
    capi::{Cluster, Machine},
    control_plane::v1beta2::K0sControlPlane,
    infrastructure::v1beta2::RemoteCluster,
};
use k0smotron_runtime::{Context, Controller, Outcome, ReconcileError, shared::Shared, status};
use kube::{
    Resource, ResourceExt,
    api::{DeleteParams, Preconditions},
    runtime::reflector::ObjectRef,
};

use crate::belonging::{adopter, belongs_to, core_owner, paused};
use decide::Verdict;

/// Runs the controller until dropped.
pub async fn run(context: Context, clusters: Shared<Cluster>, machines: Shared<Machine>) {
    let controller = Controller::<RemoteCluster>::new("remote-cluster", &context);
    let (store, of_machine) = (controller.store(), clusters.clone());
    controller
        // The last Machine of a cluster that goes.
        .follows(&machines, move |machine| {
            let cluster = of_machine.get(
                &machine.namespace().unwrap_or_default(),
                &machine.spec.cluster_name,
            );
            let goes = |cluster: &Arc<Cluster>| cluster.metadata.deletion_timestamp.is_some();
            let cluster = cluster.filter(|cluster| machine.is_deleting() && goes(cluster));
            cluster
                .and_then(|cluster| infrastructure(&cluster))
                .into_iter()
                .collect()
        })
        .follows(&clusters, move |cluster| {
            store
                .state()
                .iter()
                .filter(|object| belongs_to(object.as_ref(), cluster))
                .map(|object| ObjectRef::from(object.as_ref()))
                .collect()
        })
        .run(move |object| reconcile(object, context.clone(), clusters.clone(), machines.clone()))
        .await;
}

/// The RemoteCluster that a Cluster names.
fn infrastructure(cluster: &Cluster) -> Option<ObjectRef<RemoteCluster>> {
    let reference = cluster.spec.infrastructure_ref.as_ref();
    let reference =
        reference.filter(|reference| reference.is(&RemoteCluster::group(&()), &RemoteCluster::kind(&())))?;
    Some(ObjectRef::new(&reference.name).within(&cluster.namespace()?))
}

async fn reconcile(
    object: Arc<RemoteCluster>,
    context: Context,
    clusters: Shared<Cluster>,
    machines: Shared<Machine>,
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
    let obsolete = match &cluster {
        Some(cluster) if cluster.metadata.deletion_timestamp.is_some() => {
            let of_cluster = |machine: &Machine| machine.spec.cluster_name == cluster.name_any();
            let left = machines.list(&namespace, of_cluster).len();
            decide::is_obsolete(cluster, left, control_plane_goes(cluster, &context).await?)
        }
        _ => false,
    };
    let verdict = match decide::decide(&object, has_owner, obsolete, paused) {
        None => return Ok(Outcome::Waiting),
        Some(Verdict::Obsolete) => {
            remove(&object, &context).await?;
            return Ok(Outcome::Done);
        }
        Some(verdict) => verdict,
    };
    let before = object.status.clone().unwrap_or_default();
    let after = report::status(&object, &before, &verdict);
    status::patch_if_changed(&context.api(&namespace), object.as_ref(), Some(&before), &after).await?;
    Ok(Outcome::Done)
}

/// Whether the Cluster's control plane is one of ours and is being deleted, or is gone. Cluster API deletes it last but
/// for the infrastructure.
async fn control_plane_goes(cluster: &Cluster, context: &Context) -> Result<bool, Error> {
    let reference = cluster.spec.control_plane_ref.as_ref();
    let ours =
        reference.filter(|reference| reference.is(&K0sControlPlane::group(&()), &K0sControlPlane::kind(&())));
    let Some(reference) = ours else { return Ok(false) };
    let planes = context.api::<K0sControlPlane>(&cluster.namespace().unwrap_or_default());
    let plane = planes.get_metadata_opt(&reference.name).await;
    let plane = plane.map_err(Error::ReadControlPlane)?;
    Ok(plane.is_none_or(|plane| plane.metadata.deletion_timestamp.is_some()))
}

/// Deletes the object, if it is still the one that was read.
async fn remove(object: &RemoteCluster, context: &Context) -> Result<(), Error> {
    let api = context.api::<RemoteCluster>(&object.namespace().unwrap_or_default());
    let parameters = DeleteParams::background().preconditions(Preconditions {
        uid: object.uid(),
        resource_version: None,
    });
    match api.delete(&object.name_any(), &parameters).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        result => result.map(drop).map_err(Error::Remove),
    }
}

/// What a pass may fail with.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("failed to read the Cluster")]
    ReadCluster(#[source] kube::Error),
    #[error("failed to read the control plane")]
    ReadControlPlane(#[source] kube::Error),
    #[error("failed to delete the object with its Cluster")]
    Remove(#[source] kube::Error),
    #[error(transparent)]
    WriteStatus(#[from] status::Error),
}

impl ReconcileError for Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::ReadCluster(_) => "ReadClusterFailed",
            Self::ReadControlPlane(_) => "ReadControlPlaneFailed",
            Self::Remove(_) => "DeletionFailed",
            Self::WriteStatus(_) => "WriteStatusFailed",
        }
    }
}
