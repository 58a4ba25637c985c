//! Control planes in pods: one comes up, its worker is reached through konnectivity, and all of it goes; its pods are
//! killed, become more, others and fewer again, under a writer.

mod members;
mod take_over;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use k0smotron_api::{capi::Machine, control_plane::v1beta2::K0smotronControlPlane};
use k0smotron_e2e_images::catalog;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, LogParams, Patch, PatchParams},
};
use serde_json::json;

use super::load::under_load;
use crate::{
    cluster::WorkloadCluster,
    hosted::{
        HostedTestbed,
        quickstart::{self, WORKER},
    },
    k0s,
    progress::{seconds, step, until},
    testbed::{self, Purpose},
};

/// What planes are updated to.
const ANOTHER: &str = "v1.36.3+k0s.3";

const LIMIT: Duration = Duration::from_secs(240);
const POLL: Duration = Duration::from_millis(200);

/// What `make test` runs: quickstart's own code, once.
pub async fn smoke() -> Result<()> {
    with_testbed(async |testbed| {
        comes_up_and_goes(testbed).await?;
        println!("passed: 1 passed, 0 failed");
        Ok(())
    })
    .await
}

/// The suite, or one scenario of it.
pub async fn run(scenario: Option<&str>) -> Result<()> {
    with_testbed(async |testbed| {
        let passed = match scenario {
            None => {
                comes_up_and_goes(testbed).await?;
                heals(testbed).await?;
                scales_and_updates(testbed).await?;
                members::are_lost(testbed).await?;
                if testbed::other_operator().is_some() {
                    take_over::goes_on_under_ours(testbed).await?;
                    5
                } else {
                    4
                }
            }
            Some("smoke") => comes_up_and_goes(testbed).await.map(|()| 1)?,
            Some("heals") => heals(testbed).await.map(|()| 1)?,
            Some("members") => members::are_lost(testbed).await.map(|()| 1)?,
            Some("scales") => scales_and_updates(testbed).await.map(|()| 1)?,
            Some("take_over") => take_over::goes_on_under_ours(testbed).await.map(|()| 1)?,
            Some(other) => bail!(
                "suite hosted has no scenario {other:?}; there are smoke, heals, scales, members and, with \
                 UPSTREAM_OPERATOR, take_over"
            ),
        };
        println!("passed: {passed} passed, 0 failed");
        Ok(())
    })
    .await
}

async fn with_testbed(scenarios: impl AsyncFnOnce(&HostedTestbed) -> Result<()>) -> Result<()> {
    let instance = Purpose::Suite.instance()?;
    testbed::down(instance)
        .await
        .context("what an earlier run left behind")?;
    let testbed = HostedTestbed::up(instance, &[WORKER]).await?;
    scenarios(&testbed).await?;
    testbed::down(instance).await
}

async fn comes_up_and_goes(testbed: &HostedTestbed) -> Result<()> {
    println!("== a control plane in pods comes up and goes");
    let cluster = testbed.cluster("smoke")?;
    let timeline = quickstart::create(testbed, &cluster).await?;
    println!(
        "API answers {}, initialized {}, worker Ready {}",
        seconds(timeline.api_answers),
        seconds(timeline.initialized),
        seconds(timeline.node_ready)
    );
    cluster.wait_until_running(1).await?;
    check_pods(testbed, &cluster).await?;
    step("a pod's log through konnectivity", reads_a_log(&cluster)).await?;
    delete(testbed, &cluster).await
}

/// Every pod of the plane came up at the first try.
async fn check_pods(testbed: &HostedTestbed, cluster: &WorkloadCluster<'_>) -> Result<()> {
    let pods = pods(testbed, cluster).await?;
    ensure!(!pods.is_empty(), "the plane has no pods");
    for pod in pods {
        let containers = pod
            .status
            .as_ref()
            .and_then(|status| status.container_statuses.clone())
            .unwrap_or_default();
        for container in containers {
            ensure!(
                container.restart_count == 0 && container.ready,
                "container {} of pod {} was started again {} times, ready: {}",
                container.name,
                pod.name_any(),
                container.restart_count,
                container.ready
            );
        }
    }
    Ok(())
}

/// The pods of k0s and of etcd, by the label that both have (facts 5.2).
async fn pods(testbed: &HostedTestbed, cluster: &WorkloadCluster<'_>) -> Result<Vec<Pod>> {
    let pods: Api<Pod> = Api::namespaced(testbed.plane.client()?, &cluster.namespace);
    let of_cluster = ListParams::default().labels(&format!("app=k0smotron,cluster={}", cluster.name));
    Ok(pods.list(&of_cluster).await?.items)
}

/// The API server reaches the worker's kubelet: through the konnectivity agent, which is a pod there.
async fn reads_a_log(cluster: &WorkloadCluster<'_>) -> Result<()> {
    let workload = cluster.workload().await?;
    let pods: Api<Pod> = Api::namespaced(workload, "kube-system");
    let agents = ListParams::default().labels("k8s-app=konnectivity-agent");
    until("log of the konnectivity agent", LIMIT, POLL, || async {
        let agent = pods.list(&agents).await?.items.into_iter().next();
        let agent = agent.context("there is no agent yet")?;
        let log = pods.logs(&agent.name_any(), &LogParams::default()).await?;
        Ok((!log.is_empty()).then_some(()))
    })
    .await
}

/// Deletes the cluster; pods, worker and everything that names the cluster are gone after that.
async fn delete(testbed: &HostedTestbed, cluster: &WorkloadCluster<'_>) -> Result<()> {
    let begun = Instant::now();
    cluster.delete().await?;
    until("deletion of the plane's pods", LIMIT, POLL, || async {
        Ok(pods(testbed, cluster).await?.is_empty().then_some(()))
    })
    .await?;
    println!("deleted in {}", seconds(begun.elapsed()));
    let machines: Api<Machine> = Api::namespaced(testbed.plane.client()?, &cluster.namespace);
    ensure!(
        machines.list(&ListParams::default()).await?.items.is_empty(),
        "a Machine is left"
    );
    let left = testbed
        .machine(WORKER)?
        .exec("ls -A /var/lib/k0s 2>/dev/null; ls /etc/systemd/system/k0s*.service 2>/dev/null; pgrep -a k0s || true")
        .await?;
    ensure!(left.trim().is_empty(), "left on the worker: {left}");
    Ok(())
}

/// A pod of the plane that dies, by force or by order, comes back by itself.
async fn heals(testbed: &HostedTestbed) -> Result<()> {
    println!("== pods of a plane die and come back");
    let cluster = testbed.cluster("heals")?;
    quickstart::create(testbed, &cluster).await?;
    let kubeconfig = cluster.kubeconfig().await?.context("no kubeconfig")?;
    for (force, what) in [(true, "killed"), (false, "deleted")] {
        for pod in pods(testbed, &cluster).await? {
            let name = pod.name_any();
            let run = format!("{what}-{name}");
            let came_back = comes_back(testbed, &pod, force);
            let (took, _) = under_load(&kubeconfig, &run, came_back).await?;
            println!("{name} {what}: ready again after {}", seconds(took));
        }
    }
    delete(testbed, &cluster).await
}

/// Deletes a pod and waits until its successor is ready; returns how long that took.
async fn comes_back(testbed: &HostedTestbed, pod: &Pod, force: bool) -> Result<Duration> {
    let namespace = pod.namespace().context("a pod without namespace")?;
    let api: Api<Pod> = Api::namespaced(testbed.plane.client()?, &namespace);
    let (name, uid) = (pod.name_any(), pod.uid());
    let parameters = DeleteParams {
        grace_period_seconds: force.then_some(0),
        ..DeleteParams::default()
    };
    // Some writes and answers before it, so that there is something to lose.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let begun = Instant::now();
    api.delete(&name, &parameters).await?;
    until(&format!("{name} is back"), LIMIT, POLL, || async {
        let found = api.get_opt(&name).await?;
        let back = found.is_some_and(|found| found.uid() != uid && is_ready(&found));
        Ok(back.then_some(()))
    })
    .await?;
    let took = begun.elapsed();
    tokio::time::sleep(Duration::from_secs(2)).await;
    Ok(took)
}

/// One pod becomes three, takes another version of k0s, and is one again.
async fn scales_and_updates(testbed: &HostedTestbed) -> Result<()> {
    println!("== a plane grows, takes another version, and shrinks");
    step("image of another version", testbed.import_another_k0s(ANOTHER)).await?;
    let cluster = testbed.cluster("scales")?;
    quickstart::create(testbed, &cluster).await?;
    let kubeconfig = cluster.kubeconfig().await?.context("no kubeconfig")?;
    for (what, replicas, version) in [
        ("grows", 3, k0s::VERSION),
        ("updates", 3, ANOTHER),
        ("shrinks", 1, ANOTHER),
    ] {
        let becomes = becomes(testbed, &cluster, replicas, version);
        let (took, _) = under_load(&kubeconfig, what, becomes).await?;
        println!("{what}: {replicas} with {version} after {}", seconds(took));
    }
    delete(testbed, &cluster).await
}

/// Asks for so many pods of this version, and waits until they are there, with as many members of etcd, and nothing else is.
async fn becomes(
    testbed: &HostedTestbed,
    cluster: &WorkloadCluster<'_>,
    replicas: usize,
    version: &str,
) -> Result<Duration> {
    let planes: Api<K0smotronControlPlane> = Api::namespaced(testbed.plane.client()?, &cluster.namespace);
    let change = Patch::Merge(json!({"spec": {"replicas": replicas, "version": version}}));
    let image = catalog::k0s_image(version);
    let begun = Instant::now();
    planes
        .patch(&cluster.name, &PatchParams::default(), &change)
        .await?;
    cluster
        .until("pods as asked for", LIMIT, POLL, || async {
            let pods = pods(testbed, cluster).await?;
            let runs = |pod: &&Pod| {
                let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
                let mut images = containers.filter_map(|container| container.image.as_ref());
                images.any(|found| *found == image)
            };
            let as_asked = pods.len() == 2 * replicas
                && pods.iter().filter(runs).count() == replicas
                && pods.iter().all(is_ready);
            Ok(as_asked.then_some(()))
        })
        .await?;
    Ok(begun.elapsed())
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_deref())
        .unwrap_or_default();
    conditions
        .iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
