//! `k0s install`, `start` and `stop`: the service of the init system. Only systemd is played.
//!
//! The unit has k0s' own shape, because its `KillMode=process`, `Restart` and `RestartSec` decide what survives a
//! crash or a stop, and tests depend on that.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::cli::{ControllerFlags, InstallArgs, InstallRole, WorkerFlags};
use crate::config::NodeConfig;

const UNIT_DIRECTORY: &str = "/etc/systemd/system";

/// What the init system says of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    NotInstalled,
    Running,
    Stopped,
    Failed,
}

/// `k0s install controller|worker`. Refuses when the service exists, unless `--force` is given.
pub fn install(arguments: &InstallArgs) -> Result<()> {
    require_root()?;
    let environment = resolve_environment(&arguments.environment)?;
    let (role, flags) = match &arguments.role {
        InstallRole::Controller(flags) => {
            flags.validate()?;
            let paths = flags.paths()?;
            if paths.startup_config_path.as_os_str() == "-" {
                bail!("cannot read configuration from standard input when installing k0s");
            }
            NodeConfig::load_for_controller(&paths, flags.is_single())?;
            ("controller", controller_arguments(flags)?)
        }
        InstallRole::Worker(flags) => {
            flags.validate()?;
            ("worker", worker_arguments(flags)?)
        }
    };
    install_service(role, &flags, &environment, arguments.force)
        .with_context(|| format!("failed to install {role} service"))?;
    if arguments.start {
        start_installed(arguments.force).with_context(|| format!("failed to start {role} service"))?;
    }
    Ok(())
}

/// `k0s start`: starts whichever service is installed; an error when it runs already.
pub fn start() -> Result<()> {
    require_root()?;
    start_installed(false)
}

/// `k0s stop`: stops whichever service is installed; an error when it is stopped already.
pub fn stop() -> Result<()> {
    require_root()?;
    let (role, state) = installed()?;
    if state != State::Running {
        bail!("already stopped");
    }
    systemctl(&["stop", &unit_name(role)])
}

/// Removes the service of a role. `Ok(false)` when there was none.
pub fn uninstall(role: &str) -> Result<bool> {
    let unit = unit_path(role);
    if !unit.exists() {
        return Ok(false);
    }
    systemctl(&["disable", &unit_name(role)])?;
    std::fs::remove_file(&unit).with_context(|| format!("cannot remove {}", unit.display()))?;
    systemctl(&["daemon-reload"])?;
    Ok(true)
}

/// The unit file of the running role, for `k0s status`.
pub fn unit_path(role: &str) -> PathBuf {
    Path::new(UNIT_DIRECTORY).join(unit_name(role))
}

fn start_installed(force: bool) -> Result<()> {
    let (role, state) = installed()?;
    if state == State::Running {
        if force {
            return systemctl(&["restart", &unit_name(role)]);
        }
        bail!("already running");
    }
    systemctl(&["start", &unit_name(role)])
}

fn installed() -> Result<(&'static str, State)> {
    for role in ["controller", "worker"] {
        match state(role)? {
            State::NotInstalled => {}
            State::Failed => bail!("service in failed state"),
            found => return Ok((role, found)),
        }
    }
    bail!("k0s has not been installed as a service")
}

fn state(role: &str) -> Result<State> {
    if !unit_path(role).exists() {
        return Ok(State::NotInstalled);
    }
    let output = Command::new("systemctl")
        .args(["is-active", &unit_name(role)])
        .output()
        .context("systemctl cannot be run; this stand-in for k0s knows no other init system than systemd")?;
    Ok(match String::from_utf8_lossy(&output.stdout).trim() {
        "active" | "activating" => State::Running,
        "failed" => State::Failed,
        "inactive" => State::Stopped,
        // Such as "deactivating": k0s takes any other answer for a service that is not there.
        _ => State::NotInstalled,
    })
}

fn install_service(role: &str, arguments: &[String], environment: &[String], force: bool) -> Result<()> {
    let unit = unit_path(role);
    if force {
        uninstall(role)?;
    }
    if unit.exists() {
        bail!("Init already exists: {}", unit.display());
    }
    let executable = std::env::current_exe().context("the path of this executable is unknown")?;
    let content = render_unit(&executable, role, arguments, environment);
    std::fs::write(&unit, content).with_context(|| format!("cannot write {}", unit.display()))?;
    systemctl(&["enable", &unit_name(role)])?;
    systemctl(&["daemon-reload"])
}

fn unit_name(role: &str) -> String {
    format!("k0s{role}.service")
}

fn systemctl(arguments: &[&str]) -> Result<()> {
    let line = format!("systemctl {}", arguments.join(" "));
    let output = Command::new("systemctl")
        .args(arguments)
        .output()
        .with_context(|| format!("{line} cannot be run"))?;
    if !output.status.success() {
        bail!(
            "{line} failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}

fn require_root() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("this command must be run as root");
    }
    Ok(())
}

fn resolve_environment(given: &[String]) -> Result<Vec<String>> {
    given
        .iter()
        .map(|variable| {
            if variable.contains('\0') {
                bail!("NUL byte in environment variable");
            }
            if variable.contains('=') {
                return Ok(variable.clone());
            }
            Ok(format!(
                "{variable}={}",
                std::env::var(variable).unwrap_or_default()
            ))
        })
        .collect()
}

/// The flags that were given, as `--name=value` sorted by name and with absolute paths, for the unit's command line.
fn controller_arguments(flags: &ControllerFlags) -> Result<Vec<String>> {
    let mut lines = Lines::default();
    lines.worker(&flags.worker)?;
    lines.path("config", flags.config.as_deref())?;
    lines.boolean("enable-worker", flags.enable_worker);
    lines.boolean("single", flags.single);
    lines.boolean("no-taints", flags.no_taints);
    lines.list("disable-components", &flags.disable_components);
    lines.boolean("enable-dynamic-config", flags.enable_dynamic_config);
    lines.boolean("enable-k0s-cloud-provider", flags.enable_k0s_cloud_provider);
    lines.boolean("enable-metrics-scraper", flags.enable_metrics_scraper);
    lines.text(
        "k0s-cloud-provider-update-frequency",
        flags.k0s_cloud_provider_update_frequency.as_deref(),
    );
    let port = flags.k0s_cloud_provider_port.map(|port| port.to_string());
    lines.text("k0s-cloud-provider-port", port.as_deref());
    lines.text(
        "api-server-stop-timeout",
        flags.api_server_stop_timeout.as_deref(),
    );
    lines.text(
        "kube-controller-manager-extra-args",
        flags.kube_controller_manager_extra_args.as_deref(),
    );
    lines.boolean("init-only", flags.init_only);
    lines.list("feature-gates", &flags.feature_gates);
    Ok(lines.sorted())
}

fn worker_arguments(flags: &WorkerFlags) -> Result<Vec<String>> {
    let mut lines = Lines::default();
    lines.worker(flags)?;
    Ok(lines.sorted())
}

#[derive(Default)]
struct Lines(Vec<(&'static str, String)>);

impl Lines {
    fn worker(&mut self, flags: &WorkerFlags) -> Result<()> {
        self.path("data-dir", flags.instance.data_dir.as_deref())?;
        self.path("token-file", flags.token_file.as_deref())?;
        self.path("kubelet-root-dir", flags.kubelet_root_dir.as_deref())?;
        let socket = flags.instance.status_socket.as_deref().map(Path::to_string_lossy);
        self.text("status-socket", socket.as_deref());
        self.boolean("debug", flags.debug.debug);
        self.boolean("verbose", flags.debug.verbose);
        self.text("debugListenOn", flags.debug.debug_listen_on.as_deref());
        self.list("labels", &flags.labels);
        self.list("taints", &flags.taints);
        self.text("kubelet-extra-args", flags.kubelet_extra_args.as_deref());
        self.text("profile", flags.profile.as_deref());
        self.boolean("ignore-pre-flight-checks", flags.ignore_pre_flight_checks);
        self.boolean("enable-cloud-provider", flags.enable_cloud_provider);
        self.text("iptables-mode", flags.iptables_mode.as_deref());
        self.list("logging", &flags.logging);
        Ok(())
    }

    fn text(&mut self, name: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.0.push((name, value.to_owned()));
        }
    }

    fn boolean(&mut self, name: &'static str, value: Option<bool>) {
        self.text(name, value.map(|value| value.to_string()).as_deref());
    }

    fn list(&mut self, name: &'static str, values: &[String]) {
        if !values.is_empty() {
            self.text(name, Some(&values.join(",")));
        }
    }

    fn path(&mut self, name: &'static str, value: Option<&Path>) -> Result<()> {
        if let Some(value) = value {
            let value = std::path::absolute(value).with_context(|| {
                format!(
                    "failed to convert --{name}={} to an absolute path",
                    value.display()
                )
            })?;
            self.text(name, Some(&value.to_string_lossy()));
        }
        Ok(())
    }

    fn sorted(mut self) -> Vec<String> {
        self.0.sort_by_key(|(name, _)| *name);
        self.0
            .into_iter()
            .map(|(name, value)| format!("--{name}={value}"))
            .collect()
    }
}

/// One word of a unit's command line, escaped as little as k0s escapes it: what systemd expands in a word (`%`, `$`,
/// quotes) it expands here too, so that arguments which break on real k0s break here.
fn quote(word: &str) -> String {
    word.replace(' ', "\\x20")
}

fn render_unit(executable: &Path, role: &str, arguments: &[String], environment: &[String]) -> String {
    let executable = quote(&executable.to_string_lossy());
    let command = std::iter::once(role)
        .chain(arguments.iter().map(String::as_str))
        .map(quote)
        .collect::<Vec<_>>()
        .join(" ");
    let environment: String = environment
        .iter()
        .map(|variable| format!("Environment=\"{variable}\"\n"))
        .collect();
    format!(
        "[Unit]\n\
         Description=k0s - Zero Friction Kubernetes\n\
         Documentation=https://docs.k0sproject.io\n\
         ConditionFileIsExecutable={executable}\n\
         After=network-online.target\n\
         Wants=network-online.target\n\
         \n\
         [Service]\n\
         StartLimitInterval=5\n\
         StartLimitBurst=10\n\
         ExecStart={executable} {command}\n\
         {environment}\
         RestartSec=10\n\
         Delegate=yes\n\
         KillMode=process\n\
         LimitCORE=infinity\n\
         TasksMax=infinity\n\
         TimeoutStartSec=0\n\
         LimitNOFILE=999999\n\
         Restart=always\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n"
    )
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command as K0sCommand};

    fn arguments(words: &[&str]) -> Vec<String> {
        let line = ["k0s", "install"].iter().chain(words);
        let K0sCommand::Install(install) = Cli::try_parse_from(line).unwrap().command else {
            panic!("not install")
        };
        match &install.role {
            InstallRole::Controller(flags) => controller_arguments(flags).unwrap(),
            InstallRole::Worker(flags) => worker_arguments(flags).unwrap(),
        }
    }

    #[test]
    fn the_unit_repeats_only_the_given_flags_sorted_and_with_absolute_paths() {
        let flags = arguments(&[
            "worker",
            "--token-file",
            "/etc/k0s.token",
            "--labels=a=b",
            "--labels=c=d",
            "--force",
            "--kubelet-extra-args=--hostname-override=m1 --v=2",
            "--ignore-pre-flight-checks",
            "--env=A=b",
        ]);
        assert_eq!(
            flags,
            [
                "--ignore-pre-flight-checks=true",
                "--kubelet-extra-args=--hostname-override=m1 --v=2",
                "--labels=a=b,c=d",
                "--token-file=/etc/k0s.token",
            ]
        );
    }

    #[test]
    fn relative_paths_become_absolute() {
        let flags = arguments(&["controller", "--config", "k0s.yaml", "--data-dir=/srv/../srv/k0s"]);
        let here = std::env::current_dir().unwrap();
        assert_eq!(flags[0], format!("--config={}/k0s.yaml", here.display()));
        assert!(flags[1].starts_with("--data-dir=/srv/"));
    }

    #[test]
    fn blanks_survive_systemd_and_nothing_else_is_touched() {
        assert_eq!(
            quote("--kubelet-extra-args=--a=b --c=50%"),
            "--kubelet-extra-args=--a=b\\x20--c=50%"
        );
    }

    #[test]
    fn the_unit_carries_command_and_environment() {
        let unit = render_unit(
            Path::new("/usr/local/bin/k0s"),
            "controller",
            &["--config=/etc/k0s.yaml".to_owned(), "--labels=a=b c".to_owned()],
            &["AUTOPILOT_HOSTNAME=m1".to_owned()],
        );
        assert!(
            unit.contains(
                "ExecStart=/usr/local/bin/k0s controller --config=/etc/k0s.yaml --labels=a=b\\x20c\n\
                 Environment=\"AUTOPILOT_HOSTNAME=m1\"\nRestartSec=10\n"
            ),
            "{unit}"
        );
        assert!(unit.contains("\nKillMode=process\n") && unit.contains("\nRestart=always\n"));
    }
}
