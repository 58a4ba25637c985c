//! `k0s controller`: etcd, then the API server, then everything that works through it, in k0s' order; and all of it
//! stopped again in the reverse order.

mod api_server;
mod certificates;
mod cluster_components;
mod cluster_config;
mod control_node;
mod csr_approver;
mod endpoints;
pub mod etcd;
pub mod etcd_client;
mod join_api;
mod join_client;
mod leases;
mod membership;
mod objects;
pub mod worker_profiles;

use std::{fs, os::unix::fs::PermissionsExt as _, sync::atomic::Ordering, time::Duration};

use anyhow::{Context as _, Result};
use kube::Client;
use tokio::{
    sync::mpsc,
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep},
};

pub use endpoints::ROLE_LABEL;

use self::{
    cluster_components::{ClusterComponents, NodeSettings},
    control_node::ControlNode,
    etcd_client::EtcdClient,
    join_client::JoinClient,
    leases::HeldLease,
    membership::{Departure, Membership},
};
use crate::{
    api,
    cli::{ControllerArgs, ControllerFlags},
    config::{NodeConfig, Spec},
    net,
    paths::Paths,
    runtime_config::RuntimeConfig,
    shutdown::Signals,
    status::{self, Status},
    supervisor::Supervised,
    token,
    worker::{Bootstrap, Worker},
};

/// Runs until a signal ends it.
pub async fn run(arguments: &ControllerArgs) -> Result<()> {
    let flags = &arguments.flags;
    flags.validate()?;
    let token = token::read_source(
        arguments.join_token.as_deref(),
        flags.worker.token_file.as_deref(),
    );
    let paths = flags.paths()?;
    let node = NodeConfig::load(&paths)?;
    make_directories(&paths)?;
    let _runtime = RuntimeConfig::acquire(&paths, Some(&node))?;

    let mut signals = Signals::listen()?;
    let departure = Departure::default();
    let mut running = Running::default();
    let result = tokio::select! {
        result = running.start(&paths, &node, flags, token, &departure) => result,
        () = signals.received() => Ok(()),
    };
    if result.is_ok() && !signals.seen() {
        tokio::select! {
            () = departure.shutdown.notified() => tracing::info!("asked to shut down"),
            () = running.follow_configuration(&paths, &node, flags) => {}
            () = signals.received() => {}
        }
    }
    running
        .stop(&paths, departure.leave_etcd.load(Ordering::SeqCst))
        .await;
    result?;
    // Components may have stopped because this controller left the cluster; the process itself is ended from outside.
    if !signals.seen() {
        tracing::info!("awaiting process shutdown");
        signals.received().await;
    }
    Ok(())
}

/// Everything that has been started so far.
#[derive(Default)]
struct Running {
    etcd: Option<Supervised>,
    etcd_client: Option<EtcdClient>,
    api_server: Option<Supervised>,
    client: Option<Client>,
    leases: Vec<HeldLease>,
    sockets: Vec<JoinHandle<()>>,
    duties: JoinSet<()>,
    components: ClusterComponents,
    worker: Option<Worker>,
}

impl Running {
    async fn start(
        &mut self,
        paths: &Paths,
        node: &NodeConfig,
        flags: &ControllerFlags,
        token: Result<Option<String>>,
        departure: &Departure,
    ) -> Result<()> {
        let begun = Instant::now();
        let join = if paths.etcd_database().exists() {
            None
        } else {
            match token? {
                Some(token) => {
                    let join = JoinClient::from_token(&token).await?;
                    join.write_authorities(paths).await?;
                    Some(join)
                }
                None => None,
            }
        };
        certificates::ensure(paths, node)?;
        warn_about_missing_parts(node, flags);

        self.etcd = Some(etcd::start(paths, node, join.as_ref()).await?);
        let etcd = EtcdClient::new(paths).await?;
        self.etcd_client = Some(etcd.clone());
        etcd::wait_ready(&etcd).await?;
        tracing::info!(seconds = begun.elapsed().as_secs_f32(), "etcd is ready");

        let external = !node.spec.api.external_address.is_empty() && !flags.disables("endpoint-reconciler");
        self.api_server = Some(api_server::start(paths, node, !external).await?);
        let client = api::client(&paths.admin_kubeconfig()).await?;
        api_server::wait_ready(&client).await?;
        self.client = Some(client.clone());
        tracing::info!(seconds = begun.elapsed().as_secs_f32(), "the API is ready");

        let kubelet_flags = flags.worker.kubelet_flags();
        let node_name = net::node_name(kubelet_flags.get("--hostname-override").map(String::as_str))?;
        let invocation: String = rand::random::<[u8; 16]>()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let lease_name = format!("k0s-ctrl-{node_name}");
        self.leases
            .push(HeldLease::start(&client, lease_name.clone(), invocation.clone()));
        let leader = HeldLease::start(&client, "k0s-endpoint-reconciler".to_owned(), invocation.clone());
        let (leading, leader_lease) = (leader.leading(), leader.yielder());
        self.leases.push(leader);

        if !flags.disables("control-api") {
            self.sockets
                .push(join_api::serve(paths, node, client.clone(), etcd.clone()).await?);
        }
        if !flags.disables("csr-approver") {
            self.duties
                .spawn(csr_approver::run(client.clone(), leading.clone()));
        }
        let status = Status::of_this_process(
            paths,
            "controller",
            flags.workloads(),
            flags.is_single(),
            Some(node),
        );
        self.sockets.push(status::serve(status)?);

        self.reconcile(paths, node, flags, &node.spec).await?;
        if !flags.disables("system-rbac") {
            objects::apply_rbac(&client).await?;
        }
        let crds = objects::Crds::load()?;
        let mut leading_now = leading.clone();
        let mut kinds = crds.etcd.clone();
        if !flags.disables("autopilot") {
            kinds.extend(crds.autopilot.clone());
        }
        let kinds_client = client.clone();
        // Only the leader applies kinds; the others wait for them to appear.
        self.duties.spawn(async move {
            while leading_now.wait_for(|leads| *leads).await.is_ok() {
                match objects::apply_crds(&kinds_client, &kinds).await {
                    Ok(()) => return,
                    Err(error) => tracing::error!("k0s' kinds cannot be applied: {error:#}"),
                }
                sleep(Duration::from_secs(1)).await;
            }
        });
        if flags.enable_dynamic_config == Some(true) {
            cluster_config::ensure(&client, node, &crds.cluster_config, &leading).await?;
        }
        let membership = Membership {
            client: client.clone(),
            etcd,
            member_name: node.spec.storage.etcd.member_name()?,
            peer_address: node.spec.storage.etcd.peer_address.clone(),
            lease_name,
            invocation,
            leading: leading.clone(),
            leader_lease,
            departure: departure.clone(),
        };
        membership.publish().await?;
        self.duties.spawn(membership.run());
        if !flags.disables("autopilot") {
            let name = net::node_name(std::env::var("AUTOPILOT_HOSTNAME").ok().as_deref())?;
            let control_node = ControlNode {
                node_name: if flags.workloads() {
                    node_name.clone()
                } else {
                    name.clone()
                },
                name,
                address: node.spec.api.address.clone(),
                workloads: flags.workloads(),
            };
            self.duties.spawn(control_node.publish(client.clone()));
        }
        if external {
            self.duties
                .spawn(endpoints::run(client.clone(), node.spec.api.clone(), leading));
        }
        if !flags.disables("node-role") {
            self.duties.spawn(endpoints::label_roles(client.clone()));
        }
        tracing::info!(seconds = begun.elapsed().as_secs_f32(), "the controller is up");

        if flags.workloads() {
            let mut worker_flags = flags.worker.clone();
            worker_flags.labels.push(format!("{ROLE_LABEL}=control-plane"));
            if !flags.is_single() && flags.no_taints != Some(true) {
                worker_flags
                    .taints
                    .push("node-role.kubernetes.io/control-plane:NoSchedule".to_owned());
            }
            let bootstrap = Bootstrap::Controller {
                server: node.spec.api.local_url(),
            };
            self.worker = Some(Worker::start(paths, &worker_flags, bootstrap).await?);
        }
        Ok(())
    }

    /// Brings what follows the cluster-wide configuration to it.
    async fn reconcile(
        &mut self,
        paths: &Paths,
        node: &NodeConfig,
        flags: &ControllerFlags,
        spec: &Spec,
    ) -> Result<()> {
        let settings = NodeSettings {
            paths,
            service_cidr: &node.spec.network.service_cidr,
            controller_manager_flags: flags.kube_controller_manager_extra_args.as_deref(),
            single: flags.is_single(),
            without_controller_manager: flags.disables("kube-controller-manager"),
            without_scheduler: flags.disables("kube-scheduler"),
        };
        self.components.reconcile(&settings, spec).await?;
        let client = self.client.as_ref().context("there is no API yet")?;
        worker_profiles::apply(client, spec, &node.spec).await
    }

    /// Follows the cluster-wide configuration in the API; for ever, and without it does nothing for ever.
    async fn follow_configuration(&mut self, paths: &Paths, node: &NodeConfig, flags: &ControllerFlags) {
        let (sender, mut changes) = mpsc::channel(1);
        match (&self.client, flags.enable_dynamic_config) {
            (Some(client), Some(true)) => {
                self.duties.spawn(cluster_config::follow(client.clone(), sender));
            }
            _ => return std::future::pending().await,
        }
        while let Some(spec) = changes.recv().await {
            match self.reconcile(paths, node, flags, &spec).await {
                Ok(()) => tracing::info!("reconciled the cluster configuration"),
                Err(error) => tracing::error!("failed to reconcile the cluster configuration: {error:#}"),
            }
        }
        std::future::pending::<()>().await;
    }

    async fn stop(&mut self, paths: &Paths, leave_etcd: bool) {
        if let Some(worker) = self.worker.take() {
            worker.stop().await;
        }
        self.duties.shutdown().await;
        self.components.stop().await;
        for socket in self.sockets.drain(..) {
            socket.abort();
        }
        status::remove_socket(paths);
        // In reverse: the leadership goes first, the sign of life after it.
        while let Some(lease) = self.leases.pop() {
            lease.release().await;
        }
        if let Some(api_server) = self.api_server.take() {
            api_server.stop().await;
        }
        if let Some(etcd) = self.etcd.take() {
            match (&self.etcd_client, leave_etcd) {
                (Some(client), true) => match etcd::leave(client).await {
                    // It ends by itself after its member has been removed.
                    Ok(()) => etcd.stop_after(Duration::from_secs(30)).await,
                    Err(error) => {
                        tracing::error!("{error:#}");
                        etcd.stop().await;
                    }
                },
                _ => etcd.stop().await,
            }
        }
    }
}

/// Tries ten times a second until the check passes; two minutes at most.
async fn wait_until(what: &str, check: impl AsyncFn() -> Result<()>) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        match check().await {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() > deadline => {
                return Err(error).with_context(|| format!("{what} health-check timed out"));
            }
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}

fn make_directories(paths: &Paths) -> Result<()> {
    for (directory, mode) in [
        (paths.data_dir.clone(), 0o755),
        (paths.run_dir.clone(), 0o755),
        (paths.bin_dir(), 0o755),
        (paths.pki_dir(), 0o751),
        (paths.pki("etcd"), 0o711),
    ] {
        fs::create_dir_all(&directory)
            .and_then(|()| fs::set_permissions(&directory, fs::Permissions::from_mode(mode)))
            .with_context(|| format!("{} cannot be made", directory.display()))?;
    }
    Ok(())
}

/// Says what real k0s would run and this stand-in does not, once.
fn warn_about_missing_parts(node: &NodeConfig, flags: &ControllerFlags) {
    let mut missing: Vec<&str> = [
        "coredns",
        "konnectivity-server",
        "kube-proxy",
        "metrics-server",
        "helm",
    ]
    .into_iter()
    .filter(|component| !flags.disables(component))
    .collect();
    if node.spec.network.provider != "custom" && !flags.disables("network-provider") {
        missing.push("network-provider");
    }
    if !missing.is_empty() {
        tracing::warn!("this stand-in for k0s does not run: {}", missing.join(", "));
    }
}
