//! Updates in place: k0s replaces itself on the hosts, Machines stay.

use std::time::Duration;

use anyhow::{Result, ensure};
use k0smotron_api::{
    control_plane::v1beta2::UpdateStrategy,
    k0s_objects::{ControlNode, Plan},
};
use kube::{Api, ResourceExt, api::ListParams};
use serde_json::json;

use super::{goes, plane::ControlPlane};
use crate::{
    progress::{seconds, until},
    testbed::Testbed,
};

/// As long as the release that the suite begins with.
const ANOTHER: &str = "v1.36.3+k0s.3";
const LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(250);

/// Three controllers get another version: first from where there is none, then from where it is.
pub async fn rolls(testbed: &Testbed, hosts: &[&str]) -> Result<()> {
    println!("== a control plane is updated in place");
    let plane =
        ControlPlane::create(testbed, "in-place", hosts, hosts.len(), UpdateStrategy::InPlace).await?;
    let before = plane.machines().await?;
    let url = testbed.serve_another_k0s(ANOTHER).await?;

    let edit =
        |url: String| plane.edit(json!({ "version": ANOTHER, "k0sConfigSpec": { "downloadURL": url } }));
    edit(format!("{url}-is-not-here")).await?;
    let told = plane.until_condition("Stalled", "UpdateFailed").await?;
    println!("  {told}");
    ensure!(told.contains(&url), "the source is not named: {told}");

    let change = async {
        edit(url.clone()).await?;
        plane.until_settled(before.len()).await
    };
    let (took, _) = plane.under_load("in-place", change).await?;
    println!(
        "  in place: all of {} updated after {}",
        before.len(),
        seconds(took)
    );
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
    let plane = ControlPlane::create_with(testbed, "kine", &[host], 1, strategy, "kine").await?;
    let before = plane.machines().await?;
    let url = testbed.serve_another_k0s(ANOTHER).await?;
    let change = async {
        plane
            .edit(json!({ "version": ANOTHER, "k0sConfigSpec": { "downloadURL": url } }))
            .await?;
        plane.until_settled(1).await
    };
    let (took, _) = plane.under_load("kine", change).await?;
    println!("  in place: updated after {}", seconds(took));
    is_updated(&plane).await?;
    ensure!(plane.machines().await? == before, "the Machine was replaced");
    goes(testbed, plane).await
}

/// Whether everything says the new version: k0s itself, the Machines, the status.
async fn is_updated(plane: &ControlPlane<'_>) -> Result<()> {
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
    let version = plane.version().await?;
    ensure!(
        version.as_deref() == Some(ANOTHER),
        "status.version is {version:?}"
    );
    Ok(())
}
