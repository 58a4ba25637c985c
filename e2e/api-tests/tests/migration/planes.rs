//! Management planes with the managers that are shipped.

use std::{
    future::Future,
    path::{Path, PathBuf},
};

use anyhow::{Result, ensure};
use k0smotron_e2e_plane::{
    Plane,
    clusterctl::{self, Clusterctl},
    managers,
};
use tokio::{sync::Mutex, task::LocalSet};

/// Our own release.
pub const OURS: &str = concat!("v", env!("CARGO_PKG_VERSION"));

/// Several planes at once are too much for a small machine.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The repository with our release, as `make components` writes it.
pub fn components() -> Result<PathBuf> {
    let directory = root().join("target/dist").join(OURS);
    ensure!(
        directory.is_dir(),
        "{} is missing: `make components` writes it",
        directory.display()
    );
    Ok(directory)
}

/// Runs a scenario with a directory for the state of planes. These are ended whatever comes of it.
pub async fn with_planes<F>(instances: &[u8], scenario: impl FnOnce(PathBuf) -> F) -> Result<()>
where
    F: Future<Output = Result<()>> + 'static,
{
    let _turn = ONE_AT_A_TIME.lock().await;
    let state = tempfile::tempdir()?;
    // A task of its own, so that the processes are ended even when an assertion fails.
    let scenario = scenario(state.path().to_owned());
    let task = async { tokio::task::spawn_local(scenario).await };
    let result = LocalSet::new().run_until(task).await;
    for instance in instances {
        Plane::down_in(state.path(), *instance).await?;
    }
    result?
}

/// Starts our managers for what is installed.
pub async fn manage(plane: &Plane) -> Result<()> {
    let binary = root().join("target/release/k0smotron-manager");
    ensure!(
        binary.is_file(),
        "{} is missing: `make build` writes it",
        binary.display()
    );
    managers::start(plane, &binary).await?;
    Ok(())
}

/// A plane with Cluster API core and our release.
pub async fn ours(state: &Path, instance: u8) -> Result<(Plane, Clusterctl)> {
    let plane = Plane::up_in(state, instance).await?;
    let clusterctl = clusterctl::init(&plane, &components()?, OURS).await?;
    manage(&plane).await?;
    Ok((plane, clusterctl))
}
