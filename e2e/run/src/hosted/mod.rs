//! What hosted control planes run on: a management cluster with a node, our manager in pods of it, and machines that
//! become workers.

pub mod quickstart;

use anyhow::{Context, Result};
use futures::future::try_join_all;
use k0smotron_e2e_images::catalog;
use k0smotron_e2e_machines::{Machine, MachineImage, MachineSpec, Network, SshKey};
use k0smotron_e2e_plane::{
    clusterctl::Clusterctl,
    nodes::{self, NodePlane},
};

use crate::{
    cluster::{ControlPlane, WorkloadCluster},
    k0s::{self, K0s},
    progress::{step, until},
    testbed::{K0S_PORT, VERSION, manager_binary, repository},
};

/// A running testbed. Dropping it leaves everything running; [`crate::testbed::down`] ends it.
pub struct HostedTestbed {
    pub plane: NodePlane,
    pub clusterctl: Clusterctl,
    pub network: Network,
    /// Future workers.
    pub machines: Vec<Machine>,
    pub key: SshKey,
    pub k0s: K0s,
}

impl HostedTestbed {
    /// Starts what does not run yet: the management cluster with Cluster API and our manager, and machines of these names.
    ///
    /// # Errors
    /// With the step that failed.
    pub async fn up(instance: u8, names: &[&str]) -> Result<Self> {
        let k0s = k0s::find().await?;
        println!("k0s: {} ({})", k0s.kind, k0s.path.display());
        let key = SshKey::generate(instance).await?;
        let network = Network::up(instance).await?;
        let binary = nodes::K0s {
            binary: &k0s.path,
            version: k0s::VERSION,
        };
        let plane = step(
            "management cluster with a node, images imported",
            NodePlane::up(&network, key.public(), binary),
        )
        .await?;
        let clusterctl = step(
            "clusterctl init, Cluster API core and manager in pods",
            plane.install(&repository()?, VERSION, &manager_binary()?),
        )
        .await?;
        let machines = step(&format!("{} machines", names.len()), async {
            let image = tokio::task::spawn_blocking(MachineImage::with_components).await??;
            let specs: Vec<_> = (1u8..)
                .zip(names)
                .map(|(index, name)| MachineSpec::new(name, index, key.public()))
                .collect();
            try_join_all(specs.iter().map(|spec| Machine::start(&network, &image, spec))).await
        })
        .await?;
        step("kube-proxy and CoreDNS", plane.wait_for_services()).await?;
        let testbed = Self {
            plane,
            clusterctl,
            network,
            machines,
            key,
            k0s,
        };
        testbed.serve_k0s().await?;
        Ok(testbed)
    }

    async fn serve_k0s(&self) -> Result<()> {
        let arguments = vec![
            "serve".to_owned(),
            format!("{}:{K0S_PORT}", self.network.host()),
            "/k0s".to_owned(),
            self.k0s.path.display().to_string(),
        ];
        let program = std::env::current_exe()?;
        self.plane
            .run_beside("k0s-file-server", &program, arguments)
            .await
    }

    /// URL under which machines download k0s.
    pub fn k0s_url(&self) -> String {
        format!("http://{}:{K0S_PORT}/k0s", self.network.host())
    }

    /// A cluster on this testbed whose control plane runs in pods.
    ///
    /// # Errors
    /// When there is no client for the management cluster.
    pub fn cluster(&self, name: &str) -> Result<WorkloadCluster<'_>> {
        WorkloadCluster::on(
            self.plane.client()?,
            self.plane.directory(),
            ControlPlane::Pods,
            name,
        )
    }

    /// The machine of that name.
    ///
    /// # Errors
    /// When the testbed has none.
    pub fn machine(&self, name: &str) -> Result<&Machine> {
        self.machines
            .iter()
            .find(|machine| machine.name() == name)
            .with_context(|| format!("the testbed has no machine {name}"))
    }

    /// Makes a k0s of another version, and the image of it that pods run.
    ///
    /// # Errors
    /// When it cannot be made or imported.
    pub async fn import_another_k0s(&self, version: &str) -> Result<()> {
        let file = self.plane.directory().join("another-k0s");
        k0s::write_another(&self.k0s.path, version, &file)?;
        let version = version.to_owned();
        let images = tokio::task::spawn_blocking(move || catalog::hosted(&file, &version)).await??;
        self.plane.machine().import_images(images).await.map(drop)
    }

    /// Imports what k0s deploys into a cluster on a machine that runs k0s, as soon as its containerd answers.
    ///
    /// # Errors
    /// When containerd does not answer, or refuses an image.
    pub async fn import_node_images(&self, machine: &Machine) -> Result<()> {
        let limit = std::time::Duration::from_secs(120);
        let pause = std::time::Duration::from_millis(200);
        until("containerd of the worker", limit, pause, || async {
            let answers = machine
                .try_exec("ctr --address /run/k0s/containerd.sock version >/dev/null")
                .await?;
            Ok(answers.success().then_some(()))
        })
        .await?;
        let images = tokio::task::spawn_blocking(catalog::node).await??;
        machine.import_images(images).await.map(drop)
    }
}
