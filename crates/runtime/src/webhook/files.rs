//! Certificates that somebody else makes and mounts, for example cert-manager. Whoever makes them also tells clients
//! to trust them: nothing is injected.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::sync::watch;
use zeroize::Zeroizing;

use super::certificates::{Pair, certified};
use crate::tls::{Certificate, Policy};

/// The kubelet exchanges mounted files by renaming a directory, which not every file system tells.
const POLL: Duration = Duration::from_secs(10);

/// `tls.crt` and `tls.key` of a directory.
pub(super) async fn follow(
    directory: PathBuf,
    policy: Policy,
    certificate: Certificate,
    ready: watch::Sender<bool>,
) {
    let mut serving: Option<Pair> = None;
    let mut told = false;
    loop {
        match read(&directory).await {
            Ok(pair) if serving.as_ref().is_some_and(|now| is_same(now, &pair)) => {}
            Ok(pair) => match certified(&pair, policy.provider()) {
                Ok(key) => {
                    certificate.set(std::sync::Arc::new(key));
                    tracing::info!(directory = %directory.display(), "webhook certificate loaded");
                    serving = Some(pair);
                    told = false;
                    ready.send_replace(true);
                }
                // While the two files are exchanged they may not belong together.
                Err(error) => tell(&directory, &crate::controller::chain(&error), &mut told),
            },
            Err(error) => tell(&directory, &error.to_string(), &mut told),
        }
        tokio::time::sleep(POLL).await;
    }
}

fn is_same(one: &Pair, other: &Pair) -> bool {
    one.certificate == other.certificate && one.key == other.key
}

fn tell(directory: &Path, error: &str, told: &mut bool) {
    if !std::mem::replace(told, true) {
        tracing::error!(
            directory = %directory.display(), error,
            "no webhook certificate; put tls.crt and tls.key there, or leave --webhook-cert-dir out"
        );
    }
}

async fn read(directory: &Path) -> std::io::Result<Pair> {
    Ok(Pair {
        certificate: tokio::fs::read_to_string(directory.join("tls.crt")).await?,
        key: Zeroizing::new(tokio::fs::read_to_string(directory.join("tls.key")).await?),
    })
}
