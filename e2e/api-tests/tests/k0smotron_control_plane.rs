//! K0smotronControlPlanes under real Cluster API core and clusterctl. What runs the pods is played by the test, and an API
//! server beside the plane is the one in the pods.

// clippy.toml allows these in test functions; the functions that they call are meant too.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    fs,
    net::SocketAddr,
    panic::{AssertUnwindSafe, resume_unwind},
    path::Path,
};

use anyhow::{Context as _, Result, ensure};
use futures::FutureExt;
use k0smotron_api::{
    capi, control_plane::v1beta2::K0smotronControlPlane, infrastructure::v1beta2::RemoteCluster,
    k0smotron::v1beta2::Cluster,
};
use k0smotron_e2e_api_tests::{served::until, world::serve_webhooks};
use k0smotron_e2e_plane::{ApiServer, Options, Plane, clusterctl, manifests};
use k0smotron_runtime::{Context, Scope, dial::Dialer, shared::Shared};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
    core::NamespaceResourceScope,
    runtime::watcher,
};
use serde_json::{Value, json};

/// Far from those that people use.
const INSTANCE: u8 = 95;
const NAMESPACE: &str = "default";

const CLUSTER: &str = "
apiVersion: cluster.x-k8s.io/v1beta2
kind: Cluster
metadata: {name: demo}
spec:
  clusterNetwork: {pods: {cidrBlocks: [10.1.0.0/16]}, services: {cidrBlocks: [10.2.0.0/16]}}
  controlPlaneRef: {apiGroup: controlplane.cluster.x-k8s.io, kind: K0smotronControlPlane, name: demo-cp}
  infrastructureRef: {apiGroup: infrastructure.cluster.x-k8s.io, kind: RemoteCluster, name: demo-infra}
---
apiVersion: controlplane.cluster.x-k8s.io/v1beta2
kind: K0smotronControlPlane
metadata: {name: demo-cp}
spec:
  version: v1.36.3-k0s.2
  replicas: 1
  service: {type: NodePort, apiPort: PORT}
---
apiVersion: infrastructure.cluster.x-k8s.io/v1beta2
kind: RemoteCluster
metadata: {name: demo-infra, annotations: {cluster.x-k8s.io/managed-by: k0smotron}}
spec: {}
";

const CLASS: &str = "
apiVersion: controlplane.cluster.x-k8s.io/v1beta2
kind: K0smotronControlPlaneTemplate
metadata: {name: hosted}
spec: {template: {spec: {service: {type: NodePort, apiPort: PORT}}}}
---
apiVersion: infrastructure.cluster.x-k8s.io/v1beta2
kind: RemoteClusterTemplate
metadata: {name: hosted}
spec: {template: {metadata: {annotations: {cluster.x-k8s.io/managed-by: k0smotron}}, spec: {}}}
---
apiVersion: cluster.x-k8s.io/v1beta2
kind: ClusterClass
metadata: {name: hosted}
spec:
  controlPlane:
    templateRef: {apiVersion: controlplane.cluster.x-k8s.io/v1beta2, kind: K0smotronControlPlaneTemplate, name: hosted}
  infrastructure:
    templateRef: {apiVersion: infrastructure.cluster.x-k8s.io/v1beta2, kind: RemoteClusterTemplate, name: hosted}
---
apiVersion: cluster.x-k8s.io/v1beta2
kind: Cluster
metadata: {name: classy}
spec:
  topology: {classRef: {name: hosted}, version: v1.36.3+k0s.2, controlPlane: {replicas: 2}}
";

struct World {
    client: Client,
    /// The API server in the pods.
    workload: ApiServer,
}

impl World {
    async fn start() -> Result<Self> {
        Plane::down(INSTANCE).await?;
        let version = concat!("v", env!("CARGO_PKG_VERSION"));
        let repository = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../target/dist")
            .join(version);
        ensure!(
            repository.is_dir(),
            "{} is missing: `make components` writes it",
            repository.display()
        );
        let plane = Plane::up(INSTANCE).await?;
        clusterctl::init(&plane, &repository, version).await?;
        serve_webhooks(&plane).await?;
        let workload = ApiServer::start(&Options::default()).await?;
        let client = plane.client()?;
        let context = Context::new(client.clone(), Scope::default(), "test");
        let address = SocketAddr::from(([127, 0, 0, 1], port(&workload)));
        let context = Context {
            pods: Dialer::to_address(client.clone(), address),
            ..context
        };
        let (clusters, machines) = (
            Shared::watch(&context, watcher::Config::default()),
            Shared::watch(&context, watcher::Config::default()),
        );
        for controller in k0smotron_hosted::cluster_api(&context, &clusters, &machines) {
            tokio::spawn(controller);
        }
        Ok(Self { client, workload })
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    async fn apply(&self, yaml: &str) -> Result<()> {
        let yaml = yaml.replace("PORT", &port(&self.workload).to_string());
        manifests::apply(&self.client, &yaml, NAMESPACE).await.map(drop)
    }

    async fn hosted(&self, name: &str) -> Result<Cluster> {
        let api: Api<Cluster> = self.api();
        until(&format!("{name} is hosted"), async || {
            Ok(api.get_opt(name).await?)
        })
        .await
    }

    /// Plays what runs the pods: they are all there, and their API server answers.
    async fn serve(&self, name: &str) -> Result<()> {
        let kubeconfig: Secret = serde_json::from_value(json!({
            "metadata": { "name": format!("{name}-kubeconfig"), "labels": { "cluster.x-k8s.io/cluster-name": name } },
            "type": "cluster.x-k8s.io/secret",
            "stringData": { "value": fs::read_to_string(self.workload.kubeconfig())? },
        }))?;
        self.api::<Secret>()
            .create(&PostParams::default(), &kubeconfig)
            .await?;
        let hosted = self.hosted(name).await?;
        let (count, version) = (hosted.spec.replicas, &hosted.spec.version);
        self.report(
            name,
            json!({
                "observedGeneration": hosted.metadata.generation,
                "replicas": count, "readyReplicas": count, "updatedReplicas": count,
                "selector": format!("app=k0smotron,cluster={name}"),
                "externalAddress": "127.0.0.1",
                "version": version, "versions": [{ "version": version, "replicas": count }],
                "conditions": [condition("Available", "True"), condition("CertificatesAvailable", "True")],
            }),
        )
        .await
    }

    async fn report(&self, name: &str, status: Value) -> Result<()> {
        let patch = Patch::Merge(json!({ "status": status }));
        let api: Api<Cluster> = self.api();
        api.patch_status(name, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// Waits until the control plane's condition has this status.
    async fn says(&self, name: &str, type_: &str, status: &str) -> Result<K0smotronControlPlane> {
        let api: Api<K0smotronControlPlane> = self.api();
        until(&format!("{name} says {type_}={status}"), async || {
            let plane = api.get(name).await?;
            let conditions = plane.status.iter().flat_map(|said| &said.conditions);
            let said = conditions
                .filter(|said| said.type_ == type_)
                .any(|said| said.status == status);
            Ok(said.then_some(plane))
        })
        .await
    }

    async fn change<K>(&self, name: &str, change: Value) -> Result<()>
    where
        K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned,
    {
        let api: Api<K> = self.api();
        api.patch(name, &PatchParams::default(), &Patch::Merge(change))
            .await?;
        Ok(())
    }
}

fn port(server: &ApiServer) -> u16 {
    server.config().cluster_url.port_u16().unwrap()
}

fn condition(type_: &str, status: &str) -> Value {
    json!({
        "type": type_, "status": status, "reason": "Test", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_control_plane_in_pods_lives_under_cluster_api() -> Result<()> {
    // The processes are ended even when an assertion fails.
    let result = AssertUnwindSafe(scenario()).catch_unwind().await;
    Plane::down(INSTANCE).await?;
    match result {
        Ok(result) => result,
        Err(panic) => resume_unwind(panic),
    }
}

async fn scenario() -> Result<()> {
    let world = World::start().await?;
    lives(&world).await.context("named by a Cluster")?;
    by_class(&world).await.context("of a ClusterClass")
}

async fn lives(world: &World) -> Result<()> {
    world.apply(CLUSTER).await?;
    let hosted = world.hosted("demo").await?;
    ensure!(hosted.owner_references()[0].name == "demo-cp");
    ensure!(
        hosted
            .annotations()
            .contains_key("clusterctl.cluster.x-k8s.io/block-move")
    );
    let network = &hosted.spec.k0s_config.as_ref().unwrap()["spec"]["network"];
    ensure!(
        *network == json!({ "podCIDR": "10.1.0.0/16", "serviceCIDR": "10.2.0.0/16" }),
        "{network}"
    );
    world.says("demo-cp", "Initialized", "False").await?;

    // The API server answers: Cluster API core, which reaches it by the endpoint, agrees.
    world.serve("demo").await?;
    let plane = world.says("demo-cp", "Ready", "True").await?;
    let status = plane.status.unwrap();
    ensure!(status.external_managed_control_plane == Some(true));
    ensure!(status.selector.as_deref() == Some("app=k0smotron,cluster=demo"));
    ensure!(
        (
            status.replicas,
            status.available_replicas,
            status.up_to_date_replicas
        ) == (Some(1), Some(1), Some(1))
    );
    let clusters: Api<capi::Cluster> = world.api();
    let cluster = until(
        "Cluster API core says that the control plane is available",
        async || {
            let cluster = clusters.get("demo").await?;
            let available = [
                "ControlPlaneAvailable",
                "RemoteConnectionProbe",
                "InfrastructureReady",
            ]
            .iter()
            .all(|type_| cluster.condition(type_).is_some_and(|said| said.status == "True"));
            Ok((available && cluster.control_plane_initialized()).then_some(cluster))
        },
    )
    .await?;
    ensure!(
        cluster.endpoint() == Some(("127.0.0.1", port(&world.workload))),
        "{:?}",
        cluster.endpoint()
    );
    let namespaces: Api<Namespace> = Api::all(world.workload.client()?);
    let uid = namespaces.get("kube-system").await?.uid().unwrap();
    until("the Cluster is told its identity", async || {
        let cluster = clusters.get("demo").await?;
        Ok((cluster.recorded_cluster_id() == Some(&format!("kube-system:{uid}"))).then_some(()))
    })
    .await?;
    let infrastructure: RemoteCluster = world.api().get("demo-infra").await?;
    let endpoint = infrastructure
        .spec
        .control_plane_endpoint
        .as_ref()
        .and_then(capi::Endpoint::address);
    ensure!(endpoint == cluster.endpoint(), "{endpoint:?}");

    // As `kubectl scale` and an autoscaler do.
    let planes: Api<K0smotronControlPlane> = world.api();
    let three = Patch::Merge(json!({ "spec": { "replicas": 3 } }));
    planes
        .patch_scale("demo-cp", &PatchParams::default(), &three)
        .await?;
    world.says("demo-cp", "ScalingUp", "True").await?;
    ensure!(world.hosted("demo").await?.spec.replicas == 3);

    paused(world).await.context("paused")?;

    // An API server that went away is away, and what was initialized stays so.
    world
        .report("demo", json!({ "conditions": [condition("Available", "False")] }))
        .await?;
    let plane = world.says("demo-cp", "Available", "False").await?;
    ensure!(
        plane
            .status
            .unwrap()
            .initialization
            .unwrap()
            .control_plane_initialized
            == Some(true)
    );

    let hosted = world.hosted("demo").await?;
    clusters.delete("demo", &DeleteParams::default()).await?;
    until("everything is gone", async || {
        let left = clusters.get_opt("demo").await?.is_some()
            || planes.get_opt("demo-cp").await?.is_some()
            || world
                .api::<Cluster>()
                .get_opt(&hosted.name_any())
                .await?
                .is_some();
        Ok((!left).then_some(()))
    })
    .await
}

/// Nothing changes of a paused Cluster, and everything that was changed meanwhile afterwards.
async fn paused(world: &World) -> Result<()> {
    world
        .change::<capi::Cluster>("demo", json!({ "spec": { "paused": true } }))
        .await?;
    world.says("demo-cp", "Paused", "True").await?;
    until("what runs the pods is paused too", async || {
        let hosted = world.hosted("demo").await?;
        Ok(hosted
            .annotations()
            .contains_key("cluster.x-k8s.io/paused")
            .then_some(()))
    })
    .await?;
    let before = world.hosted("demo").await?.resource_version();
    let version = json!({ "spec": { "version": "v1.36.4-k0s.0" } });
    world.change::<K0smotronControlPlane>("demo-cp", version).await?;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    ensure!(
        world.hosted("demo").await?.resource_version() == before,
        "a paused control plane was written to"
    );
    world
        .change::<capi::Cluster>("demo", json!({ "spec": { "paused": false } }))
        .await?;
    until("the change is brought in", async || {
        let hosted = world.hosted("demo").await?;
        let goes_on = !hosted.annotations().contains_key("cluster.x-k8s.io/paused");
        Ok((goes_on && hosted.spec.version == "v1.36.4-k0s.0").then_some(()))
    })
    .await
}

/// The topology controller is content with what it made: it neither waits nor writes again and again.
async fn by_class(world: &World) -> Result<()> {
    world.apply(CLASS).await?;
    let hosted = world.hosted("classy").await?;
    ensure!(hosted.spec.version == "v1.36.3+k0s.2" && hosted.spec.replicas == 2);
    world.serve("classy").await?;
    let clusters: Api<capi::Cluster> = world.api();
    let cluster = until("the topology is reconciled", async || {
        let cluster = clusters.get("classy").await?;
        let reconciled = cluster
            .condition("TopologyReconciled")
            .is_some_and(|said| said.status == "True");
        Ok((reconciled && cluster.control_plane_initialized()).then_some(cluster))
    })
    .await?;
    let plane = cluster.spec.control_plane_ref.as_ref().unwrap().name.clone();
    let plane = world.says(&plane, "Ready", "True").await?;
    ensure!(plane.status.unwrap().version.as_deref() == Some("v1.36.3+k0s.2"));
    clusters.delete("classy", &DeleteParams::default()).await?;
    until("the Cluster is gone", async || {
        Ok(clusters.get_opt("classy").await?.is_none().then_some(()))
    })
    .await
}
