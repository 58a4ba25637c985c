//! One watch of the CustomResourceDefinitions for the whole process: which of them changed. Only metadata is watched,
//! and nothing is kept: a definition with its schemas is large, and whoever wants one reads what it needs of it.

use std::{fmt::Debug, sync::Arc};

use futures::{Stream, StreamExt, future, stream};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceConversion, CustomResourceDefinition, CustomResourceDefinitionStatus,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    core::{ApiResource, Object, PartialObjectMeta},
    runtime::{WatchStreamExt, watcher},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::sync::broadcast::{self, error::RecvError};

use crate::shared::AbortOnDrop;

/// Changes that a slow follower may lag behind before it is told that anything may have changed.
const CHANGES_KEPT: usize = 256;

/// A definition without its schemas.
pub(crate) type Definition = Object<Spec, CustomResourceDefinitionStatus>;

/// What is read of a definition's spec.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Spec {
    pub(crate) conversion: Option<CustomResourceConversion>,
    #[serde(default)]
    pub(crate) versions: Vec<Version>,
    pub(crate) group: String,
    pub(crate) names: Names,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Version {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) storage: bool,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Names {
    pub(crate) plural: String,
    pub(crate) kind: String,
}

/// The API of definitions, read without their schemas.
pub(crate) fn api(client: &Client) -> Api<Definition> {
    let resource = ApiResource::erase::<CustomResourceDefinition>(&());
    Api::all_with(client.clone(), &resource)
}

/// Tells which definitions change. Cheap to clone; the watch ends with the last clone.
#[derive(Clone)]
pub struct Definitions {
    changes: broadcast::Sender<String>,
    _watch: Arc<AbortOnDrop>,
}

impl Definitions {
    /// Starts the watch.
    pub fn watch(client: &Client) -> Self {
        let (changes, _) = broadcast::channel(CHANGES_KEPT);
        let sender = changes.clone();
        // Metadata holds what `kubectl apply` remembers, the whole definition: a page of them must stay small.
        let config = watcher::Config::default().page_size(20);
        let api: Api<PartialObjectMeta<CustomResourceDefinition>> = Api::all(client.clone());
        let watch = tokio::spawn(async move {
            let mut names = std::pin::pin!(changed(api, config));
            while let Some(name) = names.next().await {
                // No follower is no error.
                let _ = sender.send(name);
            }
        });
        Self {
            changes,
            _watch: Arc::new(AbortOnDrop::new(watch)),
        }
    }

    /// The name of every definition that changes from now on; nothing in the place of a name for a follower that lagged
    /// behind and has to look at all.
    pub(crate) fn changes(&self) -> impl Stream<Item = Option<String>> + Send + 'static {
        stream::unfold(
            (self.changes.subscribe(), self.clone()),
            |(mut receiver, definitions)| async move {
                let change = match receiver.recv().await {
                    Ok(name) => Some(name),
                    Err(RecvError::Lagged(_)) => None,
                    Err(RecvError::Closed) => return None,
                };
                Some((change, (receiver, definitions)))
            },
        )
    }
}

/// Names of the objects that change, the present ones first.
pub(crate) fn changed<K>(
    api: Api<PartialObjectMeta<K>>,
    config: watcher::Config,
) -> impl Stream<Item = String> + Send
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    watcher(api, config)
        .default_backoff()
        .touched_objects()
        .filter_map(|object| {
            future::ready(match object {
                Ok(object) => Some(object.name_any()),
                Err(error) => {
                    tracing::debug!(kind = %K::kind(&()), %error, "watch interrupted");
                    None
                }
            })
        })
}
