//! K0smotronControlPlane: a control plane in pods, under Cluster API.
//!
//! The pods are those of a Cluster of k0smotron.io with the name of Cluster API's Cluster and the spec of the control
//! plane; its controller runs them ([`crate::k0smotron_cluster`]). What is done here is the contract: one is made of the
//! other, its address becomes the Cluster's endpoint, and what it reports is reported as the contract wants it.
//!
//! | event | what happens |
//! |---|---|
//! | a Cluster names the control plane | the hosted Cluster is made |
//! | the spec, or the Cluster's network, changes | the hosted Cluster is changed alike |
//! | the hosted Cluster is reachable | the Cluster gets its endpoint; infrastructure that is `managed-by: k0smotron` gets it too, and is provisioned |
//! | the API server answers | the control plane is initialized; the Cluster is told its identity |
//! | the Cluster is paused | the hosted Cluster is, too |
//! | the control plane is deleted | once no workers are left the hosted Cluster is deleted, and awaited |
//!
//! The data of the control plane stays in this cluster when `clusterctl move` takes the objects elsewhere, so the hosted
//! Cluster says `block-move`: clusterctl stops before it creates or deletes anything.

mod apply;
mod build;
mod decide;
mod fetch;
mod infrastructure;
mod ownership;
mod report;
mod status;

use std::sync::Arc;

use k0smotron_api::{
    capi::{self, Machine},
    control_plane::v1beta2::K0smotronControlPlane,
    k0smotron::v1beta2::Cluster,
};
use k0smotron_runtime::{
    Context, Controller, Outcome, ReconcileError, kinds::Kinds, shared::Shared, status as write,
};
use kube::{Resource, ResourceExt, runtime::reflector::ObjectRef};

use decide::Step;
use fetch::Sources;

/// Runs the controller until dropped.
pub async fn run(context: Context, clusters: Shared<capi::Cluster>, machines: Shared<Machine>) {
    let (kinds, of_machine) = (Arc::new(Kinds::default()), clusters.clone());
    Controller::<K0smotronControlPlane>::new("k0smotron-control-plane", &context)
        .follows(&clusters, |cluster| control_plane(cluster).into_iter().collect())
        // The last worker, which a control plane that goes waits for.
        .follows(&machines, move |machine| {
            let namespace = machine.namespace().unwrap_or_default();
            let cluster = of_machine.get(&namespace, &machine.spec.cluster_name);
            cluster
                .filter(|_| machine.is_deleting())
                .and_then(|cluster| control_plane(&cluster))
                .into_iter()
                .collect()
        })
        .watches_metadata::<Cluster>("", |hosted| {
            let namespace = hosted.namespace().unwrap_or_default();
            owner(hosted)
                .map(|name| ObjectRef::new(&name).within(&namespace))
                .into_iter()
                .collect()
        })
        .run(move |plane| {
            let (context, kinds) = (context.clone(), kinds.clone());
            let (clusters, machines) = (clusters.clone(), machines.clone());
            async move {
                let from = Sources {
                    context: &context,
                    clusters: &clusters,
                    machines: &machines,
                    kinds: &kinds,
                };
                reconcile(&plane, &from).await
            }
        })
        .await;
}

async fn reconcile(plane: &Arc<K0smotronControlPlane>, from: &Sources<'_>) -> Result<Outcome, Error> {
    let (mut inputs, observed) = fetch::fetch(plane, from).await?;
    let step = decide::decide(&observed);
    match &step {
        Step::Rest => return Ok(Outcome::Waiting),
        Step::Hold => {
            apply::hold(&inputs, from.context).await?;
            return Ok(Outcome::Waiting);
        }
        Step::Pause(_) => apply::pause(&inputs, from.context).await?,
        Step::Host => {
            let built = build::build(&inputs)?;
            apply::host(built, &mut inputs, from.context).await?;
        }
        Step::Delete => apply::delete(&inputs, from.context).await?,
        Step::Release => {
            apply::release(&inputs, from.context).await?;
            return Ok(Outcome::Done);
        }
        Step::Say(_) => {}
    }
    report::report(&inputs, &step, from.context).await
}

/// The K0smotronControlPlane that a Cluster has, if it has one.
fn control_plane(cluster: &capi::Cluster) -> Option<ObjectRef<K0smotronControlPlane>> {
    let reference = cluster.spec.control_plane_ref.as_ref()?;
    let (group, kind) = (
        K0smotronControlPlane::group(&()),
        K0smotronControlPlane::kind(&()),
    );
    reference
        .is(&group, &kind)
        .then(|| ObjectRef::new(&reference.name).within(&cluster.namespace().unwrap_or_default()))
}

/// Name of the K0smotronControlPlane that owns a hosted Cluster. Not by UID, which move and restore change.
fn owner(hosted: &impl ResourceExt) -> Option<String> {
    let (group, kind) = (
        K0smotronControlPlane::group(&()),
        K0smotronControlPlane::kind(&()),
    );
    let owner = hosted
        .owner_references()
        .iter()
        .find(|owner| owner.kind == kind && owner.api_version.split('/').next() == Some(group.as_ref()))?;
    Some(owner.name.clone())
}

/// What a pass may fail with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("failed to read {what}")]
    Read { what: String, source: kube::Error },
    #[error("what the hosted Cluster is made from went away meanwhile")]
    Incomplete,
    #[error("failed to write the hosted Cluster")]
    Apply(#[source] k0smotron_runtime::apply::Error),
    #[error("failed to take over the fields of the hosted Cluster")]
    TakeOver(#[source] kube::Error),
    #[error("failed to pause the hosted Cluster, or to go on with it")]
    Pause(#[source] kube::Error),
    #[error("failed to write the endpoint, or the identity, of the Cluster")]
    Cluster(#[source] kube::Error),
    #[error("failed to write the infrastructure of the Cluster")]
    Infrastructure(#[source] kube::Error),
    #[error("failed to delete the hosted Cluster")]
    Delete(#[source] kube::Error),
    #[error("failed to write the finalizer")]
    Finalizer(#[source] kube::Error),
    #[error("failed to report")]
    Report(#[source] write::Error),
}

impl ReconcileError for Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::Read { .. } => "ReadFailed",
            Self::Incomplete => "SourcesChanged",
            Self::Apply(_) => "ApplyFailed",
            Self::TakeOver(_) => "TakeOverFailed",
            Self::Pause(_) => "PauseFailed",
            Self::Cluster(_) => "WriteClusterFailed",
            Self::Infrastructure(_) => "WriteInfrastructureFailed",
            Self::Delete(_) => "DeletionFailed",
            Self::Finalizer(_) => "FinalizerFailed",
            Self::Report(_) => "ReportFailed",
        }
    }

    fn is_noteworthy(&self) -> bool {
        match self {
            Self::Incomplete => false,
            Self::Apply(error) => !error.is_conflict(),
            Self::Finalizer(kube::Error::Api(status)) => !status.is_conflict(),
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(reference: &str) -> Option<String> {
        let cluster: capi::Cluster = serde_yaml::from_str(&format!(
            "apiVersion: cluster.x-k8s.io/v1beta2\nkind: Cluster\nmetadata: {{name: c, namespace: ns}}\nspec: {{{reference}}}\n"
        ))
        .unwrap();
        control_plane(&cluster)
            .map(|reference| format!("{}/{}", reference.namespace.unwrap_or_default(), reference.name))
    }

    #[test]
    fn only_clusters_of_this_kind_count() {
        let group = "apiGroup: controlplane.cluster.x-k8s.io";
        let ours = format!("controlPlaneRef: {{{group}, kind: K0smotronControlPlane, name: cp}}");
        assert_eq!(found(&ours).as_deref(), Some("ns/cp"));
        assert_eq!(
            found(&format!(
                "controlPlaneRef: {{{group}, kind: K0sControlPlane, name: cp}}"
            )),
            None
        );
        assert_eq!(found("paused: true"), None);
    }

    #[test]
    fn a_hosted_cluster_is_its_owners() {
        let hosted = |api_version: &str| -> Cluster {
            serde_yaml::from_str(&format!(
                "apiVersion: k0smotron.io/v1beta2\nkind: Cluster\nmetadata: {{name: c, ownerReferences: \
                 [{{apiVersion: {api_version}, kind: K0smotronControlPlane, name: cp, uid: u}}]}}\nspec: {{}}\n"
            ))
            .unwrap()
        };
        for version in ["v1beta1", "v1beta2"] {
            let hosted = hosted(&format!("controlplane.cluster.x-k8s.io/{version}"));
            assert_eq!(owner(&hosted).as_deref(), Some("cp"));
        }
        assert_eq!(owner(&hosted("example.com/v1")), None);
    }
}
