//! `k0s worker`, and the worker inside a controller: credentials for the node, its configuration from the cluster,
//! then containerd and kubelet.

mod bootstrap;
mod containerd;
mod kernel;
mod kubelet;
mod profile;

use std::{fs, os::unix::fs::PermissionsExt as _};

use anyhow::{Context as _, Result};

use crate::{
    api,
    autopilot::{Host, SignalKind},
    cli::{WorkerArgs, WorkerFlags},
    net,
    paths::Paths,
    runtime_config::RuntimeConfig,
    shutdown::Signals,
    status::{self, Status},
    supervisor::Supervised,
    token,
};

/// Where a node's first credentials come from.
pub enum Bootstrap {
    /// A join token, read when it is needed: it may be gone once the node has credentials.
    Token(Result<Option<String>>),
    /// The controller on the same host, whose API server the kubelet then uses directly.
    Controller { server: String },
}

/// Runs until a signal ends it.
pub async fn run(arguments: &WorkerArgs) -> Result<()> {
    let flags = &arguments.flags;
    flags.validate()?;
    let paths = flags.paths()?;
    for directory in [&paths.data_dir, &paths.run_dir, &paths.bin_dir()] {
        fs::create_dir_all(directory)
            .and_then(|()| fs::set_permissions(directory, fs::Permissions::from_mode(0o755)))
            .with_context(|| format!("{} cannot be made", directory.display()))?;
    }
    let token = token::read_source(arguments.join_token.as_deref(), flags.token_file.as_deref());
    let _runtime = RuntimeConfig::acquire(&paths, None)?;
    let mut signals = Signals::listen()?;
    let worker = tokio::select! {
        worker = Worker::start(&paths, flags, Bootstrap::Token(token)) => worker?,
        () = signals.received() => return Ok(()),
    };
    let socket = status::serve(Status::of_this_process(&paths, "worker", true, false, None))?;
    tracing::info!("the worker is up");
    // The name is the host's own, whatever kubelet has been told: real k0s does not find such a node either.
    let name = net::node_name(std::env::var("AUTOPILOT_HOSTNAME").ok().as_deref())?;
    let client = api::client(&paths.kubelet_kubeconfig()).await?;
    let host = Host::new(client, SignalKind::Node, name)?;
    let updates = tokio::spawn(host.run());
    signals.received().await;
    updates.abort();
    socket.abort();
    status::remove_socket(&paths);
    worker.stop().await;
    Ok(())
}

/// The running parts of a worker.
pub struct Worker {
    containerd: Supervised,
    kubelet: Supervised,
}

impl Worker {
    pub async fn start(paths: &Paths, flags: &WorkerFlags, bootstrap: Bootstrap) -> Result<Self> {
        let extra = flags.kubelet_flags();
        let node = net::node_name(extra.get("--hostname-override").map(String::as_str))?;
        let local_server = match &bootstrap {
            Bootstrap::Controller { server } => Some(server.clone()),
            Bootstrap::Token(_) => None,
        };
        bootstrap::ensure_credentials(paths, &node, bootstrap)
            .await
            .context("failed to bootstrap kubelet client configuration")?;
        let profile = profile::load(paths, flags.profile.as_deref().unwrap_or("default")).await?;
        kernel::set_up();
        let containerd = containerd::start(paths, &profile.pause_image()).await?;
        let kubelet = match kubelet::start(paths, flags, &node, &profile, local_server.as_deref()).await {
            Ok(kubelet) => kubelet,
            Err(error) => {
                containerd.stop().await;
                return Err(error);
            }
        };
        Ok(Self { containerd, kubelet })
    }

    /// Stops kubelet and containerd. Pods go on, as with k0s.
    pub async fn stop(self) {
        self.kubelet.stop().await;
        self.containerd.stop().await;
    }
}
