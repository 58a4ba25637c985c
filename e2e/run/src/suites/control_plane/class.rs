//! Clusters of a ClusterClass, with the templates at each version that is served: made, scaled by their topology, deleted.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k0smotron_api::control_plane::v1beta2::K0sControlPlane;
use k0smotron_e2e_endpoint::LoadBalancer;
use k0smotron_e2e_plane::manifests;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};

use super::{
    delete,
    plane::{holds, pool_entry},
};
use crate::{
    cluster::WorkloadCluster,
    k0s,
    progress::{seconds, until},
    testbed::Testbed,
};

const LIMIT: Duration = Duration::from_secs(300);
const POLL: Duration = Duration::from_millis(250);

/// One cluster for each version.
///
/// # Errors
/// With what was not as it should be.
pub async fn is_made_and_scaled(testbed: &Testbed, hosts: &[&str; 4]) -> Result<()> {
    testbed.install_k0s().await?;
    for version in ["v1beta1", "v1beta2"] {
        println!("== a ClusterClass with templates at {version}");
        one(testbed, hosts, version).await?;
    }
    Ok(())
}

async fn one(testbed: &Testbed, hosts: &[&str; 4], version: &str) -> Result<()> {
    let name = format!("class-{version}");
    let [controllers @ .., worker] = hosts;
    let addresses = testbed.addresses(controllers)?;
    let balancer = LoadBalancer::start(&testbed.network, &addresses).await?;
    let client = testbed.plane.client()?;
    let manifests = manifests(testbed, &name, version, controllers, worker)?;
    // Templates before the class and the class before its Cluster, or the webhook of the latter finds nothing to check with.
    let (class, cluster_only) = manifests
        .rsplit_once("---\napiVersion: cluster.x-k8s.io/v1beta2\nkind: Cluster\n")
        .context("no Cluster")?;
    manifests::apply(&client, class, "default").await?;
    until_reconciled(&client, "ClusterClass", &name, "VariablesReady").await?;
    let cluster = WorkloadCluster::new(testbed, &name)?;
    let cluster_only = format!("apiVersion: cluster.x-k8s.io/v1beta2\nkind: Cluster\n{cluster_only}");
    let timeline = cluster
        .create(&cluster_only, 1, |line| println!("  {line}"))
        .await?;
    println!("  worker Ready after {}", seconds(timeline.node_ready));
    until_reconciled(&client, "Cluster", &name, "TopologyReconciled").await?;

    scale(&client, &cluster, 3).await?;
    let members = testbed.etcd_members().await;
    ensure!(members.iter().eq([&3]), "numbers of etcd members: {members:?}");
    scale(&client, &cluster, 1).await?;
    is_quiet(testbed, &client, &cluster).await?;
    delete(testbed, &cluster).await?;
    let classes = api(&client, "ClusterClass");
    classes.delete(&name, &DeleteParams::default()).await?;
    balancer.end().await
}

/// Changes the number of controllers where a topology says it, and waits until all are there.
async fn scale(client: &Client, cluster: &WorkloadCluster<'_>, replicas: i32) -> Result<()> {
    let patch = json!({ "spec": { "topology": { "controlPlane": { "replicas": replicas } } } });
    api(client, "Cluster")
        .patch(&cluster.name, &PatchParams::default(), &Patch::Merge(patch))
        .await?;
    let begun = std::time::Instant::now();
    let scaled = cluster.until("the control plane is scaled", LIMIT, POLL, || async {
        let plane = control_plane(client, cluster).await?;
        let status = plane.status.clone().unwrap_or_default();
        let counts = [status.replicas, status.ready_replicas, status.up_to_date_replicas];
        let available = holds(&status, "Available", "True");
        let seen = status.observed_generation == plane.metadata.generation;
        Ok(
            (seen && available && plane.spec.replicas == replicas && counts == [Some(replicas); 3])
                .then_some(()),
        )
    });
    scaled.await?;
    println!("  {replicas} controllers after {}", seconds(begun.elapsed()));
    Ok(())
}

/// The topology controller and ours do not write against each other.
async fn is_quiet(testbed: &Testbed, client: &Client, cluster: &WorkloadCluster<'_>) -> Result<()> {
    // What follows from the last change is done within seconds.
    tokio::time::sleep(Duration::from_secs(15)).await;
    let before = control_plane(client, cluster).await?;
    let mark = testbed.plane.audit().mark()?;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let after = control_plane(client, cluster).await?;
    ensure!(
        before.metadata.resource_version == after.metadata.resource_version,
        "the control plane is written at rest: {:?}",
        testbed.plane.audit().since(mark)?
    );
    Ok(())
}

async fn control_plane(client: &Client, cluster: &WorkloadCluster<'_>) -> Result<K0sControlPlane> {
    let planes: Api<K0sControlPlane> = Api::namespaced(client.clone(), &cluster.namespace);
    let of_cluster = ListParams::default().labels(&format!("cluster.x-k8s.io/cluster-name={}", cluster.name));
    let mut found = planes.list(&of_cluster).await?.items;
    ensure!(
        found.len() == 1,
        "{:?}",
        found.iter().map(ResourceExt::name_any).collect::<Vec<_>>()
    );
    found.pop().context("no control plane")
}

async fn until_reconciled(client: &Client, kind: &str, name: &str, type_: &str) -> Result<()> {
    until(&format!("{kind} {name}: {type_}"), LIMIT, POLL, || async {
        let object = api(client, kind).get(name).await?;
        let conditions = object
            .data
            .pointer("/status/conditions")
            .and_then(Value::as_array);
        let found = conditions
            .into_iter()
            .flatten()
            .find(|found| found["type"] == type_);
        match found {
            Some(found) if found["status"] == "True" => Ok(Some(())),
            Some(found) => anyhow::bail!("{found}"),
            None => Ok(None),
        }
    })
    .await
}

fn api(client: &Client, kind: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("cluster.x-k8s.io", "v1beta2", kind);
    let mut resource = ApiResource::from_gvk(&kind);
    if resource.kind == "ClusterClass" {
        "clusterclasses".clone_into(&mut resource.plural);
    }
    Api::namespaced_with(client.clone(), "default", &resource)
}

fn manifests(
    testbed: &Testbed,
    name: &str,
    version: &str,
    controllers: &[&str],
    worker: &str,
) -> Result<String> {
    let key = testbed.key_data()?;
    let mut documents = Vec::new();
    let pools = controllers.iter().map(|host| (*host, "controllers"));
    for (host, pool) in pools.chain([(worker, "workers")]) {
        documents.push(pool_entry(testbed, host, &format!("NAME-{pool}"))?);
    }
    documents.push(
        include_str!("class.yaml")
            .replace("APIVERSION", version)
            .replace("SSH_KEY", &key)
            .replace("ENDPOINT", &testbed.network.host().to_string()),
    );
    Ok(documents
        .join("---\n")
        .replace("NAME", name)
        .replace("VERSION", k0s::VERSION))
}
