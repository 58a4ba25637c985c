//! The pause image as a docker archive. There is no registry to pull it from, and without it no pod starts.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::cache::hex;
use crate::command::run_blocking as run;

/// The name that containerd asks for under k0s v1.36.3.
pub(crate) const IMAGE: &str = "quay.io/k0sproject/pause:3.10.2-0";

pub(crate) const SOURCE: &str = include_str!("../golden/pause.c");

/// Compiles the program and writes the archive to `target`.
pub(crate) fn archive(target: &Path) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let directory = directory.path();
    fs::write(directory.join("pause.c"), SOURCE)?;
    run(Command::new("cc")
        .current_dir(directory)
        .args(["-static", "-Os", "-s", "-o", "pause", "pause.c"]))?;
    tar(directory, "layer.tar", &["pause"])?;

    let layer = fs::read(directory.join("layer.tar"))?;
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let config = json!({
        "architecture": architecture,
        "os": "linux",
        "config": {"Entrypoint": ["/pause"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", hex(&Sha256::digest(&layer)))]},
    });
    let manifest = json!([{"Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"]}]);
    fs::write(directory.join("config.json"), config.to_string())?;
    fs::write(directory.join("manifest.json"), manifest.to_string())?;
    tar(
        directory,
        "pause.tar",
        &["manifest.json", "config.json", "layer.tar"],
    )?;
    fs::copy(directory.join("pause.tar"), target)
        .with_context(|| format!("cannot write {}", target.display()))?;
    Ok(())
}

fn tar(directory: &Path, archive: &str, members: &[&str]) -> Result<()> {
    run(Command::new("tar")
        .current_dir(directory)
        .args(["--owner=0", "--group=0", "--mtime=@0", "-cf", archive])
        .args(members))
}
