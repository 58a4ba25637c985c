//! Kubernetes events about our objects. Repeats of one text become one event with a count.

use std::sync::Arc;

use k8s_controller::events::{Event, EventRecorder};
use kube::{
    Client, Resource,
    runtime::events::{EventType, Reporter},
};

/// Publishes events. Cheap to clone.
#[derive(Clone)]
pub struct Events(Arc<EventRecorder>);

impl Events {
    pub fn new(client: Client, reporter: Reporter) -> Self {
        Self(Arc::new(EventRecorder::new(client, reporter)))
    }

    /// Something went as it should. `reason` in CamelCase, at most 128 characters; `note` is cut at 1024 bytes.
    pub async fn normal<K>(&self, object: &K, reason: &str, note: &str)
    where
        K: Resource<DynamicType = ()> + Sync,
    {
        publish(&self.0, object, EventType::Normal, reason, note).await;
    }

    /// Something needs attention.
    pub async fn warning<K>(&self, object: &K, reason: &str, note: &str)
    where
        K: Resource<DynamicType = ()> + Sync,
    {
        publish(&self.0, object, EventType::Warning, reason, note).await;
    }

    /// As [`Events::normal`], without waiting for the API server.
    pub fn normal_later<K>(&self, object: &K, reason: &str, note: &str)
    where
        K: Resource<DynamicType = ()> + Clone + Send + Sync + 'static,
    {
        self.later(object, EventType::Normal, reason, note);
    }

    /// As [`Events::warning`], without waiting for the API server.
    pub fn warn_later<K>(&self, object: &K, reason: &str, note: &str)
    where
        K: Resource<DynamicType = ()> + Clone + Send + Sync + 'static,
    {
        self.later(object, EventType::Warning, reason, note);
    }

    fn later<K>(&self, object: &K, type_: EventType, reason: &str, note: &str)
    where
        K: Resource<DynamicType = ()> + Clone + Send + Sync + 'static,
    {
        let (recorder, object) = (self.0.clone(), object.clone());
        let (reason, note) = (reason.to_owned(), note.to_owned());
        tokio::spawn(async move { publish(&recorder, &object, type_, &reason, &note).await });
    }
}

/// Events inform people; that one cannot be published must not change what happens next.
async fn publish<K>(recorder: &EventRecorder, object: &K, type_: EventType, reason: &str, note: &str)
where
    K: Resource<DynamicType = ()> + Sync,
{
    let event = Event {
        type_,
        reason: reason.to_owned(),
        action: "Reconcile".to_owned(),
        note: Some(note.to_owned()),
        related: None,
    };
    if let Err(error) = recorder.publish(object, &event).await {
        tracing::debug!(%error, reason, "event not published");
    }
}
