//! The Debian layer below the test images whose programs want a shell: k0s and etcd as the pods of other operators
//! start them, and kube-proxy with its iptables.

use std::fs;
use std::process::Command;
use std::time::Instant;

use anyhow::Result;
use k0smotron_e2e_components::store;

use crate::layer::Layer;
use crate::program::run;

/// As the machines: Debian 12.
const SUITE: &str = "bookworm";
/// Mirror for the packages; mmdebstrap's default (deb.debian.org) when unset.
const MIRROR: &str = "K0SMOTRON_DEBIAN_MIRROR";
const PACKAGES: &str = "ca-certificates,iptables,passwd,tini";
/// Makes the users that k0s runs its components as, and drops what no program reads.
const CUSTOMIZE: &str = r#"chroot "$1" sh -e -c '
    for user in etcd kube-apiserver kube-scheduler konnectivity-server; do
        useradd --system --no-create-home --home-dir /var/lib/k0s --shell /usr/sbin/nologin "$user"
    done
    ln -s /usr/bin/tini /usr/sbin/tini
    rm -rf /usr/share/doc /usr/share/man /usr/share/locale /usr/share/info /var/lib/apt/lists /var/cache/apt'"#;

/// The layer, made once and kept in the cache.
pub(crate) fn layer() -> Result<Layer> {
    let parts = ["1", SUITE, PACKAGES, CUSTOMIZE];
    let key = store::key(parts.into_iter().map(str::as_bytes));
    let directory = store::get_or_make("image-bases", &key, |directory| {
        eprintln!("building the Debian layer of the images … about 30 s");
        let begin = Instant::now();
        let archive = directory.join("layer.tar");
        let mut command = Command::new("mmdebstrap");
        command
            .args(["--mode=root", "--variant=essential", "--quiet", "--format=tar"])
            .arg(format!("--include={PACKAGES}"))
            .arg(format!("--customize-hook={CUSTOMIZE}"))
            .arg(SUITE)
            .arg(&archive);
        if let Some(mirror) = std::env::var_os(MIRROR).filter(|value| !value.is_empty()) {
            command.arg(mirror);
        }
        run(&mut command)?;
        eprintln!(
            "built the Debian layer of the images in {} s, {} MB",
            begin.elapsed().as_secs(),
            fs::metadata(&archive)?.len() / 1_000_000
        );
        Ok(())
    })?;
    Layer::from_archive(&directory.join("layer.tar"))
}
