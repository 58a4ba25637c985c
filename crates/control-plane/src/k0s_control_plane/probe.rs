//! Asks the API servers of workload clusters whether they answer: often while one is awaited, slowly afterwards.
//!
//! While they answer, they are asked for the members of etcd too, where that matters.
//!
//! Runs beside the reconcile workers, one task per control plane, and brings the control plane back only when an
//! answer changed, or was asked for. No event tells that an API server came up; whoever asked every ten seconds would hold back every
//! worker by that much.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{Stream, stream};
use k0smotron_api::control_plane::v1beta2::K0sControlPlane;
use k0smotron_runtime::{
    answers::{Answer, Course},
    workload::{ClusterKey, Dialer},
};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt, runtime::reflector::ObjectRef};
use tokio::{
    sync::{Notify, mpsc},
    task::AbortHandle,
    time::{Instant, timeout},
};

use super::survey::{Places, Survey, survey};

/// How often the members are looked at while something changes.
const CLOSE: Duration = Duration::from_millis(750);
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
    survey: Option<Survey>,
    attention: Attention,
    places: Places,
    /// What was seen before counts for old.
    since: Instant,
    /// The control plane waits for what comes next.
    awaited: bool,
    hurry: Arc<Notify>,
    task: AbortHandle,
}

/// How closely the members are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attention {
    /// Not at all.
    None,
    /// As often as the API server is asked.
    Calm,
    /// Something is to change or is changing.
    Close,
    /// A change depends on what is so now.
    Now,
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

    /// The members of etcd as seen last, and whether nothing was changed since.
    pub fn survey(&self, plane: &K0sControlPlane) -> Option<(Survey, bool)> {
        let running = self.0.running();
        let running = running.get(&key(plane))?;
        let survey = running.survey.clone()?;
        let fresh = survey.is_fresh(running.since);
        Some((survey, fresh))
    }

    /// A change was made: what was seen before is old.
    pub fn outdate(&self, plane: &K0sControlPlane) {
        if let Some(running) = self.0.running().get_mut(&key(plane)) {
            running.since = Instant::now();
        }
    }

    /// Looks at the members so closely from now on, there.
    pub fn attend(&self, plane: &K0sControlPlane, attention: Attention, places: Places) {
        if let Some(running) = self.0.running().get_mut(&key(plane)) {
            let more = attention != running.attention || attention == Attention::Now;
            running.attention = attention;
            running.places = places;
            if attention == Attention::Now {
                running.awaited = true;
            }
            if more {
                running.hurry.notify_one();
            }
        }
    }

    /// Asks from now on, unless that is done already.
    pub fn start(&self, plane: &K0sControlPlane, cluster: ClusterKey) {
        let key = key(plane);
        let mut running = self.0.running();
        if running.contains_key(&key) {
            return;
        }
        let hurry = Arc::new(Notify::new());
        let hurried = hurry.clone();
        let weak = Arc::downgrade(&self.0);
        let reference = ObjectRef::from_obj(plane);
        let (dialer, slot) = (self.0.dialer.clone(), key.clone());
        let task = tokio::spawn(async move {
            let mut course = Course::default();
            loop {
                let heard = ask(&dialer, &cluster, course.timeout()).await;
                if heard.refused {
                    // Signed by an authority that is not the cluster's any more, or expired: read the Secret again.
                    dialer.forget(&cluster);
                }
                let answers = heard.result.is_ok();
                let changed = course.hear(heard.result);
                let Some(inner) = weak.upgrade() else { return };
                let places = inner.set_answer(&slot, course.answer());
                if changed {
                    // Nobody listening means that the controller is going down.
                    let _ = inner.changed.send(reference.clone());
                }
                drop(inner);
                let seen = match places {
                    Some(places) if answers => Some(survey(&dialer, &cluster, &places).await),
                    _ => None,
                };
                let Some(inner) = weak.upgrade() else { return };
                let (attention, news) = inner.set_survey(&slot, seen);
                if news {
                    let _ = inner.changed.send(reference.clone());
                }
                drop(inner);
                let wait = match attention {
                    Attention::None | Attention::Calm => course.wait(),
                    Attention::Close | Attention::Now => course.wait().min(CLOSE),
                };
                // What is asked for meanwhile is asked at once.
                let _ = timeout(wait, hurried.notified()).await;
            }
        })
        .abort_handle();
        running.insert(
            key,
            Running {
                answer: Answer::NotAsked,
                survey: None,
                attention: Attention::None,
                places: Places::default(),
                since: Instant::now(),
                awaited: false,
                hurry,
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
    /// Keeps an answer; returns where members are to be asked, if they are.
    fn set_answer(&self, slot: &str, answer: &Answer) -> Option<Places> {
        let mut running = self.running();
        let running = running.get_mut(slot)?;
        if running.answer != *answer {
            running.answer = answer.clone();
        }
        (running.attention != Attention::None).then(|| running.places.clone())
    }

    /// Keeps a survey; returns how closely to look, and whether the control plane is to hear of it.
    fn set_survey(&self, slot: &str, survey: Option<Survey>) -> (Attention, bool) {
        let mut running = self.running();
        let Some(running) = running.get_mut(slot) else {
            return (Attention::None, false);
        };
        let Some(survey) = survey else {
            return (running.attention, false);
        };
        let changed = running.survey.as_ref().is_none_or(|before| {
            (&before.members, &before.autopilot) != (&survey.members, &survey.autopilot)
        });
        let awaited = running.awaited && survey.is_fresh(running.since);
        if awaited {
            running.awaited = false;
        }
        running.survey = Some(survey);
        (running.attention, changed || awaited)
    }

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
