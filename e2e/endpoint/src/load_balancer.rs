//! HAProxy in front of the controllers, as their users have one.
//!
//! It outlives this process, as machines do: its state is a directory, from which any process can stop it.

use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use k0smotron_e2e_machines::{Network, instance_directory};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

const CONFIG: &str = "haproxy.cfg";
const PID: &str = "haproxy.pid";
const IDENTITY: &str = "client.pem";
const DEADLINE: Duration = Duration::from_secs(15);

/// Ports of the API server and of k0s' join API.
const API_PORT: u16 = 6443;
const JOIN_PORT: u16 = 9443;

/// One address that is balanced over servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// A short word.
    pub name: &'static str,
    pub listen: SocketAddr,
    /// In the same order for every service: the first service's checks decide for all.
    pub servers: Vec<SocketAddr>,
}

/// How the first service's servers are found alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check<'a> {
    /// Something listens. All that can be asked of k0s' API servers by who has no certificate.
    Tcp,
    /// `/readyz` answers 200 to a client with this identity: certificate and key, PEM, one after the other.
    Readyz { identity: &'a str },
}

/// A running load balancer. Dropping this leaves it running; [`LoadBalancer::stop`] ends it.
#[derive(Clone, Debug)]
pub struct LoadBalancer {
    directory: PathBuf,
    services: Vec<Service>,
}

impl LoadBalancer {
    /// Balances 6443 and 9443 of the network's bridge address over these controllers, of which not all need to exist;
    /// servers count as alive as soon as 6443 listens. One that runs for this network already is replaced.
    ///
    /// # Errors
    /// HAProxy is not installed, or does not start; a port is taken.
    pub async fn start(network: &Network, controllers: &[Ipv4Addr]) -> Result<Self> {
        Self::start_for(network, controllers, JOIN_PORT).await
    }

    /// As [`Self::start`], for controllers whose join API is at another port.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_for(network: &Network, controllers: &[Ipv4Addr], join_port: u16) -> Result<Self> {
        let service = |name, port| Service {
            name,
            listen: SocketAddr::from((network.host(), port)),
            servers: controllers
                .iter()
                .map(|address| SocketAddr::from((*address, port)))
                .collect(),
        };
        let services = vec![service("api", API_PORT), service("join", join_port)];
        Self::start_at(&directory_of(network.instance()), services, Check::Tcp).await
    }

    /// As [`Self::start`], for any services, with the state in `directory`.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_at(directory: &Path, services: Vec<Service>, check: Check<'_>) -> Result<Self> {
        stop_at(directory).await?;
        let balancer = Self {
            directory: directory.to_owned(),
            services,
        };
        balancer.configure(check)?;
        let output = Command::new("haproxy")
            .args(["-W", "-D", "-f"])
            .arg(directory.join(CONFIG))
            .arg("-p")
            .arg(directory.join(PID))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = timeout(DEADLINE, output)
            .await
            .context("haproxy does not go into the background")?
            .context("haproxy cannot be run; is its Debian package installed?")?;
        ensure!(
            output.status.success(),
            "haproxy does not start: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(balancer)
    }

    /// Goes over to other checks. Connections that exist stay for up to ten seconds.
    ///
    /// # Errors
    /// It does not run any more, or does not accept the identity.
    pub async fn check_with(&self, check: Check<'_>) -> Result<()> {
        self.configure(check)?;
        let test = Command::new("haproxy")
            .args(["-c", "-f"])
            .arg(self.directory.join(CONFIG))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await?;
        if !test.status.success() {
            bail!(
                "haproxy refuses: {}",
                String::from_utf8_lossy(&test.stderr).trim()
            );
        }
        let process = running(&self.directory).context("the load balancer does not run")?;
        kill(process, Signal::SIGUSR2).context("the load balancer cannot be told")?;
        Ok(())
    }

    /// Stops the load balancer of an instance, whoever started it; none is fine.
    ///
    /// # Errors
    /// It does not end.
    pub async fn stop(instance: u8) -> Result<()> {
        stop_at(&directory_of(instance)).await
    }

    /// Stops this one: the endpoint is gone.
    ///
    /// # Errors
    /// It does not end.
    pub async fn end(self) -> Result<()> {
        stop_at(&self.directory).await
    }

    fn configure(&self, check: Check<'_>) -> Result<()> {
        fs::create_dir_all(&self.directory)
            .with_context(|| format!("cannot make {}", self.directory.display()))?;
        if let Check::Readyz { identity } = check {
            write(&self.directory.join(IDENTITY), identity)?;
        }
        write(&self.directory.join(CONFIG), &self.render(check))
    }

    fn render(&self, check: Check<'_>) -> String {
        let mut text = "\
global
  maxconn 4096
  # Old connections must not keep a load balancer of yesterday alive.
  hard-stop-after 10s
defaults
  mode tcp
  timeout connect 500ms
  timeout check 1s
  timeout client 1h
  timeout server 1h
  retries 3
  option redispatch 1
  # A server that refuses is out after a third of a second, one that is only slow not at once.
  default-server inter 250ms fastinter 100ms downinter 250ms fall 2 rise 1 on-marked-down shutdown-sessions
"
        .to_owned();
        let first = self
            .services
            .first()
            .map(|service| service.name)
            .unwrap_or_default();
        for service in &self.services {
            let _ = writeln!(
                text,
                "listen {}\n  bind {}\n  balance leastconn",
                service.name, service.listen
            );
            let options = match check {
                _ if service.name != first => format!("track {first}/"),
                Check::Tcp => "check".to_owned(),
                Check::Readyz { .. } => {
                    text.push_str("  option httpchk GET /readyz\n  http-check expect status 200\n");
                    let identity = self.directory.join(IDENTITY);
                    format!("check check-ssl verify none crt {}", identity.display())
                }
            };
            for (number, server) in service.servers.iter().enumerate() {
                let name = format!("s{number}");
                let tracked = if options.ends_with('/') { name.as_str() } else { "" };
                let _ = writeln!(text, "  server {name} {server} {options}{tracked}");
            }
        }
        text
    }
}

fn directory_of(instance: u8) -> PathBuf {
    instance_directory(instance).join("load-balancer")
}

async fn stop_at(directory: &Path) -> Result<()> {
    let begin = Instant::now();
    while let Some(process) = running(directory) {
        let signal = if begin.elapsed() < DEADLINE / 2 {
            Signal::SIGTERM
        } else {
            Signal::SIGKILL
        };
        match kill(process, signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => return Err(error).context("the load balancer cannot be stopped"),
        }
        ensure!(begin.elapsed() < DEADLINE, "the load balancer does not end");
        sleep(Duration::from_millis(50)).await;
    }
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", directory.display()))
        }
        _ => Ok(()),
    }
}

/// The process whose number lies in `directory`, if that number still means our load balancer.
fn running(directory: &Path) -> Option<Pid> {
    let process: i32 = fs::read_to_string(directory.join(PID))
        .ok()?
        .trim()
        .parse()
        .ok()?;
    let line = fs::read(format!("/proc/{process}/cmdline")).ok()?;
    let config = directory.join(CONFIG);
    let ours = line
        .split(|byte| *byte == 0)
        .any(|word| word == config.as_os_str().as_encoded_bytes());
    ours.then(|| Pid::from_raw(process))
}

fn write(path: &Path, content: &str) -> Result<()> {
    use std::io::Write as _;
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options
        .open(path)
        .and_then(|mut file| file.write_all(content.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_service_is_checked_and_the_others_follow_it() {
        let service = |name, port| Service {
            name,
            listen: SocketAddr::from(([10, 88, 4, 1], port)),
            servers: vec![
                SocketAddr::from(([10, 88, 4, 10], port)),
                SocketAddr::from(([10, 88, 4, 11], port)),
            ],
        };
        let balancer = LoadBalancer {
            directory: "/state".into(),
            services: vec![service("api", 6443), service("join", 9443)],
        };
        let text = balancer.render(Check::Readyz { identity: "" });
        assert!(
            text.contains("  server s1 10.88.4.11:6443 check check-ssl verify none crt /state/client.pem\n")
        );
        assert!(
            text.contains("  server s1 10.88.4.11:9443 track api/s1\n"),
            "{text}"
        );
        assert_eq!(text.matches("option httpchk").count(), 1);
        assert!(
            balancer
                .render(Check::Tcp)
                .contains("  server s0 10.88.4.10:6443 check\n")
        );
    }
}
