//! Work that outlasts a reconcile: runs beside the workers, at most so many at once, and reports back by an event.
//!
//! A reconcile that needs minutes (a host being set up) would hold a worker, and a few hung hosts would hold them all.
//! So it starts a task and ends; when the task is over, its object is reconciled again and finds the result here.
//! Tasks are lost when the process ends: whatever they do must be safe to begin again.

use std::{
    collections::HashMap,
    fmt::Debug,
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use futures::{FutureExt, Stream, stream};
use kube::{Resource, runtime::reflector::ObjectRef};
use tokio::{
    sync::{Semaphore, mpsc},
    task::AbortHandle,
};

/// What is known of an object's task.
#[derive(Clone, Debug, PartialEq)]
pub enum TaskState<T> {
    /// None was started, or its result was taken.
    Absent,
    /// Running, or waiting for its turn.
    Running,
    /// Over, with what it returned.
    Finished(T),
    /// It panicked, which was logged. Starting it again is safe as far as this crate is concerned.
    Panicked,
}

/// The tasks of one kind of object, at most one per object. Cheap to clone; tasks are ended with the last clone.
pub struct Tasks<K: Resource<DynamicType = ()>, T> {
    inner: Arc<Inner<K, T>>,
}

struct Inner<K: Resource<DynamicType = ()>, T> {
    slots: Mutex<HashMap<String, Slot<T>>>,
    turns: Arc<Semaphore>,
    started: AtomicU64,
    finished: mpsc::UnboundedSender<ObjectRef<K>>,
}

struct Slot<T> {
    /// Tells a task that was forgotten while it ended from the one that took its place.
    number: u64,
    abort: AbortHandle,
    state: TaskState<T>,
}

impl<K: Resource<DynamicType = ()>, T> Clone for Tasks<K, T> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
        }
    }
}

impl<K: Resource<DynamicType = ()>, T> Drop for Inner<K, T> {
    fn drop(&mut self) {
        for slot in lock(&self.slots).values() {
            slot.abort.abort();
        }
    }
}

fn lock<V>(mutex: &Mutex<V>) -> MutexGuard<'_, V> {
    // Nothing in here panics while holding it, and a half-done insert cannot exist.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Objects are told apart by UID: one that was deleted and made again under the same name has no task yet.
fn key<K: Resource<DynamicType = ()>>(object: &K) -> String {
    let meta = object.meta();
    meta.uid.clone().unwrap_or_else(|| {
        format!(
            "{}/{}",
            meta.namespace.as_deref().unwrap_or_default(),
            meta.name.as_deref().unwrap_or_default()
        )
    })
}

impl<K, T> Tasks<K, T>
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
    T: Clone + Send + 'static,
{
    /// A set of tasks of which `at_once` run at the same time, and the objects whose task is over (to be given to
    /// [`crate::Controller::on`]).
    pub fn new(at_once: usize) -> (Self, impl Stream<Item = ObjectRef<K>> + Send + 'static) {
        let (finished, receiver) = mpsc::unbounded_channel();
        let tasks = Self {
            inner: Arc::new(Inner {
                slots: Mutex::default(),
                turns: Arc::new(Semaphore::new(at_once)),
                started: AtomicU64::new(0),
                finished,
            }),
        };
        let over = stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|object| (object, receiver))
        });
        (tasks, over)
    }

    /// What is known of the object's task. A result stays until [`Tasks::forget`] or the next start.
    pub fn state(&self, object: &K) -> TaskState<T> {
        lock(&self.inner.slots)
            .get(&key(object))
            .map_or(TaskState::Absent, |slot| slot.state.clone())
    }

    /// Starts a task unless the object has one running. Returns whether it was started.
    pub fn start(&self, object: &K, work: impl Future<Output = T> + Send + 'static) -> bool {
        let key = key(object);
        let mut slots = lock(&self.inner.slots);
        if slots
            .get(&key)
            .is_some_and(|slot| matches!(slot.state, TaskState::Running))
        {
            return false;
        }
        let turns = self.inner.turns.clone();
        let inner = Arc::downgrade(&self.inner);
        let object = ObjectRef::from(object);
        let slot_key = key.clone();
        let number = self.inner.started.fetch_add(1, Ordering::Relaxed);
        let abort = tokio::spawn(async move {
            // The semaphore is never closed; without a turn the work simply runs.
            let _turn = turns.acquire_owned().await;
            let state = match std::panic::AssertUnwindSafe(work).catch_unwind().await {
                Ok(result) => TaskState::Finished(result),
                Err(_) => {
                    tracing::error!(%object, "a task panicked");
                    TaskState::Panicked
                }
            };
            let Some(inner) = inner.upgrade() else { return };
            if let Some(slot) = lock(&inner.slots)
                .get_mut(&slot_key)
                .filter(|slot| slot.number == number)
            {
                slot.state = state;
            }
            // Nobody listening means that the controller is going down.
            let _ = inner.finished.send(object);
        })
        .abort_handle();
        slots.insert(
            key,
            Slot {
                number,
                abort,
                state: TaskState::Running,
            },
        );
        true
    }

    /// Ends the object's task if it runs, and forgets its result.
    pub fn forget(&self, object: &K) {
        if let Some(slot) = lock(&self.inner.slots).remove(&key(object)) {
            slot.abort.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::StreamExt;
    use k8s_openapi::api::core::v1::Secret;

    use super::*;

    fn object(uid: &str) -> Secret {
        let mut object = Secret::default();
        object.metadata.name = Some("a".to_owned());
        object.metadata.uid = Some(uid.to_owned());
        object
    }

    #[tokio::test]
    async fn a_task_reports_back_and_keeps_its_result() {
        let (tasks, over) = Tasks::<Secret, u8>::new(1);
        let mut over = std::pin::pin!(over);
        assert!(tasks.start(&object("1"), async { 7 }));
        assert_eq!(over.next().await.unwrap().name, "a");
        assert_eq!(tasks.state(&object("1")), TaskState::Finished(7));
        assert_eq!(tasks.state(&object("2")), TaskState::Absent);
        tasks.forget(&object("1"));
        assert_eq!(tasks.state(&object("1")), TaskState::Absent);
    }

    #[tokio::test]
    async fn one_at_a_time_per_object_and_a_panic_is_a_result() {
        let (tasks, over) = Tasks::<Secret, u8>::new(2);
        let mut over = std::pin::pin!(over);
        assert!(tasks.start(&object("1"), futures::future::pending()));
        assert!(!tasks.start(&object("1"), async { 1 }));
        tasks.forget(&object("1"));
        assert!(tasks.start(&object("1"), async { panic!("for the test") }));
        over.next().await;
        assert_eq!(tasks.state(&object("1")), TaskState::Panicked);
    }

    #[tokio::test]
    async fn a_hung_task_holds_only_its_own_turn() {
        let (tasks, over) = Tasks::<Secret, u8>::new(2);
        let mut over = std::pin::pin!(over);
        tasks.start(&object("hung"), futures::future::pending());
        tasks.start(&object("quick"), async { 1 });
        tokio::time::timeout(Duration::from_secs(5), over.next())
            .await
            .unwrap();
        assert_eq!(tasks.state(&object("quick")), TaskState::Finished(1));
        assert_eq!(tasks.state(&object("hung")), TaskState::Running);
    }
}
