//! What a scenario runs in: a plane with Cluster API core, an API server that is the workload cluster's, and two hosts.

use std::{
    collections::BTreeSet,
    future::Future,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Error, Result, bail, ensure};
use k0smotron_api::{
    bootstrap::v1beta2::{K0sControllerConfig, K0sWorkerConfig},
    capi::{Cluster, Machine},
    infrastructure::v1beta2::{PooledRemoteMachine, RemoteMachine},
};
use k0smotron_e2e_machines::{Machine as Host, MachineImage, MachineSpec, Network, SshKey, stop_all};
use k0smotron_e2e_plane::{ApiServer, Options, Plane, clusterctl, managers, manifests};
use k0smotron_manager::{Followed, controllers, installation, provider_ids};
use k0smotron_runtime::{
    Context, Scope,
    definitions::Definitions,
    tls::Policy,
    webhook::{Schedule, Source, Webhooks},
};
use k8s_openapi::api::core::v1::{Node, Secret};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, ObjectMeta, PostParams},
    client::ClientBuilder,
};
use tokio::sync::watch;

use crate::crash::CrashAfter;

const NAMESPACE: &str = "default";
/// Longest that anything may take; far beyond what it takes.
const LIMIT: Duration = Duration::from_secs(120);

/// See the module's header.
pub struct World {
    pub plane: Plane,
    workload: ApiServer,
    hosts: Vec<Host>,
    key: SshKey,
    instance: u8,
}

impl World {
    /// Starts everything anew; what an earlier run left is removed.
    pub async fn start(instance: u8) -> Result<Self> {
        stop_all(instance).await?;
        Plane::down(instance).await?;
        let repository = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(concat!("../../target/dist/v", env!("CARGO_PKG_VERSION")));
        ensure!(
            repository.is_dir(),
            "{} is missing: `make components` writes it",
            repository.display()
        );
        let plane = Plane::up(instance).await?;
        clusterctl::init(&plane, &repository, concat!("v", env!("CARGO_PKG_VERSION"))).await?;
        serve_webhooks(&plane).await?;
        let workload = ApiServer::start(&Options::default()).await?;
        let image = tokio::task::spawn_blocking(|| MachineImage::with_binaries(&[])).await??;
        let key = SshKey::generate(instance).await?;
        let network = Network::up(instance).await?;
        let mut hosts = Vec::new();
        for (index, name) in [(1, "controller"), (2, "worker")] {
            let host = Host::start(&network, &image, &MachineSpec::new(name, index, key.public())).await?;
            let script = format!(
                "cat >/usr/local/bin/k0s <<'END'\n{}\nEND\nchmod 0755 /usr/local/bin/k0s",
                include_str!("fake-k0s.sh")
            );
            host.exec(&script).await?;
            hosts.push(host);
        }
        Ok(Self {
            plane,
            workload,
            hosts,
            key,
            instance,
        })
    }

    /// Removes everything.
    pub async fn stop(self) -> Result<()> {
        Plane::down(self.instance).await?;
        stop_all(self.instance).await?;
        Network::down(self.instance).await
    }

    /// A cluster's whole life, with managers that die after `crash_after` writes (0: never) and are started again.
    /// Returns how many writes the first manager did.
    pub async fn life(&self, name: &str, crash_after: usize) -> Result<usize> {
        let crash = CrashAfter::new(crash_after);
        tokio::select! {
            lived = self.live(name) => lived?,
            ended = self.manage(crash.clone()) => bail!("the manager ended: {ended:?}"),
        }
        Ok(crash.writes())
    }

    /// Runs the controllers in a runtime of their own, so that a crash takes their tasks with it.
    async fn manage(&self, crash: CrashAfter) -> Result<()> {
        let config = self.plane.config();
        let first = Running::start(config.clone(), crash.clone())?;
        let last = crash.crashed().await;
        eprintln!("    crashed after {last}");
        drop(first);
        let _second = Running::start(config, CrashAfter::new(0))?;
        std::future::pending().await
    }

    async fn live(&self, name: &str) -> Result<()> {
        let client = self.plane.client()?;
        manifests::apply(&client, &self.manifests(name)?, NAMESPACE).await?;
        let workload = self.workload.client()?;
        let nodes: Api<Node> = Api::all(workload.clone());

        let worker = until("worker provisioned", || self.provisioned_worker(&client, name)).await?;
        // The kubelet's part.
        let node = Node {
            metadata: ObjectMeta {
                name: Some(worker.clone()),
                ..ObjectMeta::default()
            },
            ..Node::default()
        };
        nodes.create(&PostParams::default(), &node).await?;
        until("provider ID on the node", || async {
            let node = nodes.get(&worker).await?;
            Ok(node.spec.and_then(|spec| spec.provider_id).map(drop))
        })
        .await?;
        self.check_alive(&client, &workload, name)
            .await
            .context("while the cluster lives")?;

        let clusters: Api<Cluster> = Api::namespaced(client.clone(), NAMESPACE);
        clusters.delete(name, &DeleteParams::default()).await?;
        until("deletion", || async {
            Ok(clusters.get_opt(name).await?.is_none().then_some(()))
        })
        .await?;
        nodes.delete(&worker, &DeleteParams::default()).await?;
        self.check_gone(&client, &workload, name)
            .await
            .context("after the cluster is gone")
    }

    async fn provisioned_worker(&self, client: &Client, name: &str) -> Result<Option<String>> {
        let remote: Api<RemoteMachine> = Api::namespaced(client.clone(), NAMESPACE);
        let found = remote.list(&of_cluster(name)).await?;
        let worker = found.iter().find(|machine| {
            !machine.labels().contains_key("cluster.x-k8s.io/control-plane")
                && machine
                    .status
                    .as_ref()
                    .and_then(|status| status.initialization.as_ref()?.provisioned)
                    .unwrap_or_default()
        });
        Ok(worker.map(ResourceExt::name_any))
    }

    /// One of everything, and each host set up once.
    async fn check_alive(&self, client: &Client, workload: &Client, name: &str) -> Result<()> {
        let list = of_cluster(name);
        let machines = Api::<Machine>::namespaced(client.clone(), NAMESPACE)
            .list(&list)
            .await?;
        ensure!(
            machines.items.len() == 2,
            "{} Machines: {:?}",
            machines.items.len(),
            names(&machines.items)
        );
        let remote = Api::<RemoteMachine>::namespaced(client.clone(), NAMESPACE)
            .list(&list)
            .await?;
        ensure!(
            remote.items.len() == 2,
            "RemoteMachines: {:?}",
            names(&remote.items)
        );
        let controllers = Api::<K0sControllerConfig>::namespaced(client.clone(), NAMESPACE)
            .list(&list)
            .await?;
        ensure!(
            controllers.items.len() == 1,
            "K0sControllerConfigs: {:?}",
            names(&controllers.items)
        );
        let workers = Api::<K0sWorkerConfig>::namespaced(client.clone(), NAMESPACE)
            .list(&list)
            .await?;
        ensure!(
            workers.items.len() == 1,
            "K0sWorkerConfigs: {:?}",
            names(&workers.items)
        );
        until("the join token is revoked, for its node is there", || async {
            let tokens = self.bootstrap_tokens(workload).await?;
            ensure!(tokens.len() <= 1, "join tokens: {tokens:?}");
            Ok(tokens.is_empty().then_some(()))
        })
        .await?;
        for host in &self.hosts {
            let calls = host.exec("cat /var/log/k0s-calls").await?;
            let installs = calls.lines().filter(|call| call.starts_with("install ")).count();
            ensure!(
                installs == 1,
                "{} was set up {installs} times:\n{calls}",
                host.name()
            );
        }
        Ok(())
    }

    /// Nothing is left, on the API servers and on the hosts.
    async fn check_gone(&self, client: &Client, workload: &Client, name: &str) -> Result<()> {
        let list = of_cluster(name);
        let machines = Api::<RemoteMachine>::namespaced(client.clone(), NAMESPACE)
            .list(&list)
            .await?;
        ensure!(
            machines.items.is_empty(),
            "RemoteMachines left: {:?}",
            names(&machines.items)
        );
        let pool: Api<PooledRemoteMachine> = Api::namespaced(client.clone(), NAMESPACE);
        until("pool entries are free", || async {
            let reserved = pool
                .list(&ListParams::default())
                .await?
                .items
                .into_iter()
                .any(|entry| {
                    entry.name_any().starts_with(name) && entry.status.is_some_and(|status| status.reserved)
                });
            Ok((!reserved).then_some(()))
        })
        .await?;
        for host in &self.hosts {
            let left = host
                .exec("ls -A /var/lib/k0s; ls /etc/systemd/system/k0s*.service 2>/dev/null || true")
                .await?;
            ensure!(left.trim().is_empty(), "left on {}: {left}", host.name());
            host.exec("rm -f /var/log/k0s-calls").await?;
        }
        let secrets: Api<Secret> = Api::namespaced(workload.clone(), "kube-system");
        for token in self.bootstrap_tokens(workload).await? {
            secrets.delete(&token, &DeleteParams::default()).await?;
        }
        Ok(())
    }

    async fn bootstrap_tokens(&self, workload: &Client) -> Result<BTreeSet<String>> {
        let secrets: Api<Secret> = Api::namespaced(workload.clone(), "kube-system");
        let all = secrets.list(&ListParams::default()).await?;
        Ok(all
            .iter()
            .map(ResourceExt::name_any)
            .filter(|name| name.starts_with("bootstrap-token-"))
            .collect())
    }

    fn manifests(&self, name: &str) -> Result<String> {
        let pki = self.workload.directory().join("pki");
        let indented = |text: String| text.trim_end().replace('\n', "\n    ");
        let url = self.workload.config().cluster_url;
        let port = url.port_u16().context("no port in the API server's URL")?;
        let [controller, worker] = self.hosts.as_slice() else {
            bail!("there are not two hosts")
        };
        Ok(include_str!("cluster.yaml")
            .replace("NAME", name)
            .replace("PORT", &port.to_string())
            .replace("CONTROLLER_HOST", &controller.address().to_string())
            .replace("WORKER_HOST", &worker.address().to_string())
            .replace(
                "CA_CERTIFICATE",
                &indented(std::fs::read_to_string(pki.join("ca.crt"))?),
            )
            .replace("CA_KEY", &indented(std::fs::read_to_string(pki.join("ca.key"))?))
            .replace("SSH_KEY", &indented(self.key.private()?)))
    }
}

/// Webhooks that outlive the managers which crash: what is tested is what these leave half done.
///
/// # Errors
/// They are not served.
pub async fn serve_webhooks(plane: &Plane) -> Result<()> {
    let client = plane.client()?;
    let context = Context::new(client.clone(), Scope::default(), "test");
    for (deployment, port) in managers::redirect(plane).await? {
        let provider = deployment
            .strip_prefix("k0smotron-controller-manager-")
            .with_context(|| format!("{deployment} is none of ours"))?;
        let enabled = provider.parse().map_err(Error::msg)?;
        let (ready, mut is_ready) = watch::channel(false);
        let webhooks = Webhooks {
            client: client.clone(),
            installation: installation(&enabled, managers::NAMESPACE),
            source: Source::Own(Schedule::default()),
            policy: Policy::default(),
            definitions: Definitions::watch(&client),
            events: context.events.clone(),
            metrics: context.metrics.clone(),
        };
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        tokio::spawn(webhooks.serve(address, ready, std::future::pending()));
        is_ready
            .wait_for(|ready| *ready)
            .await
            .with_context(|| format!("webhooks of {deployment}"))?;
    }
    Ok(())
}

fn of_cluster(name: &str) -> ListParams {
    ListParams::default().labels(&format!("cluster.x-k8s.io/cluster-name={name}"))
}

fn names<K: ResourceExt>(objects: &[K]) -> Vec<String> {
    objects.iter().map(ResourceExt::name_any).collect()
}

async fn until<T, Answer>(what: &str, mut ask: impl FnMut() -> Answer) -> Result<T>
where
    Answer: Future<Output = Result<Option<T>>>,
{
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask().await? {
            return Ok(answer);
        }
        ensure!(begun.elapsed() < LIMIT, "{what}: not so after {LIMIT:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Controllers in a runtime of their own. Dropping it ends them at once, wherever they are.
struct Running {
    runtime: Option<tokio::runtime::Runtime>,
}

impl Running {
    fn start(config: kube::Config, crash: CrashAfter) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        runtime.spawn(async move {
            let client: Client = match ClientBuilder::try_from(config) {
                Ok(builder) => builder.with_layer(&crash).build(),
                Err(error) => return eprintln!("no client: {error}"),
            };
            let context = Context::new(client, Scope::default(), "test");
            let followed = Arc::new(Followed::new(&context));
            let all = match "".parse() {
                Ok(all) => all,
                Err(error) => return eprintln!("no controllers: {error}"),
            };
            tokio::join!(
                controllers(&context, &all, &followed),
                provider_ids(&context, &all, &followed)
            );
        });
        Ok(Self {
            runtime: Some(runtime),
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
