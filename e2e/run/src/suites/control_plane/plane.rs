//! A control plane of several controllers behind a load balancer, with somebody who writes to it all the time.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use k0smotron_api::{
    capi::Machine,
    control_plane::v1beta2::{K0sControlPlane, K0sControlPlaneStatus, UpdateStrategy},
    k0s_objects::ClusterConfig,
};
use k0smotron_e2e_endpoint::{Check, LoadBalancer, identity};
use k0smotron_e2e_machines as machines;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{cluster::WorkloadCluster, k0s, progress::seconds, suites::load, testbed::Testbed};

const POLL: Duration = Duration::from_millis(250);
/// Longest that a change may take; far beyond what it takes, so that only a hang meets it.
const LIMIT: Duration = Duration::from_secs(480);

/// When what was first seen, counted from the apply.
#[derive(Clone, Copy, Debug, Default)]
pub struct CameUp {
    pub api_answers: Duration,
    pub initialized: Duration,
    /// Every controller serves and is a member.
    pub all_serve: Duration,
}

/// A control plane under test.
pub struct ControlPlane<'a> {
    pub cluster: WorkloadCluster<'a>,
    pub balancer: LoadBalancer,
    pub came_up: CameUp,
    planes: Api<K0sControlPlane>,
    testbed: &'a Testbed,
}

impl<'a> ControlPlane<'a> {
    /// Applies a Cluster with so many controllers on the testbed's hosts, and waits until all of them serve. Tells how long
    /// that took.
    ///
    /// # Errors
    /// With what did not come up, and what the objects say of it.
    pub async fn create(
        testbed: &'a Testbed,
        name: &str,
        hosts: &[&str],
        replicas: usize,
        strategy: UpdateStrategy,
    ) -> Result<Self> {
        let etcd = json!({ "type": "etcd" });
        Self::create_with(testbed, name, hosts, replicas, strategy, etcd).await
    }

    /// As [`Self::create`], with this `spec.storage` of k0s.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub async fn create_with(
        testbed: &'a Testbed,
        name: &str,
        hosts: &[&str],
        replicas: usize,
        strategy: UpdateStrategy,
        storage: Value,
    ) -> Result<Self> {
        let balancer = LoadBalancer::start(&testbed.network, &testbed.addresses(hosts)?).await?;
        let mut plane = Self::begin(testbed, name, balancer)?;
        let manifests = plane
            .manifests(hosts, replicas, strategy, &storage)?
            .replace("  FAILURE_DOMAINS\n", "");
        plane.come_up(&manifests, (replicas, 0)).await?;
        Ok(plane)
    }

    /// As [`Self::create`] with one controller a host, each host being a failure domain of its name.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub async fn create_spread(
        testbed: &'a Testbed,
        name: &str,
        hosts: &[&str],
        strategy: UpdateStrategy,
    ) -> Result<Self> {
        let balancer = LoadBalancer::start(&testbed.network, &testbed.addresses(hosts)?).await?;
        let mut plane = Self::begin(testbed, name, balancer)?;
        let replicas = hosts.len();
        let offered: Value = hosts
            .iter()
            .map(|host| json!({ "name": host, "controlPlane": true }))
            .collect();
        let mut manifests = plane
            .manifests(hosts, replicas, strategy, &json!({ "type": "etcd" }))?
            .replace("FAILURE_DOMAINS", &format!("failureDomains: {offered}"));
        for host in hosts {
            let address = format!("    address: {}\n", testbed.machine(host)?.address());
            let standing = format!("{address}    failureDomain: {host}\n");
            manifests = manifests.replace(&address, &standing);
        }
        plane.come_up(&manifests, (replicas, 0)).await?;
        Ok(plane)
    }

    /// Applies manifests, whatever they name for infrastructure, and waits until so many controllers and workers are there.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub async fn create_from(
        testbed: &'a Testbed,
        name: &str,
        balancer: LoadBalancer,
        manifests: &str,
        expected: (usize, usize),
    ) -> Result<Self> {
        let mut plane = Self::begin(testbed, name, balancer)?;
        plane.come_up(manifests, expected).await?;
        Ok(plane)
    }

    fn begin(testbed: &'a Testbed, name: &str, balancer: LoadBalancer) -> Result<Self> {
        let cluster = WorkloadCluster::new(testbed, name)?;
        let planes = Api::namespaced(testbed.plane.client()?, &cluster.namespace);
        Ok(Self {
            cluster,
            balancer,
            came_up: CameUp::default(),
            planes,
            testbed,
        })
    }

    async fn come_up(&mut self, manifests: &str, (replicas, workers): (usize, usize)) -> Result<()> {
        let begun = Instant::now();
        let timeline = self
            .cluster
            .create(manifests, workers, |line| println!("  {line}"))
            .await?;
        println!("  API answers after {}", seconds(timeline.api_answers));
        self.until_settled(replicas).await?;
        self.came_up = CameUp {
            api_answers: timeline.api_answers,
            initialized: timeline.initialized,
            all_serve: begun.elapsed(),
        };
        println!(
            "  {replicas} controllers serve after {}",
            seconds(self.came_up.all_serve)
        );
        let kubeconfig = self.kubeconfig().await?;
        let identity = identity(&kubeconfig)?;
        self.balancer
            .check_with(Check::Readyz { identity: &identity })
            .await
    }

    fn manifests(
        &self,
        hosts: &[&str],
        replicas: usize,
        strategy: UpdateStrategy,
        storage: &Value,
    ) -> Result<String> {
        let key = self.testbed.key_data()?;
        let strategy = serde_json::to_value(strategy)?;
        let mut documents = vec![
            include_str!("cluster.yaml")
                .replace("REPLICAS", &replicas.to_string())
                .replace("STRATEGY", strategy.as_str().unwrap_or_default())
                .replace("DOWNLOAD_URL", &self.testbed.k0s_url())
                .replace("SSH_KEY", &key)
                .replace("STORAGE", &storage.to_string())
                .replace("ENDPOINT", &self.testbed.network.host().to_string()),
        ];
        for host in hosts {
            documents.push(pool_entry(self.testbed, host, "NAME")?);
        }
        Ok(documents
            .join("---\n")
            .replace("NAME", &self.cluster.name)
            .replace("VERSION", k0s::VERSION))
    }

    /// Changes the spec.
    ///
    /// # Errors
    /// When the API server refuses the change.
    pub async fn edit(&self, spec: Value) -> Result<()> {
        let patch = Patch::Merge(json!({ "spec": spec }));
        self.planes
            .patch(&self.cluster.name, &PatchParams::default(), &patch)
            .await?;
        Ok(())
    }

    /// Waits until so many Machines, all as asked for, are all members and serve, and nothing else is left.
    ///
    /// # Errors
    /// When that is not so after minutes, with what the objects say.
    pub async fn until_settled(&self, replicas: usize) -> Result<Duration> {
        let begun = Instant::now();
        let wanted = i32::try_from(replicas)?;
        let settled = self
            .cluster
            .until("a settled control plane", LIMIT, POLL, || async {
                let plane = self.planes.get(&self.cluster.name).await?;
                let status = plane.status.clone().unwrap_or_default();
                let k0s = plane.spec.k0s_config_spec.k0s.as_ref();
                let elsewhere = k0s.and_then(|k0s| k0s.pointer("/spec/storage/etcd/externalCluster"));
                let memberless = replicas == 1 || elsewhere.is_some();
                let healthy = memberless || holds(&status, "EtcdClusterHealthy", "True");
                Ok((healthy && is_settled(&plane, wanted)).then_some(()))
            });
        settled.await?;
        Ok(begun.elapsed())
    }

    /// Whether etcd has so many members and all of them are healthy, as its control plane says.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn has_healthy_members(&self, members: usize) -> Result<bool> {
        let status = self.status().await?;
        let healthy =
            |condition: &Condition| condition.type_ == "EtcdClusterHealthy" && condition.status == "True";
        let serving = status.ready_replicas == Some(i32::try_from(members)?);
        Ok(serving && status.conditions.iter().any(healthy))
    }

    /// What it says of itself.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn status(&self) -> Result<K0sControlPlaneStatus> {
        let plane = self.planes.get(&self.cluster.name).await?;
        Ok(plane.status.unwrap_or_default())
    }

    /// Waits for a condition. Returns its message.
    ///
    /// # Errors
    /// When it is not there after minutes, with what the objects say.
    pub async fn until_condition(&self, type_: &str, reason: &str) -> Result<String> {
        let what = format!("condition {type_} {reason}");
        self.until_one(&what, |condition| {
            condition.type_ == type_ && condition.reason == reason
        })
        .await
    }

    /// Waits until a condition speaks of this. Returns its message.
    ///
    /// # Errors
    /// When it does not after minutes, with what the objects say.
    pub async fn until_said(&self, type_: &str, of: &str) -> Result<String> {
        let what = format!("condition {type_} that speaks of {of}");
        self.until_one(&what, |condition| {
            condition.type_ == type_ && condition.message.contains(of)
        })
        .await
    }

    async fn until_one(&self, what: &str, wanted: impl Fn(&Condition) -> bool) -> Result<String> {
        let found = self.cluster.until(what, LIMIT, POLL, || async {
            let conditions = self.status().await?.conditions;
            let mut found = conditions.into_iter().filter(|condition| wanted(condition));
            Ok(found.next().map(|condition| condition.message))
        });
        found.await
    }

    /// The machine of the testbed that a Machine is on.
    ///
    /// # Errors
    /// When there is none of its addresses.
    pub fn host_of(&self, machine: &Machine) -> Result<&'a machines::Machine> {
        let addresses = machine.addresses();
        let here = |host: &&machines::Machine| {
            let address = host.address().to_string();
            addresses.iter().any(|given| given.address == address)
        };
        self.testbed
            .machines
            .iter()
            .find(here)
            .with_context(|| format!("no host has an address of Machine {}", machine.name_any()))
    }

    /// Does what it is given while somebody asks and writes through the endpoint all the time; no write that was acknowledged
    /// may be lost. Returns the longest time without an answer.
    ///
    /// # Errors
    /// What `change` fails with, and the loss of a write.
    pub async fn under_load<T>(
        &self,
        run: &str,
        change: impl Future<Output = Result<T>>,
    ) -> Result<(T, Duration)> {
        load::under_load(&self.kubeconfig().await?, run, change).await
    }

    /// Whether each Machine stands where it was to, and all of them stand in failure domains of these names, one in each.
    ///
    /// # Errors
    /// With the Machines and where they stand.
    pub async fn is_spread_over(&self, hosts: &[&str]) -> Result<()> {
        let mut standing = BTreeSet::new();
        for machine in self.cluster.machines().await? {
            let asked = machine.spec.failure_domain.clone().unwrap_or_default();
            let told = machine
                .status
                .as_ref()
                .and_then(|status| status.failure_domain.clone());
            let host = self.host_of(&machine)?.name();
            ensure!(
                host == asked && told.as_ref() == Some(&asked),
                "Machine {} was to stand in {asked:?}, stands on {host} and says {told:?}",
                machine.name_any()
            );
            standing.insert(asked);
        }
        ensure!(
            standing.iter().eq(hosts.iter().copied().collect::<BTreeSet<_>>()),
            "Machines stand in {standing:?}"
        );
        Ok(())
    }

    /// The names of its Machines.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn machines(&self) -> Result<BTreeSet<String>> {
        let machines = self.cluster.machines().await?;
        Ok(machines.iter().map(ResourceExt::name_any).collect())
    }

    /// Number of members, as etcd itself tells on the hosts that run it. They must agree.
    ///
    /// # Errors
    /// When no host tells, or they do not agree.
    pub async fn members(&self) -> Result<usize> {
        let mut told = self.testbed.etcd_members().await;
        ensure!(told.len() == 1, "numbers of etcd members: {told:?}");
        told.pop_first().context("no host has etcd")
    }

    /// Waits until a field of the running cluster's k0s configuration is this; null means not set.
    ///
    /// # Errors
    /// When that is not so after minutes, with what the objects say.
    pub async fn until_configured(&self, field: &str, value: &Value) -> Result<Duration> {
        let begun = Instant::now();
        let configs: Api<ClusterConfig> = Api::namespaced(self.cluster.workload().await?, "kube-system");
        let what = "the configuration in the cluster";
        let configured = self.cluster.until(what, LIMIT, POLL, || async {
            let found = configs.get("k0s").await?.spec.0.get(field).cloned();
            Ok((found.unwrap_or_default() == *value).then_some(()))
        });
        configured.await?;
        Ok(begun.elapsed())
    }

    async fn kubeconfig(&self) -> Result<String> {
        let kubeconfig = self.cluster.kubeconfig().await?;
        kubeconfig.context("the cluster has no kubeconfig")
    }
}

/// Whether a condition has this value.
pub fn holds(status: &K0sControlPlaneStatus, type_: &str, value: &str) -> bool {
    let mut conditions = status.conditions.iter();
    conditions.any(|condition| condition.type_ == type_ && condition.status == value)
}

/// Whether it says that it has so many Machines, all as asked for and serving, and that it is available.
pub fn is_settled(plane: &K0sControlPlane, replicas: i32) -> bool {
    let status = plane.status.clone().unwrap_or_default();
    let counts = [
        status.replicas,
        status.ready_replicas,
        status.available_replicas,
        status.up_to_date_replicas,
    ];
    let seen = status.observed_generation == plane.metadata.generation;
    seen && counts == [Some(replicas); 4] && holds(&status, "Available", "True")
}

/// The manifest that puts a host into a pool. It has a NAME yet to be filled in.
///
/// # Errors
/// When the testbed has no such host.
pub fn pool_entry(testbed: &Testbed, host: &str, pool: &str) -> Result<String> {
    let address = testbed.machine(host)?.address().to_string();
    Ok(include_str!("host.yaml")
        .replace("pool: NAME", &format!("pool: {pool}"))
        .replace("HOST", host)
        .replace("ADDRESS", &address))
}
