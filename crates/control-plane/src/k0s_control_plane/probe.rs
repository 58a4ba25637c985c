//! Asks the API servers of workload clusters whether they answer: often while one is awaited, slowly afterwards.
//!
//! Runs beside the reconcile workers, one task per control plane, and brings the control plane back only when the
//! answer changed. No event tells that an API server came up; whoever asked every ten seconds would hold back every
//! worker by that much.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{Stream, stream};
use k0smotron_api::control_plane::v1beta2::K0sControlPlane;
use k0smotron_runtime::workload::{ClusterKey, Dialer};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt, runtime::reflector::ObjectRef};
use tokio::{
    sync::mpsc,
    task::AbortHandle,
    time::{Instant, sleep, timeout},
};

use super::observed::Answer;

/// How often an API server is asked that does not answer yet, and after [`PATIENCE`].
const EAGER: Duration = Duration::from_millis(250);
const PATIENT: Duration = Duration::from_secs(1);
/// A host that was not up by then is not asked four times a second any more.
const PATIENCE: Duration = Duration::from_secs(300);
/// How often one is asked that does answer.
const LIVENESS: Duration = Duration::from_secs(5);
/// How long an answer may take. One that is awaited is asked again soon; one that answered before may be busy.
const AWAITED_TIMEOUT: Duration = Duration::from_millis(1500);
const LIVENESS_TIMEOUT: Duration = Duration::from_secs(5);
/// Failures in a row after which an API server that answered counts as away: away is told within 20 s.
const FAILURES: u32 = 2;

/// The probes of all control planes. Cheap to clone; they end with the last clone.
#[derive(Clone)]
pub struct Probes(Arc<Inner>);

struct Inner {
    running: Mutex<HashMap<String, Running>>,
    changed: mpsc::UnboundedSender<ObjectRef<K0sControlPlane>>,
    dialer: Arc<Dialer>,
}

struct Running {
    answer: Answer,
    task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Probes {
    /// No probe yet, and the control planes whose answer changed.
    pub fn new(
        dialer: Arc<Dialer>,
    ) -> (
        Self,
        impl Stream<Item = ObjectRef<K0sControlPlane>> + Send + 'static,
    ) {
        let (changed, receiver) = mpsc::unbounded_channel();
        let changes = stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|plane| (plane, receiver))
        });
        (
            Self(Arc::new(Inner {
                running: Mutex::default(),
                changed,
                dialer,
            })),
            changes,
        )
    }

    /// What the API server of the control plane said last.
    pub fn answer(&self, plane: &K0sControlPlane) -> Answer {
        self.0
            .running()
            .get(&key(plane))
            .map_or(Answer::NotAsked, |running| running.answer.clone())
    }

    /// Asks from now on, unless that is done already.
    pub fn start(&self, plane: &K0sControlPlane, cluster: ClusterKey) {
        let key = key(plane);
        let mut running = self.0.running();
        if running.contains_key(&key) {
            return;
        }
        let weak = Arc::downgrade(&self.0);
        let reference = ObjectRef::from_obj(plane);
        let (dialer, slot) = (self.0.dialer.clone(), key.clone());
        let task = tokio::spawn(async move {
            let mut course = Course::new();
            loop {
                let heard = ask(&dialer, &cluster, course.timeout()).await;
                if heard.refused {
                    // Signed by an authority that is not the cluster's any more, or expired: read the Secret again.
                    dialer.forget(&cluster);
                }
                let changed = course.hear(heard.result);
                let wait = course.wait();
                let Some(inner) = weak.upgrade() else { return };
                if changed {
                    if let Some(running) = inner.running().get_mut(&slot) {
                        running.answer = course.answer.clone();
                    }
                    // Nobody listening means that the controller is going down.
                    let _ = inner.changed.send(reference.clone());
                }
                drop(inner);
                sleep(wait).await;
            }
        })
        .abort_handle();
        running.insert(
            key,
            Running {
                answer: Answer::NotAsked,
                task,
            },
        );
    }

    /// Stops asking.
    pub fn stop(&self, plane: &K0sControlPlane) {
        self.0.running().remove(&key(plane));
    }
}

impl Inner {
    fn running(&self) -> MutexGuard<'_, HashMap<String, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// By UID: a control plane made again under its old name is asked anew.
fn key(plane: &K0sControlPlane) -> String {
    plane
        .uid()
        .unwrap_or_else(|| format!("{}/{}", plane.namespace().unwrap_or_default(), plane.name_any()))
}

/// The course of one probe: what is believed, and how soon to ask again. Pure but for the clock.
struct Course {
    answer: Answer,
    failures: u32,
    begun: Instant,
}

impl Course {
    fn new() -> Self {
        Self {
            answer: Answer::NotAsked,
            failures: 0,
            begun: Instant::now(),
        }
    }

    /// Takes in a result. Returns whether that changes what is believed.
    fn hear(&mut self, result: Result<String, String>) -> bool {
        let answer = match result {
            Ok(cluster_uid) => {
                self.failures = 0;
                Answer::Yes { cluster_uid }
            }
            Err(reason) => {
                self.failures = self.failures.saturating_add(1);
                match &self.answer {
                    // One lost answer is not an outage.
                    Answer::Yes { .. } if self.failures < FAILURES => return false,
                    // The texts of failed connections vary from try to try; the first one stands.
                    Answer::No(_) => return false,
                    Answer::Yes { .. } => {
                        self.begun = Instant::now();
                        Answer::No(reason)
                    }
                    Answer::NotAsked => Answer::No(reason),
                }
            }
        };
        let changed = answer != self.answer;
        self.answer = answer;
        changed
    }

    fn timeout(&self) -> Duration {
        match self.answer {
            Answer::Yes { .. } => LIVENESS_TIMEOUT,
            Answer::No(_) | Answer::NotAsked => AWAITED_TIMEOUT,
        }
    }

    fn wait(&self) -> Duration {
        match self.answer {
            Answer::Yes { .. } if self.failures == 0 => LIVENESS,
            Answer::Yes { .. } => PATIENT,
            Answer::No(_) | Answer::NotAsked if self.begun.elapsed() < PATIENCE => EAGER,
            Answer::No(_) | Answer::NotAsked => PATIENT,
        }
    }
}

/// What came of asking once.
struct Heard {
    /// UID of the `kube-system` namespace, or why there is none.
    result: Result<String, String>,
    /// The API server answered and did not know us.
    refused: bool,
}

/// Asks for the `kube-system` namespace. An API server that can serve it can serve workers too.
async fn ask(dialer: &Dialer, cluster: &ClusterKey, limit: Duration) -> Heard {
    let failed = |reason: String| Heard {
        result: Err(reason),
        refused: false,
    };
    let client = match dialer.client(cluster).await {
        Ok(client) => client,
        Err(error) => return failed(error.to_string()),
    };
    let namespaces: Api<Namespace> = Api::all(client);
    match timeout(limit, namespaces.get_metadata("kube-system")).await {
        Ok(Ok(namespace)) => match namespace.metadata.uid {
            Some(uid) => Heard {
                result: Ok(uid),
                refused: false,
            },
            None => failed("the kube-system namespace has no UID".to_owned()),
        },
        Ok(Err(kube::Error::Api(status))) => Heard {
            refused: matches!(status.code, 401 | 403),
            result: Err(format!("it answers {status}")),
        },
        Ok(Err(_)) => failed("no connection to it can be made".to_owned()),
        Err(_) => failed("it does not answer in time".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn yes() -> Result<String, String> {
        Ok("uid".to_owned())
    }

    fn no(text: &str) -> Result<String, String> {
        Err(text.to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn an_awaited_server_is_asked_often_and_one_that_is_up_slowly() {
        let mut course = Course::new();
        assert!(course.hear(no("refused")));
        assert_eq!(course.wait(), EAGER);
        assert!(!course.hear(no("another text")), "varying texts are no news");
        assert!(course.hear(yes()));
        assert_eq!(course.wait(), LIVENESS);
        assert!(!course.hear(yes()), "the same answer is no news");
    }

    #[tokio::test(start_paused = true)]
    async fn one_lost_answer_is_no_outage_and_two_are() {
        let mut course = Course::new();
        course.hear(yes());
        assert!(!course.hear(no("lost")));
        assert_eq!(course.wait(), PATIENT);
        assert!(course.hear(no("lost")));
        assert_eq!(course.answer, Answer::No("lost".to_owned()));
        assert_eq!(course.wait(), EAGER);
    }

    #[tokio::test(start_paused = true)]
    async fn patience_comes_with_time() {
        let mut course = Course::new();
        course.hear(no("refused"));
        tokio::time::advance(PATIENCE).await;
        assert_eq!(course.wait(), PATIENT);
    }
}
