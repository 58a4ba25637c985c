//! Tells Cluster API which node is which Machine: sets `spec.providerID` of the node and the label with the Machine's
//! name. Until that is done, nothing that waits for the Machine goes on.
//!
//! | event | what happens |
//! |---|---|
//! | a Machine gets its provider ID, a control plane answers | the nodes of its cluster are followed |
//! | a node registers | it is matched and written to |
//! | the Machine has its node | its cluster is not followed on its account any more |

mod decide;
mod nodes;

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use k0smotron_api::{
    capi::{Cluster, Machine},
    names::{annotations, labels},
};
use k0smotron_runtime::{
    Context, Controller, Outcome, ReconcileError,
    shared::Shared,
    workload::{ClusterKey, DialError},
};
use k8s_openapi::api::core::v1::Node;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
    runtime::reflector::ObjectRef,
};
use serde_json::json;

use decide::{Observed, Step};
use nodes::Nodes;

/// How soon to look again at a workload cluster that cannot be dialled.
const LOOK_AGAIN: Duration = Duration::from_secs(3);

/// Runs the controller until dropped.
pub fn controller(context: &Context, clusters: &Shared<Cluster>) -> BoxFuture<'static, ()> {
    let (nodes, woken) = Nodes::new();
    let controller = Controller::<Machine>::new("provider-id", context);
    let store = controller.store();
    let controller = controller.on(woken).follows(clusters, move |cluster| {
        let (namespace, name) = (cluster.namespace(), cluster.name_any());
        store
            .state()
            .iter()
            .filter(|machine| machine.namespace() == namespace && machine.spec.cluster_name == name)
            .filter(|machine| machine.node_name().is_none())
            .map(|machine| ObjectRef::from_obj(machine.as_ref()))
            .collect()
    });
    let (context, clusters) = (context.clone(), clusters.clone());
    Box::pin(controller.run(move |machine| {
        let (context, clusters, nodes) = (context.clone(), clusters.clone(), nodes.clone());
        async move { reconcile(machine, &context, &clusters, &nodes).await }
    }))
}

async fn reconcile(
    machine: Arc<Machine>,
    context: &Context,
    clusters: &Shared<Cluster>,
    nodes: &Nodes,
) -> Result<Outcome, Error> {
    let key = ClusterKey {
        namespace: machine.namespace().unwrap_or_default(),
        name: machine.spec.cluster_name.clone(),
    };
    let name = machine.name_any();
    let cluster = clusters.get(&key.namespace, &key.name);
    match decide::decide(&observe(&machine, cluster.as_deref(), nodes.of(&key))) {
        Step::Finished => {
            nodes.release(&key, &name);
            Ok(Outcome::Done)
        }
        Step::Wait => {
            nodes.release(&key, &name);
            Ok(Outcome::Waiting)
        }
        Step::Follow => match context.workloads.client(&key).await {
            Ok(client) => {
                nodes.follow(&key, &name, client);
                Ok(Outcome::Waiting)
            }
            Err(DialError::NoKubeconfig { .. }) => Ok(Outcome::After(LOOK_AGAIN)),
            Err(error) => Err(Error::Dial(error)),
        },
        Step::Identify { node, provider_id } => {
            let client = context.workloads.client(&key).await.map_err(Error::Dial)?;
            let patch = json!({
                "metadata": { "labels": { labels::MACHINE_NAME: name } },
                "spec": { "providerID": provider_id },
            });
            let api: Api<Node> = Api::all(client);
            // A provider ID can be set once and not changed, so whoever is second is told by the API server.
            api.patch(&node, &PatchParams::default(), &Patch::Merge(patch))
                .await
                .map_err(|source| Error::Identify { node, source })?;
            nodes.release(&key, &name);
            Ok(Outcome::Done)
        }
        Step::Mismatch { node, present } => {
            nodes.release(&key, &name);
            let note = format!(
                "node {node} has provider ID {present} and is left alone: something else set it, such as a cloud \
                 controller manager; make the two agree or delete the node"
            );
            context
                .events
                .warning(machine.as_ref(), "ProviderIDMismatch", &note)
                .await;
            Ok(Outcome::Done)
        }
    }
}

/// The facts about a Machine.
fn observe(machine: &Machine, cluster: Option<&Cluster>, nodes: Option<Vec<Arc<Node>>>) -> Observed {
    let config = machine.spec.bootstrap.config_ref.as_ref();
    let infrastructure = machine.spec.infrastructure_ref.as_ref();
    let is = |kind: &str| config.is_some_and(|config| config.is("bootstrap.cluster.x-k8s.io", kind));
    let worker_enabled = machine
        .labels()
        .get(labels::CONTROL_PLANE_WORKER_ENABLED)
        .map(String::as_str);
    let becomes_node = if is("K0sControllerConfig") {
        worker_enabled == Some("true")
    } else {
        is("K0sWorkerConfig")
            || infrastructure
                .is_some_and(|machine| machine.is("infrastructure.cluster.x-k8s.io", "RemoteMachine"))
    };
    Observed {
        machine: machine.name_any(),
        becomes_node,
        deleting: machine.is_deleting(),
        paused: cluster.is_some_and(Cluster::is_paused)
            || machine.annotations().contains_key(annotations::PAUSED),
        has_node: machine.node_name().is_some(),
        provider_id: machine.spec.provider_id.clone(),
        addresses: machine
            .addresses()
            .iter()
            .map(|address| address.address.clone())
            .collect(),
        control_plane_initialized: cluster.is_some_and(Cluster::control_plane_initialized),
        nodes: nodes.map(|nodes| {
            nodes
                .iter()
                .map(|node| nodes::facts(node, labels::MACHINE_NAME))
                .collect()
        }),
    }
}

/// What a pass may fail with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no client for the workload cluster")]
    Dial(#[source] DialError),
    #[error("failed to set the provider ID of node {node}")]
    Identify { node: String, source: kube::Error },
}

impl ReconcileError for Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::Dial(error) => error.reason(),
            Self::Identify { .. } => "ProviderIDFailed",
        }
    }
}
