//! Control planes that lose something: a host for good, and the endpoint while their Cluster is deleted.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use k0smotron_api::{capi::Machine, control_plane::v1beta2::UpdateStrategy};
use k0smotron_e2e_plane::manifests;
use k8s_openapi::api::core::v1::Event;
use kube::{Api, ResourceExt, api::ListParams};
use serde_json::json;

use super::{super::delete, plane::ControlPlane};
use crate::{
    progress::{seconds, until},
    testbed::Testbed,
};

const POLL: Duration = Duration::from_millis(250);
/// k0s takes the member of a lost host out after five minutes; a MachineHealthCheck looks every fifteen seconds.
const LIMIT: Duration = Duration::from_secs(600);
/// Within which a Cluster is to be gone, whatever does not answer any more.
const ENDS: Duration = Duration::from_secs(60);

/// One of three hosts is lost for good: a MachineHealthCheck asks for another one, and nothing else is lost.
///
/// # Errors
/// With what was not as it should be.
pub async fn a_lost_host_is_replaced(testbed: &Testbed, hosts: &[&str]) -> Result<()> {
    println!("== a lost host is replaced");
    let plane = ControlPlane::create(testbed, "lost", hosts, 3, UpdateStrategy::Recreate).await?;
    let check = include_str!("health.yaml").replace("NAME", &plane.cluster.name);
    manifests::apply(&testbed.plane.client()?, &check, &plane.cluster.namespace).await?;
    let victim = plane.cluster.machines().await?.pop().context("no Machine")?;
    let host = plane.host_of(&victim)?;
    let loss = async {
        let begun = Instant::now();
        host.power_off().await?;
        let name = victim.name_any();
        let deleted = until("deletion of the lost Machine", LIMIT, POLL, || async {
            let machines = plane.cluster.machines().await?;
            let stays = |machine: &Machine| machine.name_any() == name && !machine.is_deleting();
            Ok((!machines.iter().any(stays)).then_some(()))
        });
        deleted.await?;
        println!("  asked for and begun after {}", seconds(begun.elapsed()));
        let members = plane
            .cluster
            .until("three members again", LIMIT, POLL * 4, || async {
                let replaced = plane
                    .cluster
                    .machines()
                    .await?
                    .into_iter()
                    .filter(|machine| !machine.is_deleting())
                    .count();
                let healthy = plane.has_healthy_members(3).await?;
                Ok((replaced == 3 && healthy).then_some(()))
            });
        members.await?;
        Ok(begun.elapsed())
    };
    let (took, _) = plane.under_load("lost-host", loss).await?;
    ensure!(plane.members().await? == 3, "members that are no controllers");
    println!("  replaced after {}", seconds(took));
    println!("deleted in {}", seconds(plane.cluster.delete().await?));
    // It comes back as it was lost, and nobody answers for it any more.
    host.power_on().await?;
    host.exec("systemctl stop k0scontroller; k0s reset || true")
        .await?;
    plane.balancer.end().await
}

/// The Cluster is deleted while one of three controllers is leaving, and its endpoint with it.
///
/// # Errors
/// With what was not as it should be.
pub async fn a_cluster_goes_without_its_endpoint(testbed: &Testbed, hosts: &[&str]) -> Result<()> {
    println!("== a Cluster is deleted mid-replacement, its endpoint gone");
    let plane = ControlPlane::create(testbed, "ends", hosts, 3, UpdateStrategy::Recreate).await?;
    plane
        .edit(json!({ "k0sConfigSpec": { "preK0sCommands": ["echo ends"] } }))
        .await?;
    let leaving = until("a controller that leaves", LIMIT, POLL, || async {
        let machines = plane.cluster.machines().await?;
        Ok(machines.iter().any(Machine::is_deleting).then_some(()))
    });
    leaving.await?;
    plane.balancer.end().await?;
    let begun = Instant::now();
    delete(testbed, &plane.cluster).await?;
    let took = begun.elapsed();
    let events: Api<Event> = Api::namespaced(testbed.plane.client()?, &plane.cluster.namespace);
    for event in events.list(&ListParams::default()).await? {
        let (of, note) = (event.involved_object.name, event.message);
        if let (Some(of), Some(note)) = (of, note)
            && of.starts_with(&plane.cluster.name)
            && event.type_.as_deref() == Some("Warning")
        {
            println!("  {of}: {note}");
        }
    }
    ensure!(took <= ENDS, "the Cluster was gone only after {}", seconds(took));
    Ok(())
}
