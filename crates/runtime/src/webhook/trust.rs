//! Keeps what is served and what API servers trust together, by events: of the Secret, of the webhook configurations
//! and of the definitions.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures::{FutureExt, Stream, StreamExt, future, stream};
use jiff::Timestamp;
use k8s_openapi::{
    api::{
        admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
        core::v1::Secret,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{Api, Client, Resource, api::ObjectMeta, core::PartialObjectMeta, runtime::watcher};
use tokio::{sync::watch, time::Instant};

use super::{
    Schedule, Webhooks,
    certificates::{self, Change, Issuance, Material, certified},
    injection::{Found, Service, Target, inject},
    secret::Store,
};
use crate::{controller::chain, definitions::changed, tls::Certificate};

/// What changes together is looked at together: an installer writes dozens of objects in a second.
const GATHER: Duration = Duration::from_millis(100);
/// First and longest wait after an error.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));
/// Times are looked at again after this long at the latest, whatever the clock did meanwhile.
const LONGEST: Duration = Duration::from_secs(3600);
/// How often in a row others may undo an injection before they are given way to, and how long that takes at most.
const UNDONE: (u32, Duration) = (5, Duration::from_secs(300));
/// An injection that lasted this long was not undone by a rival.
const LASTED: Duration = Duration::from_secs(600);

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("cannot read or write Secret {name}")]
    Secret { name: String, source: kube::Error },
    #[error("cannot make a certificate")]
    Certificate(#[from] certificates::Error),
    #[error("cannot set caBundle of {kind} {name}")]
    Injection {
        kind: &'static str,
        name: String,
        source: kube::Error,
    },
    #[error("Secret {0} is written by others all the time")]
    Contended(String),
}

/// Something that may have to be mended.
#[derive(Clone, Debug)]
enum Event {
    Secret,
    Changed(Target),
    Anything,
}

/// Runs until dropped.
pub(super) async fn keep(
    webhooks: &Webhooks,
    schedule: Schedule,
    certificate: Certificate,
    ready: watch::Sender<bool>,
) {
    let installation = &webhooks.installation;
    let name = installation.secret();
    let all = installation.targets();
    let mut events = std::pin::pin!(events(webhooks, &all, &name));
    let mut keeper = Keeper {
        issuance: Issuance {
            names: installation.names(),
            schedule,
            provider: webhooks.policy.provider().clone(),
        },
        store: Store::new(&webhooks.client, &installation.namespace, &name),
        name,
        service: installation.service(),
        dirty: all.clone(),
        all,
        authorities: String::new(),
        serving: String::new(),
        rivals: BTreeMap::new(),
        certificate,
        webhooks,
    };
    let mut failures = 0_u32;
    loop {
        let wait = match keeper.pass().await {
            Ok(wait) => {
                failures = 0;
                if keeper.dirty.is_empty() && !ready.send_replace(true) {
                    tracing::info!("webhooks are served and trusted");
                }
                wait
            }
            Err(error) => {
                tracing::warn!(error = %chain(&error), "webhook certificates are not as they should be; trying again");
                let wait = BACKOFF
                    .0
                    .saturating_mul(2_u32.saturating_pow(failures))
                    .min(BACKOFF.1);
                failures = failures.saturating_add(1);
                wait
            }
        };
        tokio::select! {
            Some(event) = events.next() => {
                keeper.note(event);
                tokio::time::sleep(GATHER).await;
                while let Some(Some(event)) = events.next().now_or_never() {
                    keeper.note(event);
                }
            }
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Changes of everything that is read here.
fn events(
    webhooks: &Webhooks,
    all: &BTreeSet<Target>,
    secret: &str,
) -> impl Stream<Item = Event> + Send + use<> {
    let client = &webhooks.client;
    let named = |name: &str| watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut streams = Vec::new();
    for target in all {
        let event = Event::Changed(target.clone());
        match target {
            Target::Validating(name) => {
                let api: Api<PartialObjectMeta<ValidatingWebhookConfiguration>> = Api::all(client.clone());
                streams.push(changed(api, named(name)).map(move |_| event.clone()).boxed());
            }
            Target::Mutating(name) => {
                let api: Api<PartialObjectMeta<MutatingWebhookConfiguration>> = Api::all(client.clone());
                streams.push(changed(api, named(name)).map(move |_| event.clone()).boxed());
            }
            Target::Definition(_) => {}
        }
    }
    let definitions = all.clone();
    let changes = webhooks.definitions.changes().filter_map(move |name| {
        future::ready(match name.map(Target::Definition) {
            Some(target) => definitions.contains(&target).then_some(Event::Changed(target)),
            None => Some(Event::Anything),
        })
    });
    streams.push(changes.boxed());
    let api: Api<PartialObjectMeta<Secret>> =
        Api::namespaced(client.clone(), &webhooks.installation.namespace);
    streams.push(changed(api, named(secret)).map(|_| Event::Secret).boxed());
    stream::select_all(streams)
}

struct Keeper<'a> {
    webhooks: &'a Webhooks,
    issuance: Issuance,
    store: Store,
    /// Name of the Secret.
    name: String,
    service: Service,
    certificate: Certificate,
    all: BTreeSet<Target>,
    /// What may lack `authorities`.
    dirty: BTreeSet<Target>,
    /// PEM, as stored.
    authorities: String,
    /// PEM of the certificate that is served.
    serving: String,
    rivals: BTreeMap<Target, Rival>,
}

/// Somebody who undoes injections.
struct Rival {
    undone: u32,
    last: Instant,
    /// Given way to until then.
    until: Option<Instant>,
}

impl Keeper<'_> {
    fn note(&mut self, event: Event) {
        match event {
            // Read at every pass.
            Event::Secret => {}
            Event::Changed(target) => {
                self.dirty.insert(target);
            }
            Event::Anything => self.dirty.clone_from(&self.all),
        }
    }

    /// Makes everything as it should be. The answer is when to look again, events apart.
    async fn pass(&mut self) -> Result<Duration, Error> {
        let material = self.material().await?;
        // Served before it is trusted: the other way round there would be a moment without.
        if material.serving.certificate != self.serving {
            let key = certified(&material.serving, &self.issuance.provider)?;
            self.certificate.set(Arc::new(key));
            self.serving.clone_from(&material.serving.certificate);
        }
        if material.authorities != self.authorities {
            self.authorities.clone_from(&material.authorities);
            self.dirty.clone_from(&self.all);
            self.rivals.clear();
        }
        let mut wait = LONGEST;
        let mut failed = None;
        for target in self.dirty.clone() {
            if let Some(pause) = self.pause(&target) {
                wait = wait.min(pause);
                continue;
            }
            // One that is refused keeps no other from being mended.
            if let Err(error) = self.mend(&target).await {
                failed.get_or_insert(error);
            } else if self.dirty.contains(&target) {
                wait = wait.min(BACKOFF.0);
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        let until = Timestamp::now().duration_until(self.issuance.due(&material)?);
        Ok(wait.min(Duration::try_from(until).unwrap_or_default().max(BACKOFF.0)))
    }

    /// What is stored, after every step for which it is time.
    async fn material(&mut self) -> Result<Material, Error> {
        let failed = |source| Error::Secret {
            name: self.name.clone(),
            source,
        };
        for _ in 0..10 {
            let secret = self.store.read().await.map_err(failed)?;
            let stored = secret.as_ref().and_then(Material::read);
            // Who is given way to does not keep the others from a certificate that is valid.
            let injected = self.dirty.iter().all(|target| self.pause(target).is_some())
                && stored
                    .as_ref()
                    .is_some_and(|stored| stored.authorities == self.authorities);
            let step = self
                .issuance
                .advance(stored.as_ref(), Timestamp::now(), injected)?;
            match (step, stored) {
                (None, Some(stored)) => return Ok(stored),
                (Some((change, next)), _) => {
                    if self.store.write(secret, &next).await.map_err(failed)? {
                        tell(change, &self.name);
                    }
                }
                // There is always a step where nothing is stored.
                (None, None) => {}
            }
        }
        Err(Error::Contended(self.name.clone()))
    }

    async fn mend(&mut self, target: &Target) -> Result<(), Error> {
        let client: &Client = &self.webhooks.client;
        match inject(client, target, &self.service, &self.authorities).await {
            Ok(Found::Written { others }) => {
                self.webhooks.metrics.injected(target.kind());
                self.written(target, &others).await;
            }
            Ok(Found::Absent | Found::Right) => {}
            // Its next event or the next pass has another look.
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_not_found() => return Ok(()),
            Err(source) => {
                return Err(Error::Injection {
                    kind: target.kind(),
                    name: target.name().to_owned(),
                    source,
                });
            }
        }
        self.dirty.remove(target);
        Ok(())
    }

    /// How long a rival is given way to from now.
    fn pause(&self, target: &Target) -> Option<Duration> {
        self.rivals
            .get(target)?
            .until?
            .checked_duration_since(Instant::now())
            .filter(|pause| !pause.is_zero())
    }

    /// Counts injections that did not last. A rival who writes as often as we do would otherwise make a write of ours
    /// for each of theirs, for ever.
    async fn written(&mut self, target: &Target, others: &BTreeSet<String>) {
        let now = Instant::now();
        let kind = target.kind();
        let Some(rival) = self.rivals.get_mut(target) else {
            tracing::info!(kind, name = target.name(), "caBundle set");
            let first = Rival {
                undone: 0,
                last: now,
                until: None,
            };
            self.rivals.insert(target.clone(), first);
            return;
        };
        if now.duration_since(rival.last) > LASTED {
            rival.undone = 0;
        }
        rival.undone = rival.undone.saturating_add(1);
        rival.last = now;
        tracing::info!(
            kind,
            name = target.name(),
            ?others,
            "caBundle set again: somebody had changed it"
        );
        if rival.undone < UNDONE.0 {
            return;
        }
        let pause = Duration::from_secs(2_u64.saturating_pow(rival.undone - UNDONE.0)).min(UNDONE.1);
        rival.until = Some(now + pause);
        let others = if others.is_empty() {
            "somebody".to_owned()
        } else {
            Vec::from_iter(others.iter().cloned()).join(", ")
        };
        let note = format!(
            "caBundle was changed {} times by {others}, and is set again after {pause:?} each time. Let only one write \
             it: leave caBundle out of what is applied, and remove annotations cert-manager.io/inject-…",
            rival.undone
        );
        tracing::warn!(kind, name = target.name(), "{note}");
        self.warn(target, &note).await;
    }

    async fn warn(&self, target: &Target, note: &str) {
        const REASON: &str = "CABundleContended";
        let events = &self.webhooks.events;
        let metadata = ObjectMeta {
            name: Some(target.name().to_owned()),
            ..ObjectMeta::default()
        };
        match target {
            Target::Validating(_) => {
                let object = ValidatingWebhookConfiguration {
                    metadata,
                    ..ValidatingWebhookConfiguration::default()
                };
                events.warning(&object, REASON, note).await;
            }
            Target::Mutating(_) => {
                let object = MutatingWebhookConfiguration {
                    metadata,
                    ..MutatingWebhookConfiguration::default()
                };
                events.warning(&object, REASON, note).await;
            }
            Target::Definition(_) => {
                let mut object = CustomResourceDefinition::default();
                *object.meta_mut() = metadata;
                events.warning(&object, REASON, note).await;
            }
        }
    }
}

fn tell(change: Change, secret: &str) {
    let what = match change {
        Change::Made => "webhook certificate made",
        Change::Prepared => "next webhook certificate made; its authority is injected before it is served",
        Change::Switched => "next webhook certificate is served",
        Change::Dropped => "authority of the last webhook certificate is trusted no more",
        Change::Cleared => "next webhook certificate was not usable and is forgotten",
    };
    tracing::info!(secret, "{what}");
}
