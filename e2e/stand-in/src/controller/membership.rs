//! The EtcdMember objects: this controller's own, and, for the holder of the leader lease, promotion of learners
//! and the leaving of members that were asked to go. The order and the waits are those of k0s v1.36.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result};
use futures::StreamExt as _;
use jiff::Timestamp;
use kube::{
    Api, Client, ResourceExt as _,
    api::{DynamicObject, ListParams, Patch, PatchParams, PostParams},
    core::GroupVersionKind,
    runtime::{WatchStreamExt as _, watcher},
};
use rand::seq::IteratorRandom as _;
use serde_json::{Value, json};
use tokio::{
    sync::{Notify, watch},
    time::{sleep, timeout},
};

use super::{
    etcd_client::{EtcdClient, Member, Promotion},
    leases::{self, Yield},
    objects,
};
use crate::api;

const LEASE_LABEL: &str = "k0s.k0sproject.io/controller-lease";
const SHUTDOWN_ON_LEAVE_LABEL: &str = "k0s.k0sproject.io/shutdown-on-leave";
const SHUTDOWN_LABEL: &str = "k0s.k0sproject.io/shutdown";
/// etcd may be slow while its leader changes.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a member that is offline may still leave by itself.
const SELF_LEAVE: i64 = 5 * 60;

/// How this controller is told to leave: the flag says that etcd leaves first.
#[derive(Clone, Default)]
pub struct Departure {
    pub leave_etcd: Arc<AtomicBool>,
    pub shutdown: Arc<Notify>,
}

/// What this controller's part in the membership needs to know.
#[derive(Clone)]
pub struct Membership {
    pub client: Client,
    pub etcd: EtcdClient,
    pub member_name: String,
    pub peer_address: String,
    pub lease_name: String,
    pub invocation: String,
    pub leading: watch::Receiver<bool>,
    pub leader_lease: Yield,
    pub departure: Departure,
}

/// Outcome of one look at a member.
enum Next {
    Nothing,
    Status {
        reconcile: &'static str,
        message: String,
    },
    Gone {
        message: &'static str,
    },
}

impl Membership {
    /// Creates or refreshes this controller's own object. etcd must be ready, which means that it is a voter.
    pub async fn publish(&self) -> Result<()> {
        objects::wait_established(&self.client, "etcdmembers.etcd.k0sproject.io").await?;
        let mut last = anyhow::anyhow!("not tried");
        for _ in 0..5 {
            match self.try_publish().await {
                Ok(()) => return Ok(()),
                Err(error) => {
                    tracing::warn!("EtcdMember {} is not published: {error:#}", self.member_name);
                    last = error;
                }
            }
            sleep(Duration::from_secs(3)).await;
        }
        Err(last).context("failed to create EtcdMember object for this controller")
    }

    async fn try_publish(&self) -> Result<()> {
        let id = format!("{:x}", self.etcd.member_id().await?);
        let api = self.api();
        if api.get_opt(&self.member_name).await?.is_none() {
            let object = json!({
                "apiVersion": "etcd.k0sproject.io/v1beta1",
                "kind": "EtcdMember",
                "metadata": {"name": self.member_name},
                "spec": {},
            });
            api.create(&PostParams::default(), &serde_json::from_value(object)?)
                .await?;
        }
        let patch = json!({
            "metadata": {"labels": {
                LEASE_LABEL: self.lease_name,
                SHUTDOWN_ON_LEAVE_LABEL: self.invocation,
                // A request of an earlier life does not count.
                SHUTDOWN_LABEL: null,
            }},
            // As with k0s, staying is the absence of the field.
            "spec": {"leave": null},
        });
        api.patch(&self.member_name, &PatchParams::default(), &Patch::Merge(&patch))
            .await?;
        let status = json!({"status": {
            "peerAddress": self.peer_address,
            "memberID": id,
            "conditions": [joined("True", "Member joined")],
        }});
        api.patch_status(&self.member_name, &PatchParams::default(), &Patch::Merge(&status))
            .await?;
        Ok(())
    }

    /// Reconciles for ever: all members while this controller leads, its own departure otherwise.
    pub async fn run(mut self) {
        let mut leading = self.leading.clone();
        loop {
            let leads = *leading.borrow_and_update();
            let round = async {
                if leads {
                    self.lead().await;
                } else {
                    self.await_departure().await;
                }
                // Both end only on an error; k0s tries again after half a minute.
                sleep(Duration::from_secs(30)).await;
            };
            tokio::select! {
                () = round => {}
                changed = leading.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
            }
            self.leading = leading.clone();
        }
    }

    async fn lead(&self) {
        let mut events = watcher(self.api(), watcher::Config::default())
            .default_backoff()
            .touched_objects()
            .boxed();
        loop {
            if let Err(error) = self.resync().await {
                tracing::error!("failed to reconcile etcd members: {error:#}");
            }
            tokio::select! {
                () = sleep(Duration::from_secs(10)) => {}
                event = events.next() => {
                    if event.is_none() {
                        return;
                    }
                }
            }
        }
    }

    async fn resync(&self) -> Result<()> {
        let objects = self.api().list(&ListParams::default()).await?;
        let members = match timeout(PATIENCE, self.etcd.members()).await {
            Ok(Ok(members)) => members,
            failed => {
                let error = failed.map_or_else(anyhow::Error::from, |answer| match answer {
                    Err(error) => error,
                    Ok(_) => anyhow::anyhow!("no answer"),
                });
                for object in &objects {
                    let next = Next::Status {
                        reconcile: "Failed",
                        message: format!("Failed to list etcd cluster members: {error:#}"),
                    };
                    self.record(object, next).await?;
                }
                return Err(error).context("failed to list etcd cluster members");
            }
        };
        for object in objects {
            let next = match self.reconcile(&object, &members).await {
                Ok(next) => next,
                Err(error) => Next::Status {
                    reconcile: "Failed",
                    message: format!("{error:#}"),
                },
            };
            self.record(&object, next).await?;
        }
        self.promote().await
    }

    async fn reconcile(&self, object: &DynamicObject, members: &[Member]) -> Result<Next> {
        let text = |path: &str| {
            object
                .data
                .pointer(path)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let id = u64::from_str_radix(text("/status/memberID"), 16).context("Failed to parse memberID")?;
        if !members.iter().any(|member| member.id == id) {
            return Ok(if joined_status(object) == "False" {
                Next::Nothing
            } else {
                Next::Gone {
                    message: "No such member ID",
                }
            });
        }
        if object.data.pointer("/spec/leave") != Some(&Value::Bool(true)) {
            return Ok(Next::Nothing);
        }
        let waiting = |message: &str| Next::Status {
            reconcile: "",
            message: message.to_owned(),
        };
        if text("/status/peerAddress") == self.peer_address {
            if leases::count_controllers(&self.client).await? < 2 {
                return Ok(waiting(
                    "The only active controller cannot leave the etcd cluster; either bring another controller \
                     online or clear spec.leave",
                ));
            }
            self.leader_lease.step_back().await;
            return Ok(waiting("Waiting for another controller to take over"));
        }
        if let Some(next) = self.await_shutdown(object).await? {
            return Ok(next);
        }
        self.remove(id)
            .await
            .context("Failed to delete member from cluster")?;
        Ok(Next::Gone {
            message: "Member removed from cluster",
        })
    }

    /// Asks a live member's controller to shut down and waits for it; `None` when the member may be removed.
    async fn await_shutdown(&self, object: &DynamicObject) -> Result<Option<Next>> {
        let label = |name: &str| object.labels().get(name).map(String::as_str).unwrap_or_default();
        let invocation = label(SHUTDOWN_ON_LEAVE_LABEL);
        if invocation.is_empty() {
            return Ok(None);
        }
        let waiting = |message: &str| {
            Some(Next::Status {
                reconcile: "",
                message: message.to_owned(),
            })
        };
        let lease_name = match label(LEASE_LABEL) {
            "" => format!("k0s-ctrl-{}", object.name_any()),
            name => name.to_owned(),
        };
        let lease = match leases::get(&self.client, &lease_name).await {
            Ok(Some(lease)) => lease,
            Ok(None) => return Ok(waiting("No k0s controller lease found")),
            Err(error) => return Ok(waiting(&format!("Failed to get k0s controller lease: {error:#}"))),
        };
        let spec = lease.spec.clone().unwrap_or_default();
        if leases::is_valid(&lease) {
            if spec.holder_identity.as_deref() != Some(invocation) {
                return Ok(waiting("Unexpected lease holder"));
            }
            if label(SHUTDOWN_LABEL) != invocation {
                let patch = json!({"metadata": {"labels": {SHUTDOWN_LABEL: invocation}}});
                self.api()
                    .patch(&object.name_any(), &PatchParams::default(), &Patch::Merge(&patch))
                    .await?;
                return Ok(Some(Next::Nothing));
            }
            return Ok(waiting("Member is still active; waiting for it to shutdown"));
        }
        let recently = spec
            .renew_time
            .is_some_and(|renewed| Timestamp::now().duration_since(renewed.0).as_secs() < SELF_LEAVE);
        Ok(if recently {
            waiting("Member is offline; waiting for it to leave")
        } else {
            None
        })
    }

    async fn remove(&self, id: u64) -> Result<()> {
        let mut attempt = 1;
        loop {
            match self.etcd.remove(id).await {
                Ok(()) => return Ok(()),
                Err(error) => {
                    let text = error.to_string();
                    let passing = text.contains("unhealthy cluster") || text.contains("leader changed");
                    if !passing || attempt == 5 {
                        return Err(error);
                    }
                }
            }
            attempt += 1;
            sleep(Duration::from_secs(5)).await;
        }
    }

    /// Makes at most one learner a voter, any of them, so that one which is stuck does not hold the others up. One
    /// that has not started yet has no name and is passed over.
    async fn promote(&self) -> Result<()> {
        let members = timeout(PATIENCE, self.etcd.members()).await??;
        let learner = members
            .iter()
            .filter(|member| member.is_learner && !member.name.is_empty())
            .choose(&mut rand::rng());
        let Some(learner) = learner else {
            return Ok(());
        };
        match self.etcd.promote(learner.id).await? {
            Promotion::NotReady => tracing::debug!(member = learner.name, "not ready to be promoted"),
            Promotion::Promoted | Promotion::AlreadyVoter => {
                tracing::info!(member = learner.name, "promoted to voting member");
                if let Some(object) = self.api().get_opt(&learner.name).await?
                    && joined_status(&object) != "True"
                {
                    let status = json!({"status": {"conditions": [joined("True", "Member joined")]}});
                    let parameters = PatchParams::default();
                    self.api()
                        .patch_status(&learner.name, &parameters, &Patch::Merge(&status))
                        .await?;
                }
            }
        }
        Ok(())
    }

    /// Writes what a look has found, unless the object says so already.
    async fn record(&self, object: &DynamicObject, next: Next) -> Result<()> {
        let text = |path: &str| {
            object
                .data
                .pointer(path)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let status = match next {
            Next::Nothing => return Ok(()),
            Next::Status { reconcile, message } => {
                if text("/status/message") == message && text("/status/reconcileStatus") == reconcile {
                    return Ok(());
                }
                let reconcile = Some(reconcile).filter(|status| !status.is_empty());
                json!({"reconcileStatus": reconcile, "message": message})
            }
            Next::Gone { message } => json!({
                "reconcileStatus": "Success",
                "message": message,
                "conditions": [joined("False", message)],
            }),
        };
        let patch = json!({"status": status});
        self.api()
            .patch_status(&object.name_any(), &PatchParams::default(), &Patch::Merge(&patch))
            .await?;
        Ok(())
    }

    /// Waits for the leader's request, by a label that carries this very run's id, to shut down.
    async fn await_departure(&self) {
        let config = watcher::Config::default()
            .fields(&format!("metadata.name={}", self.member_name))
            .labels(&format!("{SHUTDOWN_LABEL}={}", self.invocation));
        let mut events = watcher(self.api(), config)
            .default_backoff()
            .applied_objects()
            .boxed();
        while let Some(event) = events.next().await {
            let Ok(object) = event else { continue };
            let leave = object.data.pointer("/spec/leave") == Some(&Value::Bool(true));
            tracing::info!(
                leave,
                "marked for shutdown; stopping components and waiting for external termination"
            );
            self.departure.leave_etcd.store(leave, Ordering::SeqCst);
            self.departure.shutdown.notify_one();
            return;
        }
    }

    fn api(&self) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("etcd.k0sproject.io", "v1beta1", "EtcdMember");
        api::dynamic(&self.client, &kind, None)
    }
}

fn joined(status: &str, message: &str) -> Value {
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    json!({"type": "Joined", "status": status, "message": message, "lastTransitionTime": now})
}

fn joined_status(object: &DynamicObject) -> &str {
    object
        .data
        .pointer("/status/conditions")
        .and_then(Value::as_array)
        .and_then(|all| {
            all.iter()
                .find(|one| one.get("type").is_some_and(|kind| kind == "Joined"))
        })
        .and_then(|one| one.get("status")?.as_str())
        .unwrap_or_default()
}
