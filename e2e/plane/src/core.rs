//! Cluster API's core manager as a process beside the plane.

use std::path::Path;

use anyhow::{Context, Result};

use crate::deployed::{self, Overrides};
use crate::managers::Manager;
use crate::plane::Plane;
use crate::webhooks::{Certificates, Server};

const NAMESPACE: &str = "capi-system";

/// Runs `program` with the arguments and the rights of the Deployment that clusterctl installed, and waits for it.
pub(crate) async fn start(plane: &Plane, program: &Path) -> Result<Manager> {
    let ports = plane.ports();
    let overrides = Overrides {
        flags: vec![
            ("leader-elect", "false".to_owned()),
            ("health-addr", format!("127.0.0.1:{}", ports.core_health())),
            (
                "diagnostics-address",
                format!("127.0.0.1:{}", ports.core_diagnostics()),
            ),
            ("insecure-diagnostics", "true".to_owned()),
            ("webhook-port", ports.core_webhook().to_string()),
            (
                "webhook-cert-dir",
                plane.pki.webhook_directory().display().to_string(),
            ),
        ],
        dropped: &[],
        webhooks: Server {
            address: ports.address(ports.core_webhook()),
            replaced: ports.address(ports.core_webhook()),
            certificates: Certificates::Plane,
            failure_policy: None,
            unconverted: &[],
        },
    };
    let deployments = deployed::deployments(&plane.client()?, NAMESPACE).await?;
    let deployment = deployments
        .first()
        .context("clusterctl installed no core Deployment in capi-system")?;
    let name = deployed::start(plane, deployment, program, &overrides).await?;
    let core = Manager::new(name, ports.core_health(), ports.core_diagnostics());
    core.wait_ready(plane).await?;
    Ok(core)
}

/// The running core manager, to look at its metrics or to crash it.
///
/// # Errors
/// [`crate::clusterctl::init`] was not done on this plane.
pub async fn attach(plane: &Plane) -> Result<Manager> {
    let deployments = deployed::deployments(&plane.client()?, NAMESPACE).await?;
    let deployment = deployments
        .first()
        .context("there is no core Deployment in capi-system")?;
    let name = deployment
        .metadata
        .name
        .clone()
        .context("a Deployment without name")?;
    Ok(Manager::new(
        name,
        plane.ports().core_health(),
        plane.ports().core_diagnostics(),
    ))
}
