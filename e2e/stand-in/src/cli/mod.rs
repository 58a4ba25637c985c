//! The command line: k0s' own commands and flags, as far as this stand-in plays them. What is not known is
//! refused, as k0s refuses it, so that a misspelt flag fails here as it would in the field.
//!
//! A flag that was not given stays `None` or empty, because `install` writes only the given ones into the unit.

mod flags;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use self::flags::{ControllerFlags, DebugArgs, InstanceArgs, WorkerFlags};

/// Stand-in for k0s in tests; never part of a release.
#[derive(Debug, Parser)]
#[command(name = "k0s", disable_version_flag = true, args_override_self = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the k0s version
    Version(VersionArgs),
    /// Install k0s as a service of the init system
    Install(InstallArgs),
    /// Start the service that was installed
    Start(DebugArgs),
    /// Stop the service that was installed
    Stop(DebugArgs),
    /// Report on the running instance
    Status(StatusArgs),
    /// Uninstall k0s and remove what it made
    Reset(ResetArgs),
    /// Run a controller
    #[command(alias = "server", args_override_self = true)]
    Controller(Box<ControllerArgs>),
    /// Run a worker
    #[command(args_override_self = true)]
    Worker(Box<WorkerArgs>),
    /// Manage join tokens
    Token(TokenArgs),
    /// Print kubeconfigs
    Kubeconfig(KubeconfigArgs),
    /// Run kubectl against this cluster
    #[command(alias = "kc", disable_help_flag = true)]
    Kubectl(KubectlArgs),
    /// Manage the etcd cluster
    Etcd(EtcdArgs),
}

#[derive(Debug, Args)]
pub struct VersionArgs {
    /// Print the versions of all components
    #[arg(short, long)]
    pub all: bool,
    /// Print them as JSON
    #[arg(short, long)]
    pub json: bool,
}

#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub struct InstallArgs {
    /// Replace an installed service
    #[arg(long, global = true)]
    pub force: bool,
    /// Environment of the service, `name=value`, or `name` to take the caller's value
    #[arg(short, long = "env", global = true, value_name = "NAME=VALUE")]
    pub environment: Vec<String>,
    /// Start the service at once
    #[arg(long, global = true)]
    pub start: bool,
    #[command(subcommand)]
    pub role: InstallRole,
}

#[derive(Debug, Subcommand)]
pub enum InstallRole {
    /// Install a controller
    #[command(alias = "server", args_override_self = true)]
    Controller(Box<ControllerFlags>),
    /// Install a worker
    #[command(args_override_self = true)]
    Worker(Box<WorkerFlags>),
}

#[derive(Debug, Args)]
pub struct ControllerArgs {
    /// Join token of an existing cluster
    pub join_token: Option<String>,
    #[command(flatten)]
    pub flags: ControllerFlags,
}

#[derive(Debug, Args)]
pub struct WorkerArgs {
    /// Join token of the cluster
    pub join_token: Option<String>,
    #[command(flatten)]
    pub flags: WorkerFlags,
}

#[derive(Debug, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    pub debug: DebugArgs,
    #[arg(long, value_name = "PATH")]
    pub status_socket: Option<PathBuf>,
    /// `json` or `yaml`
    #[arg(short, long)]
    pub out: Option<String>,
}

#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub struct ResetArgs {
    #[command(flatten)]
    pub instance: InstanceArgs,
    #[command(flatten)]
    pub debug: DebugArgs,
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[arg(long, value_name = "DIRECTORY")]
    pub kubelet_root_dir: Option<PathBuf>,
    #[arg(long, value_name = "TYPE:SOCKET")]
    pub cri_socket: Option<String>,
}

#[derive(Debug, Args)]
pub struct TokenArgs {
    #[command(subcommand)]
    pub command: TokenCommand,
}

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Create a join token
    Create {
        #[command(flatten)]
        instance: InstanceArgs,
        /// What joins with it
        #[arg(long, value_enum, default_value = "worker")]
        role: Role,
        /// How long it lives, such as 1h30m; 0s for ever
        #[arg(long, default_value = "0s")]
        expiry: String,
        /// Wait for the controller to run
        #[arg(long)]
        wait: bool,
    },
    /// Delete join tokens by id
    Invalidate {
        #[command(flatten)]
        instance: InstanceArgs,
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// List join tokens
    List {
        #[command(flatten)]
        instance: InstanceArgs,
        #[arg(long, value_enum)]
        role: Option<Role>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    Worker,
    Controller,
}

#[derive(Debug, Args)]
pub struct KubeconfigArgs {
    #[command(subcommand)]
    pub command: KubeconfigCommand,
}

#[derive(Debug, Subcommand)]
pub enum KubeconfigCommand {
    /// Print the administrator's kubeconfig
    Admin {
        #[command(flatten)]
        instance: InstanceArgs,
    },
    /// Make a client certificate and print a kubeconfig with it
    Create {
        #[command(flatten)]
        instance: InstanceArgs,
        #[arg(short, long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Group of the user
        #[arg(long)]
        groups: Option<String>,
        /// Life of the certificate, such as 8760h
        #[arg(long, default_value = "8760h")]
        certificate_expires_after: String,
        #[arg(long, default_value = "k0s")]
        context_name: String,
        username: String,
    },
}

#[derive(Debug, Args)]
pub struct KubectlArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub arguments: Vec<std::ffi::OsString>,
}

#[derive(Debug, Args)]
pub struct EtcdArgs {
    #[command(subcommand)]
    pub command: EtcdCommand,
}

#[derive(Debug, Subcommand)]
pub enum EtcdCommand {
    /// Leave the etcd cluster, or remove another member
    Leave {
        #[command(flatten)]
        instance: InstanceArgs,
        #[command(flatten)]
        debug: DebugArgs,
        /// Peer address of the member to remove
        #[arg(long)]
        peer_address: Option<String>,
    },
    /// List the members as JSON
    MemberList {
        #[command(flatten)]
        instance: InstanceArgs,
        #[command(flatten)]
        debug: DebugArgs,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("k0s").chain(line.split(' ')))
    }

    #[test]
    fn the_controller_line_of_the_bootstrap_data_is_understood() {
        let line = [
            "k0s",
            "install",
            "controller",
            "--force",
            "--enable-dynamic-config",
            "--env",
            "AUTOPILOT_HOSTNAME=m1",
            "--labels=k0smotron.io/machine-name=m1",
            "--enable-worker",
            "--disable-components=coredns,helm",
            "--config",
            "/etc/k0s.yaml",
            "--kubelet-extra-args=--hostname-override=m1 --v=2",
        ];
        let Command::Install(install) = Cli::try_parse_from(line).unwrap().command else {
            panic!("not install")
        };
        assert!(install.force);
        assert_eq!(install.environment, ["AUTOPILOT_HOSTNAME=m1"]);
        let InstallRole::Controller(flags) = install.role else {
            panic!("not a controller")
        };
        assert!(flags.workloads() && flags.disables("helm") && !flags.disables("kube-proxy"));
        assert_eq!(flags.worker.labels, ["k0smotron.io/machine-name=m1"]);
        let kubelet = flags.worker.kubelet_flags();
        assert_eq!(kubelet["--hostname-override"], "m1");
        assert_eq!(kubelet["--v"], "2");
    }

    #[test]
    fn booleans_take_a_value_after_an_equals_sign_and_the_last_flag_wins() {
        let Command::Controller(controller) =
            parse("controller --enable-worker=false --enable-worker=true --debug")
                .unwrap()
                .command
        else {
            panic!("not a controller")
        };
        assert_eq!(controller.flags.enable_worker, Some(true));
        assert_eq!(controller.flags.worker.debug.debug, Some(true));
        assert_eq!(controller.join_token, None);
    }

    #[test]
    fn unknown_flags_and_components_are_refused() {
        assert!(parse("worker --no-such-flag").is_err());
        assert!(
            parse("worker --enable-worker").is_err(),
            "a controller flag is none of a worker"
        );
        let Command::Controller(controller) =
            parse("controller --disable-components=core-dns").unwrap().command
        else {
            panic!("not a controller")
        };
        assert_eq!(
            controller.flags.validate().unwrap_err().to_string(),
            "unknown component core-dns"
        );
    }
}
