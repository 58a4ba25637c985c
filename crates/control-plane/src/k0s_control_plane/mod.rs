//! K0sControlPlane: a control plane whose controllers run on Machines.
//!
//! | event | what happens |
//! |---|---|
//! | a Cluster names the control plane, or owns it | authorities, finalizer |
//! | the Cluster or its infrastructure has the endpoint | kubeconfig; infrastructure machine, K0sControllerConfig and Machine, all of one name |
//! | the API server answers | persisted, then said: the control plane is initialised; published in the cluster itself |
//! | the API server is away for long, or back | said |
//! | a Machine of a cluster that never came up is deleted | let go, then replaced |
//! | more or fewer replicas, a Machine that differs from the spec, is unhealthy or deleted | one change of membership at a time, none that could cost the quorum |
//! | a MachineHealthCheck asks that a Machine be replaced | the same, as far as the spec's limits allow, and said to it |
//! | the k0s configuration changes | brought into the running cluster; nothing is replaced |
//! | only the version differs, and is to change in place | k0s updates itself, one controller after the other |
//! | endpoint or authority changes, half of a certificate's life is over | kubeconfig issued again |
//! | the Cluster is deleted, and Cluster API has got to its workers | Machines are let go: nobody leaves what goes |
//! | the control plane is deleted | workers first, then its Machines, without ceremony |
//!
//! What a pass may do to a cluster is decided in [`decide`] and [`membership`], from facts alone.

mod apply;
pub mod autopilot;
mod build;
mod certificates;
mod cluster;
mod conditions;
pub mod decide;
#[cfg(test)]
mod decide_tests;
mod domains;
mod etcd_health;
#[cfg(test)]
mod example_tests;
mod fetch;
#[cfg(test)]
mod history_tests;
mod kinds;
mod live_config;
mod machine;
mod members;

pub mod membership;
#[cfg(test)]
mod membership_tests;
mod observe;
pub mod observed;
pub mod plan;
#[cfg(test)]
mod plan_tests;
mod probe;
mod remediation;
#[cfg(test)]
mod remediation_tests;
mod report;
mod service_endpoint;
#[cfg(test)]
mod shared_store_tests;
mod status;
mod survey;
#[cfg(test)]
mod take_over_tests;
#[cfg(test)]
mod test_api;
mod waits;

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use k0smotron_api::{
    capi::{Cluster, Machine},
    control_plane::v1beta2::K0sControlPlane,
    infrastructure::v1beta2::RemoteCluster,
    names::labels,
};
use k0smotron_k0s::{cluster_config::ConfigError, pki::PkiError};
use k0smotron_runtime::{Context, Controller, Outcome, ReconcileError, shared::Shared, workload::DialError};
use k8s_openapi::api::core::v1::Secret;
use kube::{ResourceExt, runtime::reflector::ObjectRef};

use apply::Applied;
use decide::{Live, Step};
use fetch::{Inputs, Sources};
use kinds::Kinds;
use live_config::LiveConfigs;
use membership::{Membership, Wait};
use observed::Observed;
use plan::Update;
use probe::{Attention, Probes};

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
        configs: LiveConfigs::default(),
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
    configs: LiveConfigs,
}

impl Worker {
    async fn reconcile(&self, plane: Arc<K0sControlPlane>) -> Result<Outcome, Error> {
        let context = &self.context;
        let Some(plane) = fetch::current(&plane, context).await? else {
            self.probes.stop(&plane);
            return Ok(Outcome::Done);
        };
        let answer = self.probes.answer(&plane);
        let survey = self.probes.survey(&plane);
        let from = Sources {
            context,
            clusters: &self.clusters,
            kinds: &self.kinds,
        };
        let inputs = fetch::fetch(&plane, answer, survey, &from).await?;
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
        let applied = apply::apply(built, inputs, &self.context).await;
        if matches!(step, Step::Live(live) if live.changes_members()) {
            // Also when it failed: it may have been done.
            self.probes.outdate(&inputs.plane);
        }
        let mut applied = applied?;
        self.probe(inputs, observed, step);
        match step {
            Step::Live(_) => {
                applied.look_again = self.configs.bring_in(inputs, observed, &self.context).await?;
            }
            Step::Delete(_) => self.configs.forget(&inputs.plane.uid().unwrap_or_default()),
            Step::Leave(_) => {}
        }
        Ok(applied)
    }

    /// Asks the API server from now on, or not any more.
    fn probe(&self, inputs: &Inputs, observed: &Observed, step: &Step) {
        let Some(key) = inputs.workload() else { return };
        match step {
            Step::Live(live @ Live { probe: true, .. }) => {
                self.probes.start(&inputs.plane, key);
                let attention = attention(observed, live);
                self.probes
                    .attend(&inputs.plane, attention, fetch::places(inputs));
            }
            Step::Live(Live { probe: false, .. }) | Step::Leave(_) => self.probes.stop(&inputs.plane),
            Step::Delete(_) => {
                self.probes.stop(&inputs.plane);
                self.context.workloads.forget(&key);
            }
        }
    }
}

/// How closely the members of etcd are to be looked at after a pass.
fn attention(observed: &Observed, live: &Live) -> Attention {
    let alone = observed.replicas == 1 && observed.machines.len() <= 1;
    let updates = &live.updates;
    match &live.membership {
        _ if !observed.exists && !live.persist_existence => Attention::None,
        _ if updates.update == Update::Look => Attention::Now,
        Membership::Wait(Wait::Members(None)) => Attention::Now,
        Membership::Steady if updates.update != Update::None => Attention::Close,
        Membership::Steady if observed.active().any(|machine| machine.in_place) => Attention::Close,
        Membership::Wait(Wait::Lost | Wait::OtherStorage) => Attention::None,
        Membership::Steady if alone => Attention::None,
        Membership::Steady => Attention::Calm,
        _ => Attention::Close,
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
    #[error("the workload cluster cannot be reached")]
    Dial(#[source] DialError),
    #[error("failed to {verb} member {name}")]
    Member {
        verb: &'static str,
        name: String,
        source: kube::Error,
    },
    #[error("the k0s configuration cannot be brought into the cluster")]
    ClusterConfig(#[source] kube::Error),
    #[error(
        "spec.k0sConfigSpec.k0s has changed and does not reach the cluster: there is no ClusterConfig kube-system/k0s; \
         its controllers need --enable-dynamic-config"
    )]
    NoClusterConfig,
    #[error("failed to {verb} Plan autopilot")]
    Plan { verb: &'static str, source: kube::Error },
    #[error("failed to record the update of K0sControllerConfig {name}")]
    Record { name: String, source: kube::Error },
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
            Self::Dial(_) => "WorkloadClusterUnreachable",
            Self::Member { .. } => "MemberFailed",
            Self::ClusterConfig(_) | Self::NoClusterConfig => "ClusterConfigFailed",
            Self::Plan { .. } => "PlanFailed",
            Self::Record { .. } => "RecordFailed",
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
