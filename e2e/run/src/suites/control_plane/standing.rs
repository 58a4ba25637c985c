//! What there is of a cluster, and what tells it from another of its name: to see that nothing was replaced, restarted or made
//! anew.

use std::{collections::BTreeMap, fmt::Debug};

use anyhow::{Result, ensure};
use k0smotron_api::{
    bootstrap::v1beta2::{K0sControllerConfig, K0sWorkerConfig},
    capi::{Cluster, Machine, MachineDeployment},
    control_plane::v1beta2::K0sControlPlane,
    infrastructure::v1beta2::{RemoteCluster, RemoteMachine, RemoteMachineTemplate},
    names::secrets,
};
use k8s_openapi::api::core::v1::{Node, Secret};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ListParams, ObjectMeta},
    core::NamespaceResourceScope,
};
use serde::de::DeserializeOwned;

use crate::{cluster::WorkloadCluster, testbed::Testbed};

/// Says for every unit and every process that makes a cluster since when it runs. Not of scheduler and controller manager,
/// which end by themselves when a busy host has made them miss their leases.
const RUNNING: &str = "\
    for unit in k0scontroller k0sworker; do \
        systemctl is-active --quiet $unit && \
            echo $unit $(systemctl show -P MainPID $unit) $(systemctl show -P ActiveEnterTimestampMonotonic $unit); \
    done; \
    for name in etcd kube-apiserver kubelet containerd; do \
        for pid in $(pgrep \"^$name\" || true); do \
            case $(cat /proc/$pid/comm) in containerd-shim*) ;; \
            *) echo $name $pid $(cut -d' ' -f22 /proc/$pid/stat);; esac; \
        done; \
    done; true";

/// What is there, and what tells it from another of its name.
pub type Standing = BTreeMap<String, String>;

/// # Errors
/// With every difference.
pub fn unchanged(before: &Standing, after: &Standing, what: &str) -> Result<()> {
    let differences: Vec<_> = before
        .keys()
        .chain(after.keys())
        .filter(|key| before.get(*key) != after.get(*key))
        .map(|key| format!("{key}: {:?}, then {:?}", before.get(key), after.get(key)))
        .collect();
    ensure!(differences.is_empty(), "{what}: {differences:#?}");
    Ok(())
}

/// Everything of a cluster and its hosts.
///
/// # Errors
/// When an API server or a host does not answer.
pub async fn standing(testbed: &Testbed, cluster: &WorkloadCluster<'_>) -> Result<Standing> {
    let mut found = on_hosts(testbed, &cluster.workload().await?).await?;
    let objects = Objects {
        client: testbed.plane.client()?,
        namespace: &cluster.namespace,
        labels: format!("cluster.x-k8s.io/cluster-name={}", cluster.name),
    };
    let uid = |metadata: &ObjectMeta| metadata.uid.clone().unwrap_or_default();
    objects.note::<Machine>(&mut found, uid).await?;
    objects.note::<RemoteMachine>(&mut found, uid).await?;
    objects.note::<K0sControllerConfig>(&mut found, uid).await?;
    objects.note::<K0sWorkerConfig>(&mut found, uid).await?;
    // Their specs are the user's.
    let generation = |metadata: &ObjectMeta| {
        format!(
            "{} {:?}",
            metadata.uid.clone().unwrap_or_default(),
            metadata.generation
        )
    };
    let all = Objects {
        labels: String::new(),
        ..objects
    };
    all.note::<Cluster>(&mut found, generation).await?;
    all.note::<RemoteCluster>(&mut found, generation).await?;
    all.note::<RemoteMachineTemplate>(&mut found, generation).await?;
    all.note::<MachineDeployment>(&mut found, generation).await?;
    all.note::<K0sControlPlane>(&mut found, generation).await?;

    let kept: Api<Secret> = Api::namespaced(all.client.clone(), &cluster.namespace);
    let name = &cluster.name;
    for secret in [
        secrets::cluster_ca(name),
        secrets::etcd_ca(name),
        secrets::proxy_ca(name),
        secrets::service_account_keys(name),
    ] {
        let data = kept.get(&secret).await?.data.unwrap_or_default();
        let certificate = data.get(secrets::TLS_CRT).map(|data| data.0.clone());
        found.insert(
            format!("Secret {secret}"),
            String::from_utf8_lossy(&certificate.unwrap_or_default()).into_owned(),
        );
    }
    Ok(found)
}

/// What runs on the hosts, and the nodes and members that it makes.
///
/// # Errors
/// When the cluster or a host does not answer.
pub async fn on_hosts(testbed: &Testbed, workload: &Client) -> Result<Standing> {
    let mut found = Standing::new();
    let nodes: Api<Node> = Api::all(workload.clone());
    for node in nodes.list(&ListParams::default()).await? {
        found.insert(
            format!("Node {}", node.name_any()),
            node.uid().unwrap_or_default(),
        );
    }
    for machine in &testbed.machines {
        let running = machine.exec(RUNNING).await?;
        found.insert(
            format!("running on {}", machine.name()),
            running.trim().to_owned(),
        );
    }
    found.insert(
        "members".to_owned(),
        format!("{:?}", testbed.etcd_members().await),
    );
    Ok(found)
}

/// Objects of the management cluster.
struct Objects<'a> {
    client: Client,
    namespace: &'a str,
    labels: String,
}

impl Objects<'_> {
    async fn note<K>(&self, found: &mut Standing, identity: impl Fn(&ObjectMeta) -> String) -> Result<()>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), self.namespace);
        for object in api.list(&ListParams::default().labels(&self.labels)).await? {
            let key = format!("{} {}", K::kind(&()), object.name_any());
            found.insert(key, identity(object.meta()));
        }
        Ok(())
    }
}
