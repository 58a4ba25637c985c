//! Controllers that keep their data in an etcd which is none of theirs: they come, are replaced and go without being members
//! of anything.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Result, ensure};
use k0smotron_api::{control_plane::v1beta2::UpdateStrategy, k0s_objects::ControlNode};
use kube::{Api, ResourceExt, api::ListParams};
use serde_json::json;

use super::{goes, plane::ControlPlane};
use crate::{
    progress::{seconds, until},
    testbed::Testbed,
};

const POLL: Duration = Duration::from_millis(250);
const LIMIT: Duration = Duration::from_secs(60);

/// Three controllers share the etcd on another host: all are replaced on their own hosts, and one stays in the end.
///
/// # Errors
/// With what was not as it should be.
pub async fn is_enough(testbed: &Testbed, hosts: &[&str], store: &str) -> Result<()> {
    println!("== controllers share an etcd that is none of theirs");
    let store = testbed.machine(store)?;
    let url = format!("http://{}:2379", store.address());
    store
        .exec(&format!(
            "systemd-run --collect --unit=store etcd --data-dir=/srv/store --listen-client-urls={url} \
             --advertise-client-urls={url}"
        ))
        .await?;
    let external = json!({ "endpoints": [url], "etcdPrefix": "shared" });
    let storage = json!({ "type": "etcd", "etcd": { "externalCluster": external } });
    let strategy = UpdateStrategy::RecreateDeleteFirst;
    let plane = ControlPlane::create_with(testbed, "shared", hosts, hosts.len(), strategy, storage).await?;
    let before = plane.machines().await?;
    for (step, change, left) in [
        (
            "roll",
            json!({ "k0sConfigSpec": { "preK0sCommands": ["echo roll"] } }),
            hosts.len(),
        ),
        ("scale", json!({ "replicas": 1 }), 1),
    ] {
        let changed = async {
            plane.edit(change).await?;
            plane.until_settled(left).await
        };
        let (took, _) = plane.under_load(&format!("shared-{step}"), changed).await?;
        let after = plane.machines().await?;
        ensure!(after.is_disjoint(&before), "not all were replaced: {after:?}");
        println!("  {step}: {left} controllers after {}", seconds(took));
        // What k0s keeps of those that are gone is removed.
        let nodes: Api<ControlNode> = Api::all(plane.cluster.workload().await?);
        until("ControlNodes of the controllers", LIMIT, POLL, || async {
            let known = nodes.list(&ListParams::default()).await?;
            let known: BTreeSet<_> = known.iter().map(ResourceExt::name_any).collect();
            Ok((known == after).then_some(()))
        })
        .await?;
    }
    goes(testbed, plane).await?;
    store
        .exec("systemctl stop store && rm -rf /srv/store")
        .await
        .map(drop)
}
