//! One watch of a kind for the whole process, read and followed by several controllers.
//!
//! For kinds that others own and several of our controllers react to (Cluster, Machine): each watch of its own would
//! cost a connection and a copy of every object. Decisions that must not rest on a stale copy read the API instead.

use std::{fmt::Debug, sync::Arc};

use futures::{Stream, StreamExt, stream};
use kube::{
    Resource, ResourceExt,
    core::NamespaceResourceScope,
    runtime::{
        WatchStreamExt,
        reflector::{self, ObjectRef, Store},
        watcher,
    },
};
use serde::de::DeserializeOwned;
use tokio::{
    sync::broadcast::{self, error::RecvError},
    task::JoinHandle,
};

use crate::{
    context::Context,
    controller::{decodable, event_object},
};

/// Changes that a slow follower may lag behind before it is made to look at everything again.
const CHANGES_KEPT: usize = 1024;

/// A followed kind. Cheap to clone; the watch ends with the last clone.
pub struct Shared<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
{
    store: Store<K>,
    changes: broadcast::Sender<Arc<K>>,
    _watch: Arc<AbortOnDrop>,
}

/// Ends a task with its last user.
pub(crate) struct AbortOnDrop(JoinHandle<()>);

impl AbortOnDrop {
    pub(crate) fn new(task: JoinHandle<()>) -> Self {
        Self(task)
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<K> Clone for Shared<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
{
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            changes: self.changes.clone(),
            _watch: self._watch.clone(),
        }
    }
}

impl<K> Shared<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    /// Starts the watch. While the kind's CRD is not installed it is asked for again with a backoff.
    pub fn watch(context: &Context, config: watcher::Config) -> Self
    where
        K: Resource<Scope = NamespaceResourceScope>,
    {
        let (store, writer) = reflector::store();
        let (changes, _) = broadcast::channel(CHANGES_KEPT);
        let sender = changes.clone();
        let events = decodable::<K>(context.scope.api(&context.client), config).default_backoff();
        let watch = tokio::spawn(async move {
            // The store is written before a change is told, so whoever reacts to one reads at least that state.
            let mut events = std::pin::pin!(reflector::reflector(writer, events));
            while let Some(event) = events.next().await {
                match event {
                    Ok(event) => {
                        if let Some(object) = event_object(event) {
                            // No follower is no error.
                            let _ = sender.send(Arc::new(object));
                        }
                    }
                    Err(error) => tracing::debug!(kind = %K::kind(&()), %error, "watch interrupted"),
                }
            }
        });
        Self {
            store,
            changes,
            _watch: Arc::new(AbortOnDrop(watch)),
        }
    }

    /// Waits until the first list is in the store.
    pub async fn ready(&self) {
        // The writer lives as long as the watch, which `self` keeps.
        let _ = self.store.wait_until_ready().await;
    }

    /// The object as last seen.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.store.get(&ObjectRef::new(name).within(namespace))
    }

    /// The objects of a namespace that `wanted` accepts, ordered by name.
    pub fn list(&self, namespace: &str, wanted: impl Fn(&K) -> bool) -> Vec<Arc<K>> {
        let mut found: Vec<_> = self
            .store
            .state()
            .into_iter()
            .filter(|object| object.namespace().as_deref() == Some(namespace) && wanted(object))
            .collect();
        found.sort_by_key(|object| object.name_any());
        found
    }

    /// Every object added, changed or deleted from now on; everything once more for a follower that lagged behind.
    pub fn changes(&self) -> impl Stream<Item = Arc<K>> + Send + 'static {
        stream::unfold(
            (self.changes.subscribe(), self.clone()),
            |(mut receiver, shared)| async move {
                let batch = match receiver.recv().await {
                    Ok(object) => vec![object],
                    Err(RecvError::Lagged(_)) => shared.store.state(),
                    Err(RecvError::Closed) => return None,
                };
                Some((stream::iter(batch), (receiver, shared)))
            },
        )
        .flatten()
    }
}
