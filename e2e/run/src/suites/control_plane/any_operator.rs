//! A cluster that is made and judged in the same way whoever the operator is: by what is there on the hosts and in etcd,
//! not by what a status says of it.

use std::{
    collections::BTreeSet,
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use k0smotron_api::control_plane::v1beta2::{K0sControlPlane, UpdateStrategy};
use k0smotron_e2e_endpoint::LoadBalancer;
use kube::{
    Api, Client, Config, ResourceExt,
    api::{Patch, PatchParams},
    config::Kubeconfig,
};
use serde_json::json;

use super::plane::{CameUp, pool_entry};
use crate::{cluster::WorkloadCluster, k0s, progress::seconds, testbed::Testbed};

/// Longest that a change may take. Other operators wait for minutes where there is nothing to wait for.
const LIMIT: Duration = Duration::from_secs(480);
const PAUSE: Duration = Duration::from_millis(250);
/// Not k0s' own 9443, which the webhooks of the other operator have on every address of this host.
const JOIN_PORT: u16 = 9444;

/// A cluster of whatever operator runs.
pub struct AnyOperators<'a> {
    pub cluster: WorkloadCluster<'a>,
    pub balancer: LoadBalancer,
    pub came_up: CameUp,
    testbed: &'a Testbed,
    controllers: Vec<Ipv4Addr>,
}

/// What is asked for.
pub struct Request<'a> {
    pub name: &'a str,
    /// Hosts of controllers. More than there are controllers where one may come before another goes.
    pub hosts: &'a [&'a str],
    pub controllers: usize,
    pub worker: Option<&'a str>,
    pub strategy: UpdateStrategy,
}

impl<'a> AnyOperators<'a> {
    /// Applies the manifests and waits until every controller serves, and the worker is Ready.
    ///
    /// # Errors
    /// With what did not come up, and what the objects say of it.
    pub async fn create(testbed: &'a Testbed, request: &Request<'_>) -> Result<Self> {
        let addresses = testbed.addresses(request.hosts)?;
        let balancer = LoadBalancer::start_for(&testbed.network, &addresses, JOIN_PORT).await?;
        let mut made = Self {
            cluster: WorkloadCluster::new(testbed, request.name)?,
            balancer,
            came_up: CameUp::default(),
            testbed,
            controllers: addresses,
        };
        let begun = Instant::now();
        let workers = usize::from(request.worker.is_some());
        let manifests = made.manifests(request)?;
        let timeline = made
            .cluster
            .create(&manifests, workers, |line| println!("  {line}"))
            .await?;
        made.until_all_serve(request.controllers).await?;
        made.came_up = CameUp {
            api_answers: timeline.api_answers,
            initialized: timeline.initialized,
            all_serve: begun.elapsed(),
        };
        println!(
            "  {} controllers serve after {}",
            request.controllers,
            seconds(made.came_up.all_serve)
        );
        // A worker may have been the last to come.
        made.cluster.wait_until_running(workers).await?;
        Ok(made)
    }

    fn manifests(&self, request: &Request<'_>) -> Result<String> {
        let key = self.testbed.key_data()?;
        let strategy = serde_json::to_value(request.strategy)?;
        let workers = usize::from(request.worker.is_some());
        let mut documents = vec![
            include_str!("any_operator.yaml")
                .replace("CONTROLLERS", &request.controllers.to_string())
                .replace("WORKERS", &workers.to_string())
                .replace("JOIN_PORT", &JOIN_PORT.to_string())
                .replace("STRATEGY", strategy.as_str().unwrap_or_default())
                .replace("SSH_KEY", &key)
                .replace("ENDPOINT", &self.testbed.network.host().to_string()),
        ];
        let pools = request.hosts.iter().map(|host| (*host, "controllers"));
        for (host, pool) in pools.chain(request.worker.map(|host| (host, "workers"))) {
            documents.push(pool_entry(self.testbed, host, &format!("NAME-{pool}"))?);
        }
        Ok(documents
            .join("---\n")
            .replace("NAME", request.name)
            .replace("VERSION", k0s::VERSION))
    }

    /// Waits until so many API servers answer, each at its host's own address, and etcd has as many members.
    ///
    /// # Errors
    /// When that is not so after minutes, with what the objects say.
    pub async fn until_all_serve(&self, controllers: usize) -> Result<Duration> {
        let begun = Instant::now();
        let all = self
            .cluster
            .until("all controllers serve", LIMIT, PAUSE, || async {
                if self.serving().await? != controllers {
                    return Ok(None);
                }
                let members = self.testbed.etcd_members().await;
                Ok((members == BTreeSet::from([controllers])).then_some(()))
            });
        all.await?;
        Ok(begun.elapsed())
    }

    /// Changes what makes every Machine of the control plane another, and waits until all are replaced.
    ///
    /// # Errors
    /// When they are not after minutes, with what the objects say.
    pub async fn roll(&self, run: &str) -> Result<Duration> {
        let before = self.controllers().await?;
        let begun = Instant::now();
        let planes: Api<K0sControlPlane> =
            Api::namespaced(self.testbed.plane.client()?, &self.cluster.namespace);
        let commands = json!({ "k0sConfigSpec": { "preK0sCommands": [format!("echo {run}")] } });
        planes
            .patch(
                &self.cluster.name,
                &PatchParams::default(),
                &Patch::Merge(json!({ "spec": commands })),
            )
            .await?;
        let replaced = self
            .cluster
            .until("all Machines are replaced", LIMIT, PAUSE, || async {
                let now = self.controllers().await?;
                Ok((now.len() == before.len() && now.is_disjoint(&before)).then_some(()))
            });
        replaced.await?;
        self.until_all_serve(before.len()).await?;
        Ok(begun.elapsed())
    }

    /// Names of the control plane's Machines.
    async fn controllers(&self) -> Result<BTreeSet<String>> {
        let machines = self.cluster.machines().await?;
        let controllers = machines.iter().filter(|machine| machine.is_control_plane());
        Ok(controllers.map(ResourceExt::name_any).collect())
    }

    /// How many of the hosts have an API server that is ready.
    async fn serving(&self) -> Result<usize> {
        let kubeconfig = self
            .cluster
            .kubeconfig()
            .await?
            .context("the cluster has no kubeconfig")?;
        let kubeconfig = Kubeconfig::from_yaml(&kubeconfig)?;
        let mut serving = 0;
        for host in &self.controllers {
            let mut config = Config::from_custom_kubeconfig(kubeconfig.clone(), &Default::default()).await?;
            config.cluster_url = format!("https://{host}:6443").parse()?;
            config.connect_timeout = Some(Duration::from_secs(1));
            config.read_timeout = Some(Duration::from_secs(5));
            config.default_retry = false;
            let request = http::Request::get("/readyz").body(Vec::new())?;
            let ready = Client::try_from(config)?.request_text(request).await.is_ok();
            serving += usize::from(ready);
        }
        Ok(serving)
    }
}
