//! A cluster in use while something happens to it: somebody asks and writes through its endpoint all the time.

use std::time::Duration;

use anyhow::{Result, ensure};
use k0smotron_e2e_endpoint::{Probe, Writer};
use kube::{Client, Config, config::Kubeconfig};

use crate::progress::until;

const WRITES_PER_SECOND: u32 = 20;
/// How long reading what was written may take.
const LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(200);

/// Does what it is given under load; no write that was acknowledged may be lost. `run` keeps writers of one cluster
/// apart. Returns the longest time without an answer.
///
/// # Errors
/// What `change` fails with, and the loss of a write.
pub async fn under_load<T>(
    kubeconfig: &str,
    run: &str,
    change: impl Future<Output = Result<T>>,
) -> Result<(T, Duration)> {
    let config = config(kubeconfig).await?;
    let probe = Probe::start(config.clone())?;
    let writer = Writer::start(config.clone(), "default", run, WRITES_PER_SECOND)?;
    let changed = change.await;
    let written = writer.finish().await?;
    let found = probe.finish().await?;
    let changed = changed?;
    // Each time by a new connection: one that was begun while Services did not yet lead elsewhere never gets anywhere.
    let lost = until("what was written", LIMIT, PAUSE, || async {
        written.lost(Client::try_from(config.clone())?).await.map(Some)
    })
    .await?;
    ensure!(lost.is_empty(), "acknowledged and not there: {lost:?}");
    ensure!(
        written.acknowledged() > 0,
        "nothing was written: {:?}",
        found.errors
    );
    println!(
        "  {} writes acknowledged, none lost, {} failed; longest time without an answer {:.2} s, {:?}",
        written.acknowledged(),
        written.failed,
        found.longest_gap.as_secs_f64(),
        found.gaps
    );
    // An API server that is not ready lists everything that is.
    let errors = written.errors.iter().chain(&found.errors);
    for error in errors.filter_map(|error| error.lines().next()) {
        println!("    {error}");
    }
    Ok((changed, found.longest_gap))
}

async fn config(kubeconfig: &str) -> Result<Config> {
    let kubeconfig = Kubeconfig::from_yaml(kubeconfig)?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await?;
    config.connect_timeout = Some(Duration::from_secs(2));
    Ok(config)
}
