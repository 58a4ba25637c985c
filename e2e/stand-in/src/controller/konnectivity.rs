//! konnectivity-server, through which the API server reaches nodes and pods that it cannot dial, and the file that
//! tells the API server so.

use std::{collections::BTreeMap, fs};

use anyhow::{Context as _, Result};
use kube::Client;
use tokio::{
    sync::oneshot,
    task::JoinHandle,
    time::{Duration, sleep},
};

use super::leases;
use crate::{
    config::NodeConfig,
    paths::{CIPHER_SUITES, Paths},
    pki,
    supervisor::{Program, Supervised},
};

/// Whom the agents' tokens are for.
pub const AUDIENCE: &str = "system:konnectivity-server";
/// How often the number of controllers is looked at.
const COUNT_PERIOD: Duration = Duration::from_secs(10);

/// The running server; it is started again when the number of controllers changes, because it tells the agents how
/// many servers there are.
pub struct Konnectivity {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// Writes what the API server reads; before it starts.
pub fn write_egress_config(paths: &Paths) -> Result<()> {
    let config = serde_json::json!({
        "apiVersion": "apiserver.k8s.io/v1beta1",
        "kind": "EgressSelectorConfiguration",
        "egressSelections": [{
            "name": "cluster",
            "connection": {
                "proxyProtocol": "GRPC",
                "transport": {"uds": {"udsName": paths.konnectivity_socket()}},
            },
        }],
    });
    pki::write_atomically(&paths.egress_config(), &serde_yaml::to_string(&config)?, 0o644)
}

impl Konnectivity {
    /// Starts the server for one controller.
    pub async fn start(paths: &Paths, node: &NodeConfig, invocation: &str) -> Result<(Self, CountClient)> {
        let socket = paths.konnectivity_socket();
        if let Some(directory) = socket.parent() {
            fs::create_dir_all(directory)
                .with_context(|| format!("{} cannot be made", directory.display()))?;
        }
        let server = Server {
            paths: paths.clone(),
            agent_port: node.spec.konnectivity.agent_port,
            admin_port: node.spec.konnectivity.admin_port,
            invocation: invocation.to_owned(),
        };
        let process = server.start(1).await?;
        let (stop, stopped) = oneshot::channel();
        let (clients, client) = oneshot::channel();
        let task = tokio::spawn(server.follow(process, client, stopped));
        Ok((Self { stop, task }, CountClient(clients)))
    }

    pub async fn stop(self) {
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}

/// Takes the client with which controllers are counted, as soon as there is an API.
pub struct CountClient(oneshot::Sender<Client>);

impl CountClient {
    pub fn provide(self, client: Client) {
        let _ = self.0.send(client);
    }
}

struct Server {
    paths: Paths,
    agent_port: u16,
    admin_port: u16,
    invocation: String,
}

impl Server {
    async fn start(&self, count: usize) -> Result<Supervised> {
        let program = Program::find(&self.paths, "konnectivity-server", self.arguments(count))?;
        Supervised::start(&self.paths, program).await
    }

    async fn follow(
        self,
        first: Supervised,
        client: oneshot::Receiver<Client>,
        stopped: oneshot::Receiver<()>,
    ) {
        let mut process = Some(first);
        tokio::select! {
            () = self.follow_count(&mut process, client) => {}
            _ = stopped => {}
        }
        if let Some(process) = process {
            process.stop().await;
        }
    }

    /// For ever; what it starts stays in `process`, also when it is cut off.
    async fn follow_count(&self, process: &mut Option<Supervised>, client: oneshot::Receiver<Client>) {
        let Ok(client) = client.await else {
            return std::future::pending().await;
        };
        let mut current = 1;
        loop {
            sleep(COUNT_PERIOD).await;
            let count = match leases::count_controllers(&client).await {
                Ok(count) => count.max(1),
                Err(_) => continue,
            };
            if count == current && process.is_some() {
                continue;
            }
            if let Some(process) = process.take() {
                process.stop().await;
            }
            match self.start(count).await {
                Ok(started) => *process = Some(started),
                Err(error) => tracing::error!("failed to start konnectivity server: {error:#}"),
            }
            current = count;
        }
    }

    fn arguments(&self, count: usize) -> Vec<String> {
        let pki = |name: &str| self.paths.pki(name).display().to_string();
        BTreeMap::from([
            ("uds-name", self.paths.konnectivity_socket().display().to_string()),
            ("cluster-cert", pki("server.crt")),
            ("cluster-key", pki("server.key")),
            ("kubeconfig", pki("konnectivity.conf")),
            ("mode", "grpc".to_owned()),
            ("server-port", "0".to_owned()),
            ("agent-port", self.agent_port.to_string()),
            ("admin-port", self.admin_port.to_string()),
            ("health-bind-address", "localhost".to_owned()),
            ("health-port", "8092".to_owned()),
            ("graceful-shutdown-timeout", "1ns".to_owned()),
            ("agent-namespace", "kube-system".to_owned()),
            ("agent-service-account", "konnectivity-agent".to_owned()),
            ("authentication-audience", AUDIENCE.to_owned()),
            ("logtostderr", "true".to_owned()),
            ("stderrthreshold", "1".to_owned()),
            ("v", "1".to_owned()),
            ("enable-profiling", "false".to_owned()),
            ("delete-existing-uds-file", "true".to_owned()),
            ("server-count", count.to_string()),
            ("server-id", self.invocation.clone()),
            ("proxy-strategies", "destHost,defaultRoute,default".to_owned()),
            ("cipher-suites", CIPHER_SUITES.join(",")),
        ])
        .into_iter()
        .map(|(name, value)| format!("--{name}={value}"))
        .collect()
    }
}
