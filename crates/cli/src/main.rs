//! `k0smotronctl`: options, files and what is printed.

mod input;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use k0smotron_api::conversion::Version;
use k0smotron_cli::{
    convert, migrate,
    schema::Schemas,
    validate::{self, Known},
};

/// Manifests and clusters of k0smotron.
#[derive(Parser)]
#[command(name = "k0smotronctl", version)]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write manifests in the other API version; comments, order and everything that is not k0smotron's stay.
    Convert {
        /// Files to read; "-" or none at all for standard input.
        files: Vec<PathBuf>,
        /// Version to write.
        #[arg(long, value_enum, default_value = "v1beta2")]
        to: ToVersion,
        /// Change the files instead of printing.
        #[arg(long, short, requires = "files")]
        in_place: bool,
    },
    /// Say what the API server would say, without one: unknown fields, wrong values, rules of schemas and webhooks.
    Validate {
        /// Files to read; "-" or none at all for standard input.
        files: Vec<PathBuf>,
        /// A file with objects as they are now, so that rules about changes are checked too. May be given more than once.
        #[arg(long, value_name = "FILE")]
        old: Vec<PathBuf>,
        /// Fail on warnings too.
        #[arg(long)]
        strict: bool,
    },
    /// Before and while k0smotron takes over what another version made.
    #[command(subcommand)]
    Migrate(Migrate),
    /// Print completions for a shell.
    Completion {
        #[arg(value_enum)]
        shell: Shell,
    },
}

#[derive(Subcommand)]
enum Migrate {
    /// Say for each object of a cluster what taking over would change, hold back, roll or refuse. Changes nothing.
    Check(Cluster),
}

#[derive(clap::Args)]
struct Cluster {
    /// Kubeconfig of the management cluster; without it KUBECONFIG, ~/.kube/config or the Pod's account.
    #[arg(long)]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig.
    #[arg(long)]
    context: Option<String>,
    /// Look at this namespace only.
    #[arg(long, short)]
    namespace: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum ToVersion {
    V1beta1,
    V1beta2,
}

impl From<ToVersion> for Version {
    fn from(version: ToVersion) -> Self {
        match version {
            ToVersion::V1beta1 => Self::V1Beta1,
            ToVersion::V1beta2 => Self::V1Beta2,
        }
    }
}

/// Exit codes: 0 nothing to report, 1 something to repair, 2 it could not be done.
fn main() -> ExitCode {
    match run(Options::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether nothing has to be repaired.
fn run(command: Command) -> Result<bool> {
    match command {
        Command::Convert { files, to, in_place } => convert_files(&files, to.into(), in_place),
        Command::Validate { files, old, strict } => validate_files(&files, &old, strict),
        Command::Migrate(Migrate::Check(cluster)) => check_cluster(&cluster),
        Command::Completion { shell } => {
            clap_complete::generate(
                shell,
                &mut Options::command(),
                "k0smotronctl",
                &mut std::io::stdout(),
            );
            Ok(true)
        }
    }
}

fn convert_files(files: &[PathBuf], to: Version, in_place: bool) -> Result<bool> {
    let inputs = input::read(files)?;
    // All before the first is written: a directory that is half converted is hard to repair.
    let converted: Vec<_> = inputs
        .iter()
        .map(|input| convert::stream(&input.text, to).with_context(|| input.name.clone()))
        .collect::<Result<_>>()?;
    for (index, (input, converted)) in inputs.iter().zip(converted).enumerate() {
        converted
            .notes
            .iter()
            .for_each(|note| eprintln!("{}: {note}", input.name));
        if in_place {
            input.replace(&converted.text)?;
        } else {
            // Of several files one stream is made, as kubectl does.
            if index > 0 && !converted.text.starts_with("---") {
                println!("---");
            }
            print!("{}", converted.text);
        }
    }
    Ok(true)
}

fn validate_files(files: &[PathBuf], old: &[PathBuf], strict: bool) -> Result<bool> {
    let schemas = Schemas::new()?;
    let mut known = Known::default();
    for path in old {
        let input = input::read(std::slice::from_ref(path))?;
        for input in input {
            known.learn(&input.text).with_context(|| input.name.clone())?;
        }
    }
    let (mut errors, mut warnings, mut objects) = (0, 0, 0);
    for input in input::read(files)? {
        let report = validate::stream(&input.text, &known, &schemas).with_context(|| input.name.clone())?;
        report
            .lines
            .iter()
            .for_each(|line| println!("{}:{line}", input.name));
        errors += report.errors;
        warnings += report.warnings;
        objects += report.objects;
    }
    eprintln!("{objects} objects, {errors} errors, {warnings} warnings");
    Ok(errors == 0 && !(strict && warnings > 0))
}

fn check_cluster(cluster: &Cluster) -> Result<bool> {
    // Several libraries bring a provider, so none is the default by itself.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (objects, found) = runtime.block_on(async {
        let client = migrate::client(cluster.kubeconfig.as_deref(), cluster.context.as_deref()).await?;
        migrate::check(&client, cluster.namespace.as_deref(), |line| println!("{line}")).await
    })?;
    eprintln!("{objects} objects, {found} to look at");
    Ok(found == 0)
}
