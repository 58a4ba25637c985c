//! A workload cluster on a testbed: made, followed until its nodes are Ready, deleted.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result, ensure};
use k0smotron_api::{
    capi::{Cluster, Machine},
    control_plane::v1beta2::{K0sControlPlane, K0smotronControlPlane},
    infrastructure::v1beta2::RemoteMachine,
};
use k0smotron_e2e_plane::manifests;
use k8s_openapi::{
    api::core::v1::{Node, Secret},
    apimachinery::pkg::apis::meta::v1::Condition,
};
use kube::{
    Api, Client, Config, ResourceExt,
    api::{DeleteParams, ListParams},
    config::Kubeconfig,
};

use crate::{
    progress::{seconds, until},
    testbed::Testbed,
};

/// Longest that a cluster may take to come up or to go; far beyond what it takes, so that only a hang meets it.
const LIMIT: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(100);

/// When what was first seen, counted from the apply.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timeline {
    pub api_answers: Duration,
    pub initialized: Duration,
    pub node_ready: Duration,
}

/// A workload cluster of the testbed.
pub struct WorkloadCluster<'a> {
    pub name: String,
    pub namespace: String,
    /// Seconds since the epoch.
    pub begun: u64,
    client: Client,
    control_plane: ControlPlane,
    /// Where to look when something does not come up.
    logs: &'a Path,
}

/// What kind of object the Cluster's control plane is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlPlane {
    /// K0sControlPlane
    Machines,
    /// K0smotronControlPlane
    Pods,
}

impl<'a> WorkloadCluster<'a> {
    /// # Errors
    /// When there is no client for the management plane.
    pub fn new(testbed: &'a Testbed, name: &str) -> Result<Self> {
        let client = testbed.plane.client()?;
        Self::on(client, testbed.plane.directory(), ControlPlane::Machines, name)
    }

    /// A cluster on any management cluster; `logs` says where to look when something does not come up.
    ///
    /// # Errors
    /// When the clock stands before 1970.
    pub fn on(client: Client, logs: &'a Path, control_plane: ControlPlane, name: &str) -> Result<Self> {
        Ok(Self {
            name: name.to_owned(),
            namespace: "default".to_owned(),
            begun: SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)?
                .as_secs(),
            client,
            control_plane,
            logs,
        })
    }

    /// Applies the manifests and waits until `workers` worker nodes are Ready. `tell` is given one line for every change of
    /// a Machine.
    ///
    /// # Errors
    /// When an object is refused, or the nodes are not Ready within minutes (with what the Machines say).
    pub async fn create(&self, manifests: &str, workers: usize, tell: impl Fn(&str)) -> Result<Timeline> {
        let begun = Instant::now();
        manifests::apply(&self.client, manifests, &self.namespace).await?;
        let follow = self.follow_machines(begun, &tell);
        let timeline = tokio::select! {
            timeline = self.milestones(begun, workers) => timeline,
            result = follow => result.and_then(|()| unreachable()),
        };
        match timeline {
            Ok(timeline) => Ok(timeline),
            Err(error) => Err(error.context(self.report().await)),
        }
    }

    async fn milestones(&self, begun: Instant, workers: usize) -> Result<Timeline> {
        let kubeconfig = until("kubeconfig Secret", LIMIT, POLL, || self.kubeconfig()).await?;
        let workload = client(&kubeconfig).await?;
        until("API server of the cluster", LIMIT, POLL, || async {
            Ok(workload.apiserver_version().await.ok())
        })
        .await?;
        let api_answers = begun.elapsed();
        until("control plane initialized", LIMIT, POLL, || async {
            Ok(self.is_initialized().await?.then_some(()))
        })
        .await?;
        let initialized = begun.elapsed();
        let nodes: Api<Node> = Api::all(workload);
        until("worker nodes Ready", LIMIT, POLL, || async {
            let ready = nodes
                .list(&ListParams::default())
                .await?
                .iter()
                .filter(|node| is_ready(node))
                .count();
            Ok((ready >= workers).then_some(()))
        })
        .await?;
        Ok(Timeline {
            api_answers,
            initialized,
            node_ready: begun.elapsed(),
        })
    }

    async fn is_initialized(&self) -> Result<bool> {
        let (client, of_cluster) = (self.client.clone(), self.of_cluster());
        let initializations: Vec<_> = match self.control_plane {
            ControlPlane::Machines => {
                let planes: Api<K0sControlPlane> = Api::namespaced(client, &self.namespace);
                let found = planes.list(&of_cluster).await?.items;
                found
                    .into_iter()
                    .filter_map(|plane| plane.status?.initialization)
                    .collect()
            }
            ControlPlane::Pods => {
                let planes: Api<K0smotronControlPlane> = Api::namespaced(client, &self.namespace);
                let found = planes.list(&of_cluster).await?.items;
                found
                    .into_iter()
                    .filter_map(|plane| plane.status?.initialization)
                    .collect()
            }
        };
        Ok(initializations
            .iter()
            .any(|initialization| initialization.control_plane_initialized == Some(true)))
    }

    /// Says every change of a Machine's phase or of what it waits for, until dropped.
    async fn follow_machines(&self, begun: Instant, tell: &impl Fn(&str)) -> Result<()> {
        let machines: Api<Machine> = Api::namespaced(self.client.clone(), &self.namespace);
        let mut said = BTreeMap::new();
        loop {
            for machine in machines.list(&self.of_cluster()).await? {
                let text = describe(&machine);
                if said.insert(machine.name_any(), text.clone()).as_ref() != Some(&text) {
                    tell(&format!(
                        "{:>7}  {} {text}",
                        seconds(begun.elapsed()),
                        machine.name_any()
                    ));
                }
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// The kubeconfig that users get, once it is there.
    ///
    /// # Errors
    /// When the API server does not answer or the Secret holds no text.
    pub async fn kubeconfig(&self) -> Result<Option<String>> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let Some(secret) = secrets.get_opt(&format!("{}-kubeconfig", self.name)).await? else {
            return Ok(None);
        };
        let value = secret
            .data
            .as_ref()
            .and_then(|data| data.get("value"))
            .context("a Secret without value")?;
        Ok(Some(String::from_utf8(value.0.clone())?))
    }

    /// A client of the workload cluster.
    ///
    /// # Errors
    /// When there is no kubeconfig yet.
    pub async fn workload(&self) -> Result<Client> {
        client(
            &self
                .kubeconfig()
                .await?
                .context("the cluster has no kubeconfig yet")?,
        )
        .await
    }

    /// Waits until every Machine has its Node and says Running.
    ///
    /// # Errors
    /// When that is not so within minutes, with what the Machines say.
    pub async fn wait_until_running(&self, machines_with_node: usize) -> Result<()> {
        let machines: Api<Machine> = Api::namespaced(self.client.clone(), &self.namespace);
        self.until("Machines with their Nodes", LIMIT, POLL, || async {
            let found = machines.list(&self.of_cluster()).await?;
            let with_node = found
                .iter()
                .filter(|machine| machine.node_name().is_some())
                .count();
            Ok((with_node >= machines_with_node).then_some(()))
        })
        .await
    }

    /// As [`until`], and tells what the objects of the cluster say when the time is over.
    ///
    /// # Errors
    /// When `limit` passed without an answer.
    pub async fn until<T, Answer>(
        &self,
        what: &str,
        limit: Duration,
        pause: Duration,
        ask: impl FnMut() -> Answer,
    ) -> Result<T>
    where
        Answer: Future<Output = Result<Option<T>>>,
    {
        match until(what, limit, pause, ask).await {
            Ok(answer) => Ok(answer),
            Err(error) => Err(error.context(self.report().await)),
        }
    }

    /// Deletes the Cluster, waits until nothing of it is left, and returns how long that took.
    ///
    /// # Errors
    /// When something is left after minutes, with what the objects say.
    pub async fn delete(&self) -> Result<Duration> {
        let clusters: Api<Cluster> = Api::namespaced(self.client.clone(), &self.namespace);
        let remote: Api<RemoteMachine> = Api::namespaced(self.client.clone(), &self.namespace);
        let begun = Instant::now();
        clusters.delete(&self.name, &DeleteParams::default()).await?;
        let gone = until("deletion of the Cluster", LIMIT, POLL, || async {
            let left = clusters.get_opt(&self.name).await?.is_some()
                || !remote.list(&self.of_cluster()).await?.items.is_empty();
            Ok((!left).then_some(()))
        });
        match gone.await {
            Ok(()) => Ok(begun.elapsed()),
            Err(error) => Err(error.context(self.report().await)),
        }
    }

    /// The Machines of the cluster.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn machines(&self) -> Result<Vec<Machine>> {
        let machines: Api<Machine> = Api::namespaced(self.client.clone(), &self.namespace);
        Ok(machines.list(&self.of_cluster()).await?.items)
    }

    fn of_cluster(&self) -> ListParams {
        ListParams::default().labels(&format!("cluster.x-k8s.io/cluster-name={}", self.name))
    }

    async fn control_plane_conditions(&self) -> Vec<Condition> {
        let (client, name) = (self.client.clone(), self.name.as_str());
        let found = match self.control_plane {
            ControlPlane::Machines => {
                let planes: Api<K0sControlPlane> = Api::namespaced(client, &self.namespace);
                let found = planes.get(name).await.ok();
                found
                    .and_then(|plane| plane.status)
                    .map(|status| status.conditions)
            }
            ControlPlane::Pods => {
                let planes: Api<K0smotronControlPlane> = Api::namespaced(client, &self.namespace);
                let found = planes.get(name).await.ok();
                found
                    .and_then(|plane| plane.status)
                    .map(|status| status.conditions)
            }
        };
        found.unwrap_or_default()
    }

    /// What the objects of the cluster say, for a person who wants to know why nothing moves.
    pub async fn report(&self) -> String {
        let mut lines = vec![format!("what the objects of {} say:", self.name)];
        if let Ok(machines) = self.machines().await {
            lines.extend(
                machines
                    .iter()
                    .map(|machine| format!("  Machine {} {}", machine.name_any(), describe(machine))),
            );
        }
        for condition in self.control_plane_conditions().await {
            lines.push(format!("  control plane {}", worded(&condition)));
        }
        let remote: Api<RemoteMachine> = Api::namespaced(self.client.clone(), &self.namespace);
        for found in remote
            .list(&self.of_cluster())
            .await
            .map(|list| list.items)
            .unwrap_or_default()
        {
            let conditions = found
                .status
                .as_ref()
                .map(|status| status.conditions.as_slice())
                .unwrap_or_default();
            for condition in conditions {
                lines.push(format!(
                    "  RemoteMachine {} {}",
                    found.name_any(),
                    worded(condition)
                ));
            }
        }
        lines.push(format!("logs are in {}", self.logs.display()));
        lines.join("\n")
    }
}

fn worded(condition: &Condition) -> String {
    format!(
        "{}={} {} {}",
        condition.type_, condition.status, condition.reason, condition.message
    )
}

fn unreachable() -> Result<Timeline> {
    anyhow::bail!("following the Machines ended")
}

/// Phase, and what the Machine waits for.
fn describe(machine: &Machine) -> String {
    let phase = machine.phase().unwrap_or("Pending");
    let waiting = ["InfrastructureReady", "BootstrapConfigReady"]
        .iter()
        .filter_map(|type_| machine.condition(type_))
        .find(|condition| condition.status != "True" && !condition.message.is_empty());
    match waiting {
        Some(condition) if phase != "Running" => {
            format!(
                "{phase}: {}",
                condition.message.lines().next().unwrap_or_default()
            )
        }
        _ => phase.to_owned(),
    }
}

/// Whether the node says so.
pub fn is_ready(node: &Node) -> bool {
    let conditions = node
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_deref())
        .unwrap_or_default();
    conditions
        .iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// A client for a kubeconfig's text, without retries of its own.
///
/// # Errors
/// When the kubeconfig cannot be used.
pub async fn client(kubeconfig: &str) -> Result<Client> {
    ensure!(!kubeconfig.is_empty(), "an empty kubeconfig");
    let mut config =
        Config::from_custom_kubeconfig(Kubeconfig::from_yaml(kubeconfig)?, &Default::default()).await?;
    config.connect_timeout = Some(Duration::from_secs(1));
    config.read_timeout = Some(Duration::from_secs(5));
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}
