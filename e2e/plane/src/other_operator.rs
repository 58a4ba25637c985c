//! Another operator that serves the same API, in the place of our managers: its binary as one process with all its
//! controllers, which is how it runs by default.
//!
//! It knows no flag for the port or the certificate of its webhooks: they are at port 9443 of every address, with the
//! certificate of a directory under `TMPDIR`. So only one plane of a host can have it at a time, and no load balancer on the
//! host can have that port. It works as an administrator: its rights are not what is tested here.
//!
//! The definitions of the kinds stay ours, and it answers for their conversion, but for kinds that it does not convert: of
//! these only the version that is stored can be used meanwhile. What it does not serve of our other webhooks is ignored.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use kube::ResourceExt;

use crate::deployed;
use crate::managers::{Manager, installed};
use crate::plane::Plane;
use crate::process::Spec;
use crate::webhooks::{Certificates, Server};

const NAME: &str = "other-operator";
const WEBHOOK_PORT: u16 = 9443;
/// Kinds whose versions k0smotron 2.1 does not convert: its own definitions say so.
const UNCONVERTED: [&str; 3] = [
    "remoteclusters.infrastructure.cluster.x-k8s.io",
    "remoteclustertemplates.infrastructure.cluster.x-k8s.io",
    "remotemachinetemplates.infrastructure.cluster.x-k8s.io",
];
/// Where controller-runtime looks for the certificate of webhooks, below the directory for temporary files.
const CERTIFICATES: &str = "k8s-webhook-server/serving-certs";

/// Ends our managers, leads their webhooks to `binary`, runs it and waits until it is ready.
///
/// # Errors
/// Our Deployments are not installed, or the process ends or is not ready within a minute.
pub async fn start(plane: &Plane, binary: &Path) -> Result<Manager> {
    let binary = binary
        .canonicalize()
        .with_context(|| format!("no operator at {}", binary.display()))?;
    let deployments = installed(plane).await?;
    for (index, deployment) in deployments.iter().enumerate() {
        // Before anything leads elsewhere: it would lead everything back to itself.
        plane.processes.stop(&deployment.name_any()).await?;
        let [_, _, port] = plane.ports().manager(index)?;
        let server = Server {
            address: address(index)?,
            replaced: plane.ports().address(port),
            certificates: Certificates::Plane,
            failure_policy: Some("Ignore"),
            unconverted: &UNCONVERTED,
        };
        deployed::redirect(plane, deployment, server).await?;
    }
    let [health, diagnostics, _] = plane.ports().manager(deployments.len())?;
    let args = vec![
        "--leader-elect=false".to_owned(),
        format!("--health-probe-bind-address=127.0.0.1:{health}"),
        format!("--diagnostics-address=127.0.0.1:{diagnostics}"),
        "--insecure-diagnostics".to_owned(),
        format!("--kubeconfig={}", plane.kubeconfig().display()),
    ];
    let mut spec = Spec::new(NAME, binary, args);
    let home = home(plane)?.display().to_string();
    for variable in ["HOME", "TMPDIR"] {
        spec.env.insert(variable.to_owned(), home.clone());
    }
    plane.processes.ensure(&spec).await?;
    let operator = Manager::new(NAME.to_owned(), health, diagnostics);
    operator.wait_ready(plane).await?;
    Ok(operator)
}

/// Ends it, if it runs. Webhooks lead to it until somebody takes its place.
pub(crate) async fn stop(plane: &Plane) -> Result<()> {
    plane.processes.stop(NAME).await
}

/// Where it serves the webhooks of our Deployment with this index: an address for each, so that they can be told apart
/// when it is replaced.
pub(crate) fn address(index: usize) -> Result<SocketAddr> {
    let last = u8::try_from(index + 2).context("too many Deployments")?;
    Ok(SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), WEBHOOK_PORT)))
}

/// A directory for its temporary files, with the plane's certificate where it looks for one.
fn home(plane: &Plane) -> Result<PathBuf> {
    let home = plane.directory().join(NAME);
    let certificates = home.join(CERTIFICATES);
    if !certificates.exists() {
        let parent = certificates.parent().context("no parent")?;
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        symlink(plane.pki.webhook_directory(), &certificates)?;
    }
    Ok(home)
}
