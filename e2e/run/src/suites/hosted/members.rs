//! Members of etcd in pods die, each of three once and so the leader too, and one loses its volume: the others serve, and it
//! comes back by itself.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams},
};

use super::{LIMIT, POLL, becomes, comes_back, delete, is_ready, pods};
use crate::{
    cluster::WorkloadCluster,
    hosted::{HostedTestbed, quickstart},
    k0s,
    progress::seconds,
    suites::load::under_load,
};

const MEMBERS: usize = 3;

pub async fn are_lost(testbed: &HostedTestbed) -> Result<()> {
    println!("== members of etcd die, and one loses its volume");
    let cluster = testbed.cluster("members")?;
    quickstart::create(testbed, &cluster).await?;
    let took = becomes(testbed, &cluster, MEMBERS, k0s::VERSION).await?;
    println!("{MEMBERS} after {}", seconds(took));
    let kubeconfig = cluster.kubeconfig().await?.context("no kubeconfig")?;
    for pod in members(testbed, &cluster).await? {
        let run = format!("killed-{}", pod.name_any());
        let came_back = comes_back(testbed, &pod, true);
        let (took, away) = under_load(&kubeconfig, &run, came_back).await?;
        println!(
            "{} killed: no answer for {}, ready again after {}",
            pod.name_any(),
            seconds(away),
            seconds(took)
        );
    }
    let lost = members(testbed, &cluster).await?.pop().context("no members")?;
    let came_back = loses_its_volume(testbed, &cluster, &lost);
    let (took, away) = under_load(&kubeconfig, "volume", came_back).await?;
    println!(
        "{} without its volume: no answer for {}, a member again after {}",
        lost.name_any(),
        seconds(away),
        seconds(took)
    );
    delete(testbed, &cluster).await
}

async fn members(testbed: &HostedTestbed, cluster: &WorkloadCluster<'_>) -> Result<Vec<Pod>> {
    let mut members = pods(testbed, cluster).await?;
    members.retain(|pod| {
        pod.labels()
            .get("component")
            .is_some_and(|component| component == "etcd")
    });
    ensure!(members.len() == MEMBERS, "{} members", members.len());
    Ok(members)
}

/// Deletes the claim and then the pod, and waits for both to be others, and ready.
async fn loses_its_volume(
    testbed: &HostedTestbed,
    cluster: &WorkloadCluster<'_>,
    pod: &Pod,
) -> Result<Duration> {
    let client = testbed.plane.client()?;
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &cluster.namespace);
    let name = format!("etcd-data-{}", pod.name_any());
    let uid = claims.get(&name).await?.uid();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let begun = Instant::now();
    // It goes when nobody uses it any more.
    claims.delete(&name, &DeleteParams::default()).await?;
    let pods: Api<Pod> = Api::namespaced(client, &cluster.namespace);
    pods.delete(&pod.name_any(), &DeleteParams::default().grace_period(0))
        .await?;
    cluster
        .until("the member is back on another volume", LIMIT, POLL, || async {
            let other = claims
                .get_opt(&name)
                .await?
                .is_some_and(|claim| claim.uid() != uid);
            let of_cluster = format!("app=k0smotron,cluster={},component=etcd", cluster.name);
            let members = pods.list(&ListParams::default().labels(&of_cluster)).await?.items;
            let all = members.len() == MEMBERS && members.iter().all(is_ready);
            Ok((other && all).then_some(()))
        })
        .await?;
    let took = begun.elapsed();
    tokio::time::sleep(Duration::from_secs(2)).await;
    Ok(took)
}
