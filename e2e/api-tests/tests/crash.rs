//! The manager dies after a write, any write, and another one goes on: the cluster comes up once and goes without a
//! trace.
//!
//! `K0SMOTRON_CRASH_EVERY=1` tries every write of the flow; continuous integration tries every twentieth, from a place
//! that differs from run to run.

use anyhow::{Context, Result};
use k0smotron_e2e_api_tests::world::World;

const INSTANCE: u8 = 90;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_after_any_write_loses_and_doubles_nothing() -> Result<()> {
    let world = World::start(INSTANCE).await?;
    let writes = world.life("crash-0", 0).await.context("without a crash")?;
    eprintln!("the flow takes {writes} writes");
    assert!(writes > 20, "{writes} writes: were they counted?");

    let every: usize = std::env::var("K0SMOTRON_CRASH_EVERY").map_or(Ok(20), |text| text.parse())?;
    let first = 1 + std::process::id() as usize % every;
    for point in (first..=writes).step_by(every) {
        eprintln!("crash after write {point} of {writes}");
        world
            .life(&format!("crash-{point}"), point)
            .await
            .with_context(|| format!("crash after write {point}"))?;
    }
    world.stop().await
}
