//! A stand-in for k0s v1.36.3+k0s.2 on machines that cannot download it: the same command line, files, ports and
//! API objects, as far as cluster providers touch them, over the real upstream components. Test equipment, never
//! shipped; see README.md for what it covers.

mod api;
mod autopilot;
mod cli;
mod config;
mod controller;
mod etcd_command;
mod go;
mod install;
mod kubeconfig;
mod net;
mod paths;
mod pki;
mod reset;
mod runtime_config;
mod shutdown;
mod status;
mod supervisor;
mod token;
mod worker;

use std::{
    os::unix::process::CommandExt as _,
    process::{Command as Process, ExitCode},
};

use anyhow::{Context as _, Result};
use clap::{Parser as _, error::ErrorKind};
use serde_json::json;
use tracing_subscriber::EnvFilter;

use crate::{
    cli::{Cli, Command, DebugArgs, EtcdCommand, KubectlArgs, VersionArgs},
    paths::{Paths, k0s_version},
};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            // k0s ends with 1 where clap would end with 2.
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return if asked {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            };
        }
    };
    set_up_logging(&cli.command);
    // Several crates speak TLS here; they all use the same provider.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match run(&cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> Result<()> {
    match command {
        Command::Version(arguments) => print_version(arguments),
        Command::Install(arguments) => install::install(arguments),
        Command::Start(_) => install::start(),
        Command::Stop(_) => install::stop(),
        Command::Reset(arguments) => reset::run(arguments),
        Command::Kubectl(arguments) => kubectl(arguments),
        Command::Kubeconfig(arguments) => kubeconfig::run(&arguments.command),
        Command::Controller(arguments) => wait_for(controller::run(arguments)),
        Command::Worker(arguments) => wait_for(worker::run(arguments)),
        Command::Status(arguments) => wait_for(status::run(arguments)),
        Command::Token(arguments) => wait_for(token::run(&arguments.command)),
        Command::Etcd(arguments) => wait_for(etcd_command::run(&arguments.command)),
    }
}

fn wait_for(work: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Runtime::new()
        .context("no runtime")?
        .block_on(work)
}

/// The long-running commands say what they do; the others only what goes wrong, unless asked for more.
fn set_up_logging(command: &Command) {
    let level = |debug: &DebugArgs, default: &'static str| match (debug.debug, debug.verbose) {
        (Some(true), _) => "debug",
        (_, Some(true)) => "info",
        (_, Some(false)) => "warn",
        _ => default,
    };
    let level = match command {
        Command::Controller(arguments) => level(&arguments.flags.worker.debug, "info"),
        Command::Worker(arguments) => level(&arguments.flags.debug, "info"),
        Command::Start(debug) | Command::Stop(debug) => level(debug, "warn"),
        Command::Status(arguments) => level(&arguments.debug, "warn"),
        Command::Reset(arguments) => level(&arguments.debug, "warn"),
        Command::Etcd(arguments) => match &arguments.command {
            EtcdCommand::Leave { debug, .. } | EtcdCommand::MemberList { debug, .. } => level(debug, "warn"),
        },
        _ => "warn",
    };
    // Libraries speak up only about trouble; every failed request comes back as an error that is reported here.
    let filter = EnvFilter::new(format!("warn,kube_client=off,k0s_stand_in={level}"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
}

fn print_version(arguments: &VersionArgs) -> Result<()> {
    let versions = [
        ("k0s", k0s_version()),
        ("runc", "1.4.3"),
        ("containerd", "2.3.3"),
        ("kubernetes", "1.36.3"),
        ("kine", "0.16.3"),
        ("etcd", "3.6.14"),
        ("konnectivity", "0.36.0"),
    ];
    if arguments.all {
        for (name, version) in versions {
            println!("{name} : {version}");
        }
    } else if arguments.json {
        let versions: serde_json::Map<_, _> = versions
            .into_iter()
            .map(|(name, version)| (name.to_owned(), json!(version)))
            .collect();
        println!("{}", serde_json::to_string_pretty(&versions)?);
    } else {
        println!("{}", k0s_version());
    }
    Ok(())
}

/// Becomes kubectl, with the administrator's kubeconfig unless the caller names another.
fn kubectl(arguments: &KubectlArgs) -> Result<()> {
    let paths = runtime_config::effective_paths(Paths::new(None, None, None, None)?)?;
    let mut process = Process::new(paths.executable("kubectl")?);
    process.args(&arguments.arguments);
    let named = arguments.arguments.iter().any(|argument| {
        let argument = argument.to_string_lossy();
        argument == "--kubeconfig" || argument.starts_with("--kubeconfig=")
    });
    if !named && std::env::var_os("KUBECONFIG").is_none() {
        let kubeconfig = paths.admin_kubeconfig();
        if !kubeconfig.exists() {
            anyhow::bail!(
                "cannot stat k0s kubeconfig, is the server running?: {}",
                kubeconfig.display()
            );
        }
        process.env("KUBECONFIG", kubeconfig);
    }
    Err(process.exec()).context("kubectl cannot be executed")
}
