//! A whole management plane: the processes, `clusterctl init` offline, Cluster API core behind its own webhooks.
//!
//! The providers here are made up: three namespaced components without a manager. Ours run on such a plane in the
//! suites that use it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail anywhere"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use k0smotron_e2e_plane::clusterctl::{self, ClusterRequest};
use k0smotron_e2e_plane::{Plane, core, managers, manifests};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Api, DynamicObject, ObjectMeta, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, ResourceExt};

/// Far from those that people use.
const INSTANCE: u8 = 99;

const COMPONENTS: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: k0smotron}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: KIND, namespace: k0smotron}
";
const METADATA: &str = "
apiVersion: clusterctl.cluster.x-k8s.io/v1alpha3
kind: Metadata
releaseSeries: [{major: 3, minor: 0, contract: v1beta2}]
";
const TEMPLATE: &str = "
apiVersion: cluster.x-k8s.io/v1beta2
kind: Cluster
metadata: {name: ${CLUSTER_NAME}, namespace: ${NAMESPACE}}
spec:
  paused: true
  clusterNetwork: {services: {cidrBlocks: [\"${SERVICES}\"]}}
  controlPlaneRef: {apiGroup: controlplane.cluster.x-k8s.io, kind: K0sControlPlane, name: cp}
  infrastructureRef: {apiGroup: infrastructure.cluster.x-k8s.io, kind: RemoteCluster, name: infra}
";

fn provider_repository(root: &Path) {
    for kind in ["bootstrap", "control-plane", "infrastructure"] {
        let directory = root.join(format!("{kind}-k0sproject-k0smotron/v3.0.0"));
        fs::create_dir_all(&directory).unwrap();
        let components = COMPONENTS.replace("KIND", kind);
        fs::write(directory.join(format!("{kind}-components.yaml")), components).unwrap();
        fs::write(directory.join("metadata.yaml"), METADATA).unwrap();
        fs::write(directory.join("cluster-template.yaml"), TEMPLATE).unwrap();
    }
}

#[tokio::test]
async fn clusterctl_and_core_work_on_a_plane_of_processes() {
    let state = tempfile::tempdir().unwrap();
    // A task of its own, so that the processes are ended even when an assertion fails.
    let result = tokio::spawn(scenario(state.path().to_owned())).await;
    Plane::down_in(state.path(), INSTANCE).await.unwrap();
    assert_eq!(
        fs::read_dir(state.path()).unwrap().count(),
        0,
        "state was left behind"
    );
    if let Err(error) = result.unwrap() {
        panic!("{error:?}");
    }
}

async fn scenario(state: PathBuf) -> anyhow::Result<()> {
    let repository = tempfile::tempdir()?;
    provider_repository(repository.path());
    let plane = Plane::up_in(&state, INSTANCE).await?;
    let clusterctl = clusterctl::init(&plane, repository.path(), "v3.0.0").await?;
    let pid = core::attach(&plane).await?.pid(&plane)?;

    // Everything again, as by another program: nothing is started or installed twice.
    let plane = Plane::up_in(&state, INSTANCE).await?;
    clusterctl::init(&plane, repository.path(), "v3.0.0").await?;
    let core = core::attach(&plane).await?;
    assert!(pid.is_some());
    assert_eq!(core.pid(&plane)?, pid);
    let error = managers::start(&plane, &std::env::current_exe()?)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("no Deployment"), "{error}");

    let request = ClusterRequest {
        name: "demo",
        namespace: "default",
        flavor: None,
        kubernetes_version: "v1.36.3+k0s.2",
        control_plane_machines: 1,
        worker_machines: 1,
        variables: &[("SERVICES", "10.1.0.0/16".to_owned())],
    };
    let yaml = clusterctl.generate_cluster(&request).await?;
    let client = plane.client()?;
    let mark = plane.audit().mark()?;
    manifests::apply(&client, &yaml, "default").await?;
    core_reports_the_pause(&client).await;
    assert!(
        core.metrics()
            .await?
            .contains("controller_runtime_reconcile_total")
    );
    let writes = plane.audit().since(mark)?;
    let by_core = writes
        .iter()
        .filter(|w| w.user.username == "system:serviceaccount:capi-system:capi-manager");
    assert!(
        by_core.count() > 0,
        "core does not write as its ServiceAccount: {writes:#?}"
    );
    core_refuses_nonsense(&client, &yaml).await;
    let tree = clusterctl.describe("default", "demo").await?;
    assert!(tree.contains("demo"), "{tree}");

    core.crash(&plane).await?;
    assert_eq!(core.pid(&plane)?, None);
    core.restart(&plane).await?;
    core.wait_ready(&plane).await?;

    garbage_is_collected(&client).await;
    Ok(())
}

fn clusters(client: &Client) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("cluster.x-k8s.io", "v1beta2", "Cluster");
    Api::namespaced_with(client.clone(), "default", &ApiResource::from_gvk(&kind))
}

/// It reconciles, and reached the object through its conversion and admission webhooks.
async fn core_reports_the_pause(client: &Client) {
    for _ in 0..100 {
        let cluster = clusters(client).get("demo").await.unwrap();
        let conditions = cluster.data["status"]["conditions"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        if conditions
            .iter()
            .any(|condition| condition["type"] == "Paused" && condition["status"] == "True")
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("core did not report the pause");
}

/// The validating webhook answers: no schema knows that this is not a network.
async fn core_refuses_nonsense(client: &Client, yaml: &str) {
    let nonsense = yaml.replace("10.1.0.0/16", "not-a-network");
    let error = manifests::apply(client, &nonsense, "default").await.unwrap_err();
    assert!(format!("{error:#}").contains("not-a-network"), "{error:#}");
}

async fn garbage_is_collected(client: &Client) {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let owner = namespaces.get("kube-public").await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    let reference = OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Namespace".to_owned(),
        name: owner.name_any(),
        // Of an owner that is gone.
        uid: "00000000-0000-0000-0000-000000000000".to_owned(),
        ..OwnerReference::default()
    };
    let metadata = ObjectMeta {
        name: Some("orphan".to_owned()),
        owner_references: Some(vec![reference]),
        ..ObjectMeta::default()
    };
    maps.create(
        &PostParams::default(),
        &ConfigMap {
            metadata,
            ..ConfigMap::default()
        },
    )
    .await
    .unwrap();
    for _ in 0..200 {
        if maps.get_opt("orphan").await.unwrap().is_none() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the orphan is still there");
}
