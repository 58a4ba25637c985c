//! The parts of a controller that run, started in k0s' order and stopped in the reverse one.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use kube::Client;
use tokio::{
    sync::{mpsc, watch},
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep},
};

use super::{
    ROLE_LABEL,
    addons::Addons,
    api_server, applier, certificates,
    cluster_components::{ClusterComponents, NodeSettings},
    cluster_config,
    control_node::ControlNode,
    csr_approver,
    datastore::Datastore,
    endpoints, join_api,
    join_client::JoinClient,
    konnectivity::{self, Konnectivity},
    leases::{self, HeldLease, LeaseSettings, Yield},
    membership::{Departure, Membership},
    objects::{self, Crds},
    warn_about_missing_parts, worker_profiles,
};
use crate::{
    api,
    autopilot::{self, Host, Leader, SignalKind},
    cli::ControllerFlags,
    config::{NodeConfig, Spec},
    net,
    paths::{KUBERNETES_MINOR, Paths},
    status::{self, Status},
    supervisor::Supervised,
    worker::{Bootstrap, Worker},
};

/// Everything that has been started so far.
#[derive(Default)]
pub struct Running {
    datastore: Option<Datastore>,
    konnectivity: Option<Konnectivity>,
    api_server: Option<Supervised>,
    client: Option<Client>,
    leases: Vec<HeldLease>,
    sockets: Vec<JoinHandle<()>>,
    duties: JoinSet<()>,
    components: ClusterComponents,
    /// The configuration that k0s' own stacks follow.
    addons: Option<watch::Sender<Spec>>,
    worker: Option<Worker>,
}

/// Who this run of this controller is among the others.
struct Identity {
    node_name: String,
    /// A new one each time k0s starts.
    invocation: String,
    lease_name: String,
    leading: watch::Receiver<bool>,
    leader_lease: Yield,
}

impl Running {
    /// Starts everything. What a cancelled start has begun is stopped by [`Self::stop`].
    pub async fn start(
        &mut self,
        paths: &Paths,
        node: &NodeConfig,
        flags: &ControllerFlags,
        token: Result<Option<String>>,
        departure: &Departure,
    ) -> Result<()> {
        let begun = Instant::now();
        let join = if needs_to_join(paths, node) {
            match token? {
                Some(token) => {
                    let join = JoinClient::from_token(&token).await?;
                    join.write_authorities(paths).await?;
                    Some(join)
                }
                None => None,
            }
        } else {
            None
        };
        let with_konnectivity = uses_konnectivity(flags);
        certificates::ensure(paths, node, with_konnectivity)?;
        warn_about_missing_parts(node, flags);

        let datastore = self
            .datastore
            .insert(Datastore::start(paths, node, join.as_ref()).await?);
        datastore.wait_ready(paths).await?;
        let etcd = datastore.etcd().cloned();
        tracing::info!(seconds = begun.elapsed().as_secs_f32(), "storage is ready");

        let invocation: String = rand::random::<[u8; 16]>()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let mut counting = None;
        if with_konnectivity {
            konnectivity::write_egress_config(paths)?;
            let (server, count) = Konnectivity::start(paths, node, &invocation).await?;
            self.konnectivity = Some(server);
            counting = Some(count);
        }

        // Virtual addresses take the place of an external one.
        let external = !node.spec.api.external_address.is_empty()
            && !flags.disables("endpoint-reconciler")
            && !node.spec.network.balances_control_plane();
        let settings =
            api_server::Settings::new(!external, with_konnectivity, flags.api_server_stop_timeout()?);
        self.api_server = Some(api_server::start(paths, node, &settings).await?);
        let client = api::client(&paths.admin_kubeconfig()).await?;
        api_server::wait_ready(&client).await?;
        self.client = Some(client.clone());
        tracing::info!(seconds = begun.elapsed().as_secs_f32(), "the API is ready");

        let identity = self.elect(&client, node, flags, invocation)?;
        let leading = &identity.leading;
        if !flags.disables("control-api") && node.spec.storage.is_joinable() {
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

        self.deploy(&client, paths, node, flags, leading.clone());
        if let Some(counting) = counting.filter(|_| !is_alone(node, flags)) {
            counting.provide(client.clone());
        }
        self.reconcile(paths, node, flags, &node.spec).await?;
        if !flags.disables("system-rbac") {
            objects::apply_rbac(&client).await?;
        }
        let crds = Crds::load()?;
        self.install_kinds(&client, &crds, etcd.is_some(), flags, leading.clone());
        if flags.enable_dynamic_config == Some(true) {
            cluster_config::ensure(&client, node, &crds.cluster_config, leading).await?;
        }
        if let Some(etcd) = etcd {
            let membership = Membership {
                client: client.clone(),
                etcd,
                member_name: node.spec.storage.etcd.member_name()?,
                peer_address: node.spec.storage.etcd.peer_address.clone(),
                lease_name: identity.lease_name.clone(),
                invocation: identity.invocation.clone(),
                leading: leading.clone(),
                leader_lease: identity.leader_lease.clone(),
                departure: departure.clone(),
            };
            membership.publish().await?;
            self.duties.spawn(membership.run());
        }
        if !flags.disables("autopilot") {
            self.start_autopilot(&client, paths, node, flags, &identity)?;
        }
        if external {
            let leading = leading.clone();
            self.duties
                .spawn(endpoints::run(client.clone(), node.spec.api.clone(), leading));
        }
        if !flags.disables("node-role") {
            self.duties.spawn(endpoints::label_roles(client.clone()));
        }
        tracing::info!(seconds = begun.elapsed().as_secs_f32(), "the controller is up");
        if flags.workloads() {
            self.start_worker(paths, node, flags).await?;
        }
        Ok(())
    }

    /// Takes part in the election, unless there can be no other controller.
    fn elect(
        &mut self,
        client: &Client,
        node: &NodeConfig,
        flags: &ControllerFlags,
        invocation: String,
    ) -> Result<Identity> {
        let kubelet_flags = flags.worker.kubelet_flags();
        let node_name = net::node_name(kubelet_flags.get("--hostname-override").map(String::as_str))?;
        let lease_name = format!("k0s-ctrl-{node_name}");
        let lease = |name: &str| LeaseSettings {
            namespace: leases::NAMESPACE,
            name: name.to_owned(),
            identity: invocation.clone(),
            labels: BTreeMap::new(),
        };
        let leader = if is_alone(node, flags) {
            HeldLease::off()
        } else {
            self.leases.push(HeldLease::start(client, lease(&lease_name)));
            HeldLease::start(client, lease("k0s-endpoint-reconciler"))
        };
        let (leading, leader_lease) = (leader.leading(), leader.yielder());
        self.leases.push(leader);
        // Held for whoever looks for it; every controller writes the same worker configuration here.
        let name = format!("k0s-worker-config-{KUBERNETES_MINOR}");
        self.leases.push(HeldLease::start(client, lease(&name)));
        Ok(Identity {
            node_name,
            invocation,
            lease_name,
            leading,
            leader_lease,
        })
    }

    /// Starts what deploys into the cluster: the applier of the data directory's manifests, and k0s' own stacks there.
    fn deploy(
        &mut self,
        client: &Client,
        paths: &Paths,
        node: &NodeConfig,
        flags: &ControllerFlags,
        leading: watch::Receiver<bool>,
    ) {
        if !flags.disables("applier-manager") {
            self.duties
                .spawn(applier::run(client.clone(), paths.clone(), leading));
        }
        let (sender, wanted) = watch::channel(node.spec.clone());
        self.addons = Some(sender);
        let addons = Addons::new(flags, uses_konnectivity(flags));
        self.duties
            .spawn(addons.run(paths.clone(), client.clone(), node.spec.clone(), wanted));
    }

    /// Only the leader applies kinds; the others wait for them to appear.
    fn install_kinds(
        &mut self,
        client: &Client,
        crds: &Crds,
        with_etcd: bool,
        flags: &ControllerFlags,
        mut leading: watch::Receiver<bool>,
    ) {
        let mut kinds = Vec::new();
        if with_etcd {
            kinds.extend(crds.etcd.clone());
        }
        let with_autopilot = !flags.disables("autopilot");
        if with_autopilot {
            kinds.extend(crds.autopilot.clone());
        }
        let client = client.clone();
        self.duties.spawn(async move {
            while leading.wait_for(|leads| *leads).await.is_ok() {
                let apply = async {
                    objects::apply_crds(&client, &kinds).await?;
                    if with_autopilot {
                        objects::apply_autopilot(&client).await?;
                    }
                    anyhow::Ok(())
                };
                match apply.await {
                    Ok(()) => return,
                    Err(error) => tracing::error!("k0s' kinds cannot be applied: {error:#}"),
                }
                sleep(std::time::Duration::from_secs(1)).await;
            }
        });
    }

    fn start_autopilot(
        &mut self,
        client: &Client,
        paths: &Paths,
        node: &NodeConfig,
        flags: &ControllerFlags,
        identity: &Identity,
    ) -> Result<()> {
        let name = net::node_name(std::env::var("AUTOPILOT_HOSTNAME").ok().as_deref())?;
        let control_node = ControlNode {
            node_name: if flags.workloads() {
                identity.node_name.clone()
            } else {
                name.clone()
            },
            name: name.clone(),
            address: node.spec.api.address.clone(),
            workloads: flags.workloads(),
        };
        let lease = HeldLease::start(
            client,
            LeaseSettings {
                namespace: autopilot::LEASE_NAMESPACE,
                name: autopilot::LEASE_NAME.to_owned(),
                identity: identity.invocation.clone(),
                labels: BTreeMap::from([(
                    autopilot::CENTRAL_CORDONING_LABEL.to_owned(),
                    identity.invocation.clone(),
                )]),
            },
        );
        let leader = Leader {
            client: client.clone(),
            leading: lease.leading(),
            kubeconfig: paths.admin_kubeconfig(),
            port: node.spec.api.port,
        };
        self.leases.push(lease);
        let host = Host::new(client.clone(), SignalKind::ControlNode, name)?;
        let client = client.clone();
        self.duties.spawn(async move {
            control_node.publish(&client).await;
            tokio::join!(host.run(), leader.run());
        });
        Ok(())
    }

    async fn start_worker(
        &mut self,
        paths: &Paths,
        node: &NodeConfig,
        flags: &ControllerFlags,
    ) -> Result<()> {
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
            single: is_alone(node, flags),
            without_controller_manager: flags.disables("kube-controller-manager"),
            without_scheduler: flags.disables("kube-scheduler"),
        };
        self.components.reconcile(&settings, spec).await?;
        let client = self.client.as_ref().context("there is no API yet")?;
        if let Some(addons) = &self.addons {
            addons.send_replace(spec.clone());
        }
        worker_profiles::apply(client, spec, &node.spec, uses_konnectivity(flags)).await
    }

    /// Follows the cluster-wide configuration in the API; for ever, and without it does nothing for ever.
    pub async fn follow_configuration(&mut self, paths: &Paths, node: &NodeConfig, flags: &ControllerFlags) {
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

    /// Stops everything; with `leave_etcd`, this host's etcd leaves its cluster before it ends.
    pub async fn stop(&mut self, paths: &Paths, leave_etcd: bool) {
        if let Some(worker) = self.worker.take() {
            worker.stop().await;
        }
        self.duties.shutdown().await;
        self.components.stop().await;
        for socket in self.sockets.drain(..) {
            socket.abort();
        }
        status::remove_socket(paths);
        // In reverse: leaderships go first, the sign of life after them.
        while let Some(lease) = self.leases.pop() {
            lease.release().await;
        }
        if let Some(api_server) = self.api_server.take() {
            api_server.stop().await;
        }
        if let Some(konnectivity) = self.konnectivity.take() {
            konnectivity.stop().await;
        }
        if let Some(datastore) = self.datastore.take() {
            datastore.stop(leave_etcd).await;
        }
    }
}

/// Whether the API server reaches nodes through konnectivity.
fn uses_konnectivity(flags: &ControllerFlags) -> bool {
    !flags.is_single() && !flags.disables("konnectivity-server")
}

/// Whether there can be no other controller.
fn is_alone(node: &NodeConfig, flags: &ControllerFlags) -> bool {
    flags.is_single() || !node.spec.storage.is_joinable()
}

/// What tells that this host has joined before: etcd's data, or with other storage the cluster's authority.
fn needs_to_join(paths: &Paths, node: &NodeConfig) -> bool {
    if !node.spec.storage.runs_etcd() {
        return !(paths.pki("ca.key").exists() && paths.pki("ca.crt").exists());
    }
    !paths.etcd_database().exists()
}
