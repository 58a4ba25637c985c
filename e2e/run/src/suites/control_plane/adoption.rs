//! A cluster that was set up by hand, three controllers and a worker, comes under Cluster API by the guide that users know:
//! objects that describe it, paused, and then let go. Nothing of it is restarted or set up again, and from then on it is as any
//! other.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use k0smotron_api::{
    capi::{Cluster, Machine},
    control_plane::v1beta2::K0sControlPlane,
    infrastructure::v1beta2::{RemoteCluster, RemoteMachine},
    names::secrets,
};
use k0smotron_e2e_endpoint::LoadBalancer;
use k0smotron_e2e_plane::manifests;
use k8s_openapi::{ByteString, api::core::v1::Node};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ListParams, Patch, PatchParams},
    core::NamespaceResourceScope,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{
    delete,
    plane::is_settled,
    standing::{on_hosts, unchanged},
};
use crate::{
    by_hand,
    cluster::{WorkloadCluster, client, is_ready},
    k0s,
    progress::{seconds, until},
    ssh,
    testbed::Testbed,
};

const NAME: &str = "adopted";
const NAMESPACE: &str = "default";
const LIMIT: Duration = Duration::from_secs(240);
const POLL: Duration = Duration::from_millis(500);
/// Long enough for everybody to look at everything more than once.
const LOOKED_AT: Duration = Duration::from_secs(45);

/// See the module's header.
///
/// # Errors
/// With what was not as it should be.
pub async fn of_a_cluster_set_up_by_hand(testbed: &Testbed, hosts: &[&str; 4]) -> Result<()> {
    println!("== a cluster that was set up by hand is adopted");
    testbed.install_k0s().await?;
    let addresses = testbed.addresses(hosts)?;
    let [controllers @ .., worker] = addresses.as_slice() else {
        anyhow::bail!("no hosts");
    };
    let balancer = LoadBalancer::start(&testbed.network, controllers).await?;
    let kubeconfig = set_up(testbed, controllers, *worker).await?;
    let workload = client(&kubeconfig).await?;
    let before = on_hosts(testbed, &workload).await?;

    let management = testbed.plane.client()?;
    let cluster = WorkloadCluster::new(testbed, NAME)?;
    describe(testbed, &management, controllers, *worker, &kubeconfig).await?;
    label_node(&workload, hosts[3]).await?;
    unpause(&management).await?;
    let begun = Instant::now();
    until_settled(&management, &cluster, 3).await?;
    cluster.wait_until_running(1).await?;
    println!("  adopted after {}", seconds(begun.elapsed()));
    tokio::time::sleep(LOOKED_AT).await;
    unchanged(&before, &on_hosts(testbed, &workload).await?, "adopted")?;
    println!("  nothing restarted, nothing set up again");

    let planes: Api<K0sControlPlane> = Api::namespaced(management.clone(), NAMESPACE);
    let fewer = Patch::Merge(json!({ "spec": { "replicas": 1 } }));
    planes.patch(NAME, &PatchParams::default(), &fewer).await?;
    let begun = Instant::now();
    until_settled(&management, &cluster, 1).await?;
    let members = testbed.etcd_members().await;
    ensure!(members.iter().eq([&1]), "numbers of etcd members: {members:?}");
    println!("  1 controller after {}", seconds(begun.elapsed()));
    delete(testbed, &cluster).await?;
    balancer.end().await
}

/// What is there before anybody thinks of Cluster API, with the two settings that the guide asks for. Returns the
/// administrator's kubeconfig.
async fn set_up(testbed: &Testbed, controllers: &[Ipv4Addr], worker: Ipv4Addr) -> Result<String> {
    let begun = Instant::now();
    by_hand::controllers(testbed, controllers, |index| {
        format!("--env AUTOPILOT_HOSTNAME={}", controller_name(index))
    })
    .await?;
    let first = *controllers.first().context("no controllers")?;
    let token = by_hand::token(testbed, first, "worker").await?;
    by_hand::worker(testbed, worker, &token, "--profile=v1 --ignore-pre-flight-checks").await?;
    let kubeconfig = by_hand::kubeconfig(testbed, first).await?;
    let nodes: Api<Node> = Api::all(client(&kubeconfig).await?);
    until("worker Ready", LIMIT, POLL, || async {
        let nodes = nodes.list(&ListParams::default()).await?;
        Ok(nodes.iter().any(is_ready).then_some(()))
    })
    .await?;
    // k0s brings the rest up in its own time.
    tokio::time::sleep(Duration::from_secs(20)).await;
    println!("  set up by hand in {}", seconds(begun.elapsed()));
    Ok(kubeconfig)
}

/// Not named like its host, and so not like its member of etcd.
fn controller_name(index: usize) -> String {
    format!("{NAME}-cp-{index}")
}

fn worker_name() -> String {
    format!("{NAME}-worker-0")
}

/// Makes the objects of the guide, paused.
async fn describe(
    testbed: &Testbed,
    client: &Client,
    controllers: &[Ipv4Addr],
    worker: Ipv4Addr,
    kubeconfig: &str,
) -> Result<()> {
    let first = *controllers.first().context("no controllers")?;
    let mut kept = vec![secret(
        &secrets::kubeconfig(NAME),
        secrets::TYPE,
        &[(secrets::VALUE, kubeconfig)],
    )];
    for (name, certificate, key) in [
        (secrets::cluster_ca(NAME), "ca.crt", "ca.key"),
        (secrets::etcd_ca(NAME), "etcd/ca.crt", "etcd/ca.key"),
        (
            secrets::proxy_ca(NAME),
            "front-proxy-ca.crt",
            "front-proxy-ca.key",
        ),
        (secrets::service_account_keys(NAME), "sa.pub", "sa.key"),
    ] {
        let read = |file: &str| format!("cat /var/lib/k0s/pki/{file}");
        let certificate = ssh::run(testbed.key.path(), first, &read(certificate)).await?;
        let key = ssh::run(testbed.key.path(), first, &read(key)).await?;
        let data = [(secrets::TLS_CRT, certificate.as_str()), (secrets::TLS_KEY, &key)];
        kept.push(secret(&name, "kubernetes.io/tls", &data));
    }
    for secret in kept {
        manifests::apply(client, &secret.to_string(), NAMESPACE).await?;
    }
    let key = testbed.key_data()?;
    let objects = include_str!("adoption.yaml")
        .replace("SSH_KEY", &key)
        .replace("ENDPOINT", &testbed.network.host().to_string())
        .replace("NAME", NAME)
        .replace("VERSION", k0s::VERSION);
    manifests::apply(client, &objects, NAMESPACE).await?;
    let planes: Api<K0sControlPlane> = Api::namespaced(client.clone(), NAMESPACE);
    let uid = planes.get(NAME).await?.uid().context("no UID")?;
    let machine = |manifests: &str, name: &str, address: Ipv4Addr| {
        manifests
            .replace("CONTROL_PLANE_UID", &uid)
            .replace("MACHINE", name)
            .replace("ADDRESS", &address.to_string())
            .replace("NAME", NAME)
    };
    for (index, address) in controllers.iter().enumerate() {
        let controller = include_str!("adopted_controller.yaml");
        let objects = machine(controller, &controller_name(index), *address);
        manifests::apply(client, &objects, NAMESPACE).await?;
    }
    let objects = machine(include_str!("adopted_worker.yaml"), &worker_name(), worker);
    manifests::apply(client, &objects, NAMESPACE).await?;
    Ok(())
}

fn secret(name: &str, type_: &str, data: &[(&str, &str)]) -> Value {
    let data: serde_json::Map<_, _> = data
        .iter()
        .map(|(key, text)| ((*key).to_owned(), json!(ByteString(text.as_bytes().to_vec()))))
        .collect();
    json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name }, "type": type_, "data": data })
}

/// The guide's step 8.
async fn label_node(workload: &Client, node: &str) -> Result<()> {
    let nodes: Api<Node> = Api::all(workload.clone());
    let label = json!({ "metadata": { "labels": { "k0smotron.io/machine-name": worker_name() } } });
    nodes
        .patch(node, &PatchParams::default(), &Patch::Merge(label))
        .await?;
    Ok(())
}

/// The guide's step 9, in its order.
async fn unpause(client: &Client) -> Result<()> {
    unpause_all::<Cluster>(client).await?;
    unpause_all::<K0sControlPlane>(client).await?;
    unpause_all::<RemoteCluster>(client).await?;
    unpause_all::<Machine>(client).await?;
    unpause_all::<RemoteMachine>(client).await
}

async fn unpause_all<K>(client: &Client) -> Result<()>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let api: Api<K> = Api::namespaced(client.clone(), NAMESPACE);
    let patch = json!({ "metadata": { "annotations": { "cluster.x-k8s.io/paused": null } } });
    for object in api.list(&ListParams::default()).await? {
        api.patch(&object.name_any(), &PatchParams::default(), &Patch::Merge(&patch))
            .await?;
    }
    Ok(())
}

/// Waits until the control plane says that all of so many are there and serve.
async fn until_settled(client: &Client, cluster: &WorkloadCluster<'_>, replicas: i32) -> Result<()> {
    let planes: Api<K0sControlPlane> = Api::namespaced(client.clone(), NAMESPACE);
    cluster
        .until("a settled control plane", LIMIT, POLL, || async {
            Ok(is_settled(&planes.get(NAME).await?, replicas).then_some(()))
        })
        .await
}
