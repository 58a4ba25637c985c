//! Plans of others in the workload cluster: k0s carries out one at a time, and they are neither removed nor in the way.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k0smotron_api::{
    control_plane::v1beta2::UpdateStrategy,
    k0s_objects::{Plan, PlanSpec},
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, PostParams},
};
use serde_json::{Value, json};

use super::{
    goes,
    in_place::{ANOTHER, is_updated, to_another},
    plane::ControlPlane,
};
use crate::{
    k0s,
    progress::{seconds, until},
    testbed::Testbed,
};

/// The only Plan that k0s carries out.
const NAME: &str = "autopilot";
const LIMIT: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(250);

/// A Plan that cannot be carried out is left to whoever made it, while the control plane grows; one that can be comes first.
///
/// # Errors
/// With what was not as it should be.
pub async fn of_others(testbed: &Testbed, hosts: &[&str]) -> Result<()> {
    println!("== a Plan of somebody else is neither deleted nor in the way");
    let plane = ControlPlane::create(testbed, "plans", hosts, 1, UpdateStrategy::InPlace).await?;
    let plans: Api<Plan> = Api::all(plane.cluster.workload().await?);
    let first = plane.machines().await?.pop_first().context("no Machine")?;
    let url = testbed.serve_another_k0s(ANOTHER).await?;

    let stuck = plan("nobodys", k0s::VERSION, "http://127.0.0.1/none", "nobody");
    let uid = plans.create(&PostParams::default(), &stuck).await?.uid();
    until("a Plan that lacks its target", LIMIT, POLL, || async {
        let status = plans.get(NAME).await?.status.unwrap_or_default();
        Ok((status.state == "IncompleteTargets").then_some(()))
    })
    .await?;
    plane.edit(json!({ "replicas": hosts.len() })).await?;
    let took = plane.until_settled(hosts.len()).await?;
    println!("  {} controllers beside it after {}", hosts.len(), seconds(took));

    plane.edit(to_another(&url)).await?;
    let told = plane.until_condition("Stalled", "UpdateFailed").await?;
    println!("  {told}");
    ensure!(told.contains("nobodys"), "the Plan is not named: {told}");
    ensure!(plans.get(NAME).await?.uid() == uid, "the Plan was replaced");
    plane
        .edit(json!({ "version": k0s::VERSION, "k0sConfigSpec": { "downloadURL": testbed.k0s_url() } }))
        .await?;
    plane.until_settled(hosts.len()).await?;

    // Its owner makes another one, which updates a controller: it comes first, and ours follows.
    plans.delete(NAME, &DeleteParams::default()).await?;
    let running = plan("somebodys", ANOTHER, &url, &first);
    let uid = plans.create(&PostParams::default(), &running).await?.uid();
    plane.edit(to_another(&url)).await?;
    let told = plane.until_said("RollingOut", "somebodys").await?;
    println!("  {told}");
    let found = plans.get(NAME).await?;
    ensure!(found.uid() == uid, "the Plan was replaced");
    let took = plane.until_settled(hosts.len()).await?;
    println!(
        "  all updated, one by it and the others by ours, after {}",
        seconds(took)
    );
    is_updated(&plane).await?;
    goes(testbed, plane).await
}

/// A Plan that updates one controller.
fn plan(id: &str, version: &str, url: &str, controller: &str) -> Plan {
    let platform: Value = json!({ "url": url });
    Plan::new(
        NAME,
        PlanSpec {
            id: id.to_owned(),
            timestamp: "1".to_owned(),
            commands: vec![json!({ "k0supdate": {
                "version": version,
                "platforms": { "linux-amd64": platform, "linux-arm64": platform },
                "targets": { "controllers": { "discovery": { "static": { "nodes": [controller] } } } },
            } })],
        },
    )
}
