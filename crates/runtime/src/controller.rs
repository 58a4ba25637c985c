//! What kube's `Controller` leaves to its user, decided once for all controllers of the suite: streams that survive
//! an object they cannot decode, bounded concurrency, a deadline, per-object exponential backoff with jitter, and
//! containment of panics.

use std::{
    collections::HashMap,
    fmt::Debug,
    future::Future,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures::{FutureExt, Stream, StreamExt, TryStreamExt, future, stream::BoxStream};
use kube::{
    Api, Resource, ResourceExt,
    core::{DeserializeGuard, NamespaceResourceScope, PartialObjectMeta},
    runtime::{
        Controller as KubeController, WatchStreamExt,
        controller::{Action, Config},
        reflector::{self, ObjectRef, Store},
        watcher,
    },
};
use rand::RngExt;
use serde::de::DeserializeOwned;
use tracing::Instrument;

use crate::{context::Context, metrics::Metrics, shared::Shared};

/// Longest that one reconcile may take. It holds a worker meanwhile, so anything slower is a task ([`crate::tasks`]).
const DEADLINE: Duration = Duration::from_secs(30);
/// First and longest wait after an error.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(120));
/// An object that nothing happens to is looked at again after about this long: what a lost event left undone is done
/// then, and certificates are renewed.
const RESYNC: Duration = Duration::from_secs(40 * 60);

/// How a reconcile ended, errors apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything is as it should be.
    Done,
    /// Something is awaited that is watched; its event brings the object back.
    Waiting,
    /// As `Waiting`, for what has no event: look again after this long.
    After(Duration),
}

/// What a reconcile may fail with. One enum per step implements it; the variant is the event's reason and the
/// metric's label.
pub trait ReconcileError: std::error::Error + Send + Sync + 'static {
    /// In CamelCase, stable.
    fn reason(&self) -> &'static str;
    /// Whether it is told as an Event. Conflicts, which the retry resolves, are not.
    fn is_noteworthy(&self) -> bool {
        true
    }
}

/// A controller of `K` being put together.
pub struct Controller<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
{
    name: &'static str,
    context: Context,
    store: Store<K>,
    objects: BoxStream<'static, Result<K, watcher::Error>>,
    triggers: Vec<BoxStream<'static, ObjectRef<K>>>,
    caches: Vec<BoxStream<'static, ()>>,
    failures: Failures,
}

impl<K> Controller<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    /// A controller of the objects of `K` in the context's scope. `name` is a metric label and a log field.
    pub fn new(name: &'static str, context: &Context) -> Self {
        Self::selected(name, context, context.scope.primary())
    }

    /// As [`Controller::new`], with a watch configuration of its own.
    pub fn selected(name: &'static str, context: &Context, config: watcher::Config) -> Self {
        let (store, writer) = reflector::store();
        let failures = Failures::default();
        let forget = failures.clone();
        let objects = decodable::<K>(context.scope.api(&context.client), config)
            .default_backoff()
            .inspect_ok(move |event| {
                if let watcher::Event::Delete(object) = event {
                    forget.clear(&ObjectRef::from(object));
                }
            })
            .reflect(writer)
            .touched_objects()
            .boxed();
        Self {
            name,
            context: context.clone(),
            store,
            objects,
            triggers: Vec::new(),
            caches: Vec::new(),
            failures,
        }
    }

    /// The objects as last seen.
    pub fn store(&self) -> Store<K> {
        self.store.clone()
    }

    /// Also reconciles whatever the stream names.
    pub fn on(mut self, trigger: impl Stream<Item = ObjectRef<K>> + Send + 'static) -> Self {
        self.triggers.push(trigger.boxed());
        self
    }

    /// Also reconciles the `K` that controls a changed `C`. Only metadata is watched. `selector` is a label selector;
    /// empty for all.
    pub fn owns<C>(self, selector: &str) -> Self
    where
        C: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned
            + Send
            + Sync
            + 'static,
    {
        self.watches_metadata::<C>(selector, |object| {
            controller_of::<K, _>(object).into_iter().collect()
        })
    }

    /// Also reconciles what `map` names for a changed `C`. Only metadata is watched.
    pub fn watches_metadata<C>(
        self,
        selector: &str,
        map: impl Fn(&PartialObjectMeta<C>) -> Vec<ObjectRef<K>> + Send + 'static,
    ) -> Self
    where
        C: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned
            + Send
            + Sync
            + 'static,
    {
        let mut config = watcher::Config::default();
        if !selector.is_empty() {
            config = config.labels(selector);
        }
        let api: Api<PartialObjectMeta<C>> = self.context.scope.api(&self.context.client);
        let trigger = watcher(api, config)
            .default_backoff()
            .touched_objects()
            .filter_map(|object| future::ready(object.ok()))
            .flat_map(move |object| futures::stream::iter(map(&object)));
        self.on(trigger)
    }

    /// Also reconciles what `map` names for a changed object of a followed kind. The first reconcile waits until its
    /// store is filled.
    pub fn follows<T>(
        mut self,
        shared: &Shared<T>,
        map: impl Fn(&T) -> Vec<ObjectRef<K>> + Send + 'static,
    ) -> Self
    where
        T: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        let ready = shared.clone();
        self.caches
            .push(async move { ready.ready().await }.into_stream().boxed());
        let changes = shared.changes();
        self.on(changes.flat_map(move |object| futures::stream::iter(map(&object))))
    }

    /// Runs until dropped. Reconciles of one object never overlap.
    pub async fn run<Reconcile, Pass, Error>(self, reconcile: Reconcile)
    where
        Reconcile: Fn(Arc<K>) -> Pass + Send + Sync + 'static,
        Pass: Future<Output = Result<Outcome, Error>> + Send + 'static,
        Error: ReconcileError,
    {
        let Self {
            name,
            context,
            store,
            objects,
            triggers,
            caches,
            failures,
        } = self;
        for mut cache in caches {
            cache.next().await;
        }
        let mut controller = KubeController::for_stream(objects, store)
            .with_config(Config::default().concurrency(context.concurrency));
        for trigger in triggers {
            controller = controller.reconcile_on(trigger);
        }
        let worker = Arc::new(Worker {
            name,
            context,
            failures,
            reconcile,
        });
        controller
            .run(
                |object, worker| async move { worker.reconcile(object).await },
                // Errors are answered inside `Worker::reconcile`, which has the count of failures at hand.
                |_, error: &std::convert::Infallible, _| match *error {},
                worker,
            )
            .for_each(|result| async move {
                if let Err(error) = result {
                    // Objects deleted while queued, and interrupted watches: both mend themselves.
                    tracing::debug!(controller = name, %error, "skipped");
                }
            })
            .await;
    }
}

struct Worker<Reconcile> {
    name: &'static str,
    context: Context,
    failures: Failures,
    reconcile: Reconcile,
}

impl<Reconcile> Worker<Reconcile> {
    async fn reconcile<K, Pass, Error>(
        self: Arc<Self>,
        object: Arc<K>,
    ) -> Result<Action, std::convert::Infallible>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
        Reconcile: Fn(Arc<K>) -> Pass + Send + Sync,
        Pass: Future<Output = Result<Outcome, Error>> + Send,
        Error: ReconcileError,
    {
        let reference = ObjectRef::from(object.as_ref());
        let span = tracing::info_span!("reconcile", controller = self.name, object = %reference);
        let begun = Instant::now();
        let pass = AssertUnwindSafe(async { (self.reconcile)(object.clone()).await }).catch_unwind();
        let ended = tokio::time::timeout(DEADLINE, pass)
            .instrument(span.clone())
            .await;
        let _in_span = span.enter();
        let metrics: &Metrics = &self.context.metrics;
        let (label, failure) = match ended {
            Ok(Ok(Ok(outcome))) => {
                self.failures.clear(&reference);
                metrics.reconciled(self.name, outcome_label(outcome), begun.elapsed());
                return Ok(match outcome {
                    Outcome::Done | Outcome::Waiting => Action::requeue(jittered(RESYNC)),
                    Outcome::After(wait) => Action::requeue(wait),
                });
            }
            Ok(Ok(Err(error))) => {
                let text = chain(&error);
                if error.is_noteworthy() {
                    tracing::warn!(error = %text, "reconcile failed");
                    self.context
                        .events
                        .warn_later(object.as_ref(), error.reason(), &text);
                } else {
                    tracing::info!(error = %text, "reconcile is retried");
                }
                (error.reason(), text)
            }
            Ok(Err(_panic)) => {
                tracing::error!("reconcile panicked");
                let text = "the controller panicked; this is a defect, see its log".to_owned();
                self.context.events.warn_later(object.as_ref(), "Panicked", &text);
                ("Panicked", text)
            }
            Err(_elapsed) => {
                tracing::warn!("reconcile took longer than {DEADLINE:?}");
                ("DeadlineExceeded", String::new())
            }
        };
        drop(failure);
        metrics.reconciled(self.name, label, begun.elapsed());
        Ok(Action::requeue(self.failures.next_wait(&reference)))
    }
}

fn outcome_label(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "Done",
        Outcome::Waiting | Outcome::After(_) => "Waiting",
    }
}

/// The error with everything that caused it, on one line. Of an answer of the API server it is the message that
/// counts: its whole status says the same again.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let answer = match error.downcast_ref::<kube::Error>() {
            Some(kube::Error::Api(status)) => Some(status.message.clone()),
            _ => None,
        };
        next = if answer.is_some() { None } else { error.source() };
        let part = answer.unwrap_or_else(|| error.to_string());
        // Transparent wrappers repeat what they wrap.
        if !text.ends_with(&part) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&part);
        }
    }
    text
}

/// Failures in a row, by object.
#[derive(Clone, Default)]
struct Failures(Arc<Mutex<HashMap<String, u32>>>);

impl Failures {
    fn clear<K: Resource<DynamicType = ()>>(&self, object: &ObjectRef<K>) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&object.to_string());
    }

    fn next_wait<K: Resource<DynamicType = ()>>(&self, object: &ObjectRef<K>) -> Duration {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(object.to_string()).or_default();
        let wait = BACKOFF
            .0
            .saturating_mul(2_u32.saturating_pow(*count))
            .min(BACKOFF.1);
        *count = count.saturating_add(1);
        jittered(wait)
    }
}

/// Up to a quarter longer, so that what failed together is not retried together.
fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(rand::rng().random_range(1.0..1.25))
}

/// The `K` that controls `object`.
pub fn controller_of<K, C>(object: &C) -> Option<ObjectRef<K>>
where
    K: Resource<DynamicType = ()>,
    C: ResourceExt,
{
    let owner = object.owner_references().iter().find(|owner| {
        owner.controller == Some(true)
            && owner.kind == K::kind(&())
            && owner.api_version.split('/').next() == Some(K::group(&()).as_ref())
    })?;
    Some(ObjectRef::new(&owner.name).within(&object.namespace()?))
}

/// The events of a watch, without the objects that cannot be decoded: one of these must not stall all others.
/// Fields that no controller reads are dropped.
pub(crate) fn decodable<K>(
    api: Api<DeserializeGuard<K>>,
    config: watcher::Config,
) -> impl Stream<Item = Result<watcher::Event<K>, watcher::Error>> + Send
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    use watcher::Event;
    watcher(api, config).filter_map(|event| {
        future::ready(match event {
            Ok(Event::Apply(guard)) => decoded(guard).map(Event::Apply).map(Ok),
            Ok(Event::Delete(guard)) => decoded(guard).map(Event::Delete).map(Ok),
            Ok(Event::InitApply(guard)) => decoded(guard).map(Event::InitApply).map(Ok),
            Ok(Event::Init) => Some(Ok(Event::Init)),
            Ok(Event::InitDone) => Some(Ok(Event::InitDone)),
            Err(error) => Some(Err(error)),
        })
    })
}

fn decoded<K: Resource<DynamicType = ()>>(guard: DeserializeGuard<K>) -> Option<K> {
    match guard.0 {
        Ok(mut object) => {
            object.meta_mut().managed_fields = None;
            Some(object)
        }
        Err(invalid) => {
            let meta = &invalid.metadata;
            tracing::error!(
                kind = %K::kind(&()), namespace = meta.namespace.as_deref(), name = meta.name.as_deref(),
                error = %invalid.error, "an object cannot be read and is left alone"
            );
            None
        }
    }
}

/// The object that a watch event is about.
pub(crate) fn event_object<K>(event: watcher::Event<K>) -> Option<K> {
    match event {
        watcher::Event::Apply(object)
        | watcher::Event::Delete(object)
        | watcher::Event::InitApply(object) => Some(object),
        watcher::Event::Init | watcher::Event::InitDone => None,
    }
}
