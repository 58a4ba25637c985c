//! Flags that several commands share: of controllers, of workers, and those that say which instance is meant.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::paths::Paths;

/// Names that `--disable-components` accepts; k0s refuses any other.
pub const COMPONENTS: [&str; 18] = [
    "applier-manager",
    "autopilot",
    "control-api",
    "coredns",
    "csr-approver",
    "endpoint-reconciler",
    "helm",
    "konnectivity-server",
    "kube-controller-manager",
    "kube-proxy",
    "kube-scheduler",
    "metrics-server",
    "network-provider",
    "node-role",
    "system-rbac",
    "update-prober",
    "windows-node",
    "worker-config",
];

/// Flags of every command that logs.
#[derive(Clone, Debug, Default, Args)]
pub struct DebugArgs {
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub verbose: Option<bool>,
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub debug: Option<bool>,
    #[arg(long = "debugListenOn", value_name = "ADDRESS")]
    pub debug_listen_on: Option<String>,
}

/// Flags that say which instance is meant.
#[derive(Clone, Debug, Default, Args)]
pub struct InstanceArgs {
    /// Directory of all k0s state
    #[arg(long, value_name = "DIRECTORY")]
    pub data_dir: Option<PathBuf>,
    /// Status socket of the instance
    #[arg(long, value_name = "PATH")]
    pub status_socket: Option<PathBuf>,
}

impl InstanceArgs {
    /// Paths of this instance; `config` is the configuration file, when the command has that flag.
    pub fn paths(&self, config: Option<&Path>) -> Result<Paths> {
        Paths::new(
            self.data_dir.as_deref(),
            None,
            config,
            self.status_socket.as_deref(),
        )
    }
}

/// Flags of `controller` and `install controller`.
#[derive(Clone, Debug, Default, Args)]
pub struct ControllerFlags {
    #[command(flatten)]
    pub worker: WorkerFlags,
    /// Configuration file, `-` for standard input
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Run a worker beside the controller
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub enable_worker: Option<bool>,
    /// One controller that is its only worker
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub single: Option<bool>,
    /// No control-plane taint on the controller's own node
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub no_taints: Option<bool>,
    /// Components that are not to run
    #[arg(long, value_delimiter = ',', value_name = "COMPONENT")]
    pub disable_components: Vec<String>,
    /// Keep the cluster-wide configuration in the API
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub enable_dynamic_config: Option<bool>,
    /// Accepted and without effect here
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub enable_k0s_cloud_provider: Option<bool>,
    /// Accepted and without effect here
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub enable_metrics_scraper: Option<bool>,
    /// Accepted and without effect here
    #[arg(long, value_name = "DURATION")]
    pub k0s_cloud_provider_update_frequency: Option<String>,
    /// Accepted and without effect here
    #[arg(long, value_name = "PORT")]
    pub k0s_cloud_provider_port: Option<u16>,
    /// How long the API server may take to stop, such as 20s
    #[arg(long, value_name = "DURATION")]
    pub api_server_stop_timeout: Option<String>,
    /// Extra flags of kube-controller-manager
    #[arg(long, allow_hyphen_values = true, value_name = "FLAGS")]
    pub kube_controller_manager_extra_args: Option<String>,
    /// Prepare the controller's files and exit
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub init_only: Option<bool>,
    /// Accepted and without effect here
    #[arg(long, value_delimiter = ',', value_name = "NAME=BOOL")]
    pub feature_gates: Vec<String>,
}

/// Flags of `worker` and `install worker`, which every controller has too.
#[derive(Clone, Debug, Default, Args)]
pub struct WorkerFlags {
    #[command(flatten)]
    pub instance: InstanceArgs,
    #[command(flatten)]
    pub debug: DebugArgs,
    /// File with the join token
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Node labels, `key=value`
    #[arg(long, value_delimiter = ',', value_name = "KEY=VALUE")]
    pub labels: Vec<String>,
    /// Node taints, `key=value:effect`
    #[arg(long, value_delimiter = ',', value_name = "KEY=VALUE:EFFECT")]
    pub taints: Vec<String>,
    /// Extra flags of kubelet, separated by blanks
    #[arg(long, allow_hyphen_values = true, value_name = "FLAGS")]
    pub kubelet_extra_args: Option<String>,
    /// Root directory of kubelet
    #[arg(long, value_name = "DIRECTORY")]
    pub kubelet_root_dir: Option<PathBuf>,
    /// Worker profile
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Go on when a pre-flight check fails
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub ignore_pre_flight_checks: Option<bool>,
    /// Let kubelet expect an external cloud provider
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub enable_cloud_provider: Option<bool>,
    /// Another container runtime; not played by this stand-in
    #[arg(long, value_name = "TYPE:SOCKET")]
    pub cri_socket: Option<String>,
    /// Accepted and without effect here
    #[arg(long, value_name = "MODE")]
    pub iptables_mode: Option<String>,
    /// Log levels, `component=level`
    #[arg(short, long, value_delimiter = ',', value_name = "COMPONENT=LEVEL")]
    pub logging: Vec<String>,
}

impl ControllerFlags {
    /// Whether pods run on this host.
    pub fn workloads(&self) -> bool {
        self.enable_worker == Some(true) || self.is_single()
    }

    pub fn is_single(&self) -> bool {
        self.single == Some(true)
    }

    pub fn disables(&self, component: &str) -> bool {
        self.disable_components
            .iter()
            .any(|disabled| disabled == component)
    }

    /// Refuses component names that k0s does not know.
    pub fn validate(&self) -> Result<()> {
        for component in &self.disable_components {
            if !COMPONENTS.contains(&component.as_str()) {
                bail!("unknown component {component}");
            }
        }
        self.api_server_stop_timeout()?;
        self.worker.validate()
    }

    /// How long the API server may take to stop; `None` leaves that to k0s.
    pub fn api_server_stop_timeout(&self) -> Result<Option<Duration>> {
        let Some(text) = self
            .api_server_stop_timeout
            .as_deref()
            .filter(|text| !text.is_empty())
        else {
            return Ok(None);
        };
        let timeout = crate::go::parse_duration(text).context("--api-server-stop-timeout")?;
        if timeout.is_zero() {
            bail!("--api-server-stop-timeout: must be positive");
        }
        Ok(Some(timeout))
    }

    pub fn paths(&self) -> Result<Paths> {
        Paths::new(
            self.worker.instance.data_dir.as_deref(),
            self.worker.kubelet_root_dir.as_deref(),
            self.config.as_deref(),
            self.worker.instance.status_socket.as_deref(),
        )
    }
}

impl WorkerFlags {
    /// Refuses what this stand-in does not play.
    pub fn validate(&self) -> Result<()> {
        if self.cri_socket.is_some() {
            bail!(
                "--cri-socket is not supported by this stand-in for k0s: it always runs its own containerd"
            );
        }
        Ok(())
    }

    pub fn paths(&self) -> Result<Paths> {
        Paths::new(
            self.instance.data_dir.as_deref(),
            self.kubelet_root_dir.as_deref(),
            None,
            self.instance.status_socket.as_deref(),
        )
    }

    /// `--kubelet-extra-args` as flag and value, split at blanks; the last of equal flags wins.
    pub fn kubelet_flags(&self) -> std::collections::BTreeMap<String, String> {
        crate::go::split_flags(self.kubelet_extra_args.as_deref().unwrap_or_default())
    }
}
