//! A control plane with a large database: a newcomer gets all of it before it votes.

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use k0smotron_api::control_plane::v1beta2::UpdateStrategy;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api,
    api::{ObjectMeta, PostParams},
};
use serde_json::json;

use super::{etcd, goes, plane::ControlPlane, replace_one};
use crate::{
    progress::{seconds, step},
    testbed::Testbed,
};

const GIB: u64 = 1 << 30;
/// What etcd may take; k0s leaves it at etcd's own 2 GiB.
const QUOTA: u64 = 4 * GIB;
/// Bytes of one value: a ConfigMap has room for a MiB.
const VALUE: usize = 1_000_000;
const VALUES: usize = 1080;
const AT_ONCE: usize = 6;

/// One controller is filled with a GiB, grows to three, and one of these is replaced, its member leaving first.
///
/// # Errors
/// With what was not as it should be.
pub async fn database(testbed: &Testbed, hosts: &[&str]) -> Result<()> {
    println!("== joins and a replacement with a database of 1 GiB");
    let storage =
        json!({ "type": "etcd", "etcd": { "extraArgs": { "quota-backend-bytes": QUOTA.to_string() } } });
    let strategy = UpdateStrategy::RecreateDeleteFirst;
    let plane = ControlPlane::create_with(testbed, "large", hosts, 1, strategy, storage).await?;
    step("  values of a MB each", fill(&plane)).await?;
    let first = plane.cluster.machines().await?;
    let host = plane.host_of(first.first().context("no Machine")?)?;
    let size = etcd::size(host).await?;
    ensure!(size >= GIB, "etcd has only {size} bytes");
    let growth = async {
        plane.edit(json!({ "replicas": hosts.len() })).await?;
        plane.until_settled(hosts.len()).await
    };
    let (took, _) = plane.under_load("large-growth", growth).await?;
    println!(
        "  {} MiB: {} controllers after {}",
        size >> 20,
        hosts.len(),
        seconds(took)
    );
    replace_one(testbed, &plane, "large-one").await?;
    goes(testbed, plane).await
}

async fn fill(plane: &ControlPlane<'_>) -> Result<()> {
    let values: Api<ConfigMap> = Api::namespaced(plane.cluster.workload().await?, "default");
    stream::iter(0..VALUES)
        .map(|number| fill_one(&values, number))
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await
}

async fn fill_one(values: &Api<ConfigMap>, number: usize) -> Result<()> {
    let value = ConfigMap {
        metadata: ObjectMeta {
            name: Some(format!("large-{number}")),
            ..ObjectMeta::default()
        },
        data: Some([("value".to_owned(), "x".repeat(VALUE))].into()),
        ..ConfigMap::default()
    };
    let created = values.create(&PostParams::default(), &value).await;
    created.map(drop).with_context(|| format!("value {number}"))
}
