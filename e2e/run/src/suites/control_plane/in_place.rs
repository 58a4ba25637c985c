//! Updates in place: k0s replaces itself on the hosts, Machines stay.

use std::time::Duration;

use anyhow::{Result, ensure};
use k0smotron_api::{
    control_plane::v1beta2::UpdateStrategy,
    k0s_objects::{ControlNode, Plan},
};
use kube::{Api, ResourceExt, api::ListParams};
use serde_json::{Value, json};

use super::{goes, plane::ControlPlane};
use crate::{
    progress::{seconds, until},
    testbed::Testbed,
};

/// As long as the release that the suite begins with.
pub const ANOTHER: &str = "v1.36.3+k0s.3";
const LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(250);

/// Three controllers get another version: first from where there is none, then from where it is.
pub async fn rolls(testbed: &Testbed, hosts: &[&str]) -> Result<()> {
    println!("== a control plane is updated in place");
    let plane =
        ControlPlane::create(testbed, "in-place", hosts, hosts.len(), UpdateStrategy::InPlace).await?;
    let before = plane.machines().await?;
    let url = testbed.serve_another_k0s(ANOTHER).await?;

    plane.edit(to_another(&format!("{url}-is-not-here"))).await?;
    let told = plane.until_condition("Stalled", "UpdateFailed").await?;
    println!("  {told}");
    ensure!(told.contains(&url), "the source is not named: {told}");

    update(&plane, &url, before.len()).await?;
    is_updated(&plane).await?;
    ensure!(plane.machines().await? == before, "Machines were replaced");
    ensure!(
        plane.members().await? == before.len(),
        "members that are no controllers"
    );

    // A Plan stays as history, and nothing follows from it.
    let plans: Api<Plan> = Api::all(plane.cluster.workload().await?);
    until("completed Plan", LIMIT, POLL, || async {
        let plan = plans.get("autopilot").await?;
        Ok((plan.status.unwrap_or_default().state == "Completed").then_some(()))
    })
    .await?;
    goes(testbed, plane).await
}

/// A single controller without etcd has no members that could be asked, and nobody answers while it restarts.
pub async fn a_single_one(testbed: &Testbed, host: &str) -> Result<()> {
    println!("== a single controller with kine is updated in place");
    let strategy = UpdateStrategy::InPlace;
    let storage = json!({ "type": "kine" });
    let plane = ControlPlane::create_with(testbed, "kine", &[host], 1, strategy, storage).await?;
    let before = plane.machines().await?;
    let url = testbed.serve_another_k0s(ANOTHER).await?;
    update(&plane, &url, 1).await?;
    is_updated(&plane).await?;
    ensure!(plane.machines().await? == before, "the Machine was replaced");
    goes(testbed, plane).await
}

/// Updates every controller to [`ANOTHER`] from there, under load. Returns how long that took, and the longest time without an
/// answer.
///
/// # Errors
/// With what was not updated, or lost.
pub async fn update(plane: &ControlPlane<'_>, url: &str, controllers: usize) -> Result<(Duration, Duration)> {
    let change = async {
        plane.edit(to_another(url)).await?;
        plane.until_settled(controllers).await
    };
    let (took, gap) = plane.under_load("in-place", change).await?;
    println!("  in place: all of {controllers} updated after {}", seconds(took));
    Ok((took, gap))
}

/// The edit that asks for [`ANOTHER`] from there.
pub fn to_another(url: &str) -> Value {
    json!({ "version": ANOTHER, "k0sConfigSpec": { "downloadURL": url } })
}

/// Whether everything says the new version: k0s itself, the Machines, the status.
pub async fn is_updated(plane: &ControlPlane<'_>) -> Result<()> {
    let nodes: Api<ControlNode> = Api::all(plane.cluster.workload().await?);
    for node in nodes.list(&ListParams::default()).await? {
        let version = node
            .status
            .as_ref()
            .and_then(|status| status.k0s_version.as_deref());
        ensure!(version == Some(ANOTHER), "{} runs {version:?}", node.name_any());
    }
    for machine in plane.cluster.machines().await? {
        let version = machine.spec.version.as_deref();
        ensure!(
            version == Some(ANOTHER),
            "Machine {} says {version:?}",
            machine.name_any()
        );
    }
    let version = plane.status().await?.version;
    ensure!(
        version.as_deref() == Some(ANOTHER),
        "status.version is {version:?}"
    );
    Ok(())
}
