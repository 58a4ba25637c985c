//! The leader's part: walks the Plan from state to state, signals the next node, and cordons and uncordons nodes.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, bail};
use futures::StreamExt as _;
use kube::{
    Api, Client, ResourceExt as _,
    api::{DynamicObject, ListParams, Patch, PatchParams},
    core::GroupVersionKind,
    runtime::{WatchStreamExt as _, watcher},
};
use serde_json::json;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::{
    drain,
    plan::{
        Cluster, CommandStatus, K0sUpdate, PlanSpec, PlanState, PlanStatus, Progress, Role, Target,
        TargetState,
    },
    signal::{Phase, Signal, Update},
    signal_node::SignalKind,
};
use crate::{api, net};

/// The only Plan that is carried out.
const PLAN: &str = "autopilot";
/// k0s looks again after this while nothing can go on.
const REQUEUE: Duration = Duration::from_secs(5);
const PROBE_TIMEOUT: Duration = Duration::from_secs(60);
const RETRY: Duration = Duration::from_secs(1);

/// Autopilot as its leader runs it.
pub struct Leader {
    pub client: Client,
    pub leading: watch::Receiver<bool>,
    /// Whose credentials ask API servers whether they are ready.
    pub kubeconfig: PathBuf,
    /// Port of every API server.
    pub port: u16,
}

/// What became of a look at the Plan.
enum Outcome {
    Done,
    Retry,
}

/// Whether a node may be signalled now.
enum Readiness {
    Ready,
    NotReady,
    /// It will never be: somebody has to look.
    Incomplete,
}

impl Leader {
    /// Leads whenever it holds the lease, until it is dropped.
    pub async fn run(self) {
        let mut leading = self.leading.clone();
        while leading.wait_for(|leads| *leads).await.is_ok() {
            let lost = async {
                // An error means that the lease is gone for good, and with it this task.
                let _ = leading.wait_for(|leads| !*leads).await;
            };
            tokio::select! {
                () = lost => {}
                _ = async {
                    tokio::join!(
                        self.follow_plan(),
                        self.cordon(SignalKind::ControlNode),
                        self.cordon(SignalKind::Node),
                    )
                } => {}
            }
        }
    }

    async fn follow_plan(&self) {
        let config = watcher::Config::default().fields(&format!("metadata.name={PLAN}"));
        let mut events = watcher(self.plans(), config)
            .default_backoff()
            .applied_objects()
            .boxed();
        let mut again = false;
        loop {
            tokio::select! {
                () = sleep(REQUEUE), if again => {}
                event = events.next() => match event {
                    Some(Ok(_)) => {}
                    Some(Err(_)) => continue,
                    None => return,
                },
            }
            again = match self.look().await {
                Ok(Outcome::Retry) => true,
                Ok(Outcome::Done) => false,
                Err(error) => {
                    tracing::error!("autopilot: unable to process the plan: {error:#}");
                    false
                }
            };
        }
    }

    async fn look(&self) -> Result<Outcome> {
        let Some(plan) = self.plans().get_opt(PLAN).await? else {
            return Ok(Outcome::Done);
        };
        let part = |name: &str| plan.data.get(name).cloned().unwrap_or_default();
        let spec: PlanSpec = serde_json::from_value(part("spec")).context("spec")?;
        // A Plan that nobody has looked at has no status, and neither have fields that a user wrote there.
        let status: Option<PlanStatus> = serde_json::from_value(part("status")).unwrap_or_default();
        let next = match status {
            None => self.begin(&spec).await?,
            Some(status) if matches!(status.state, PlanState::Schedulable | PlanState::SchedulableWait) => {
                match self.go_on(&spec, status).await? {
                    Some(status) => status,
                    None => return Ok(Outcome::Retry),
                }
            }
            Some(_) => return Ok(Outcome::Done),
        };
        tracing::info!(state = ?next.state, "autopilot: plan");
        let patch = json!({
            "metadata": {"resourceVersion": plan.resource_version()},
            "status": next,
        });
        match self
            .plans()
            .patch_status(PLAN, &PatchParams::default(), &Patch::Merge(&patch))
            .await
        {
            Err(kube::Error::Api(status)) if status.is_conflict() => Ok(Outcome::Retry),
            result => result.map(|_| Outcome::Done).context("the plan's status"),
        }
    }

    async fn begin(&self, spec: &PlanSpec) -> Result<PlanStatus> {
        let mut status = PlanStatus {
            state: PlanState::SchedulableWait,
            commands: Vec::new(),
        };
        let cluster = self.cluster().await?;
        for (id, command) in spec.commands.iter().enumerate() {
            let Some(update) = &command.k0supdate else {
                bail!("a command that this stand-in for k0s does not play");
            };
            let controllers = self
                .discover(SignalKind::ControlNode, &update.targets.controllers)
                .await;
            let workers = self.discover(SignalKind::Node, &update.targets.workers).await;
            let (state, k0supdate) = update.begin(controllers, workers, &cluster);
            status.commands.push(CommandStatus {
                id,
                state: PlanState::SchedulableWait,
                k0supdate,
            });
            if state != PlanState::SchedulableWait {
                status.state = state;
                break;
            }
        }
        Ok(status)
    }

    /// The first command that is not complete goes on; `None` when there is nothing to do but to look again later.
    async fn go_on(&self, spec: &PlanSpec, mut status: PlanStatus) -> Result<Option<PlanStatus>> {
        let commands = spec.commands.iter().zip(&mut status.commands).enumerate();
        for (id, (command, progress)) in commands {
            let Some(update) = &command.k0supdate else {
                bail!("a command that this stand-in for k0s does not play");
            };
            if progress.state == PlanState::Completed {
                continue;
            }
            let next = if status.state == PlanState::Schedulable {
                self.signal_next(&spec.id, id, update, &mut progress.k0supdate)
                    .await?
            } else {
                update.wait(&spec.id, &mut progress.k0supdate, &self.cluster().await?)
            };
            let Some(next) = next else { return Ok(None) };
            progress.state = next;
            // The Plan is complete one look later, when no command is left.
            if next != PlanState::Completed {
                status.state = next;
            }
            return Ok(Some(status));
        }
        status.state = PlanState::Completed;
        Ok(Some(status))
    }

    async fn signal_next(
        &self,
        plan_id: &str,
        command: usize,
        update: &K0sUpdate,
        progress: &mut Progress,
    ) -> Result<Option<PlanState>> {
        let Some((role, name)) = progress.next() else {
            return Ok(Some(PlanState::Completed));
        };
        let kind = match role {
            Role::Controller => SignalKind::ControlNode,
            Role::Worker => SignalKind::Node,
        };
        let Some(object) = kind.api(&self.client).get_opt(&name).await? else {
            return Ok(Some(PlanState::IncompleteTargets));
        };
        let node = kind.parse(&object);
        let readiness = match role {
            Role::Controller => self.controllers_ready(progress).await,
            Role::Worker if node.ready => Readiness::Ready,
            Role::Worker => Readiness::NotReady,
        };
        match readiness {
            Readiness::Ready => {}
            Readiness::NotReady => return Ok(None),
            Readiness::Incomplete => return Ok(Some(PlanState::IncompleteTargets)),
        }
        let resource = node.platform.and_then(|platform| update.platforms.get(&platform));
        let Some(resource) = resource else {
            progress.set(&name, TargetState::MissingPlatform);
            return Ok(Some(PlanState::IncompleteTargets));
        };
        if !is_url(&resource.url) {
            tracing::warn!("autopilot: {:?} is no URL", resource.url);
            return Ok(Some(PlanState::IncompleteTargets));
        }
        let content = Update {
            url: resource.url.clone(),
            version: update.version.clone(),
            sha256: resource.sha256.clone(),
            forceupdate: update.forceupdate,
        };
        tracing::info!(node = name, "autopilot: sending signaling");
        let signal = Signal::new(plan_id, command, content);
        match kind
            .write(&self.client, &name, node.resource_version.as_deref(), &signal)
            .await
        {
            Ok(()) => {}
            Err(kube::Error::Api(status)) if status.is_conflict() => return Ok(None),
            Err(error) => return Err(error).context("unable to update signalnode with signaling"),
        }
        progress.set(&name, TargetState::Sent);
        Ok(Some(PlanState::SchedulableWait))
    }

    /// Every controller of the Plan must be ready before one of them goes.
    async fn controllers_ready(&self, progress: &Progress) -> Readiness {
        let probes = progress.controllers.iter().map(|target| self.probe(&target.name));
        let mut readiness = Readiness::Ready;
        for result in futures::future::join_all(probes).await {
            match result {
                Ok(true) => {}
                Ok(false) => return Readiness::Incomplete,
                Err(error) => {
                    tracing::warn!("autopilot: not all controllers are ready: {error:#}");
                    readiness = Readiness::NotReady;
                }
            }
        }
        readiness
    }

    /// `Ok(false)` when there is no such ControlNode.
    async fn probe(&self, name: &str) -> Result<bool> {
        let Some(object) = SignalKind::ControlNode.api(&self.client).get_opt(name).await? else {
            return Ok(false);
        };
        let address = SignalKind::ControlNode.parse(&object).internal_address;
        let address = address.context("no internal IP address found for ControlNode")?;
        let server = format!("https://{}", net::host_port(&address, self.port));
        let client = api::client_at(&self.kubeconfig, &server).await?;
        let request = http::Request::get("/readyz?verbose").body(Vec::new())?;
        timeout(PROBE_TIMEOUT, client.request_text(request))
            .await?
            .with_context(|| format!("while probing {name}"))?;
        Ok(true)
    }

    /// Takes pods off the nodes that wait for it, and lets them come back after the update.
    async fn cordon(&self, kind: SignalKind) {
        let mut events = watcher(kind.api(&self.client), watcher::Config::default())
            .default_backoff()
            .applied_objects()
            .boxed();
        while let Some(event) = events.next().await {
            let Ok(object) = event else { continue };
            while let Err(error) = self.cordon_one(kind, &object.name_any()).await {
                tracing::warn!(node = object.name_any(), "autopilot: {error:#}");
                sleep(RETRY).await;
            }
        }
    }

    async fn cordon_one(&self, kind: SignalKind, name: &str) -> Result<()> {
        let Some(object) = kind.api(&self.client).get_opt(name).await? else {
            return Ok(());
        };
        let node = kind.parse(&object);
        let Some(signal) = node.signal.filter(|signal| signal.command.k0supdate.is_some()) else {
            return Ok(());
        };
        let next = match signal.phase() {
            Some(Phase::Cordoning) => {
                if let Some(node) = &node.node_name {
                    drain::cordon_and_drain(&self.client, node).await?;
                }
                Phase::ApplyingUpdate
            }
            Some(Phase::UnCordoning) => {
                if let Some(node) = &node.node_name {
                    drain::uncordon(&self.client, node).await?;
                }
                Phase::Completed
            }
            _ => return Ok(()),
        };
        // Cordoning has changed a Node, so that its version is another one by now.
        let version = match kind {
            SignalKind::ControlNode => node.resource_version,
            SignalKind::Node => None,
        };
        kind.write(&self.client, name, version.as_deref(), &signal.at(next))
            .await?;
        Ok(())
    }

    /// Names of the nodes that a target means.
    async fn discover(&self, kind: SignalKind, target: &Target) -> Vec<String> {
        if let Some(fixed) = &target.discovery.fixed {
            return fixed.nodes.clone();
        }
        let Some(selector) = &target.discovery.selector else {
            return Vec::new();
        };
        let parameters = ListParams::default()
            .labels(&selector.labels)
            .fields(&selector.fields);
        // As with k0s, a selector that cannot be used selects nothing.
        let found = kind.list(&self.client, &parameters).await.unwrap_or_default();
        found.into_keys().collect()
    }

    async fn cluster(&self) -> Result<Cluster> {
        let everything = ListParams::default();
        Ok(Cluster {
            control_nodes: SignalKind::ControlNode.list(&self.client, &everything).await?,
            nodes: SignalKind::Node.list(&self.client, &everything).await?,
        })
    }

    fn plans(&self) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("autopilot.k0sproject.io", "v1beta2", "Plan");
        api::dynamic(&self.client, &kind, None)
    }
}

fn is_url(text: &str) -> bool {
    text.parse::<http::Uri>()
        .is_ok_and(|uri| uri.scheme().is_some() && uri.host().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_scheme_and_a_host() {
        assert!(is_url("http://10.88.40.1:8080/k0s"));
        assert!(!is_url("k0s") && !is_url("/k0s") && !is_url(""));
    }
}
