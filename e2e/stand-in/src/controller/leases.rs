//! The leases that say which controllers are alive and which of them leads, with k0s' times: held for 60 seconds,
//! renewed every 5, given up when they could not be renewed for 15, released at the stop.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Result;
use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{Api, Client, api::ObjectMeta, api::PostParams};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep},
};

use crate::api;

/// Namespace of the controllers' own leases and of the one for their leader.
pub const NAMESPACE: &str = "kube-node-lease";
const DURATION_SECONDS: i32 = 60;
const RENEW_DEADLINE: Duration = Duration::from_secs(15);
const RETRY_PERIOD: Duration = Duration::from_secs(5);
/// For this long a holder that yields does not try again.
const YIELD: Duration = Duration::from_secs(30);

/// A lease that is being held or tried for.
pub struct HeldLease {
    leading: watch::Receiver<bool>,
    commands: mpsc::Sender<Command>,
    /// Of a controller that leads without a lease.
    _always: Option<watch::Sender<bool>>,
}

/// Which lease, and what it says.
pub struct LeaseSettings {
    pub namespace: &'static str,
    pub name: String,
    /// Who holds it; the id of one run of k0s.
    pub identity: String,
    pub labels: BTreeMap<String, String>,
}

/// Lets somebody else ask a lease holder to step back.
#[derive(Clone)]
pub struct Yield(mpsc::Sender<Command>);

enum Command {
    Yield,
    Release(oneshot::Sender<()>),
}

impl HeldLease {
    /// Starts trying for the lease at once.
    pub fn start(client: &Client, settings: LeaseSettings) -> Self {
        let (leading_sender, leading) = watch::channel(false);
        let (commands, received) = mpsc::channel(4);
        let elector = Elector {
            api: Api::namespaced(client.clone(), settings.namespace),
            settings,
        };
        tokio::spawn(elector.run(leading_sender, received));
        Self {
            leading,
            commands,
            _always: None,
        }
    }

    /// The leadership of a controller that can have no peer: always its own, and no lease says so.
    pub fn off() -> Self {
        let (always, leading) = watch::channel(true);
        let (commands, _) = mpsc::channel(1);
        Self {
            leading,
            commands,
            _always: Some(always),
        }
    }

    /// Whether this process holds the lease, now and from now on.
    pub fn leading(&self) -> watch::Receiver<bool> {
        self.leading.clone()
    }

    pub fn yielder(&self) -> Yield {
        Yield(self.commands.clone())
    }

    /// Gives the lease up, so that another can take it at once.
    pub async fn release(self) {
        let (done, finished) = oneshot::channel();
        if self.commands.send(Command::Release(done)).await.is_ok() {
            let _ = tokio::time::timeout(Duration::from_secs(5), finished).await;
        }
    }
}

impl Yield {
    /// Gives the lease up and stays away from it for half a minute.
    pub async fn step_back(&self) {
        let _ = self.0.send(Command::Yield).await;
    }
}

/// Whether the lease's last renewal still counts.
pub fn is_valid(lease: &Lease) -> bool {
    let Some(spec) = &lease.spec else { return false };
    let (Some(renewed), Some(seconds)) = (&spec.renew_time, spec.lease_duration_seconds) else {
        return false;
    };
    Timestamp::now().duration_since(renewed.0).as_secs() < i64::from(seconds)
}

/// How many controllers hold a lease of their own.
pub async fn count_controllers(client: &Client) -> Result<usize> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), NAMESPACE);
    let active = |lease: &&Lease| {
        let named = lease
            .metadata
            .name
            .as_deref()
            .is_some_and(|name| name.starts_with("k0s-ctrl-"));
        let holder = lease
            .spec
            .as_ref()
            .and_then(|spec| spec.holder_identity.as_deref());
        named && holder.is_some_and(|holder| !holder.is_empty()) && is_valid(lease)
    };
    Ok(leases
        .list(&kube::api::ListParams::default())
        .await?
        .iter()
        .filter(active)
        .count())
}

/// The lease of a controller, by name.
pub async fn get(client: &Client, name: &str) -> Result<Option<Lease>> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), NAMESPACE);
    Ok(leases.get_opt(name).await?)
}

struct Elector {
    api: Api<Lease>,
    settings: LeaseSettings,
}

impl Elector {
    async fn run(self, leading: watch::Sender<bool>, mut commands: mpsc::Receiver<Command>) {
        let mut renewed = Instant::now();
        let mut ever_answered = false;
        loop {
            let pause = match self.acquire_or_renew().await {
                Ok(held) => {
                    (renewed, ever_answered) = (Instant::now(), true);
                    leading.send_if_modified(|now| std::mem::replace(now, held) != held);
                    RETRY_PERIOD
                }
                Err(error) => {
                    tracing::debug!(lease = self.settings.name, "cannot be renewed: {error:#}");
                    if renewed.elapsed() > RENEW_DEADLINE {
                        leading.send_if_modified(|now| std::mem::replace(now, false));
                    }
                    // The namespace of a new cluster takes a moment to exist.
                    if ever_answered {
                        RETRY_PERIOD
                    } else {
                        Duration::from_millis(200)
                    }
                }
            };
            let command = tokio::select! {
                () = sleep(pause) => continue,
                command = commands.recv() => command,
            };
            leading.send_if_modified(|now| std::mem::replace(now, false));
            self.release().await;
            match command {
                Some(Command::Yield) => {
                    tracing::info!(lease = self.settings.name, "yielding");
                    let until = Instant::now() + YIELD;
                    tokio::select! {
                        () = tokio::time::sleep_until(until) => {}
                        command = commands.recv() => {
                            if let Some(Command::Release(done)) = command {
                                let _ = done.send(());
                                return;
                            }
                        }
                    }
                }
                Some(Command::Release(done)) => {
                    let _ = done.send(());
                    return;
                }
                None => return,
            }
        }
    }

    /// `Ok(true)` when the lease is ours afterwards.
    async fn acquire_or_renew(&self) -> Result<bool, kube::Error> {
        let now = MicroTime(Timestamp::now());
        let Some(mut lease) = self.api.get_opt(&self.settings.name).await? else {
            let spec = LeaseSpec {
                lease_transitions: Some(0),
                acquire_time: Some(now),
                ..self.claim()
            };
            let metadata = ObjectMeta {
                name: Some(self.settings.name.clone()),
                labels: Some(self.settings.labels.clone()),
                ..ObjectMeta::default()
            };
            self.api
                .create(
                    &PostParams::default(),
                    &Lease {
                        metadata,
                        spec: Some(spec),
                    },
                )
                .await?;
            return Ok(true);
        };
        let old = lease.spec.clone().unwrap_or_default();
        let holder = old.holder_identity.as_deref().unwrap_or_default();
        let ours = holder == self.settings.identity;
        if !ours && !holder.is_empty() && is_valid(&lease) {
            return Ok(false);
        }
        let (acquire_time, transitions) = if ours {
            (old.acquire_time, old.lease_transitions)
        } else {
            (Some(now), Some(old.lease_transitions.unwrap_or_default() + 1))
        };
        let labels = lease.metadata.labels.get_or_insert_default();
        labels.extend(self.settings.labels.clone());
        lease.spec = Some(LeaseSpec {
            acquire_time,
            lease_transitions: transitions,
            ..self.claim()
        });
        match self
            .api
            .replace(&self.settings.name, &PostParams::default(), &lease)
            .await
        {
            Ok(_) => Ok(true),
            Err(error) if is_conflict(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn claim(&self) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(self.settings.identity.clone()),
            lease_duration_seconds: Some(DURATION_SECONDS),
            renew_time: Some(MicroTime(Timestamp::now())),
            ..LeaseSpec::default()
        }
    }

    async fn release(&self) {
        let free = async {
            let mut lease = self.api.get(&self.settings.name).await?;
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_deref() != Some(&self.settings.identity) {
                return Ok(());
            }
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
            spec.renew_time = Some(MicroTime(Timestamp::now()));
            self.api
                .replace(&self.settings.name, &PostParams::default(), &lease)
                .await
                .map(drop)
        };
        match tokio::time::timeout(Duration::from_secs(4), free).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) if api::is_not_found(&error) => {}
            Ok(Err(error)) => tracing::warn!(lease = self.settings.name, "cannot be released: {error}"),
            Err(_) => tracing::warn!(lease = self.settings.name, "cannot be released in time"),
        }
    }
}

fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_conflict())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_counts_until_its_duration_is_over() {
        let lease = |age: i64, seconds: i32| Lease {
            spec: Some(LeaseSpec {
                lease_duration_seconds: Some(seconds),
                renew_time: Some(MicroTime(Timestamp::now() - jiff::SignedDuration::from_secs(age))),
                ..LeaseSpec::default()
            }),
            ..Lease::default()
        };
        assert!(is_valid(&lease(59, 60)));
        assert!(!is_valid(&lease(61, 60)));
        assert!(!is_valid(&Lease::default()));
    }
}
