//! Our managers as processes: one for each Deployment that `clusterctl init` installed, with its arguments and with
//! the rights of its ServiceAccount, so that what is shipped as RBAC is what is tested.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::deployed::{self, Overrides};
use crate::other_operator;
use crate::plane::Plane;
use crate::wait::Patience;
use crate::webhooks::{Certificates, Server};

/// Where clusterctl puts our three providers.
pub const NAMESPACE: &str = "k0smotron";

const READY_LIMIT: Duration = Duration::from_secs(60);

/// A manager that runs beside the plane, or did.
#[derive(Clone, Debug)]
pub struct Manager {
    name: String,
    health: u16,
    diagnostics: u16,
}

/// Runs `binary` once for each of our Deployments and waits until all are ready. What runs already is kept, unless
/// the binary or the arguments have changed; another operator in their place is ended first. Certificates of webhooks
/// are made and injected by the managers themselves.
///
/// # Errors
/// There is no such Deployment, or a process ends or is not ready within a minute.
pub async fn start(plane: &Plane, binary: &Path) -> Result<Vec<Manager>> {
    let binary = binary
        .canonicalize()
        .with_context(|| format!("no manager at {}", binary.display()))?;
    let deployments = installed(plane).await?;
    other_operator::stop(plane).await?;
    let mut managers = Vec::new();
    for (index, deployment) in deployments.iter().enumerate() {
        let [health, diagnostics, webhook] = plane.ports().manager(index)?;
        let overrides = Overrides {
            flags: vec![
                ("health-probe-bind-address", format!("127.0.0.1:{health}")),
                ("diagnostics-address", format!("127.0.0.1:{diagnostics}")),
                ("insecure-diagnostics", "true".to_owned()),
                ("webhook-port", webhook.to_string()),
            ],
            // The deprecated way to say what the diagnostics flags say.
            dropped: &["metrics-bind-address", "metrics-secure"],
            webhooks: server(plane, index)?,
        };
        let name = deployed::start(plane, deployment, &binary, &overrides).await?;
        managers.push(Manager::new(name, health, diagnostics));
    }
    for manager in &managers {
        manager.wait_ready(plane).await?;
    }
    Ok(managers)
}

/// Our Deployments.
pub(crate) async fn installed(plane: &Plane) -> Result<Vec<Deployment>> {
    let deployments = deployed::deployments(&plane.client()?, NAMESPACE).await?;
    ensure!(
        !deployments.is_empty(),
        "there is no Deployment in namespace {NAMESPACE}: `clusterctl init` first"
    );
    Ok(deployments)
}

/// Redirects the webhooks of our Deployments to where [`start`] would serve them, for whoever serves them himself. The
/// answer is the port for each, by the Deployment's name.
///
/// # Errors
/// The API server's.
pub async fn redirect(plane: &Plane) -> Result<Vec<(String, u16)>> {
    let mut ports = Vec::new();
    let deployments = deployed::deployments(&plane.client()?, NAMESPACE).await?;
    for (index, deployment) in deployments.iter().enumerate() {
        let server = server(plane, index)?;
        deployed::redirect(plane, deployment, server).await?;
        ports.push((deployment.name_any(), server.address.port()));
    }
    Ok(ports)
}

/// Where the manager of the Deployment with this index serves its webhooks.
fn server(plane: &Plane, index: usize) -> Result<Server> {
    let [_, _, port] = plane.ports().manager(index)?;
    Ok(Server {
        address: plane.ports().address(port),
        replaced: other_operator::address(index)?,
        certificates: Certificates::Own,
        // Not as installed where another operator was there in between.
        failure_policy: Some("Fail"),
        unconverted: &[],
    })
}

/// The managers that [`start`] started, also in another program.
///
/// # Errors
/// The Deployments cannot be listed.
pub async fn attach(plane: &Plane) -> Result<Vec<Manager>> {
    let deployments = deployed::deployments(&plane.client()?, NAMESPACE).await?;
    let managers = deployments.iter().enumerate().map(|(index, deployment)| {
        let [health, diagnostics, _] = plane.ports().manager(index)?;
        Ok(Manager::new(deployment.name_any(), health, diagnostics))
    });
    managers.collect()
}

impl Manager {
    pub(crate) fn new(name: String, health: u16, diagnostics: u16) -> Self {
        Self {
            name,
            health,
            diagnostics,
        }
    }

    /// The name of its Deployment.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its pid while it runs.
    ///
    /// # Errors
    /// Its record cannot be read.
    pub fn pid(&self, plane: &Plane) -> Result<Option<i32>> {
        plane.processes.pid(&self.name)
    }

    /// Everything it printed, over all its starts.
    #[must_use]
    pub fn log(&self, plane: &Plane) -> PathBuf {
        plane.processes.log(&self.name)
    }

    /// Resident memory in bytes.
    ///
    /// # Errors
    /// It does not run.
    pub fn memory(&self, plane: &Plane) -> Result<u64> {
        let pid = self
            .pid(plane)?
            .with_context(|| format!("{} does not run", self.name))?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .context("no VmRSS")?;
        let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kibibytes * 1024)
    }

    /// SIGKILL, as a crash; returns when it is gone. A manager that does not run is left so.
    ///
    /// # Errors
    /// It was never started.
    pub async fn crash(&self, plane: &Plane) -> Result<()> {
        plane.processes.crash(&self.name).await
    }

    /// Starts it again with the same arguments, and does not wait until it is ready.
    ///
    /// # Errors
    /// It was never started.
    pub async fn restart(&self, plane: &Plane) -> Result<()> {
        plane.processes.restart(&self.name).await
    }

    /// SIGTERM, and SIGKILL after ten seconds.
    ///
    /// # Errors
    /// It cannot be ended.
    pub async fn stop(&self, plane: &Plane) -> Result<()> {
        plane.processes.stop(&self.name).await
    }

    /// Waits until `/readyz` answers 200.
    ///
    /// # Errors
    /// It ends (the message holds the end of its log), or a minute passes.
    pub async fn wait_ready(&self, plane: &Plane) -> Result<()> {
        let patience = Patience::new(format!("{} is ready", self.name), READY_LIMIT);
        while get(self.health, "/readyz").await.is_err() {
            plane.processes.check(&self.name)?;
            patience.wait().await?;
        }
        Ok(())
    }

    /// The text of `/metrics`.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn metrics(&self) -> Result<String> {
        get(self.diagnostics, "/metrics").await
    }
}

/// The body of an answer 200 from 127.0.0.1; HTTP/1.0, so that it is neither chunked nor kept alive.
///
/// # Errors
/// There is no such answer.
pub async fn get(port: u16, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream
        .write_all(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes())
        .await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
    let status = head.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("200") {
        bail!("{path} of port {port}: {status}");
    }
    Ok(body.to_owned())
}
