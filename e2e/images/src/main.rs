//! `image`: the manager's image as an OCI archive, without a container engine.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;
use k0smotron_e2e_images::{Encoding, archive, manager};

#[derive(Parser)]
#[command(about = "Writes the manager's image as an OCI archive and prints its digest")]
struct Options {
    /// The manager's executable
    #[arg(long)]
    binary: PathBuf,
    /// Tag of the image, with leading v
    #[arg(long)]
    version: String,
    /// Directory of the archive
    #[arg(long)]
    out: PathBuf,
}

fn main() -> Result<()> {
    let options = Options::parse();
    fs::create_dir_all(&options.out).with_context(|| format!("cannot make {}", options.out.display()))?;
    let path = options.out.join("k0smotron-manager-image.tar");
    let image = manager::image(&options.binary, &options.version, Encoding::Gzip)?;
    let name = image.name.clone();
    let digests = archive::write_file(&[image], &path)?;
    let size = path.metadata()?.len();
    println!(
        "{name}@{}\n{} ({:.1} MB)",
        digests.join(""),
        path.display(),
        size as f64 / 1e6
    );
    Ok(())
}
