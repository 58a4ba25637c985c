//! Writes through an endpoint at a steady rate, remembers what was acknowledged, and looks for it afterwards.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ListParams, ObjectMeta, PostParams};
use kube::{Api, Client, Config, ResourceExt};
use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, timeout};

/// A write without an answer by then was not acknowledged, whatever has become of it.
const DEADLINE: Duration = Duration::from_secs(5);
const LABEL: &str = "k0smotron-e2e-writer";
const PAGE: u32 = 500;

/// A running writer.
pub struct Writer {
    end: oneshot::Sender<()>,
    written: JoinHandle<Written>,
}

/// What a writer was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    namespace: String,
    run: String,
    /// Content by name of every object whose creation was answered with success.
    acknowledged: BTreeMap<String, String>,
    /// Writes that failed or were not answered: they may or may not be there.
    pub failed: usize,
    /// What they said, each text once.
    pub errors: Vec<String>,
}

impl Writer {
    /// Creates this many ConfigMaps a second in an existing namespace, each once and independent of the others. `run`
    /// keeps several writers apart: a word of a-z, 0-9 and `-`.
    ///
    /// # Errors
    /// The configuration cannot be used.
    pub fn start(mut config: Config, namespace: &str, run: &str, per_second: u32) -> Result<Self> {
        config.connect_timeout = Some(DEADLINE);
        config.read_timeout = Some(DEADLINE);
        // A repeated creation would turn a lost answer into a conflict.
        config.default_retry = false;
        let api: Api<ConfigMap> =
            Api::namespaced(Client::try_from(config).context("cannot write")?, namespace);
        let (end, ended) = oneshot::channel();
        let written = Written {
            namespace: namespace.to_owned(),
            run: run.to_owned(),
            acknowledged: BTreeMap::new(),
            failed: 0,
            errors: Vec::new(),
        };
        let pause = Duration::from_secs(1) / per_second.max(1);
        Ok(Self {
            end,
            written: tokio::spawn(write(api, written, pause, ended)),
        })
    }

    /// Ends the writing, and waits for the answers that are still to come.
    ///
    /// # Errors
    /// It has panicked.
    pub async fn finish(self) -> Result<Written> {
        let _ = self.end.send(());
        self.written.await.context("the writer has ended by itself")
    }
}

impl Written {
    /// How many writes were acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.acknowledged.len()
    }

    /// Names of the acknowledged objects that are not there, or not as they were written.
    ///
    /// # Errors
    /// The objects cannot be read.
    pub async fn lost(&self, client: Client) -> Result<Vec<String>> {
        let api: Api<ConfigMap> = Api::namespaced(client, &self.namespace);
        let mut missing = self.acknowledged.clone();
        let mut parameters = ListParams::default()
            .labels(&format!("{LABEL}={}", self.run))
            .limit(PAGE);
        loop {
            let page = api
                .list(&parameters)
                .await
                .context("cannot read what was written")?;
            let next = page.metadata.continue_.clone().filter(|token| !token.is_empty());
            for found in page {
                let content = found.data.as_ref().and_then(|data| data.get("content"));
                if missing.get(&found.name_any()) == content {
                    missing.remove(&found.name_any());
                }
            }
            match next {
                Some(token) => parameters = parameters.continue_token(&token),
                None => return Ok(missing.into_keys().collect()),
            }
        }
    }
}

async fn write(
    api: Api<ConfigMap>,
    mut written: Written,
    pause: Duration,
    mut ended: oneshot::Receiver<()>,
) -> Written {
    let mut ticks = interval(pause);
    // The rate is kept over time, also after a moment in which this process did not run.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut writes = JoinSet::new();
    let mut number = 0_u64;
    loop {
        tokio::select! {
            _ = &mut ended => break,
            _ = ticks.tick() => {}
            Some(result) = writes.join_next() => {
                written.count(result);
                continue;
            }
        }
        let (name, content) = (format!("{}-{number:08}", written.run), format!("write {number}"));
        writes.spawn(create(api.clone(), written.run.clone(), name, content));
        number += 1;
    }
    while let Some(result) = writes.join_next().await {
        written.count(result);
    }
    written
}

impl Written {
    fn count(&mut self, result: Result<Answer, JoinError>) {
        let text = match result {
            Ok(Ok((name, content))) => {
                self.acknowledged.insert(name, content);
                return;
            }
            Ok(Err(error)) => format!("{error:#}"),
            Err(error) => error.to_string(),
        };
        self.failed += 1;
        if !self.errors.contains(&text) {
            self.errors.push(text);
        }
    }
}

/// Name and content of what was acknowledged.
type Answer = Result<(String, String)>;

/// Creates an object, once.
async fn create(api: Api<ConfigMap>, run: String, name: String, content: String) -> Answer {
    let object = ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            labels: Some(BTreeMap::from([(LABEL.to_owned(), run)])),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([("content".to_owned(), content.clone())])),
        ..ConfigMap::default()
    };
    timeout(DEADLINE, api.create(&PostParams::default(), &object))
        .await
        .context("no answer in time")??;
    Ok((name, content))
}
