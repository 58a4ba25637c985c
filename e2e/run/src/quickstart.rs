//! The main job on real input: a k0s cluster on two machines through Cluster API, left running.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use anyhow::{Context, Result};
use k0smotron_e2e_components::{Component, ensure};
use k0smotron_e2e_plane::clusterctl::ClusterRequest;
use k8s_openapi::api::core::v1::Node;
use kube::{Api, api::ListParams};

use crate::{
    cluster::{Timeline, WorkloadCluster},
    k0s,
    progress::step,
    testbed::{self, Purpose, Testbed},
};

/// Name of the cluster.
pub const CLUSTER: &str = "demo";
/// Names of the two machines.
pub const HOSTS: [&str; 2] = ["controller", "worker"];
/// Where kubeconfigs and links to the command-line tools go.
pub const OUTPUT: &str = "target/quickstart";

/// Brings everything up and leaves it running.
///
/// # Errors
/// With the step that failed; what was started stays, and the next call goes on from there.
pub async fn up() -> Result<()> {
    let testbed = Testbed::up(Purpose::Quickstart.instance()?, &HOSTS).await?;
    let cluster = WorkloadCluster::new(&testbed, CLUSTER)?;
    let timeline = create(&testbed, &cluster).await?;
    step("Machines know their Nodes", cluster.wait_until_running(1)).await?;
    let nodes = print_nodes(&cluster).await?;
    write_output(&testbed.plane.kubeconfig(), &cluster).await?;
    println!(
        "\nWhat to try next:\n  \
         {OUTPUT}/bin/kubectl --kubeconfig {OUTPUT}/management.kubeconfig get clusters,k0scontrolplanes,machines,remotemachines\n  \
         {OUTPUT}/bin/clusterctl --kubeconfig {OUTPUT}/management.kubeconfig describe cluster {CLUSTER} --show-conditions all\n  \
         {OUTPUT}/bin/kubectl --kubeconfig {OUTPUT}/{CLUSTER}.kubeconfig get nodes -o wide\n\
         `make quickstart-down` takes all of it away.\n"
    );
    println!(
        "READY cluster={CLUSTER} nodes={nodes} seconds={:.1} k0s={}",
        timeline.node_ready.as_secs_f64(),
        testbed.k0s.kind
    );
    Ok(())
}

/// Takes all of it away.
///
/// # Errors
/// With what could not be removed.
pub async fn down() -> Result<()> {
    testbed::down(Purpose::Quickstart.instance()?).await?;
    match fs::remove_dir_all(OUTPUT) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Makes the cluster from the template that is shipped, and follows it until its worker is Ready.
///
/// # Errors
/// When the template cannot be rendered, or the cluster does not come up.
pub async fn create(testbed: &Testbed, cluster: &WorkloadCluster<'_>) -> Result<Timeline> {
    let manifests = step("clusterctl generate cluster", manifests(testbed, &cluster.name)).await?;
    println!("applied; what the Machines say:");
    cluster.create(&manifests, 1, |line| println!("  {line}")).await
}

/// The template that is shipped, for the hosts of the testbed.
///
/// # Errors
/// When the template cannot be rendered.
pub async fn manifests(testbed: &Testbed, name: &str) -> Result<String> {
    let controller = testbed.machine(HOSTS[0])?.address().to_string();
    let worker = testbed.machine(HOSTS[1])?.address().to_string();
    let key = testbed.key_data()?;
    let variables = [
        ("CONTROL_PLANE_ENDPOINT_HOST", controller.clone()),
        ("CONTROL_PLANE_HOST", controller),
        ("WORKER_HOST", worker),
        ("SSH_PRIVATE_KEY_B64", key),
        ("K0S_DOWNLOAD_URL", testbed.k0s_url()),
    ];
    let request = ClusterRequest {
        name,
        namespace: "default",
        flavor: Some("quickstart"),
        kubernetes_version: k0s::VERSION,
        control_plane_machines: 1,
        worker_machines: 1,
        variables: &variables,
    };
    testbed.clusterctl.generate_cluster(&request).await
}

/// Names them, and says how many there are.
///
/// # Errors
/// When the cluster does not answer.
pub async fn print_nodes(cluster: &WorkloadCluster<'_>) -> Result<usize> {
    let nodes: Api<Node> = Api::all(cluster.workload().await?);
    let nodes = nodes.list(&ListParams::default()).await?.items;
    println!("nodes:");
    for node in &nodes {
        let info = node.status.as_ref().and_then(|status| status.node_info.as_ref());
        println!(
            "  {}  {}  {}",
            node.metadata.name.as_deref().unwrap_or_default(),
            info.map(|info| info.kubelet_version.as_str()).unwrap_or_default(),
            node.spec
                .as_ref()
                .and_then(|spec| spec.provider_id.as_deref())
                .unwrap_or("without provider ID")
        );
    }
    Ok(nodes.len())
}

/// Puts both kubeconfigs and links to the command-line tools where a person finds them.
///
/// # Errors
/// When a file cannot be written.
pub async fn write_output(management: &Path, cluster: &WorkloadCluster<'_>) -> Result<()> {
    let output = Path::new(OUTPUT);
    fs::create_dir_all(output.join("bin"))?;
    let private = |name: String, text: &str| -> Result<()> {
        let path = output.join(name);
        fs::write(&path, text)?;
        Ok(fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?)
    };
    private(
        "management.kubeconfig".to_owned(),
        &fs::read_to_string(management)?,
    )?;
    let kubeconfig = cluster
        .kubeconfig()
        .await?
        .context("the cluster has no kubeconfig")?;
    private(format!("{}.kubeconfig", cluster.name), &kubeconfig)?;
    for (component, name) in [
        (Component::Kubernetes, "kubectl"),
        (Component::ClusterApi, "clusterctl"),
    ] {
        let link = output.join("bin").join(name);
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(ensure(component)?.join(name), link)?;
    }
    Ok(())
}
