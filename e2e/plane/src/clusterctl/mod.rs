//! The real `clusterctl`, offline: every provider comes from a local repository.
//!
//! [`install`] is what a user does; [`init`] does it on a plane without nodes, which needs more instead of pods: see
//! [`crate::core`] and [`crate::managers`].

pub mod cert_manager;
mod inventory;
mod repository;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use k0smotron_e2e_components::Component;
use kube::Client;
use tokio::process::Command;

use crate::core;
use crate::plane::Plane;

/// Our name in clusterctl's built-in list of providers, for all three types.
const PROVIDER: &str = "k0sproject-k0smotron";

/// `clusterctl` with the configuration and kubeconfig of one plane.
pub struct Clusterctl {
    binary: PathBuf,
    home: PathBuf,
    kubeconfig: PathBuf,
    /// Version of our providers in the repository, with leading `v`.
    version: String,
}

/// Installs Cluster API core and our three providers of `version` (for example `v3.0.0`), and starts core.
///
/// As [`install`], on a plane without nodes. Our managers are not started: see [`crate::managers::start`].
///
/// # Errors
/// As [`install`], or core is not ready.
pub async fn init(plane: &Plane, providers: &Path, version: &str) -> Result<Clusterctl> {
    let clusterctl = install(
        plane.directory(),
        plane.kubeconfig(),
        &plane.client()?,
        providers,
        version,
    )
    .await?;
    let components = tokio::task::spawn_blocking(repository::Components::find).await??;
    core::start(plane, &components.core()).await?;
    Ok(clusterctl)
}

/// `clusterctl init` with Cluster API core and our three providers of `version`, with its state in `directory`.
///
/// `providers` is a clusterctl repository: `<providers>/<type>-k0sproject-k0smotron/<version>/<type>-components.yaml`
/// and so on, with `metadata.yaml` beside each. Providers that are installed already are left as they are, so calling
/// it again is fine.
///
/// # Errors
/// The repository is incomplete, or clusterctl refuses something (the message holds its output).
pub async fn install(
    directory: &Path,
    kubeconfig: PathBuf,
    client: &Client,
    providers: &Path,
    version: &str,
) -> Result<Clusterctl> {
    let components = tokio::task::spawn_blocking(repository::Components::find).await??;
    let home = directory.join("clusterctl");
    repository::write(&home, &components, providers, version).await?;
    let clusterctl = Clusterctl {
        binary: components.clusterctl(),
        home,
        kubeconfig,
        version: version.to_owned(),
    };
    cert_manager::stand_in(client).await?;
    let wanted = [
        (
            "--core",
            format!("cluster-api:{}", Component::ClusterApi.version()),
        ),
        ("--bootstrap", format!("{PROVIDER}:{version}")),
        ("--control-plane", format!("{PROVIDER}:{version}")),
        ("--infrastructure", format!("{PROVIDER}:{version}")),
    ];
    let missing = inventory::missing(client, &wanted).await?;
    if !missing.is_empty() {
        let mut args = vec!["init"];
        args.extend(
            missing
                .iter()
                .flat_map(|(flag, provider)| [*flag, provider.as_str()]),
        );
        clusterctl.run(&args).await?;
    }
    Ok(clusterctl)
}

/// What `clusterctl generate cluster` is asked for.
#[derive(Clone, Debug)]
pub struct ClusterRequest<'a> {
    pub name: &'a str,
    pub namespace: &'a str,
    /// `cluster-template-<flavor>.yaml` instead of `cluster-template.yaml`.
    pub flavor: Option<&'a str>,
    /// Semantic version with leading `v`, for example `v1.36.3+k0s.2`.
    pub kubernetes_version: &'a str,
    pub control_plane_machines: u32,
    pub worker_machines: u32,
    /// Further variables of the template, through the environment as a user would give them.
    pub variables: &'a [(&'a str, String)],
}

impl Clusterctl {
    /// For a plane on which [`init`] was done by another program.
    ///
    /// # Errors
    /// It was not, or the binary cannot be built.
    pub async fn attach(plane: &Plane, version: &str) -> Result<Self> {
        let components = tokio::task::spawn_blocking(repository::Components::find).await??;
        let home = plane.directory().join("clusterctl");
        ensure!(
            home.join(repository::CONFIG).is_file(),
            "`clusterctl init` was not done on this plane"
        );
        Ok(Self {
            binary: components.clusterctl(),
            home,
            kubeconfig: plane.kubeconfig(),
            version: version.to_owned(),
        })
    }

    /// The YAML of a new cluster, from our infrastructure provider's templates.
    ///
    /// # Errors
    /// No such flavor, or a variable without value.
    pub async fn generate_cluster(&self, request: &ClusterRequest<'_>) -> Result<String> {
        let provider = format!("{PROVIDER}:{}", self.version);
        let control_plane = request.control_plane_machines.to_string();
        let workers = request.worker_machines.to_string();
        let mut args = vec!["generate", "cluster", request.name, "--infrastructure", &provider];
        args.extend(["--target-namespace", request.namespace]);
        args.extend(["--kubernetes-version", request.kubernetes_version]);
        args.extend([
            "--control-plane-machine-count",
            &control_plane,
            "--worker-machine-count",
            &workers,
        ]);
        args.extend(request.flavor.iter().flat_map(|flavor| ["--flavor", flavor]));
        self.run_with(&args, request.variables).await
    }

    /// The tree of `clusterctl describe cluster` with all conditions.
    ///
    /// # Errors
    /// There is no such cluster.
    pub async fn describe(&self, namespace: &str, name: &str) -> Result<String> {
        self.run(&[
            "describe",
            "cluster",
            name,
            "-n",
            namespace,
            "--show-conditions",
            "all",
        ])
        .await
    }

    /// Any other command; the answer is its standard output.
    ///
    /// # Errors
    /// It fails; the message holds its standard error.
    pub async fn run(&self, args: &[&str]) -> Result<String> {
        self.run_with(args, &[]).await
    }

    async fn run_with(&self, args: &[&str], variables: &[(&str, String)]) -> Result<String> {
        let output = Command::new(&self.binary)
            .args(args)
            .arg("--config")
            .arg(self.home.join(repository::CONFIG))
            .env_clear()
            .env("HOME", &self.home)
            .env("XDG_CONFIG_HOME", &self.home)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("CLUSTERCTL_DISABLE_VERSIONCHECK", "true")
            // Version lists come from the Go module proxy before anything else; nothing here may leave the machine.
            .env("GOPROXY", "off")
            .envs(variables.iter().map(|(name, value)| (*name, value.as_str())))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .with_context(|| format!("cannot run {}", self.binary.display()))?;
        ensure!(
            output.status.success(),
            "`clusterctl {}` failed:\n{}",
            args.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        String::from_utf8(output.stdout).context("clusterctl printed something that is not UTF-8")
    }
}
