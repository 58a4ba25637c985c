//! A management cluster with a node: one machine on which k0s, real or the stand-in, is controller and worker, with
//! CoreDNS, kube-proxy and volumes. For everything that runs in pods: hosted control planes, and the managers
//! themselves.
//!
//! The machine is `management`, with index 0, in the network of its instance; workers of hosted clusters are other
//! machines there. State is on disk, so any program can use or end what another one started.

mod install;
mod node;
mod other_operator;

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k0smotron_e2e_components::Component;
use k0smotron_e2e_images::catalog;
use k0smotron_e2e_machines::{Machine, MachineImage, MachineSpec, Network, instance_directory};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::Node;
use kube::Client;
use kube::api::{Api, ListParams};

use crate::kubeconfig;
use crate::pki::write_private;
use crate::process::Processes;
use crate::wait::Patience;

const MACHINE: &str = "management";
const INDEX: u8 = 0;

/// From the start of k0s to its first answer, with an image import beside it.
const START_LIMIT: Duration = Duration::from_secs(180);

/// The k0s that the plane and its hosted control planes run.
#[derive(Clone, Copy, Debug)]
pub struct K0s<'a> {
    pub binary: &'a Path,
    /// With leading `v`, for example `v1.36.3+k0s.2`.
    pub version: &'a str,
}

/// A running management cluster; dropping it leaves it running.
pub struct NodePlane {
    instance: u8,
    directory: PathBuf,
    machine: Machine,
    pub(crate) processes: Processes,
    config: kube::Config,
}

impl NodePlane {
    /// Starts what does not run yet, and waits until the node is Ready and has the images of k0s and etcd. CoreDNS takes
    /// half a minute more: see [`Self::wait_for_services`].
    ///
    /// `authorized_key` may log in to the machine as root.
    ///
    /// # Errors
    /// A component cannot be built, or the machine or k0s does not start (it is left as it is, for a look at it).
    pub async fn up(network: &Network, authorized_key: &str, k0s: K0s<'_>) -> Result<Self> {
        let image = tokio::task::spawn_blocking(|| MachineImage::with_components_and(&[Component::CoreDns]))
            .await??;
        let machine =
            Machine::start(network, &image, &MachineSpec::new(MACHINE, INDEX, authorized_key)).await?;
        let fresh = !node::is_set_up(&machine).await?;
        if fresh {
            machine.install(k0s.binary, "/usr/local/bin/k0s", 0o755).await?;
            node::set_up(&machine).await?;
        }
        let (kubeconfig, imported) = tokio::join!(admin_kubeconfig(&machine), async {
            if fresh {
                import_images(&machine, k0s).await?;
            }
            anyhow::Ok(())
        });
        let directory = directory(network.instance());
        fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        write_private(&directory.join(KUBECONFIG), &kubeconfig?)?;
        imported?;
        let plane = Self::open(network.instance(), directory, machine).await?;
        plane.wait_for_node().await?;
        node::provide_volumes(&plane.client()?, &plane.machine).await?;
        Ok(plane)
    }

    /// The plane that another program started.
    ///
    /// # Errors
    /// There is none.
    pub async fn attach(instance: u8) -> Result<Self> {
        let machine = k0smotron_e2e_machines::list(instance)?
            .into_iter()
            .find(|machine| machine.name() == MACHINE)
            .with_context(|| format!("there is no management cluster with nodes in instance {instance}"))?;
        Self::open(instance, directory(instance), machine).await
    }

    async fn open(instance: u8, directory: PathBuf, machine: Machine) -> Result<Self> {
        let config = kubeconfig::load(&directory.join(KUBECONFIG)).await?;
        let processes = Processes::open(directory.join("run"))?;
        Ok(Self {
            instance,
            directory,
            machine,
            processes,
            config,
        })
    }

    /// Ends the plane with everything that runs on it, and removes its state. Nothing there is no error.
    ///
    /// # Errors
    /// The machine cannot be stopped; calling it again goes on.
    pub async fn down(instance: u8) -> Result<()> {
        for machine in k0smotron_e2e_machines::list(instance)? {
            if machine.name() == MACHINE {
                machine.stop().await?;
            }
        }
        let directory = directory(instance);
        if !directory.is_dir() {
            return Ok(());
        }
        let processes = Processes::open(directory.join("run"))?;
        for name in processes.names()? {
            processes.stop(&name).await?;
        }
        fs::remove_dir_all(&directory).with_context(|| format!("cannot remove {}", directory.display()))
    }

    /// Waits until pods find each other: kube-proxy and CoreDNS are there.
    ///
    /// # Errors
    /// They are not within three minutes.
    pub async fn wait_for_services(&self) -> Result<()> {
        let client = self.client()?;
        let proxies: Api<DaemonSet> = Api::namespaced(client.clone(), "kube-system");
        let patience = Patience::new("kube-proxy runs", START_LIMIT);
        loop {
            let found = proxies
                .get_opt("kube-proxy")
                .await?
                .and_then(|proxy| proxy.status);
            if found.is_some_and(|status| status.number_ready > 0) {
                break;
            }
            patience.wait().await?;
        }
        self.wait_for_deployment("kube-system", "coredns").await
    }

    /// Waits until a Deployment, which may not be there yet, has all its pods ready.
    ///
    /// # Errors
    /// It does not within three minutes.
    pub async fn wait_for_deployment(&self, namespace: &str, name: &str) -> Result<()> {
        let deployments: Api<Deployment> = Api::namespaced(self.client()?, namespace);
        let patience = Patience::new(format!("Deployment {namespace}/{name} is ready"), START_LIMIT);
        loop {
            let found = deployments.get_opt(name).await?;
            if found.as_ref().is_some_and(is_ready) {
                return Ok(());
            }
            patience.wait().await?;
        }
    }

    async fn wait_for_node(&self) -> Result<()> {
        let nodes: Api<Node> = Api::all(self.client()?);
        let patience = Patience::new("the management node is Ready", START_LIMIT);
        loop {
            // The API server may still be busy with its own objects.
            let found = nodes.list(&ListParams::default()).await;
            if found.is_ok_and(|nodes| nodes.iter().any(node::is_ready)) {
                return Ok(());
            }
            patience.wait().await?;
        }
    }

    #[must_use]
    pub fn instance(&self) -> u8 {
        self.instance
    }

    /// A kubeconfig file with every right, mode 0600.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.directory.join(KUBECONFIG)
    }

    /// Everything that is kept outside of the machine.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The node.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Address of the node: NodePorts are reached here, and a resolver that knows no name answers.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.machine.address()
    }

    /// A client with every right.
    ///
    /// # Errors
    /// The TLS configuration is refused.
    pub fn client(&self) -> Result<Client> {
        Ok(Client::try_from(self.config.clone())?)
    }
}

const KUBECONFIG: &str = "admin.kubeconfig";

fn directory(instance: u8) -> PathBuf {
    instance_directory(instance).join("node-plane")
}

/// The kubeconfig that k0s prints, as soon as its API server answers.
async fn admin_kubeconfig(machine: &Machine) -> Result<String> {
    let patience = Patience::new("k0s on the management machine answers", START_LIMIT);
    loop {
        let output = machine
            .try_exec("k0s kubectl get --raw /readyz >/dev/null && k0s kubeconfig admin")
            .await?;
        if output.success() {
            ensure!(output.stdout.contains("server:"), "k0s printed no kubeconfig");
            return Ok(output.stdout);
        }
        patience
            .wait()
            .await
            .with_context(|| output.stderr.trim().to_owned())?;
    }
}

/// As soon as containerd answers, and before anything wants them.
async fn import_images(machine: &Machine, k0s: K0s<'_>) -> Result<()> {
    let (binary, version) = (k0s.binary.to_owned(), k0s.version.to_owned());
    let images = tokio::task::spawn_blocking(move || -> Result<_> {
        let mut images = catalog::node()?;
        images.extend(catalog::hosted(&binary, &version)?);
        Ok(images)
    });
    let images = images.await??;
    let patience = Patience::new("containerd on the management machine answers", START_LIMIT);
    while !machine.try_exec(node::CONTAINERD_ANSWERS).await?.success() {
        patience.wait().await?;
    }
    machine.import_images(images).await.map(drop)
}

fn is_ready(deployment: &Deployment) -> bool {
    let wanted = deployment
        .spec
        .as_ref()
        .and_then(|spec| spec.replicas)
        .unwrap_or(1);
    deployment.status.as_ref().is_some_and(|status| {
        status.observed_generation == deployment.metadata.generation
            && status.updated_replicas == Some(wanted)
            && status.ready_replicas == Some(wanted)
    })
}
