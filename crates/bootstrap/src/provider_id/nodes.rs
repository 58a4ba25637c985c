//! Follows the nodes of workload clusters, one watch per cluster and only while a Machine waits for its node.
//!
//! A node that registers must become its Machine's at once: everything that waits for the Machine waits for this.
//! Asking every ten seconds would be late; watching for ever would cost a connection per cluster.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::{Stream, StreamExt, stream};
use k0smotron_api::capi::Machine;
use k0smotron_runtime::workload::ClusterKey;
use k8s_openapi::api::core::v1::Node;
use kube::{
    Api, Client, ResourceExt,
    runtime::{
        WatchStreamExt,
        reflector::{self, ObjectRef, Store},
        watcher,
    },
};
use tokio::{sync::mpsc, task::AbortHandle};

/// How long one watch request lasts, in seconds: less than the client waits for a silent server, so that a quiet
/// cluster is no failed one.
const WATCH_SECONDS: u32 = 8;

/// The followed clusters. Cheap to clone; the watches end with the last clone.
#[derive(Clone)]
pub struct Nodes(Arc<Inner>);

struct Inner {
    followed: Mutex<HashMap<ClusterKey, Followed>>,
    wake: mpsc::UnboundedSender<ObjectRef<Machine>>,
}

struct Followed {
    nodes: Store<Node>,
    /// Names of the Machines that wait for their node.
    waiting: BTreeSet<String>,
    watch: AbortHandle,
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

impl Nodes {
    /// Nothing followed yet, and the Machines to look at again.
    pub fn new() -> (Self, impl Stream<Item = ObjectRef<Machine>> + Send + 'static) {
        let (wake, receiver) = mpsc::unbounded_channel();
        let woken = stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|machine| (machine, receiver))
        });
        (
            Self(Arc::new(Inner {
                followed: Mutex::default(),
                wake,
            })),
            woken,
        )
    }

    /// The cluster's nodes, if they are followed and were listed.
    pub fn of(&self, cluster: &ClusterKey) -> Option<Vec<Arc<Node>>> {
        let nodes = self.0.followed().get(cluster)?.nodes.clone();
        // Not ready before the first list is complete; the end of that list wakes whoever waits.
        let listed = futures::FutureExt::now_or_never(nodes.wait_until_ready())?.is_ok();
        listed.then(|| nodes.state())
    }

    /// Wakes the Machine whenever a node of its cluster appears or changes.
    pub fn follow(&self, cluster: &ClusterKey, machine: &str, client: Client) {
        let mut all = self.0.followed();
        let followed = all
            .entry(cluster.clone())
            .or_insert_with(|| self.watch(cluster, client));
        if followed.waiting.insert(machine.to_owned()) {
            // Its node may have come after the Machine was looked at and before it waited.
            let _ = self
                .0
                .wake
                .send(ObjectRef::new(machine).within(&cluster.namespace));
        }
    }

    /// The Machine does not wait any more. The last one ends the watch.
    pub fn release(&self, cluster: &ClusterKey, machine: &str) {
        let mut all = self.0.followed();
        if let Some(followed) = all.get_mut(cluster) {
            followed.waiting.remove(machine);
            if followed.waiting.is_empty() {
                all.remove(cluster);
            }
        }
    }

    fn watch(&self, cluster: &ClusterKey, client: Client) -> Followed {
        let (nodes, writer) = reflector::store();
        let weak = Arc::downgrade(&self.0);
        let key = cluster.clone();
        let watch = tokio::spawn(async move {
            let config = watcher::Config::default().timeout(WATCH_SECONDS);
            let events = watcher(Api::<Node>::all(client), config).default_backoff();
            let mut events = std::pin::pin!(reflector::reflector(writer, events));
            while let Some(event) = events.next().await {
                let Some(inner) = weak.upgrade() else { return };
                match event {
                    Ok(watcher::Event::InitDone) => inner.wake_all(&key),
                    Ok(watcher::Event::Apply(node)) if is_anonymous(&node) => inner.wake_all(&key),
                    Ok(_) => {}
                    Err(error) => tracing::debug!(cluster = %key.name, %error, "watch of nodes interrupted"),
                }
            }
        })
        .abort_handle();
        Followed {
            nodes,
            waiting: BTreeSet::new(),
            watch,
        }
    }
}

/// Heartbeats of nodes that have their provider ID are no news.
fn is_anonymous(node: &Node) -> bool {
    node.spec
        .as_ref()
        .is_none_or(|spec| spec.provider_id.as_deref().unwrap_or_default().is_empty())
        && node.metadata.deletion_timestamp.is_none()
}

impl Inner {
    fn followed(&self) -> MutexGuard<'_, HashMap<ClusterKey, Followed>> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_all(&self, cluster: &ClusterKey) {
        if let Some(followed) = self.followed().get(cluster) {
            for machine in &followed.waiting {
                // Nobody listening means that the controller is going down.
                let _ = self.wake.send(ObjectRef::new(machine).within(&cluster.namespace));
            }
        }
    }
}

/// A node as [`super::decide`] looks at it.
pub fn facts(node: &Node, machine_label: &str) -> super::decide::Node {
    let addresses = node
        .status
        .iter()
        .flat_map(|status| status.addresses.iter().flatten());
    super::decide::Node {
        name: node.name_any(),
        provider_id: node
            .spec
            .as_ref()
            .and_then(|spec| spec.provider_id.clone())
            .filter(|id| !id.is_empty()),
        machine_label: node.labels().get(machine_label).cloned(),
        addresses: addresses.map(|address| address.address.clone()).collect(),
    }
}
