//! Flags. All of the original's are accepted, so that a Deployment written for it starts this manager; those that
//! mean nothing here say so once in the log.

use std::{net::SocketAddr, path::PathBuf, str::FromStr};

use clap::{ArgAction, Parser, ValueEnum};
use k0smotron_runtime::{
    migration::Skipped,
    tls::{Policy, PolicyError},
};
use md5::{Digest, Md5};

/// Cluster API providers for k0s: bootstrap, control plane and infrastructure.
#[derive(Clone, Debug, Parser)]
#[command(name = "k0smotron-manager", version)]
pub struct Options {
    /// Which controllers run; all of them when empty.
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub enable_controller: Controllers,

    /// Most reconciles that one controller runs at once.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub concurrency: u16,

    /// Reconcile only objects whose label cluster.x-k8s.io/watch-filter has this value.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub watch_filter: String,

    /// Reconcile only objects in this namespace; in all of them when empty.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub namespace: String,

    /// Name=true|false, separated by commas: CloudInitVars, InPlaceUpdates.
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        env = "K0SMOTRON_FEATURE_GATES"
    )]
    pub feature_gates: String,

    /// Work only while holding a lease, so that several replicas can run.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", default_value_t = false, require_equals = true, action = ArgAction::Set)]
    pub leader_elect: bool,

    /// Where /healthz and /readyz are served.
    #[arg(long, default_value = ":8081")]
    pub health_probe_bind_address: Bind,

    /// Where /metrics is served; 0 for nowhere.
    #[arg(long, default_value = ":8443")]
    pub diagnostics_address: Bind,

    /// Serve /metrics over plain HTTP to everybody, instead of over TLS to whom the API server allows it.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", default_value_t = false, require_equals = true, action = ArgAction::Set)]
    pub insecure_diagnostics: bool,

    /// Port of the webhook server; 0 for none.
    #[arg(long, default_value_t = 9443)]
    pub webhook_port: u16,

    /// Directory with tls.crt and tls.key of the webhook server; whoever writes them also sets caBundle. Without it the
    /// manager makes, renews and injects its own, unless the files are mounted at
    /// /tmp/k8s-webhook-server/serving-certs.
    #[arg(long)]
    pub webhook_cert_dir: Option<PathBuf>,

    /// Lowest version of TLS that is served: VersionTLS12 or VersionTLS13.
    #[arg(long)]
    pub tls_min_version: Option<String>,

    /// Cipher suites of TLS 1.2 that are served, separated by commas.
    #[arg(long)]
    pub tls_cipher_suites: Option<String>,

    /// Phases of the migration of stored objects that are left out, separated by commas: All, StorageVersionMigration,
    /// CleanupManagedFields.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub skip_crd_migration_phases: Skipped,

    /// Kubeconfig of the management cluster; the Pod's service account when absent.
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,

    /// How log lines look.
    #[arg(long, value_enum, default_value_t = Encoder::Console)]
    pub zap_encoder: Encoder,

    /// Least severe level logged: debug, info, warn, error, or a number (1 and more: debug).
    #[arg(long, default_value = "info")]
    pub zap_log_level: String,

    #[command(flatten)]
    pub legacy: Legacy,
}

/// Flags of the original that have no effect here.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Legacy {
    /// Deprecated: use --diagnostics-address.
    #[arg(long, hide = true)]
    pub metrics_bind_address: Option<Bind>,
    /// Deprecated: use --insecure-diagnostics.
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub metrics_secure: Option<bool>,
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub enable_http2: Option<bool>,
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub zap_devel: Option<bool>,
    #[arg(long, hide = true)]
    pub zap_stacktrace_level: Option<String>,
    #[arg(long, hide = true)]
    pub zap_time_encoding: Option<String>,
}

impl Options {
    /// Where metrics are served and whether in the clear: the deprecated flags count only where the others were not
    /// given.
    pub fn diagnostics(&self) -> (Bind, bool) {
        let default = self.diagnostics_address == Bind(Some(SocketAddr::from(([0; 8], 8443))));
        match self.legacy.metrics_bind_address {
            Some(address) if default => (
                address,
                self.insecure_diagnostics || self.legacy.metrics_secure == Some(false),
            ),
            _ => (self.diagnostics_address, self.insecure_diagnostics),
        }
    }

    /// Where the webhook server's certificate is, when somebody else makes it. The original's Deployments mount theirs
    /// without naming the directory.
    pub fn mounted_certificates(&self) -> Option<PathBuf> {
        const ORIGINAL: &str = "/tmp/k8s-webhook-server/serving-certs";
        self.webhook_cert_dir.clone().or_else(|| {
            let directory = PathBuf::from(ORIGINAL);
            (directory.join("tls.crt").is_file() && directory.join("tls.key").is_file()).then_some(directory)
        })
    }

    /// What TLS is served.
    ///
    /// # Errors
    /// When a flag cannot be honoured.
    pub fn tls(&self) -> Result<Policy, PolicyError> {
        Policy::parse(self.tls_min_version.as_deref(), self.tls_cipher_suites.as_deref())
    }

    /// The deprecated or meaningless flags that were given.
    pub fn ignored(&self) -> Vec<&'static str> {
        let legacy = &self.legacy;
        [
            ("--enable-http2", legacy.enable_http2.is_some()),
            ("--zap-devel", legacy.zap_devel.is_some()),
            ("--zap-stacktrace-level", legacy.zap_stacktrace_level.is_some()),
            ("--zap-time-encoding", legacy.zap_time_encoding.is_some()),
        ]
        .into_iter()
        .filter_map(|(flag, given)| given.then_some(flag))
        .collect()
    }
}

/// Value of `--enable-controller`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Controllers {
    /// As it was written: the lease is named after it.
    text: String,
}

impl FromStr for Controllers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "" | "all" | "bootstrap" | "control-plane" | "infrastructure" | "standalone" => Ok(Self {
                text: text.to_owned(),
            }),
            _ => Err("expected all, bootstrap, control-plane, infrastructure or standalone".to_owned()),
        }
    }
}

impl Controllers {
    /// Whether the provider runs in this process.
    pub fn run(&self, provider: &str) -> bool {
        matches!(self.text.as_str(), "" | "all") || self.text == provider
    }

    /// Whether the kinds of k0smotron.io are looked after in this process: they come with the control-plane provider, and alone where
    /// there is no Cluster API.
    pub fn run_standalone(&self) -> bool {
        self.run("control-plane") || self.text == "standalone"
    }

    /// What the names of this installation's objects end with: the original's.
    pub fn suffix(&self) -> String {
        match self.text.as_str() {
            "" | "all" | "standalone" => String::new(),
            provider => format!("-{provider}"),
        }
    }

    /// Name of the lease: the original's, so that the two never work at once.
    pub fn lease(&self) -> String {
        let digest = Md5::digest(self.text.as_bytes());
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{hex}.k0smotron.io")
    }
}

/// An address to listen on, as Go writes them (`:8081` for every interface); `0` for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bind(pub Option<SocketAddr>);

impl FromStr for Bind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "0" {
            return Ok(Self(None));
        }
        let address = match text.strip_prefix(':') {
            Some(port) => port
                .parse()
                .map(|port: u16| SocketAddr::from(([0; 8], port)))
                .map_err(|_| ()),
            None => text.replace("localhost:", "127.0.0.1:").parse().map_err(|_| ()),
        };
        address
            .map(|address| Self(Some(address)))
            .map_err(|()| "expected address:port, :port or 0".to_owned())
    }
}

impl std::fmt::Display for Bind {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(address) => address.fmt(out),
            None => out.write_str("0"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Encoder {
    Console,
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Options {
        Options::try_parse_from([&["k0smotron-manager"], arguments].concat()).unwrap()
    }

    #[test]
    fn arguments_of_the_originals_deployments_are_accepted() {
        let options = parse(&[
            "--health-probe-bind-address=:8081",
            "--diagnostics-address=:8080",
            "--leader-elect",
            "--enable-controller=control-plane",
            "--feature-gates=",
        ]);
        assert!(options.leader_elect);
        assert_eq!(options.diagnostics().0.to_string(), "[::]:8080");
        let options = parse(&[
            "--metrics-bind-address=127.0.0.1:8080",
            "--metrics-secure=false",
            "--zap-devel",
        ]);
        assert_eq!(
            options.diagnostics(),
            (Bind(Some(([127, 0, 0, 1], 8080).into())), true)
        );
        assert_eq!(options.ignored(), ["--zap-devel"]);
    }

    #[test]
    fn leases_are_named_as_the_originals() {
        for (value, digest) in [
            ("", "d41d8cd98f00b204e9800998ecf8427e"),
            ("all", "a181a603769c1f98ad927e7367c7aa51"),
            ("bootstrap", "ca4c50b905dc21ea17a10549a6f5944f"),
            ("control-plane", "f6ddf68f34963ade25bce356fc63d572"),
            ("infrastructure", "6e3301c94e4de897ec67fa9735a848d5"),
            ("standalone", "083a7d1ebf6f499af0c1b1bb489b4941"),
        ] {
            assert_eq!(
                value.parse::<Controllers>().unwrap().lease(),
                format!("{digest}.k0smotron.io")
            );
        }
    }

    #[test]
    fn unknown_controllers_are_refused() {
        assert!("bootstarp".parse::<Controllers>().is_err());
        assert!("alone".parse::<Controllers>().is_err());
    }

    #[test]
    fn hosted_control_planes_need_no_cluster_api() {
        for (value, standalone, under_cluster_api) in [
            ("", true, true),
            ("control-plane", true, true),
            ("standalone", true, false),
            ("bootstrap", false, false),
        ] {
            let controllers: Controllers = value.parse().unwrap();
            assert_eq!(controllers.run_standalone(), standalone, "{value}");
            assert_eq!(controllers.run("control-plane"), under_cluster_api, "{value}");
        }
    }
}
