//! A cluster whose control plane runs in pods, with one machine as its worker; left running.

use anyhow::Result;
use base64::Engine as _;
use k0smotron_e2e_plane::clusterctl::ClusterRequest;

use super::HostedTestbed;
use crate::{
    cluster::{Timeline, WorkloadCluster},
    k0s,
    progress::step,
    quickstart::{CLUSTER, OUTPUT, print_nodes, write_output},
    testbed::Purpose,
};

/// The machine that becomes the worker.
pub const WORKER: &str = "worker";
/// Ports of the hosted API server and of konnectivity on the management node.
const API_PORT: u16 = 30443;
const KONNECTIVITY_PORT: u16 = 30132;

/// Brings everything up and leaves it running.
///
/// # Errors
/// With the step that failed; what was started stays, and the next call goes on from there.
pub async fn up() -> Result<()> {
    let testbed = HostedTestbed::up(Purpose::Quickstart.instance()?, &[WORKER]).await?;
    let cluster = testbed.cluster(CLUSTER)?;
    let timeline = create(&testbed, &cluster).await?;
    step("Machines know their Nodes", cluster.wait_until_running(1)).await?;
    let nodes = print_nodes(&cluster).await?;
    write_output(&testbed.plane.kubeconfig(), &cluster).await?;
    println!(
        "\nWhat to try next:\n  \
         {OUTPUT}/bin/kubectl --kubeconfig {OUTPUT}/management.kubeconfig get pods,clusters.cluster.x-k8s.io,k0smotroncontrolplanes,machines\n  \
         {OUTPUT}/bin/clusterctl --kubeconfig {OUTPUT}/management.kubeconfig describe cluster {CLUSTER} --show-conditions all\n  \
         {OUTPUT}/bin/kubectl --kubeconfig {OUTPUT}/{CLUSTER}.kubeconfig get nodes,pods -A -o wide\n\
         `make quickstart-down` takes all of it away.\n"
    );
    println!(
        "READY cluster={CLUSTER} nodes={nodes} seconds={:.1} k0s={}",
        timeline.node_ready.as_secs_f64(),
        testbed.k0s.kind
    );
    Ok(())
}

/// Makes the cluster from the template that is shipped, and follows it until its worker is Ready; the worker then has
/// the images that k0s deploys.
///
/// # Errors
/// When the template cannot be rendered, or the cluster does not come up.
pub async fn create(testbed: &HostedTestbed, cluster: &WorkloadCluster<'_>) -> Result<Timeline> {
    let manifests = step("clusterctl generate cluster", generate(testbed, &cluster.name)).await?;
    println!("applied; what the Machines say:");
    let timeline = cluster.create(&manifests, 1, |line| println!("  {line}")).await?;
    let worker = testbed.machine(WORKER)?;
    step(
        "images of konnectivity and others on the worker",
        testbed.import_node_images(worker),
    )
    .await?;
    Ok(timeline)
}

async fn generate(testbed: &HostedTestbed, name: &str) -> Result<String> {
    let worker = testbed.machine(WORKER)?.address().to_string();
    let key = base64::engine::general_purpose::STANDARD.encode(testbed.key.private()?);
    let variables = [
        ("CONTROL_PLANE_API_PORT", API_PORT.to_string()),
        ("CONTROL_PLANE_KONNECTIVITY_PORT", KONNECTIVITY_PORT.to_string()),
        ("WORKER_HOST", worker),
        ("SSH_PRIVATE_KEY_B64", key),
        ("K0S_DOWNLOAD_URL", testbed.k0s_url()),
    ];
    let request = ClusterRequest {
        name,
        namespace: "default",
        flavor: Some("hosted-quickstart"),
        kubernetes_version: k0s::VERSION,
        control_plane_machines: 1,
        worker_machines: 1,
        variables: &variables,
    };
    testbed.clusterctl.generate_cluster(&request).await
}
