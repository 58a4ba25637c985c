//! What machines are started from: one Debian root file system for all of them, and one directory with the upstream
//! binaries. Both are lower layers of each machine's overlay; neither is ever copied.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};
use k0smotron_e2e_components::{Component, ensure as ensure_component, store};
use k0smotron_e2e_images::{archive, pause};
use serde::{Deserialize, Serialize};

use crate::command::run_blocking as run;

/// Raised when this module makes something else of the same files.
const LAYOUT: &str = "1";

/// Debian 12: the systemd of Debian 13 refuses cgroup v1, which the proof environment has.
const SUITE: &str = "bookworm";

/// Mirror for the packages; mmdebstrap's default (deb.debian.org) when unset.
const MIRROR: &str = "K0SMOTRON_DEBIAN_MIRROR";

const PACKAGES: &str = include_str!("../golden/packages.txt");
const CUSTOMIZE: &str = include_str!("../golden/customize.sh");

/// Destination in the root, mode, content.
const FILES: [(&str, u32, &str); 6] = [
    (
        "etc/systemd/journald.conf.d/machine.conf",
        0o644,
        include_str!("../golden/files/journald.conf"),
    ),
    (
        "etc/k0s/containerd.d/oom.toml",
        0o644,
        include_str!("../golden/files/containerd-oom.toml"),
    ),
    (
        "etc/systemd/system/pause-image.path",
        0o644,
        include_str!("../golden/files/pause-image.path"),
    ),
    (
        "etc/systemd/system/pause-image.service",
        0o644,
        include_str!("../golden/files/pause-image.service"),
    ),
    (
        "etc/systemd/system/shared-root.service",
        0o644,
        include_str!("../golden/files/shared-root.service"),
    ),
    (
        "usr/local/share/k0smotron/import-pause-image",
        0o755,
        include_str!("../golden/files/import-pause-image"),
    ),
];

/// What a machine has in addition that boots from user data, as machines of clouds do.
const CLOUD_INIT: &str = "cloud-init";
/// Its configuration: the seed on the disk is all it has, and what the harness has set up stays as it is.
const CLOUD_INIT_FILE: (&str, u32, &str) = (
    "etc/cloud/cloud.cfg.d/90-machine.cfg",
    0o644,
    include_str!("../golden/files/cloud-init.cfg"),
);

/// The lower layers of a machine, uppermost first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineImage {
    layers: Vec<PathBuf>,
}

impl MachineImage {
    /// A machine with etcd, the Kubernetes binaries and containerd in its PATH. Builds what is missing, with one
    /// progress line for each long step; minutes the first time, nothing after that. Blocks its thread.
    ///
    /// # Errors
    /// Go, mmdebstrap or a C compiler is missing or fails, or the cache cannot be written.
    pub fn with_components() -> Result<Self> {
        Self::with_components_and(&[])
    }

    /// As [`Self::with_components`], with more components, such as kine for controllers that have no etcd.
    ///
    /// # Errors
    /// As [`Self::with_components`].
    pub fn with_components_and(more: &[Component]) -> Result<Self> {
        Self::with_binaries(&components(more)?)
    }

    /// A machine with the executables of these directories in `/usr/local/bin`.
    ///
    /// # Errors
    /// As [`Self::with_components`]; also when a directory cannot be read.
    pub fn with_binaries(directories: &[PathBuf]) -> Result<Self> {
        Self::with(directories, Boot::Plain)
    }

    /// As [`Self::with_components`], for machines that boot from user data: with Debian's cloud-init in a root of their own,
    /// since it makes every boot slower. See [`crate::MachineSpec::user_data`].
    ///
    /// # Errors
    /// As [`Self::with_components`].
    pub fn with_cloud_init() -> Result<Self> {
        Self::with(&components(&[])?, Boot::CloudInit)
    }

    fn with(directories: &[PathBuf], boot: Boot) -> Result<Self> {
        let mut layers = Vec::new();
        if !directories.is_empty() {
            layers.push(binaries_layer(directories)?);
        }
        layers.push(golden_root(boot)?);
        Ok(Self { layers })
    }

    /// Value of overlayfs' `lowerdir` option.
    pub(crate) fn lowerdir(&self) -> String {
        let layers: Vec<_> = self.layers.iter().map(|layer| layer.to_string_lossy()).collect();
        layers.join(":")
    }
}

/// How a machine becomes what it is to be.
#[derive(Clone, Copy)]
enum Boot {
    /// By whoever logs in.
    Plain,
    /// By cloud-init, from user data.
    CloudInit,
}

fn components(more: &[Component]) -> Result<Vec<PathBuf>> {
    [Component::Etcd, Component::Kubernetes, Component::Containerd]
        .iter()
        .chain(more)
        .map(|component| ensure_component(*component))
        .collect()
}

/// The Debian root file system all machines of one kind share.
fn golden_root(boot: Boot) -> Result<PathBuf> {
    let mut packages: Vec<_> = PACKAGES.split_whitespace().collect();
    let mut files = FILES.to_vec();
    if let Boot::CloudInit = boot {
        packages.push(CLOUD_INIT);
        files.push(CLOUD_INIT_FILE);
    }
    let mut parts = vec![LAYOUT, SUITE, PACKAGES, CUSTOMIZE, pause::SOURCE, pause::IMAGE];
    if let Boot::CloudInit = boot {
        parts.push(CLOUD_INIT);
    }
    for (path, _, content) in &files {
        parts.extend([path, content]);
    }
    let key = store::key(parts.into_iter().map(str::as_bytes));
    store::get_or_make("roots", &key, |root| {
        eprintln!("building the Debian root of the machines … about 40 s");
        let begin = Instant::now();
        debootstrap(root, &packages)?;
        for (path, mode, content) in files {
            write(&root.join(path), mode, content)?;
        }
        archive::write_file(
            &[pause::image()?],
            &root.join("usr/local/share/k0smotron/pause.tar"),
        )?;
        run(Command::new("chroot")
            .arg(root)
            .args(["/bin/sh", "-c", CUSTOMIZE]))?;
        eprintln!(
            "built the Debian root of the machines in {} s",
            begin.elapsed().as_secs()
        );
        Ok(())
    })
}

fn debootstrap(root: &Path, packages: &[&str]) -> Result<()> {
    let mut command = Command::new("mmdebstrap");
    command
        .args(["--mode=root", "--variant=minbase", "--quiet"])
        .arg(format!("--include={}", packages.join(",")))
        .args([SUITE.as_ref(), root.as_os_str()]);
    if let Some(mirror) = std::env::var_os(MIRROR).filter(|value| !value.is_empty()) {
        command.arg(mirror);
    }
    run(&mut command)
}

/// One directory with `usr/local/bin/*` hard-linked from `directories`; copied where they are on another file system.
fn binaries_layer(directories: &[PathBuf]) -> Result<PathBuf> {
    let mut binaries = Vec::new();
    for directory in directories {
        let entries =
            fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
        for entry in entries {
            let entry = entry?;
            // Following symbolic links: a link in the layer would lead nowhere inside a machine.
            let metadata = fs::metadata(entry.path())?;
            if metadata.is_file() && metadata.permissions().mode() & 0o111 != 0 {
                binaries.push((entry.path(), metadata));
            }
        }
    }
    binaries.sort_by(|a, b| a.0.cmp(&b.0));
    let identities: Vec<_> = binaries
        .iter()
        .map(|(path, metadata)| {
            let (seconds, nanoseconds) = (metadata.mtime(), metadata.mtime_nsec());
            format!("{} {} {seconds}.{nanoseconds}", path.display(), metadata.len())
        })
        .collect();
    let key = store::key(identities.iter().map(String::as_bytes));
    store::get_or_make("layers", &key, |layer| {
        let target = layer.join("usr/local/bin");
        fs::create_dir_all(&target)?;
        for (path, _) in &binaries {
            let path = fs::canonicalize(path).map(|real| (path.file_name(), real));
            let (name, real) = path.context("a component vanished from the cache")?;
            let target = target.join(name.unwrap_or_default());
            if fs::hard_link(&real, &target).is_err() {
                fs::copy(&real, &target).with_context(|| format!("cannot copy {}", real.display()))?;
            }
        }
        Ok(())
    })
}

fn write(path: &Path, mode: u32, content: &str) -> Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(mode))?)
}
