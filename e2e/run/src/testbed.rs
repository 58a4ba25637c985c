//! Everything a scenario runs on: a management plane with Cluster API and our managers, and machines.

use std::{
    collections::BTreeSet,
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use base64::Engine as _;
use futures::future::try_join_all;
use k0smotron_e2e_components::Component;
use k0smotron_e2e_endpoint::LoadBalancer;
use k0smotron_e2e_machines::{Machine, MachineImage, MachineSpec, Network, SshKey, list, stop_all};
use k0smotron_e2e_plane::{
    Plane,
    clusterctl::{self, Clusterctl},
    managers::{self, Manager},
    nodes::NodePlane,
};

use crate::{
    k0s::{self, K0s},
    progress::step,
    ssh,
};

/// The version of our providers that is installed.
pub const VERSION: &str = concat!("v", env!("CARGO_PKG_VERSION"));
/// Port on the bridge where the k0s binary is served.
pub const K0S_PORT: u16 = 8080;
/// Port on the bridge where another release is served.
const ANOTHER_PORT: u16 = 8082;

/// Instances, one each, so that they run side by side.
#[derive(Clone, Copy, Debug)]
pub enum Purpose {
    Quickstart,
    Suite,
    Bench,
}

impl Purpose {
    /// `K0SMOTRON_INSTANCE`, or the purpose's own.
    ///
    /// # Errors
    /// When the variable is no number.
    pub fn instance(self) -> Result<u8> {
        match std::env::var("K0SMOTRON_INSTANCE") {
            Ok(text) if !text.is_empty() => text
                .parse()
                .with_context(|| format!("K0SMOTRON_INSTANCE={text:?}")),
            _ => Ok(match self {
                Self::Quickstart => 1,
                Self::Suite => 2,
                Self::Bench => 3,
            }),
        }
    }
}

/// A running testbed. Dropping it leaves everything running; [`down`] ends it.
pub struct Testbed {
    pub plane: Plane,
    pub clusterctl: Clusterctl,
    pub managers: Vec<Manager>,
    pub network: Network,
    pub machines: Vec<Machine>,
    pub key: SshKey,
    pub k0s: K0s,
}

impl Testbed {
    /// Starts what does not run yet: machines of these names, the plane, Cluster API and our managers.
    ///
    /// # Errors
    /// With the step that failed.
    pub async fn up(instance: u8, names: &[&str]) -> Result<Self> {
        Self::up_with(instance, names, &[]).await
    }

    /// As [`Self::up`], with more components on the machines.
    ///
    /// # Errors
    /// As [`Self::up`].
    pub async fn up_with(instance: u8, names: &[&str], more: &'static [Component]) -> Result<Self> {
        let k0s = k0s::find().await?;
        println!("k0s: {} ({})", k0s.kind, k0s.path.display());
        let image = tokio::task::spawn_blocking(|| MachineImage::with_components_and(more)).await??;
        let key = SshKey::generate(instance).await?;
        let network = Network::up(instance).await?;
        let machines = step(&format!("{} machines", names.len()), async {
            let specs: Vec<_> = (1u8..)
                .zip(names)
                .map(|(index, name)| MachineSpec::new(name, index, key.public()))
                .collect();
            try_join_all(specs.iter().map(|spec| Machine::start(&network, &image, spec))).await
        })
        .await?;
        let plane = step("management plane", Plane::up(instance)).await?;
        let clusterctl = step(
            "clusterctl init, Cluster API core",
            clusterctl::init(&plane, &repository()?, VERSION),
        )
        .await?;
        let managers = step("managers", managers::start(&plane, &manager_binary()?)).await?;
        let testbed = Self {
            plane,
            clusterctl,
            managers,
            network,
            machines,
            key,
            k0s,
        };
        testbed.serve_k0s().await?;
        Ok(testbed)
    }

    /// URL under which machines download k0s.
    pub fn k0s_url(&self) -> String {
        format!("http://{}:{K0S_PORT}/k0s", self.network.host())
    }

    async fn serve_k0s(&self) -> Result<()> {
        self.serve("k0s-file-server", K0S_PORT, "/k0s", &self.k0s.path)
            .await
    }

    /// Makes a k0s of another version, and serves it at the URL that is returned.
    ///
    /// # Errors
    /// When it cannot be made or served.
    pub async fn serve_another_k0s(&self, version: &str) -> Result<String> {
        let file = self.plane.directory().join("another-k0s");
        k0s::write_another(&self.k0s.path, version, &file)?;
        let path = "/another/k0s";
        self.serve("another-k0s-file-server", ANOTHER_PORT, path, &file)
            .await?;
        Ok(format!("http://{}:{ANOTHER_PORT}{path}", self.network.host()))
    }

    async fn serve(&self, name: &str, port: u16, path: &str, file: &Path) -> Result<()> {
        let arguments = vec![
            "serve".to_owned(),
            format!("{}:{port}", self.network.host()),
            path.to_owned(),
            file.display().to_string(),
        ];
        self.plane
            .run_beside(name, &std::env::current_exe()?, arguments)
            .await
    }

    /// Puts k0s on every machine, for clusters that expect it there, so that no download is measured.
    ///
    /// # Errors
    /// When a machine cannot be reached.
    pub async fn install_k0s(&self) -> Result<()> {
        let script = format!(
            "curl -sSf {} -o /usr/local/bin/k0s && chmod 0755 /usr/local/bin/k0s",
            self.k0s_url()
        );
        for machine in &self.machines {
            ssh::run(self.key.path(), machine.address(), &script).await?;
        }
        Ok(())
    }

    /// Numbers of members, as etcd itself tells on the machines of the instance that run it; one number if they agree. A machine
    /// that is lost tells nothing.
    pub async fn etcd_members(&self) -> BTreeSet<usize> {
        let mut told = BTreeSet::new();
        for machine in list(self.network.instance()).unwrap_or_default() {
            let Ok(listed) = machine.try_exec("k0s etcd member-list 2>/dev/null || true").await else {
                continue;
            };
            match listed.stdout.matches("https://").count() {
                0 => {}
                members => {
                    told.insert(members);
                }
            }
        }
        told
    }

    /// Addresses of the machines of these names, in that order.
    ///
    /// # Errors
    /// When the testbed does not have one of them.
    pub fn addresses(&self, names: &[&str]) -> Result<Vec<Ipv4Addr>> {
        names
            .iter()
            .map(|name| Ok(self.machine(name)?.address()))
            .collect()
    }

    /// The private key that opens the machines, in base64 as Secrets carry it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn key_data(&self) -> Result<String> {
        Ok(base64::engine::general_purpose::STANDARD.encode(self.key.private()?))
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
}

/// Ends everything of the instance, also what a run that was cut off left behind.
///
/// # Errors
/// With what could not be removed.
pub async fn down(instance: u8) -> Result<()> {
    step("stopping managers and management plane", Plane::down(instance)).await?;
    NodePlane::down(instance).await?;
    LoadBalancer::stop(instance).await?;
    step("stopping machines", stop_all(instance)).await?;
    Network::down(instance).await
}

/// The repository that `make components` wrote.
pub fn repository() -> Result<PathBuf> {
    in_checkout(&Path::new("target/dist").join(VERSION), "make components")
}

/// The manager that `make build` built.
pub fn manager_binary() -> Result<PathBuf> {
    in_checkout(Path::new("target/release/k0smotron-manager"), "make build")
}

/// `UPSTREAM_OPERATOR`: another operator's manager that serves the same API, to be compared with ours.
pub fn other_operator() -> Option<PathBuf> {
    let path = std::env::var_os("UPSTREAM_OPERATOR").filter(|path| !path.is_empty())?;
    Some(PathBuf::from(path))
}

fn in_checkout(path: &Path, made_by: &str) -> Result<PathBuf> {
    path.canonicalize()
        .with_context(|| format!("{} is not there; `{made_by}` writes it", path.display()))
}
