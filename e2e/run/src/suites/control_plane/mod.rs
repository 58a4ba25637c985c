//! Control planes of several controllers: they come up, scale, roll and lose members, while somebody writes through the
//! load balancer in front of them.

mod adoption;
pub mod any_operator;
mod class;
mod cloud;
mod etcd;
mod faults;
pub mod in_place;
mod large;
mod losses;
pub mod plane;
mod plans;
mod shared_store;
pub mod standing;
mod take_over;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use k0smotron_api::{capi::Machine, control_plane::v1beta2::UpdateStrategy};
use k0smotron_e2e_components::Component;
use kube::{Api, api::DeleteParams};
use serde_json::{Value, json};

use super::{delete, with_testbed_and};
use crate::{
    progress::{seconds, until},
    testbed::{self, Testbed},
};

use plane::ControlPlane;

const POLL: Duration = Duration::from_millis(250);
/// k0s takes out by force, after five minutes, who could not leave by itself; etcd refuses that for a while over a bad network.
const LIMIT: Duration = Duration::from_secs(480);
const HOSTS: [&str; 4] = ["one", "two", "three", "four"];

/// What `make test` runs: three controllers, and one roll of them on their own hosts.
///
/// # Errors
/// With what was not as it should be.
pub async fn smoke(testbed: &Testbed, hosts: &[&str]) -> Result<()> {
    println!("== three controllers come up, each in a failure domain of its own, roll and go");
    let strategy = UpdateStrategy::RecreateDeleteFirst;
    let plane = ControlPlane::create_spread(testbed, "three", hosts, strategy).await?;
    plane.is_spread_over(hosts).await?;
    roll(&plane, "delete-first").await?;
    plane.is_spread_over(hosts).await?;
    goes(testbed, plane).await
}

/// In the order in which they run, with what each is about.
const SCENARIOS: [(&str, &str); 14] = [
    (
        "smoke",
        "three controllers come up, are replaced on their own hosts, and go",
    ),
    (
        "scales_and_rolls",
        "1, 3, 1, 3 controllers; the configuration changes live; a roll, new ones first",
    ),
    (
        "rolls_in_place",
        "k0s updates itself on three controllers, after a source that is not there",
    ),
    (
        "kine_in_place",
        "k0s updates itself on a single controller without etcd",
    ),
    (
        "shared_store",
        "three controllers on an etcd elsewhere are replaced, and one stays",
    ),
    (
        "plans",
        "Plans of somebody else: one that cannot be carried out, one that comes first",
    ),
    (
        "faults",
        "etcd is killed, the leader cut off, one replaced over a slow network",
    ),
    (
        "ends",
        "the Cluster is deleted mid-replacement, its endpoint gone",
    ),
    (
        "lost_host",
        "a host is lost for good, and replaced by a MachineHealthCheck",
    ),
    ("large", "joins and a replacement with a database of 1 GiB"),
    (
        "cloud",
        "machines boot from their bootstrap data by cloud-init, at each contract",
    ),
    (
        "class",
        "clusters of a ClusterClass, with templates at each version, scaled by topology",
    ),
    (
        "adoption",
        "three controllers and a worker that were set up by hand are adopted",
    ),
    (
        TAKE_OVER,
        "what another operator made goes on under ours, and the other way round",
    ),
];
/// Not a part of the whole suite yet: they have not passed on machines.
const BY_NAME: [&str; 2] = ["large", "cloud"];
/// Only where there is somebody to take over from, or where it is asked for.
const TAKE_OVER: &str = "take_over";

/// The whole suite, or one scenario of it.
///
/// # Errors
/// With what was not as it should be.
pub async fn run(scenario: Option<&str>) -> Result<()> {
    let chosen: Vec<_> = SCENARIOS
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| match scenario {
            Some(chosen) => chosen == *name,
            None if *name == TAKE_OVER => testbed::other_operator().is_some(),
            None => !BY_NAME.contains(name),
        })
        .collect();
    if chosen.is_empty() {
        let known = SCENARIOS.map(|(name, about)| format!("  {name:<18}{about}"));
        bail!("there are the scenarios\n{}", known.join("\n"));
    }
    // Built only where a scenario needs it.
    let more: &[Component] = match chosen.contains(&"kine_in_place") {
        true => &[Component::Kine],
        false => &[],
    };
    with_testbed_and(&HOSTS, more, async |testbed| {
        for name in &chosen {
            match *name {
                "smoke" => smoke(testbed, &HOSTS[..3]).await?,
                "scales_and_rolls" => scales_and_rolls(testbed).await?,
                "rolls_in_place" => in_place::rolls(testbed, &HOSTS[..3]).await?,
                "kine_in_place" => in_place::a_single_one(testbed, HOSTS[0]).await?,
                "shared_store" => shared_store::is_enough(testbed, &HOSTS[..3], HOSTS[3]).await?,
                "plans" => plans::of_others(testbed, &HOSTS[..3]).await?,
                "faults" => faults::pass(testbed, &HOSTS[..3]).await?,
                TAKE_OVER => take_over::goes_on_under_ours(testbed, &HOSTS).await?,
                "cloud" => cloud::boots_from_user_data(testbed).await?,
                "class" => class::is_made_and_scaled(testbed, &HOSTS).await?,
                "adoption" => adoption::of_a_cluster_set_up_by_hand(testbed, &HOSTS).await?,
                "large" => large::database(testbed, &HOSTS[..3]).await?,
                "ends" => losses::a_cluster_goes_without_its_endpoint(testbed, &HOSTS).await?,
                _ => losses::a_lost_host_is_replaced(testbed, &HOSTS).await?,
            }
        }
        println!("passed: {} passed, 0 failed", chosen.len());
        Ok(())
    })
    .await
}

/// One, three, two controllers, and back; every Machine replaced by a new one that comes first.
async fn scales_and_rolls(testbed: &Testbed) -> Result<()> {
    println!("== a control plane scales and rolls");
    let plane = ControlPlane::create(testbed, "scales", &HOSTS, 1, UpdateStrategy::Recreate).await?;
    for (step, replicas) in (1u8..).zip([3, 1, 3]) {
        let change = async {
            plane.edit(json!({ "replicas": replicas })).await?;
            plane.until_settled(replicas).await
        };
        let (took, _) = plane.under_load(&format!("scale-{step}"), change).await?;
        println!("  {replicas} controllers after {}", seconds(took));
        ensure!(
            plane.members().await? == replicas,
            "members that are no controllers"
        );
    }
    configures(&plane).await?;
    roll(&plane, "recreate").await?;
    goes(testbed, plane).await
}

/// The k0s configuration changes in the running cluster, there and back, and no Machine is replaced for it.
async fn configures(plane: &ControlPlane<'_>) -> Result<()> {
    let before = plane.machines().await?;
    for profiles in [
        json!([{ "name": "late", "values": { "maxPods": 50 } }]),
        Value::Null,
    ] {
        plane
            .edit(json!({ "k0sConfigSpec": { "k0s": { "spec": { "workerProfiles": profiles } } } }))
            .await?;
        let took = plane.until_configured("workerProfiles", &profiles).await?;
        println!("  configuration changed after {}", seconds(took));
    }
    plane.until_settled(before.len()).await?;
    ensure!(plane.machines().await? == before, "Machines were replaced for it");
    Ok(())
}

/// Replaces every Machine under load. Returns how long that took, and the longest time without an answer.
///
/// # Errors
/// With what was not replaced, or lost.
pub async fn roll(plane: &ControlPlane<'_>, run: &str) -> Result<(Duration, Duration)> {
    let before = plane.machines().await?;
    let change = async {
        let commands = json!([format!("echo {run}")]);
        plane
            .edit(json!({ "k0sConfigSpec": { "preK0sCommands": commands } }))
            .await?;
        plane.until_settled(before.len()).await
    };
    let (took, gap) = plane.under_load(run, change).await?;
    let after = plane.machines().await?;
    ensure!(after.is_disjoint(&before), "not all were replaced: {after:?}");
    ensure!(
        plane.members().await? == before.len(),
        "members that are no controllers"
    );
    println!(
        "  {run}: all of {} replaced after {}",
        before.len(),
        seconds(took)
    );
    Ok((took, gap))
}

/// Deletes a Machine under load: another one takes its place. Returns how long that took.
///
/// # Errors
/// With what was replaced besides, or lost.
async fn replace_one(testbed: &Testbed, plane: &ControlPlane<'_>, run: &str) -> Result<Duration> {
    let before = plane.machines().await?;
    let gone = before.first().context("no Machine")?;
    let change = async {
        let begun = Instant::now();
        let machines: Api<Machine> = Api::namespaced(testbed.plane.client()?, &plane.cluster.namespace);
        machines.delete(gone, &DeleteParams::default()).await?;
        until("the end of the Machine", LIMIT, POLL, || async {
            Ok((!plane.machines().await?.contains(gone)).then_some(()))
        })
        .await?;
        println!("  {run}: a Machine went after {}", seconds(begun.elapsed()));
        plane.until_settled(before.len()).await?;
        Ok(begun.elapsed())
    };
    let (took, _) = plane.under_load(run, change).await?;
    let after = plane.machines().await?;
    let (new, old) = (after.difference(&before), before.difference(&after));
    ensure!(
        new.count() == 1 && old.count() == 1,
        "more than one was replaced: {after:?}"
    );
    ensure!(
        plane.members().await? == before.len(),
        "members that are no controllers"
    );
    println!("  {run}: one replaced after {}", seconds(took));
    Ok(took)
}

async fn goes(testbed: &Testbed, plane: ControlPlane<'_>) -> Result<()> {
    delete(testbed, &plane.cluster).await?;
    plane.balancer.end().await
}
