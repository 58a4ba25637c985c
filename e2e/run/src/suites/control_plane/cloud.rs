//! Control planes on infrastructure that boots machines from their bootstrap data and lets nobody log in, at each contract
//! of Cluster API.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use k0smotron_e2e_endpoint::LoadBalancer;
use k8s_openapi::api::core::v1::Node;
use kube::{Api, ResourceExt, api::ListParams};
use serde_json::json;

use super::{plane::ControlPlane, roll};
use crate::{
    cloud::{Cloud, Contract},
    cluster::is_ready,
    k0s,
    progress::{seconds, step},
    testbed::Testbed,
};

/// One controller and a worker at the older contract; at the newer one three, which are all replaced.
///
/// # Errors
/// With what was not as it should be.
pub async fn boots_from_user_data(testbed: &Testbed) -> Result<()> {
    for contract in [Contract::V1Beta1, Contract::V1Beta2] {
        println!("== machines boot from their bootstrap data, contract {contract:?}");
        let cloud = step("image with cloud-init", Cloud::install(testbed, contract)).await?;
        tokio::select! {
            done = comes_up_and_goes(testbed, &cloud, contract) => done?,
            failed = cloud.operate() => match failed? {},
        }
    }
    Ok(())
}

async fn comes_up_and_goes(testbed: &Testbed, cloud: &Cloud<'_>, contract: Contract) -> Result<()> {
    let name = format!("cloud-{contract:?}").to_lowercase();
    let balancer = LoadBalancer::start(&testbed.network, &cloud.addresses()).await?;
    let manifests = include_str!("cloud.yaml")
        .replace("DOWNLOAD_URL", &testbed.k0s_url())
        .replace("ENDPOINT", &testbed.network.host().to_string())
        .replace("NAME", &name)
        .replace("VERSION", k0s::VERSION);
    let plane = ControlPlane::create_from(testbed, &name, balancer, &manifests, (1, 1)).await?;
    plane.cluster.wait_until_running(1).await?;
    check_nodes(&plane).await?;
    if contract == Contract::V1Beta2 {
        plane.edit(json!({ "replicas": 3 })).await?;
        println!("  3 controllers after {}", seconds(plane.until_settled(3).await?));
        ensure!(plane.members().await? == 3, "members that are no controllers");
        are_spread(&plane).await?;
        roll(&plane, "booted-anew").await?;
        plane.edit(json!({ "replicas": 1 })).await?;
        println!("  1 controller after {}", seconds(plane.until_settled(1).await?));
    }
    println!("deleted in {}", seconds(plane.cluster.delete().await?));
    let left = cloud.machines()?;
    ensure!(left.is_empty(), "machines that nobody removed: {left:?}");
    plane.balancer.end().await
}

/// The worker is a Ready Node that says whose machine it is, and bears the label that is made of custom user data, a
/// template, a command before and an argument, all as cloud-init and a shell have expanded them.
async fn check_nodes(plane: &ControlPlane<'_>) -> Result<()> {
    let nodes: Api<Node> = Api::all(plane.cluster.workload().await?);
    let nodes = nodes.list(&ListParams::default()).await?;
    let [worker] = nodes.items.as_slice() else {
        anyhow::bail!("{} Nodes", nodes.items.len());
    };
    let provider_id = worker.spec.as_ref().and_then(|spec| spec.provider_id.as_deref());
    let expected = format!("cloud://{}", worker.name_any());
    ensure!(
        provider_id == Some(&expected),
        "its provider ID is {provider_id:?}"
    );
    ensure!(is_ready(worker), "it is not Ready");
    let rack = worker.labels().get("rack");
    ensure!(
        rack == Some(&format!("of-{}", worker.name_any())),
        "its label rack is {rack:?}"
    );
    Ok(())
}

/// Controllers are in both of the domains that there are.
async fn are_spread(plane: &ControlPlane<'_>) -> Result<()> {
    let machines = plane.cluster.machines().await?;
    let controllers = machines.iter().filter(|machine| machine.is_control_plane());
    let domains: BTreeSet<_> = controllers
        .filter_map(|machine| machine.spec.failure_domain.clone())
        .collect();
    ensure!(domains.len() == 2, "failure domains: {domains:?}");
    Ok(())
}
