//! K0sControlPlane: a control plane whose controllers run on Machines. So far of one replica.
//!
//! | event | what happens |
//! |---|---|
//! | a Cluster names the control plane, or owns it | authorities, finalizer |
//! | the Cluster or its infrastructure has the endpoint | kubeconfig; infrastructure machine, K0sControllerConfig and Machine, all of one name |
//! | the API server answers | persisted, then said: the control plane is initialised; published in the cluster itself |
//! | the API server is away for long, or back | said |
//! | a Machine of a cluster that never came up is deleted | let go, then replaced |
//! | the only member of a cluster that exists is deleted | held and said: it would take the data along |
//! | endpoint or authority changes, half of a certificate's life is over | kubeconfig issued again |
//! | the Cluster is deleted, and Cluster API has got to its workers | Machines are let go: nobody leaves what goes |
//! | the control plane is deleted | workers first, then its Machines, without ceremony |
//!
//! What a pass may do to a cluster is decided in [`decide`], from facts alone.

mod apply;
mod build;
mod certificates;
mod cluster;
mod conditions;
pub mod decide;
#[cfg(test)]
mod decide_tests;
mod drift;
#[cfg(test)]
mod example_tests;
mod fetch;
#[cfg(test)]
mod history_tests;
mod kinds;
mod machine;
mod observe;
pub mod observed;
mod probe;
mod refusals;
mod report;
mod service_endpoint;
mod status;

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use k0smotron_api::{
    capi::{Cluster, Machine},
    control_plane::v1beta2::K0sControlPlane,
    infrastructure::v1beta2::RemoteCluster,
    names::labels,
};
use k0smotron_k0s::{cluster_config::ConfigError, pki::PkiError};
use k0smotron_runtime::{Context, Controller, Outcome, ReconcileError, shared::Shared, workload::ClusterKey};
use k8s_openapi::api::core::v1::Secret;
use kube::{ResourceExt, runtime::reflector::ObjectRef};

use apply::Applied;
use decide::{Live, Step};
use fetch::{Inputs, Sources};
use kinds::Kinds;
use observed::Observed;
use probe::Probes;

/// How soon to look again for what has no event.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Runs the controller until dropped.
pub fn controller(
    context: &Context,
    clusters: &Shared<Cluster>,
    machines: &Shared<Machine>,
) -> BoxFuture<'static, ()> {
    let (probes, answered) = Probes::new(context.workloads.clone());
    let known = clusters.clone();
    let by_cluster_name = move |namespace: &str, name: &str| {
        known
            .get(namespace, name)
            .and_then(|cluster| cluster::control_plane_of(&cluster))
            .into_iter()
            .collect::<Vec<_>>()
    };
    let by_secret = by_cluster_name.clone();
    let standing = clusters.clone();
    let controller = Controller::<K0sControlPlane>::new("k0scontrolplane", context);
    let planes = controller.store();
    let ends = move |plane: &ObjectRef<K0sControlPlane>| {
        let plane = planes.get(plane);
        plane.is_some_and(|plane| plane.metadata.deletion_timestamp.is_some())
    };
    let controller = controller
        .on(answered)
        // Only its metadata; infrastructure of other providers is heard of by the Cluster.
        .watches_metadata::<RemoteCluster>("", move |infrastructure| {
            cluster::control_planes_on(&standing, infrastructure)
        })
        .follows(clusters, |cluster| {
            cluster::control_plane_of(cluster).into_iter().collect()
        })
        .follows(machines, move |machine| {
            // Of workers only the end matters: a control plane that is deleted waits for it. One that nothing held
            // goes without having been marked.
            let namespace = machine.namespace().unwrap_or_default();
            let mut concerned = by_cluster_name(&namespace, &machine.spec.cluster_name);
            concerned.retain(|plane| machine.is_control_plane() || machine.is_deleting() || ends(plane));
            concerned
        })
        .watches_metadata::<Secret>(labels::CLUSTER_NAME, move |secret| {
            // Bootstrap data bears the label too, and says nothing here.
            match secret.labels().get(labels::CLUSTER_NAME) {
                Some(cluster) if !secret.labels().contains_key(labels::COMPONENT) => {
                    by_secret(&secret.namespace().unwrap_or_default(), cluster)
                }
                _ => Vec::new(),
            }
        });
    let worker = Arc::new(Worker {
        context: context.clone(),
        clusters: clusters.clone(),
        kinds: Kinds::default(),
        probes,
    });
    Box::pin(controller.run(move |plane| {
        let worker = worker.clone();
        async move { worker.reconcile(plane).await }
    }))
}

struct Worker {
    context: Context,
    clusters: Shared<Cluster>,
    kinds: Kinds,
    probes: Probes,
}

impl Worker {
    async fn reconcile(&self, plane: Arc<K0sControlPlane>) -> Result<Outcome, Error> {
        let context = &self.context;
        let Some(plane) = fetch::current(&plane, context).await? else {
            self.probes.stop(&plane);
            return Ok(Outcome::Done);
        };
        let answer = self.probes.answer(&plane);
        let from = Sources {
            context,
            clusters: &self.clusters,
            kinds: &self.kinds,
        };
        let inputs = fetch::fetch(&plane, answer, &from).await?;
        let observed = observe::observe(&inputs);
        let step = decide::decide(&observed);
        match self.work(&inputs, &observed, &step).await {
            Ok(applied) => report::report(&inputs, &observed, &step, &applied, context).await,
            Err(error) => {
                report::failed(&inputs, observed, &step, &error, context).await;
                Err(error)
            }
        }
    }

    async fn work(&self, inputs: &Inputs, observed: &Observed, step: &Step) -> Result<Applied, Error> {
        let built = build::build_beside(inputs, observed, step).await?;
        let applied = apply::apply(built, inputs, &self.context).await?;
        self.probe(inputs, step);
        Ok(applied)
    }

    /// Asks the API server from now on, or not any more.
    fn probe(&self, inputs: &Inputs, step: &Step) {
        let Some(cluster) = &inputs.cluster else { return };
        let key = ClusterKey {
            namespace: inputs.plane.namespace().unwrap_or_default(),
            name: cluster.name_any(),
        };
        match step {
            Step::Live(Live { probe: true, .. }) => self.probes.start(&inputs.plane, key),
            Step::Live(Live { probe: false, .. }) | Step::Leave(_) => self.probes.stop(&inputs.plane),
            Step::Delete(_) => {
                self.probes.stop(&inputs.plane);
                self.context.workloads.forget(&key);
            }
        }
    }
}

/// What a pass may fail with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("failed to read {what}")]
    Read { what: String, source: kube::Error },
    #[error("what was decided on went away meanwhile")]
    Incomplete,
    #[error("the k0s configuration cannot be used")]
    Config(#[source] ConfigError),
    #[error("a certificate or key cannot be made")]
    Pki(#[source] PkiError),
    #[error("an object cannot be written as JSON")]
    Encoding(#[source] serde_json::Error),
    #[error("failed to write metadata")]
    Mark { source: kube::Error },
    #[error("failed to write Secret {name}")]
    Secret { name: String, source: kube::Error },
    #[error("failed to let the Cluster own template {name}")]
    Own { name: String, source: kube::Error },
    #[error(transparent)]
    Apply(k0smotron_runtime::apply::Error),
    #[error("failed to write the conditions of Machine {name}")]
    Condition { name: String, source: kube::Error },
    #[error("failed to delete Machine {name}")]
    Delete { name: String, source: kube::Error },
    #[error("failed to release Machine {name}")]
    Release { name: String, source: kube::Error },
    #[error("failed to report")]
    Report(#[source] k0smotron_runtime::status::Error),
}

impl ReconcileError for Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::Read { .. } => "ReadFailed",
            Self::Incomplete => "SourcesChanged",
            Self::Config(_) => "InvalidConfiguration",
            Self::Pki(_) => "CertificateFailed",
            Self::Encoding(_) => "EncodingFailed",
            Self::Mark { .. } => "MetadataFailed",
            Self::Secret { .. } => "SecretFailed",
            Self::Own { .. } => "TemplateFailed",
            Self::Apply(_) => "ApplyFailed",
            Self::Condition { .. } => "ConditionFailed",
            Self::Delete { .. } => "DeletionFailed",
            Self::Release { .. } => "ReleaseFailed",
            Self::Report(_) => "ReportFailed",
        }
    }

    fn is_noteworthy(&self) -> bool {
        match self {
            Self::Incomplete => false,
            Self::Apply(error) => !error.is_conflict(),
            Self::Mark {
                source: kube::Error::Api(status),
            }
            | Self::Own {
                source: kube::Error::Api(status),
                ..
            }
            | Self::Secret {
                source: kube::Error::Api(status),
                ..
            } => !status.is_conflict() && !status.is_already_exists(),
            _ => true,
        }
    }
}
