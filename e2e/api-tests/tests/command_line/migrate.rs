//! `migrate check` of what the original's releases leave in a real API server.

use std::path::Path;

use anyhow::{Context as _, Result};
use k0smotron_api::control_plane::v1beta2::K0sControlPlane;
use k0smotron_cli::migrate::check;
use k0smotron_e2e_api_tests::served::{api_of, definitions_before_v1beta2, store};
use k0smotron_e2e_components::{Component, ensure};
use k0smotron_e2e_plane::{ApiServer, manifests};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Client, Resource,
    api::{Patch, PatchParams},
};
use serde_json::json;

use super::{create, definitions, objects, root, server};

/// Our definitions as a release has them: 1.10 knows v1beta1 only.
fn definitions_of(release: &str) -> Vec<CustomResourceDefinition> {
    match release {
        "1.10" => definitions_before_v1beta2(),
        _ => definitions(),
    }
}

/// An API server with Cluster API's definitions and those of a release, and in it a cluster that the release has made.
async fn cluster_of(release: &str) -> Result<ApiServer> {
    let server = server(&definitions_of(release)).await?;
    let client = server.client()?;
    let cluster_api = tokio::task::spawn_blocking(|| ensure(Component::ClusterApi)).await??;
    manifests::apply_crds(&client, &cluster_api.join("share/core/config/crd/bases")).await?;
    let file = format!("crates/cli/tests/clusters/{release}.yaml");
    for object in objects(&root().join(Path::new(&file))) {
        store(&client, &object, "default", "gitops")
            .await
            .with_context(|| format!("{release}: {object}"))?;
    }
    Ok(server)
}

/// What is said of the cluster, and how much of that somebody has to look at.
async fn said(client: &Client) -> Result<(Vec<String>, usize)> {
    let mut lines = Vec::new();
    let (_, found) = check(client, None, |line| lines.push(line)).await?;
    Ok((lines, found))
}

#[tokio::test]
async fn clusters_of_other_releases_would_be_left_alone() -> Result<()> {
    for release in ["1.10", "2.0", "2.1"] {
        let server = cluster_of(release).await?;
        let client = server.client()?;
        let (lines, found) = said(&client).await?;
        assert_eq!(found, 0, "{release}: {lines:#?}");
        let of_v1beta1 = |line: &&String| line.contains("rewrite: ") && line.contains("v1beta1");
        assert_eq!(
            lines.iter().filter(of_v1beta1).count() > 0,
            release == "1.10",
            "{release}: {lines:#?}"
        );

        // The same cluster, when not all of it is as the spec says.
        let plane = json!({"apiVersion": format!("{}/{}", K0sControlPlane::group(&()), if release == "1.10" { "v1beta1" } else { "v1beta2" }),
            "kind": "K0sControlPlane"});
        let planes = api_of(&client, &plane, "default")?;
        let more = json!({"spec": {"k0sConfigSpec": {"args": ["--debug"]}}});
        planes
            .patch("demo", &PatchParams::default(), &Patch::Merge(more))
            .await?;
        let (lines, found) = said(&client).await?;
        let expected = "default: K0sControlPlane/demo: roll: Machine demo-x7k2p would be replaced: spec.k0sConfigSpec.args changed";
        assert_eq!(found, 1, "{release}: {lines:#?}");
        assert!(lines.iter().any(|line| line == expected), "{release}: {lines:#?}");
    }
    Ok(())
}

#[tokio::test]
async fn an_old_cluster_api_is_told() -> Result<()> {
    let server = server(&definitions()).await?;
    let client = server.client()?;
    let cluster_api = tokio::task::spawn_blocking(|| ensure(Component::ClusterApi)).await??;
    let text = std::fs::read_to_string(
        cluster_api.join("share/core/config/crd/bases/cluster.x-k8s.io_machines.yaml"),
    )?;
    let mut machines: CustomResourceDefinition = serde_yaml::from_str(&text)?;
    machines.spec.versions.retain(|version| version.name == "v1beta1");
    machines.spec.versions.iter_mut().for_each(|version| {
        version.served = true;
        version.storage = true;
    });
    manifests::apply_definitions(&client, &[machines]).await?;
    let (lines, found) = said(&client).await?;
    assert_eq!(found, 1, "{lines:?}");
    assert!(
        lines[0].starts_with("machines.cluster.x-k8s.io: refuse: Cluster API does not serve v1beta2"),
        "{lines:?}"
    );
    Ok(())
}

#[tokio::test]
async fn objects_are_judged_without_cluster_api() -> Result<()> {
    let server = server(&definitions()).await?;
    let client = server.client()?;
    let fine = json!({
        "apiVersion": "infrastructure.cluster.x-k8s.io/v1beta2", "kind": "PooledRemoteMachine", "metadata": {"name": "fine"},
        "spec": {"pool": "a", "machine": {"address": "192.0.2.1", "sshKeyRef": {"name": "key"}}}
    });
    assert_eq!(create(&client, &fine, false).await?, None);
    let mut lines = Vec::new();
    assert_eq!(
        check(&client, None, |line| lines.push(line)).await?,
        (1, 0),
        "{lines:?}"
    );
    assert_eq!(lines, [""; 0]);

    let held = json!({
        "apiVersion": "infrastructure.cluster.x-k8s.io/v1beta2", "kind": "RemoteMachine", "metadata": {"name": "held"},
        "spec": {"provisionJob": {"sshCommand": "ssh", "scpCommand": "scp"}}
    });
    assert_eq!(create(&client, &held, false).await?, None);
    assert_eq!(
        check(&client, Some("default"), |line| lines.push(line)).await?,
        (2, 1)
    );
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("default: RemoteMachine/held: hold: ")),
        "{lines:?}"
    );
    assert_eq!(check(&client, Some("elsewhere"), |_| ()).await?, (0, 0));
    Ok(())
}
