//! Cluster of k0smotron.io: a control plane in pods.
//!
//! | event | what happens |
//! |---|---|
//! | a Cluster appears | finalizer, authorities, certificates, Services |
//! | these are there | the first member of etcd, and the pods of k0s |
//! | etcd answers | recorded: it exists and is never founded again; further members join one at a time, without a vote first |
//! | the API server answers, is away, or back | said |
//! | the spec changes what pods are made from | k0s' pods roll; members of etcd are replaced one at a time, none that could cost the quorum |
//! | more or fewer replicas | pods of k0s at once, members of etcd one at a time |
//! | a member loses its volume | taken out, added anew |
//! | half of a certificate's life is over, its names or its authority change | issued anew |
//! | volumes are to be larger | one after the other |
//! | the Service gets an address, or another one | configuration, certificate and kubeconfig follow |
//! | the pods are of an earlier release | left as they are until the spec changes what they are made from |
//! | the Cluster is deleted | its pods end; requests of other namespaces for its tokens go; the rest goes with it |

mod address;
mod apply;
mod build;
mod certificates;
mod config;
mod decide;
mod etcd_health;
mod fetch;
mod flags;
mod growth;
mod hindrances;
mod live_config;
mod members;
pub mod membership;
pub mod names;
mod observed;
mod probe;
mod report;
#[cfg(test)]
mod take_over_tests;

use std::{fmt::Debug, sync::Arc, time::Duration};

use k0smotron_api::{
    k0smotron::v1beta2::Cluster,
    names::{finalizers, labels},
};
use k0smotron_k0s::pki::PkiError;
use k0smotron_runtime::{
    Context, Controller, Outcome, ReconcileError,
    dial::{ClientError, EtcdError, Target},
    secrets,
};
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service},
    discovery::v1::EndpointSlice,
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Resource, ResourceExt,
    core::{NamespaceResourceScope, PartialObjectMeta},
    runtime::reflector::ObjectRef,
};
use serde::de::DeserializeOwned;

use apply::Applied;
use decide::{Live, Step};
use fetch::{Inputs, Nodes};
use live_config::{Brought, LiveConfigs};
use membership::Step as Change;
use observed::{Observed, observe};
use probe::{AskApi, AskEtcd, Hidden, Probes};

/// How soon to look again for what has no event.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Runs the controller until dropped.
pub async fn run(context: Context) {
    let (probes, answered) = Probes::new(context.pods.clone());
    let controller = Controller::<Cluster>::new("k0smotron-cluster", &context).on(answered);
    let controller = belongs::<StatefulSet>(controller);
    let controller = belongs::<Pod>(controller);
    let controller = belongs::<Service>(controller);
    // They bear the labels of their Services.
    let controller = belongs::<EndpointSlice>(controller);
    let controller = belongs::<ConfigMap>(controller);
    let controller = belongs::<PersistentVolumeClaim>(controller);
    let controller = belongs::<PodDisruptionBudget>(controller);
    let controller = belongs::<NetworkPolicy>(controller);
    let controller = controller.watches_metadata::<Secret>(labels::CLUSTER_NAME, |secret| {
        plane_of(secret, labels::CLUSTER_NAME)
    });
    let worker = Arc::new(Worker {
        context,
        probes,
        nodes: Nodes::default(),
        configs: LiveConfigs::default(),
    });
    controller
        .run(move |plane| {
            let worker = worker.clone();
            async move { worker.reconcile(plane).await }
        })
        .await;
}

/// Also reconciles the control plane that an object belongs to, as its labels say.
fn belongs<K>(controller: Controller<Cluster>) -> Controller<Cluster>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    let (app, value) = names::APP;
    controller.watches_metadata::<K>(&format!("{app}={value}"), |object| {
        plane_of(object, names::CLUSTER)
    })
}

fn plane_of<K: Resource<DynamicType = ()>>(
    object: &PartialObjectMeta<K>,
    label: &str,
) -> Vec<ObjectRef<Cluster>> {
    let namespace = object.namespace().unwrap_or_default();
    let name = object.labels().get(label);
    name.map(|name| ObjectRef::new(name).within(&namespace))
        .into_iter()
        .collect()
}

struct Worker {
    context: Context,
    probes: Probes,
    nodes: Nodes,
    configs: LiveConfigs,
}

impl Worker {
    async fn reconcile(&self, plane: Arc<Cluster>) -> Result<Outcome, Error> {
        let context = &self.context;
        let Some(plane) = fetch::current(&plane, context).await? else {
            self.probes.stop(&plane);
            return Ok(Outcome::Done);
        };
        if is_gone(&plane) {
            self.probes.stop(&plane);
            return Ok(Outcome::Done);
        }
        let inputs = fetch::fetch(plane, &self.probes, &self.nodes, context).await?;
        let observed = observe(&inputs);
        let step = decide::decide(&observed);
        match self.work(&inputs, &observed, &step).await {
            Ok(applied) => report::report(&inputs, &observed, &step, &applied, context).await,
            Err(error) => {
                report::failed(&inputs, &observed, &step, &error, context).await;
                Err(error)
            }
        }
    }

    async fn work(&self, inputs: &Inputs, observed: &Observed, step: &Step) -> Result<Applied, Error> {
        let live = match step {
            Step::Leave(_) => {
                self.probes.stop(&inputs.plane);
                return Ok(Applied::default());
            }
            Step::Delete => {
                self.probes.stop(&inputs.plane);
                self.configs.forget(&inputs.plane.uid().unwrap_or_default());
                return apply::delete(inputs, &self.context).await;
            }
            Step::Live(live) => live,
        };
        let applied = apply::live(inputs, observed, live, &self.context).await;
        if live.plan.as_ref().is_some_and(|plan| changes_members(&plan.step)) {
            // Also when it failed: it may have been done.
            if applied.as_ref().map_or(true, |applied| applied.members_changed) {
                self.probes.outdate(&inputs.plane);
            }
        }
        self.ask(inputs, live);
        let mut applied = applied?;
        self.configure(inputs, observed, &mut applied).await?;
        Ok(applied)
    }

    /// Brings the configuration into the running cluster.
    async fn configure(
        &self,
        inputs: &Inputs,
        observed: &Observed,
        applied: &mut Applied,
    ) -> Result<(), Error> {
        let (Some([ours, _]), Some(client)) = (&observed.configurations, self.probes.client(&inputs.plane))
        else {
            return Ok(());
        };
        if !flags::is_dynamic(&inputs.plane.spec.control_plane_flags) {
            return Ok(());
        }
        let uid = inputs.plane.uid().unwrap_or_default();
        match self.configs.bring_in(&uid, ours, client).await? {
            Brought::Same => {}
            Brought::Early => applied.look_again = true,
            Brought::Changed => {
                let note = "brought the changed k0s configuration into the cluster".to_owned();
                applied.events.push(("ConfigurationChanged", note));
            }
        }
        Ok(())
    }

    /// Asks the API server and etcd from now on.
    fn ask(&self, inputs: &Inputs, live: &Live) {
        let names = &inputs.names;
        let service = names.service(inputs.plane.spec.service.r#type);
        let port = u16::try_from(inputs.plane.spec.service.api_port).unwrap_or_default();
        let kubeconfig = inputs
            .kubeconfig()
            .and_then(|secret| secrets::text(secret, "value"));
        let api = kubeconfig
            .filter(|_| inputs.k0s().is_some())
            .map(|kubeconfig| AskApi {
                target: Target::service(names.namespace.clone(), service, port),
                kubeconfig: Hidden(kubeconfig),
            });
        let targets = members::etcd_targets(inputs);
        let etcd = live
            .plan
            .as_ref()
            .zip(members::etcd_tls(inputs))
            .map(|(plan, tls)| AskEtcd {
                targets,
                tls,
                version: inputs
                    .secrets
                    .get(&certificates::Leaf::Client.secret_name(&names.cluster))
                    .and_then(ResourceExt::resource_version),
                close: plan.step != Change::Steady,
            });
        self.probes.attend(&inputs.plane, api, etcd);
    }
}

/// It is being deleted, and nothing of ours holds it any more.
fn is_gone(plane: &Cluster) -> bool {
    let held = plane
        .finalizers()
        .iter()
        .any(|it| it == finalizers::K0SMOTRON_CLUSTER);
    plane.metadata.deletion_timestamp.is_some() && !held
}

fn changes_members(step: &Change) -> bool {
    matches!(
        step,
        Change::Add(_) | Change::Promote { .. } | Change::Remove { .. }
    )
}

/// What a pass may fail with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("failed to read {what}")]
    Read { what: String, source: kube::Error },
    #[error("an object cannot be read as JSON")]
    Encoding(#[source] serde_json::Error),
    #[error("what was decided on went away meanwhile")]
    Interrupted,
    #[error("failed to write metadata")]
    Mark { source: kube::Error },
    #[error("a certificate or key cannot be made")]
    Pki(#[source] PkiError),
    #[error("failed to write Secret {name}")]
    Secret { name: String, source: kube::Error },
    #[error("failed to apply {kind} {name}")]
    Apply {
        kind: String,
        name: String,
        source: kube::Error,
    },
    #[error("failed to delete {kind} {name}")]
    Delete {
        kind: &'static str,
        name: String,
        source: kube::Error,
    },
    #[error("PersistentVolumeClaim {claim} cannot be made larger")]
    Grow { claim: String, source: kube::Error },
    #[error("certificates for etcd cannot be used")]
    EtcdClient(#[source] ClientError),
    #[error("failed to {verb} member {name} of etcd")]
    Member {
        verb: &'static str,
        name: String,
        source: EtcdError,
    },
    #[error("the k0s configuration cannot be brought into the cluster")]
    ClusterConfig(#[source] kube::Error),
    #[error("failed to report")]
    Report(#[source] k0smotron_runtime::status::Error),
}

impl ReconcileError for Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::Read { .. } => "ReadFailed",
            Self::Encoding(_) => "EncodingFailed",
            Self::Interrupted => "SourcesChanged",
            Self::Mark { .. } => "MetadataFailed",
            Self::Pki(_) => "CertificateFailed",
            Self::Secret { .. } => "SecretFailed",
            Self::Apply { .. } => "ApplyFailed",
            Self::Delete { .. } => "DeletionFailed",
            Self::Grow { .. } => "VolumeCannotGrow",
            Self::EtcdClient(_) => "EtcdUnreachable",
            Self::Member { .. } => "MemberFailed",
            Self::ClusterConfig(_) => "ClusterConfigFailed",
            Self::Report(_) => "ReportFailed",
        }
    }

    fn is_noteworthy(&self) -> bool {
        match self {
            Self::Interrupted => false,
            Self::Mark {
                source: kube::Error::Api(status),
            }
            | Self::Secret {
                source: kube::Error::Api(status),
                ..
            }
            | Self::Apply {
                source: kube::Error::Api(status),
                ..
            } => !status.is_conflict() && !status.is_already_exists(),
            _ => true,
        }
    }
}
