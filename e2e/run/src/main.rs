//! `e2e`: quickstart, test suites and benchmarks on a management plane and machines of this host.
//!
//! Each has an instance number of its own, so that they run side by side; `K0SMOTRON_INSTANCE` overrides it.

mod bench;
mod by_hand;
mod cloud;
mod cluster;
mod hosted;
mod k0s;
mod progress;
mod quickstart;
mod ssh;
mod suites;
mod testbed;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand, ValueEnum};
use tracing_subscriber::EnvFilter;

#[derive(Parser)]
#[command(
    name = "e2e",
    about = "Quickstart, suites and benchmarks of k0smotron on this host"
)]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// A cluster on two machines, or one whose control plane runs in pods; left running.
    Quickstart {
        #[arg(value_enum)]
        action: Action,
        #[arg(long, value_enum, default_value_t = Mode::Machines)]
        mode: Mode,
    },
    /// A test suite: `smoke` and `hosted-smoke` (parts of `make test`), `machines`, `hosted` or `control-plane`; of the
    /// last one all, or one scenario.
    Suite { name: String, scenario: Option<String> },
    /// A benchmark: `machines`, `control-plane` or `hosted`.
    Bench { name: String },
    /// Takes down every machine and plane of an instance, whatever state it is in.
    Down { instance: u8 },
    /// Writes a copy of a k0s executable that says it is another version of the same length, to try updates with.
    #[command(hide = true)]
    AnotherK0s {
        source: PathBuf,
        version: String,
        target: PathBuf,
    },
    /// Serves one file over HTTP; the k0s binary for the machines' `downloadURL`.
    #[command(hide = true)]
    Serve {
        address: SocketAddr,
        path: String,
        file: PathBuf,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Action {
    Up,
    Down,
}

/// Where the control plane runs.
#[derive(Clone, Copy, ValueEnum)]
enum Mode {
    Machines,
    Hosted,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The causes on a line each; a backtrace of the harness helps nobody.
            eprintln!("error: {error}");
            error
                .chain()
                .skip(1)
                .for_each(|cause| eprintln!("  because: {cause}"));
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,kube_client=off"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match Options::parse().command {
        Command::Quickstart {
            action: Action::Up,
            mode,
        } => match mode {
            Mode::Machines => quickstart::up().await,
            Mode::Hosted => hosted::quickstart::up().await,
        },
        Command::Quickstart {
            action: Action::Down, ..
        } => quickstart::down().await,
        Command::Suite { name, scenario } => suites::run(&name, scenario.as_deref()).await,
        Command::Bench { name } => bench::run(&name).await,
        Command::Down { instance } => testbed::down(instance).await,
        Command::AnotherK0s {
            source,
            version,
            target,
        } => k0s::write_another(&source, &version, &target),
        Command::Serve { address, path, file } => {
            let listener = tokio::net::TcpListener::bind(address).await?;
            match k0smotron_e2e_machines::serve_file(listener, &path, &file).await? {}
        }
    }
}
