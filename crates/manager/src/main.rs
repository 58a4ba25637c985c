//! `k0smotron-manager`: sets up logging and signals, then runs the manager.

use std::io;

use clap::Parser;
use k0smotron_manager::{Options, options::Encoder};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Most threads: the work is waiting for API servers and hosts, and every thread costs memory.
const MAX_THREADS: usize = 4;

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    set_up_logging(&options);
    for flag in options.ignored() {
        tracing::info!(flag, "accepted, but without effect");
    }
    // One crypto provider for API clients, SSH and certificates.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let threads = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .clamp(2, MAX_THREADS);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()?;
    let result = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let stop = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::info!("stopping");
        };
        k0smotron_manager::run(options, stop).await
    });
    // Tasks that wait for hosts are cut off: they are safe to begin again.
    runtime.shutdown_background();
    result
}

fn set_up_logging(options: &Options) {
    let level = match options.zap_log_level.as_str() {
        level @ ("debug" | "info" | "warn" | "error") => level,
        "panic" => "error",
        number if number.parse::<u32>().is_ok_and(|verbosity| verbosity > 0) => "debug",
        _ => "info",
    };
    // The libraries' own lines are of use only to whoever asks for them with RUST_LOG; the client says every failed
    // request as an error, also those that a workload cluster on its way up does not answer yet.
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new(format!("warn,kube_client=off,{}", crates(level))));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    match options.zap_encoder {
        Encoder::Console => lines.with_ansi(false).init(),
        Encoder::Json => lines.json().init(),
    }
}

fn crates(level: &str) -> String {
    [
        "manager",
        "runtime",
        "bootstrap",
        "control_plane",
        "hosted",
        "infrastructure",
        "ssh",
    ]
    .map(|name| format!("k0smotron_{name}={level}"))
    .join(",")
}
