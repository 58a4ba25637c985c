//! Container images onto a machine on which k0s runs: there is no registry that it could pull them from.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use k0smotron_e2e_images::{Image, archive};

use crate::machine::Machine;

/// The containerd that k0s starts, and the namespace where kubelet looks.
const IMPORT: [&str; 8] = [
    "ctr",
    "--address",
    "/run/k0s/containerd.sock",
    "--namespace",
    "k8s.io",
    "images",
    "import",
    "-",
];

impl Machine {
    /// Imports images into the containerd of k0s, which must answer, and returns the digests of their manifests. A name
    /// that is there already means the new image from then on.
    ///
    /// # Errors
    /// Containerd does not run or refuses the archive, or a file of an image has gone.
    pub async fn import_images(&self, images: Vec<Image>) -> Result<Vec<String>> {
        let id = self.id();
        tokio::task::spawn_blocking(move || import(&id, &images))
            .await?
            .with_context(|| format!("cannot import images on machine {}", self.name()))
    }
}

/// Streams the archive: nothing is written to this host's disk.
fn import(id: &str, images: &[Image]) -> Result<Vec<String>> {
    let mut child = Command::new("runc")
        .args(["exec", id])
        .args(IMPORT)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run runc")?;
    let stdin = child.stdin.take().context("no standard input")?;
    // Closes the pipe at the end; a failure here is most often one of the other side, which says why.
    let written = archive::write(images, stdin);
    let output = child.wait_with_output()?;
    ensure!(
        output.status.success(),
        "ctr images import: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    written
}
