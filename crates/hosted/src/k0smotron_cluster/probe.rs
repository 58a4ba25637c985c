//! Asks API servers whether they answer, and etcd for its members: often while an answer is awaited, slowly afterwards.
//!
//! Runs beside the reconcile workers, two tasks for each control plane, and brings it back only when an answer changed. No
//! event tells that an API server came up or has gone, and the readiness of its pod says less.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{Stream, stream};
use k0smotron_api::k0smotron::v1beta2::Cluster;
pub use k0smotron_runtime::answers::Answer;
use k0smotron_runtime::{
    answers::{Course, EAGER, PATIENT},
    controller::chain,
    dial::{Consistency, Dialer, EtcdClient, EtcdMember, EtcdTls, Target},
};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client, ResourceExt, config::Kubeconfig, runtime::reflector::ObjectRef};
use tokio::{
    sync::{mpsc, watch},
    task::AbortHandle,
    time::timeout,
};

/// How often etcd is asked that has all its members.
const STEADY: Duration = Duration::from_secs(30);
/// How long an answer of etcd may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// What etcd said last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Survey {
    /// Its members, as a majority says.
    Members {
        members: Vec<EtcdMember>,
        leader: Option<u64>,
    },
    /// No majority answers, and why.
    Silent(String),
}

/// Which API server to ask, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskApi {
    pub target: Target,
    /// The administrator's; it is a secret.
    pub kubeconfig: Hidden,
}

/// Text that is compared and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(pub String);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("[hidden]")
    }
}

/// Which etcd to ask.
#[derive(Clone, Debug)]
pub struct AskEtcd {
    /// Pods, the likeliest to answer first.
    pub targets: Vec<Target>,
    pub tls: EtcdTls,
    /// Of the Secret that the certificate comes from: a renewed one makes a new connection.
    pub version: Option<String>,
    /// Something is to change or is changing.
    pub close: bool,
}

impl PartialEq for AskEtcd {
    fn eq(&self, other: &Self) -> bool {
        (&self.targets, &self.version, self.close) == (&other.targets, &other.version, other.close)
    }
}

/// The probes of all control planes. Cheap to clone; they end with the last clone.
#[derive(Clone)]
pub struct Probes(Arc<Inner>);

struct Inner {
    running: Mutex<HashMap<String, Running>>,
    changed: mpsc::UnboundedSender<ObjectRef<Cluster>>,
    dialer: Dialer,
}

struct Running {
    answer: Answer,
    /// A client of the API server, while it answers.
    client: Option<Client>,
    survey: Option<Survey>,
    /// Counts changes that were made to the members: what was seen before one is old.
    epoch: u64,
    api: watch::Sender<Option<AskApi>>,
    etcd: watch::Sender<Option<AskEtcd>>,
    tasks: [AbortHandle; 2],
}

impl Drop for Running {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Probes {
    /// No probe yet, and the control planes whose answer changed.
    pub fn new(dialer: Dialer) -> (Self, impl Stream<Item = ObjectRef<Cluster>> + Send + 'static) {
        let (changed, receiver) = mpsc::unbounded_channel();
        let changes = stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|plane| (plane, receiver))
        });
        let inner = Inner {
            running: Mutex::default(),
            changed,
            dialer,
        };
        (Self(Arc::new(inner)), changes)
    }

    /// What the API server of the control plane said last.
    pub fn answer(&self, plane: &Cluster) -> Answer {
        self.0
            .running()
            .get(&key(plane))
            .map_or(Answer::NotAsked, |running| running.answer.clone())
    }

    /// A client of the API server, if it answered last.
    pub fn client(&self, plane: &Cluster) -> Option<Client> {
        self.0.running().get(&key(plane))?.client.clone()
    }

    /// What its etcd said last, if nothing was changed since.
    pub fn survey(&self, plane: &Cluster) -> Option<Survey> {
        self.0.running().get(&key(plane))?.survey.clone()
    }

    /// The members were changed, or may have been: what was seen before is old.
    pub fn outdate(&self, plane: &Cluster) {
        if let Some(running) = self.0.running().get_mut(&key(plane)) {
            running.epoch = running.epoch.wrapping_add(1);
            running.survey = None;
            running.etcd.send_modify(|_| {});
        }
    }

    /// Asks these from now on.
    pub fn attend(&self, plane: &Cluster, api: Option<AskApi>, etcd: Option<AskEtcd>) {
        let key = key(plane);
        let mut all = self.0.running();
        let running = all.entry(key.clone()).or_insert_with(|| self.start(plane, key));
        replace(&running.api, api);
        replace(&running.etcd, etcd);
    }

    fn start(&self, plane: &Cluster, key: String) -> Running {
        let (api, asked_api) = watch::channel(None);
        let (etcd, asked_etcd) = watch::channel(None);
        let reporter = Reporter {
            inner: Arc::downgrade(&self.0),
            key,
            plane: ObjectRef::from_obj(plane),
        };
        let dialer = &self.0.dialer;
        let tasks = [
            tokio::spawn(watch_api(asked_api, dialer.clone(), reporter.clone())).abort_handle(),
            tokio::spawn(watch_etcd(asked_etcd, dialer.clone(), reporter)).abort_handle(),
        ];
        Running {
            answer: Answer::NotAsked,
            client: None,
            survey: None,
            epoch: 0,
            api,
            etcd,
            tasks,
        }
    }

    /// Stops asking.
    pub fn stop(&self, plane: &Cluster) {
        self.0.running().remove(&key(plane));
    }
}

fn replace<T: PartialEq>(sender: &watch::Sender<Option<T>>, new: Option<T>) {
    sender.send_if_modified(|current| {
        let changed = *current != new;
        *current = new;
        changed
    });
}

impl Inner {
    fn running(&self) -> MutexGuard<'_, HashMap<String, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// By UID: a control plane made again under its old name is asked anew.
fn key(plane: &Cluster) -> String {
    plane
        .uid()
        .unwrap_or_else(|| format!("{}/{}", plane.namespace().unwrap_or_default(), plane.name_any()))
}

/// Keeps what a task of one control plane has heard.
#[derive(Clone)]
struct Reporter {
    inner: std::sync::Weak<Inner>,
    key: String,
    plane: ObjectRef<Cluster>,
}

impl Reporter {
    /// Lets `keep` change what is known; the control plane is brought back when it did.
    fn report(&self, keep: impl FnOnce(&mut Running) -> bool) {
        let Some(inner) = self.inner.upgrade() else { return };
        let changed = inner.running().get_mut(&self.key).is_some_and(keep);
        if changed {
            // Nobody listening means that the controller is going down.
            let _ = inner.changed.send(self.plane.clone());
        }
    }

    fn epoch(&self) -> Option<u64> {
        let inner = self.inner.upgrade()?;
        let running = inner.running();
        running.get(&self.key).map(|running| running.epoch)
    }
}

/// Waits so long, or until something else is to be asked. `false` when nobody asks any more.
async fn pause<T>(asked: &mut watch::Receiver<Option<T>>, wait: Duration) -> bool {
    match timeout(wait, asked.changed()).await {
        Ok(Err(_)) => false,
        Ok(Ok(())) | Err(_) => true,
    }
}

async fn watch_api(mut asked: watch::Receiver<Option<AskApi>>, dialer: Dialer, reporter: Reporter) {
    let mut course = Course::default();
    let mut connected: Option<(AskApi, Client)> = None;
    loop {
        let Some(ask) = asked.borrow_and_update().clone() else {
            if asked.changed().await.is_err() {
                return;
            }
            continue;
        };
        let known = connected.take().filter(|(before, _)| *before == ask);
        let client = match known {
            Some((_, client)) => Ok(client),
            None => connect(&dialer, &ask).await,
        };
        let heard = match &client {
            Ok(client) => ask_api(client, course.timeout()).await,
            Err(reason) => Err(reason.clone()),
        };
        // Whoever does not answer may be another pod by now.
        let client = client.ok().filter(|_| heard.is_ok());
        connected = client.clone().map(|client| (ask, client));
        let changed = course.hear(heard);
        let answer = course.answer().clone();
        reporter.report(|running| {
            running.client = client;
            running.answer = answer;
            changed
        });
        if !pause(&mut asked, course.wait()).await {
            return;
        }
    }
}

async fn connect(dialer: &Dialer, ask: &AskApi) -> Result<Client, String> {
    let kubeconfig =
        Kubeconfig::from_yaml(&ask.kubeconfig.0).map_err(|_| "its kubeconfig cannot be read".to_owned())?;
    dialer
        .kube_client(kubeconfig, &ask.target)
        .await
        .map_err(|error| format!("its kubeconfig cannot be used: {}", chain(&error)))
}

/// Asks for the `kube-system` namespace: an API server that can serve it has its datastore behind it.
async fn ask_api(client: &Client, limit: Duration) -> Result<String, String> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    match timeout(limit, namespaces.get_metadata("kube-system")).await {
        Ok(Ok(namespace)) => namespace
            .metadata
            .uid
            .ok_or_else(|| "the kube-system namespace has no UID".to_owned()),
        Ok(Err(kube::Error::Api(status))) => Err(format!("it answers {}", status.message)),
        Ok(Err(_)) => Err("no connection to it can be made".to_owned()),
        Err(_) => Err("it does not answer in time".to_owned()),
    }
}

async fn watch_etcd(mut asked: watch::Receiver<Option<AskEtcd>>, dialer: Dialer, reporter: Reporter) {
    let mut connected: Option<(AskEtcd, EtcdClient)> = None;
    loop {
        let Some(ask) = asked.borrow_and_update().clone() else {
            if asked.changed().await.is_err() {
                return;
            }
            continue;
        };
        let epoch = reporter.epoch();
        let known = connected
            .take()
            .filter(|(before, _)| before.targets == ask.targets && before.version == ask.version);
        let survey = match known {
            Some((_, client)) => match ask_etcd(&client).await {
                Ok(survey) => Ok((survey, client)),
                Err(_) => ask_all(&dialer, &ask).await,
            },
            None => ask_all(&dialer, &ask).await,
        };
        let answered = survey.is_ok();
        let survey = match survey {
            Ok((survey, client)) => {
                connected = Some((ask.clone(), client));
                survey
            }
            Err(reason) => Survey::Silent(reason),
        };
        reporter.report(|running| {
            // Texts of failures vary from try to try; the first one stands.
            let same = match (&running.survey, &survey) {
                (Some(Survey::Silent(_)), Survey::Silent(_)) => true,
                (before, survey) => before.as_ref() == Some(survey),
            };
            if same || Some(running.epoch) != epoch {
                return false;
            }
            running.survey = Some(survey);
            true
        });
        let wait = match (answered, ask.close) {
            (true, false) => STEADY,
            (true, true) => EAGER,
            (false, _) => EAGER.max(PATIENT / 2),
        };
        if !pause(&mut asked, wait).await {
            return;
        }
    }
}

/// Asks one after the other until a majority answers.
async fn ask_all(dialer: &Dialer, ask: &AskEtcd) -> Result<(Survey, EtcdClient), String> {
    let mut reason = "it has no pods yet".to_owned();
    for target in &ask.targets {
        let client = match EtcdClient::new(dialer, target, &ask.tls) {
            Ok(client) => client,
            Err(error) => return Err(format!("its certificates cannot be used: {}", chain(&error))),
        };
        match timeout(ANSWER_TIMEOUT, ask_etcd(&client)).await {
            Ok(Ok(survey)) => return Ok((survey, client)),
            Ok(Err(error)) => reason = error,
            Err(_) => reason = "it does not answer in time".to_owned(),
        }
    }
    Err(reason)
}

async fn ask_etcd(client: &EtcdClient) -> Result<Survey, String> {
    let (mut members, status) =
        futures::future::try_join(client.member_list(Consistency::Quorum), client.status())
            .await
            .map_err(|error| chain(&error))?;
    members.sort_by_key(|member| member.id);
    Ok(Survey::Members {
        members,
        leader: Some(status.leader).filter(|leader| *leader != 0),
    })
}
