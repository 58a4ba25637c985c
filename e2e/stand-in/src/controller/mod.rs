//! `k0s controller`: etcd, then the API server, then everything that works through it, in k0s' order; and all of it
//! stopped again in the reverse order.

mod addons;
mod api_server;
mod applier;
mod certificates;
mod cluster_components;
mod cluster_config;
mod control_node;
mod csr_approver;
mod datastore;
mod endpoints;
pub mod etcd;
pub mod etcd_client;
mod join_api;
mod join_client;
mod konnectivity;
mod leases;
mod membership;
mod objects;
mod running;
pub mod worker_profiles;

use std::{fs, os::unix::fs::PermissionsExt as _, sync::atomic::Ordering, time::Duration};

use anyhow::{Context as _, Result, bail};
use tokio::time::{Instant, sleep};

pub use endpoints::ROLE_LABEL;

use self::{membership::Departure, running::Running};
use crate::{
    cli::{ControllerArgs, ControllerFlags},
    config::NodeConfig,
    paths::Paths,
    runtime_config::RuntimeConfig,
    shutdown::Signals,
    token,
};

/// Runs until a signal ends it.
pub async fn run(arguments: &ControllerArgs) -> Result<()> {
    let flags = &arguments.flags;
    flags.validate()?;
    let token = token::read_source(
        arguments.join_token.as_deref(),
        flags.worker.token_file.as_deref(),
    );
    let paths = flags.paths()?;
    let node = NodeConfig::load_for_controller(&paths, flags.is_single())?;
    if node.spec.network.balances_control_plane() && flags.is_single() {
        bail!("control plane load balancing cannot be used in a single-node cluster");
    }
    make_directories(&paths)?;
    let _runtime = RuntimeConfig::acquire(&paths, Some(&node))?;

    let mut signals = Signals::listen()?;
    let departure = Departure::default();
    let mut running = Running::default();
    let result = tokio::select! {
        result = running.start(&paths, &node, flags, token, &departure) => result,
        () = signals.received() => Ok(()),
    };
    if result.is_ok() && !signals.seen() {
        tokio::select! {
            () = departure.shutdown.notified() => tracing::info!("asked to shut down"),
            () = running.follow_configuration(&paths, &node, flags) => {}
            () = signals.received() => {}
        }
    }
    running
        .stop(&paths, departure.leave_etcd.load(Ordering::SeqCst))
        .await;
    result?;
    // Components may have stopped because this controller left the cluster; the process itself is ended from outside.
    if !signals.seen() {
        tracing::info!("awaiting process shutdown");
        signals.received().await;
    }
    Ok(())
}

/// Tries ten times a second until the check passes; two minutes at most.
async fn wait_until(what: &str, check: impl AsyncFn() -> Result<()>) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        match check().await {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() > deadline => {
                return Err(error).with_context(|| format!("{what} health-check timed out"));
            }
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}

fn make_directories(paths: &Paths) -> Result<()> {
    for (directory, mode) in [
        (paths.data_dir.clone(), 0o755),
        (paths.run_dir.clone(), 0o755),
        (paths.bin_dir(), 0o755),
        (paths.pki_dir(), 0o751),
        (paths.pki("etcd"), 0o711),
    ] {
        fs::create_dir_all(&directory)
            .and_then(|()| fs::set_permissions(&directory, fs::Permissions::from_mode(mode)))
            .with_context(|| format!("{} cannot be made", directory.display()))?;
    }
    Ok(())
}

/// Says what real k0s would run and this stand-in does not, once.
fn warn_about_missing_parts(node: &NodeConfig, flags: &ControllerFlags) {
    let mut missing: Vec<&str> = ["metrics-server", "helm"]
        .into_iter()
        .filter(|component| !flags.disables(component))
        .collect();
    if node.spec.network.provider != "custom" && !flags.disables("network-provider") {
        missing.push("network-provider");
    }
    if node.spec.network.balances_control_plane() {
        missing.push("control plane load balancing");
    }
    if node.spec.network.balances_on_nodes() {
        missing.push("node-local load balancing");
    }
    if !missing.is_empty() {
        tracing::warn!("this stand-in for k0s does not run: {}", missing.join(", "));
    }
}
