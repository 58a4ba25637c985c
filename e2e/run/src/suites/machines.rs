//! A cluster on two machines, through Cluster API: comes up, is what it should be, goes without a trace; also while
//! the managers are killed again and again.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k0smotron_e2e_plane::audit::Write;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{bad_input, delete, with_testbed};
use crate::{
    cluster::WorkloadCluster,
    progress::{seconds, step},
    quickstart::{self, HOSTS},
    testbed::Testbed,
};

/// The whole suite.
pub async fn all() -> Result<()> {
    let hosts = [HOSTS, bad_input::HOSTS].concat();
    with_testbed(&hosts, async |testbed| {
        bad_input::run(testbed).await?;
        comes_up_and_goes(testbed).await?;
        is_quiet_at_rest(testbed).await?;
        for _ in 0..2 {
            survives_kills(testbed).await?;
        }
        println!("passed: 5 passed, 0 failed");
        Ok(())
    })
    .await
}

/// Quickstart's own code, once.
///
/// # Errors
/// With what was not as it should be.
pub async fn comes_up_and_goes(testbed: &Testbed) -> Result<()> {
    println!("== a cluster comes up and goes");
    let cluster = WorkloadCluster::new(testbed, "smoke")?;
    let timeline = quickstart::create(testbed, &cluster).await?;
    println!(
        "API answers {}, initialized {}, worker Ready {}",
        seconds(timeline.api_answers),
        seconds(timeline.initialized),
        seconds(timeline.node_ready)
    );
    cluster.wait_until_running(1).await?;
    check(testbed, &cluster).await?;
    delete(testbed, &cluster).await
}

/// One Machine of each kind, one etcd member, each host set up once.
async fn check(testbed: &Testbed, cluster: &WorkloadCluster<'_>) -> Result<()> {
    let machines = cluster.machines().await?;
    let (controllers, workers): (Vec<_>, Vec<_>) =
        machines.iter().partition(|machine| machine.is_control_plane());
    ensure!(
        controllers.len() == 1 && workers.len() == 1,
        "{} Machines",
        machines.len()
    );

    let controller = testbed.machine(HOSTS[0])?;
    let members = controller
        .exec("k0s etcd member-list 2>/dev/null || true")
        .await?;
    ensure!(
        members.matches("https://").count() == 1,
        "etcd members: {members}"
    );
    for (host, unit) in [(HOSTS[0], "k0scontroller"), (HOSTS[1], "k0sworker")] {
        // Earlier scenarios had clusters on the same machines.
        let count = format!(
            "journalctl -b -u {unit} -o cat --since @{} | grep -c '^Started {unit}' || true",
            cluster.begun
        );
        let started = testbed.machine(host)?.exec(&count).await?;
        ensure!(
            started.trim() == "1",
            "{unit} was started {} times on {host}",
            started.trim()
        );
    }
    Ok(())
}

/// Nothing happens, so nothing is written, leases apart.
async fn is_quiet_at_rest(testbed: &Testbed) -> Result<()> {
    println!("== quiet at rest");
    let cluster = WorkloadCluster::new(testbed, "quiet")?;
    quickstart::create(testbed, &cluster).await?;
    cluster.wait_until_running(1).await?;
    // What follows from the last change is done within seconds.
    tokio::time::sleep(Duration::from_secs(20)).await;
    let mark = testbed.plane.audit().mark()?;
    step("a minute of nothing", async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        Ok(())
    })
    .await?;
    let writes: Vec<_> = testbed
        .plane
        .audit()
        .since(mark)?
        .into_iter()
        .filter(is_ours_and_no_lease)
        .collect();
    ensure!(writes.is_empty(), "written at rest: {writes:#?}");
    for manager in &testbed.managers {
        println!(
            "{}: {} MiB",
            manager.name(),
            manager.memory(&testbed.plane)? / (1 << 20)
        );
    }
    delete(testbed, &cluster).await
}

fn is_ours_and_no_lease(write: &Write) -> bool {
    let lease = write
        .object_ref
        .as_ref()
        .is_some_and(|object| object.resource == "leases");
    write
        .user
        .username
        .starts_with("system:serviceaccount:k0smotron:")
        && !lease
}

/// The managers are killed about every two seconds until the cluster is there, and again while it goes.
async fn survives_kills(testbed: &Testbed) -> Result<()> {
    let seed: u64 = match std::env::var("K0SMOTRON_SEED") {
        Ok(text) => text.parse().context("K0SMOTRON_SEED")?,
        Err(_) => rand::random(),
    };
    println!("== managers are killed about every 2 s (K0SMOTRON_SEED={seed})");
    let cluster = WorkloadCluster::new(testbed, "killed")?;
    tokio::select! {
        created = quickstart::create(testbed, &cluster) => created.map(drop)?,
        killed = kill_again_and_again(testbed, seed) => killed?,
    }
    restart_managers(testbed).await?;
    cluster.wait_until_running(1).await?;
    check(testbed, &cluster).await?;
    tokio::select! {
        deleted = delete(testbed, &cluster) => deleted?,
        killed = kill_again_and_again(testbed, seed.wrapping_add(1)) => killed?,
    }
    restart_managers(testbed).await
}

async fn kill_again_and_again(testbed: &Testbed, seed: u64) -> Result<()> {
    let mut random = StdRng::seed_from_u64(seed);
    loop {
        tokio::time::sleep(Duration::from_millis(random.random_range(1000..3000))).await;
        for manager in &testbed.managers {
            manager.crash(&testbed.plane).await?;
        }
        restart_managers(testbed).await?;
    }
}

async fn restart_managers(testbed: &Testbed) -> Result<()> {
    for manager in &testbed.managers {
        manager.restart(&testbed.plane).await?;
    }
    Ok(())
}
