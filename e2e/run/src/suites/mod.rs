//! Test suites on machines. A failed suite leaves its machines as they are, to be looked at; the next run, or
//! `e2e down <instance>`, clears them away.

mod bad_input;
pub mod control_plane;
mod hosted;
mod load;
mod machines;
mod remote;

use anyhow::{Context, Result, bail, ensure};
use k0smotron_api::infrastructure::v1beta2::PooledRemoteMachine;
use k0smotron_e2e_components::Component;
use kube::{Api, ResourceExt, api::ListParams};

use crate::{
    cluster::WorkloadCluster,
    progress::seconds,
    quickstart,
    testbed::{self, Purpose, Testbed},
};

/// The third host, beside those of quickstart.
const THIRD: &str = "third";

/// Runs a suite by name. The last line is `passed N, failed N` in words that a runner understands.
///
/// # Errors
/// With what failed.
pub async fn run(name: &str, scenario: Option<&str>) -> Result<()> {
    match (name, scenario) {
        ("smoke", None) => smoke().await,
        ("hosted-smoke", None) => hosted::smoke().await,
        ("machines", None) => machines::all().await,
        ("remote", None) => remote::all().await,
        ("hosted", scenario) => hosted::run(scenario).await,
        ("control-plane", scenario) => control_plane::run(scenario).await,
        (_, Some(scenario)) => bail!("suite {name:?} has no scenario {scenario:?}"),
        _ => bail!(
            "there is no suite {name:?}; there are smoke, hosted-smoke, machines, remote, hosted and control-plane"
        ),
    }
}

/// What `make test` runs: quickstart's own code, once, and three controllers that are replaced, once.
async fn smoke() -> Result<()> {
    let [first, second] = quickstart::HOSTS;
    let hosts = [first, second, THIRD];
    with_testbed(&hosts, async |testbed| {
        machines::comes_up_and_goes(testbed).await?;
        control_plane::smoke(testbed, &hosts).await?;
        println!("passed: 2 passed, 0 failed");
        Ok(())
    })
    .await
}

async fn with_testbed(hosts: &[&str], scenarios: impl AsyncFnOnce(&Testbed) -> Result<()>) -> Result<()> {
    with_testbed_and(hosts, &[], scenarios).await
}

/// As [`with_testbed`], with more components on the machines.
async fn with_testbed_and(
    hosts: &[&str],
    more: &'static [Component],
    scenarios: impl AsyncFnOnce(&Testbed) -> Result<()>,
) -> Result<()> {
    let instance = Purpose::Suite.instance()?;
    testbed::down(instance)
        .await
        .context("what an earlier run left behind")?;
    let testbed = Testbed::up_with(instance, hosts, more).await?;
    scenarios(&testbed).await?;
    testbed::down(instance).await
}

/// Deletes the cluster; hosts are clean and pool slots free after that.
async fn delete(testbed: &Testbed, cluster: &WorkloadCluster<'_>) -> Result<()> {
    println!("deleted in {}", seconds(cluster.delete().await?));
    for machine in &testbed.machines {
        let left = machine
            .exec("ls -A /var/lib/k0s 2>/dev/null; ls /etc/systemd/system/k0s*.service 2>/dev/null; pgrep -a k0s || true")
            .await?;
        ensure!(left.trim().is_empty(), "left on {}: {left}", machine.name());
    }
    let pool: Api<PooledRemoteMachine> = Api::namespaced(testbed.plane.client()?, &cluster.namespace);
    for entry in pool.list(&ListParams::default()).await? {
        let reserved = entry.status.as_ref().is_some_and(|status| status.reserved);
        ensure!(!reserved, "pool entry {} is still reserved", entry.name_any());
    }
    Ok(())
}
