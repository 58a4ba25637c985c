//! Control planes in pods against a real API server, which is the hosted one too: their CA is its own, so that the kubeconfig
//! that is issued is one that it takes. No pods run here; what they would report is written by the tests.

// clippy.toml allows these in test functions; the functions that they call are meant too.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::{collections::BTreeMap, fs, net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use k0smotron_api::k0smotron::v1beta2::{Cluster, JoinTokenRequest};
use k0smotron_e2e_api_tests::served::{self, apply, namespace, until};
use k0smotron_e2e_plane::{ApiServer, Options};
use k0smotron_runtime::{Context, Scope, dial::Dialer, secrets};
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, PersistentVolumeClaim, Secret, Service},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    config::Kubeconfig,
    core::NamespaceResourceScope,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const NAMESPACE: &str = "fleet";

struct World {
    server: ApiServer,
    client: Client,
    port: u16,
    _controller: tokio::task::JoinHandle<()>,
}

impl Drop for World {
    fn drop(&mut self) {
        self._controller.abort();
    }
}

impl World {
    async fn start() -> Result<Self> {
        let server = served::without_webhooks(&Options::default()).await?;
        let client = server.client()?;
        namespace(&client, NAMESPACE).await?;
        let context = Context::new(client.clone(), Scope::default(), "test");
        let port = server.config().cluster_url.port_u16().context("no port")?;
        let pods = Dialer::to_address(client.clone(), SocketAddr::from(([127, 0, 0, 1], port)));
        let controller = tokio::spawn(k0smotron_hosted::k0smotron_cluster::run(Context {
            pods,
            ..context
        }));
        Ok(Self {
            server,
            client,
            port,
            _controller: controller,
        })
    }

    fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    /// Makes the API server's own CA the control plane's.
    async fn own_ca(&self, name: &str) -> Result<()> {
        let pki = self.server.directory().join("pki");
        let secret: Secret = serde_json::from_value(json!({
            "metadata": { "name": format!("{name}-ca") },
            "stringData": {
                "tls.crt": fs::read_to_string(pki.join("ca.crt"))?,
                "tls.key": fs::read_to_string(pki.join("ca.key"))?,
            },
        }))?;
        self.api::<Secret>()
            .create(&PostParams::default(), &secret)
            .await?;
        Ok(())
    }

    async fn plane(&self, name: &str, spec: Value) -> Result<()> {
        let mut plane = json!({
            "apiVersion": "k0smotron.io/v1beta2", "kind": "Cluster",
            "metadata": { "name": name },
            "spec": {
                "version": "v1.36.3-k0s.2",
                "externalAddress": "127.0.0.1",
                "service": { "type": "ClusterIP", "apiPort": self.port, "konnectivityPort": 30132 },
            },
        });
        plane["spec"]
            .as_object_mut()
            .unwrap()
            .extend(spec.as_object().unwrap().clone());
        apply(&self.client, &plane, NAMESPACE, "test").await?;
        Ok(())
    }

    /// Waits until a condition has this status, and tells its message.
    async fn condition(&self, name: &str, type_: &str, status: &str) -> Result<String> {
        let planes: Api<Cluster> = self.api();
        until(&format!("{name}: {type_}={status}"), async || {
            let plane = planes.get(name).await?;
            let conditions = plane.status.iter().flat_map(|status| &status.conditions);
            let mut found = conditions
                .filter(|condition| condition.type_ == type_ && condition.status == status)
                .map(|condition| condition.message.clone());
            Ok(found.next_back())
        })
        .await
    }

    async fn get<K>(&self, name: &str) -> Result<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned,
    {
        let api = self.api::<K>();
        until(name, async || Ok(api.get_opt(name).await?)).await
    }

    /// Versions of everything that belongs to a control plane.
    async fn versions(&self) -> Result<BTreeMap<String, String>> {
        async fn of<K>(world: &World, all: &mut BTreeMap<String, String>) -> Result<()>
        where
            K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
                + Clone
                + std::fmt::Debug
                + DeserializeOwned,
        {
            for object in world.api::<K>().list(&ListParams::default()).await? {
                let name = format!("{} {}", K::kind(&()), object.name_any());
                all.insert(name, object.resource_version().unwrap_or_default());
            }
            Ok(())
        }
        let mut all = BTreeMap::new();
        of::<Cluster>(self, &mut all).await?;
        of::<Secret>(self, &mut all).await?;
        of::<ConfigMap>(self, &mut all).await?;
        of::<Service>(self, &mut all).await?;
        of::<StatefulSet>(self, &mut all).await?;
        of::<PersistentVolumeClaim>(self, &mut all).await?;
        of::<PodDisruptionBudget>(self, &mut all).await?;
        of::<NetworkPolicy>(self, &mut all).await?;
        Ok(all)
    }

    /// Waits until nothing has been written for so long.
    async fn at_rest(&self, long: Duration) -> Result<BTreeMap<String, String>> {
        let mut before = self.versions().await?;
        until("nothing is written any more", async || {
            tokio::time::sleep(long).await;
            let after = self.versions().await?;
            let rests = after == before;
            before.clone_from(&after);
            Ok(rests.then_some(after))
        })
        .await
    }
}

fn image(set: &StatefulSet, container: &str) -> String {
    let pod = set.spec.as_ref().unwrap().template.spec.as_ref().unwrap();
    let found = pod.containers.iter().find(|it| it.name == container);
    found.and_then(|it| it.image.clone()).unwrap()
}

fn names(all: &BTreeMap<String, String>) -> Vec<&str> {
    all.keys().map(String::as_str).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_control_plane_is_made_followed_and_let_go() -> Result<()> {
    let world = World::start().await?;
    world.own_ca("basic").await?;
    world.plane("basic", json!({})).await?;

    // The API server answers by the kubeconfig that was issued, and that it does is said.
    world.condition("basic", "ControlPlaneFunctional", "True").await?;
    world.condition("basic", "Available", "True").await?;
    let secret: Secret = world.get("basic-kubeconfig").await?;
    let kubeconfig = Kubeconfig::from_yaml(&secrets::text(&secret, "value").unwrap())?;
    assert_eq!(
        kubeconfig.current_context.as_deref(),
        Some("basic-admin@basic-k0s")
    );

    let all = world.at_rest(Duration::from_secs(3)).await?;
    assert_eq!(
        names(&all),
        [
            "Cluster basic",
            "ConfigMap kmc-basic-config",
            "ConfigMap kmc-basic-endpoint",
            "ConfigMap kmc-basic-etcd-membership",
            "ConfigMap kmc-basic-telemetry-config",
            "NetworkPolicy kmc-basic-etcd",
            "Secret basic-apiserver-etcd-client",
            "Secret basic-ca",
            "Secret basic-etcd",
            "Secret basic-etcd-peer",
            "Secret basic-etcd-server",
            "Secret basic-kubeconfig",
            "Secret basic-proxy",
            "Secret basic-sa",
            "Service kmc-basic",
            "Service kmc-basic-etcd",
            "Service kmc-basic-etcd-client",
            "StatefulSet kmc-basic",
            "StatefulSet kmc-basic-etcd",
        ]
    );

    // Only what has to is made anew.
    let etcd: StatefulSet = world.get("kmc-basic-etcd").await?;
    world
        .plane("basic", json!({ "version": "v1.36.4-k0s.0" }))
        .await?;
    let sets = world.api::<StatefulSet>();
    until("the image follows the version", async || {
        let set = sets.get("kmc-basic").await?;
        Ok((image(&set, "controller") == "quay.io/k0sproject/k0s:v1.36.4-k0s.0").then_some(()))
    })
    .await?;
    let after: StatefulSet = world.get("kmc-basic-etcd").await?;
    assert_eq!(after.resource_version(), etcd.resource_version());

    // Whatever somebody deletes comes back.
    world
        .api::<Service>()
        .delete("kmc-basic-etcd", &DeleteParams::default())
        .await?;
    world.get::<Service>("kmc-basic-etcd").await?;

    world
        .api::<Cluster>()
        .delete("basic", &DeleteParams::default())
        .await?;
    until("it is gone", async || {
        let plane = world.api::<Cluster>().get_opt("basic").await?;
        let sets = sets.list(&ListParams::default()).await?;
        Ok((plane.is_none() && sets.items.is_empty()).then_some(()))
    })
    .await
}

/// What only another type of Service needs goes; the address moves, and everything with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_is_found_and_followed() -> Result<()> {
    let world = World::start().await?;
    let balanced = json!({
        "externalAddress": "",
        "service": { "type": "LoadBalancer", "apiPort": 6443, "konnectivityPort": 8132 },
    });
    world.plane("far", balanced).await?;
    let message = world.condition("far", "ControlPlaneExposed", "False").await?;
    assert!(message.contains("spec.externalAddress"), "{message}");
    world.get::<StatefulSet>("kmc-far-etcd").await?;
    assert!(world.api::<StatefulSet>().get_opt("kmc-far").await?.is_none());

    let services = world.api::<Service>();
    let address =
        |ip: &str| Patch::Merge(json!({ "status": { "loadBalancer": { "ingress": [{ "ip": ip }] } } }));
    services
        .patch_status("kmc-far-lb", &PatchParams::default(), &address("192.0.2.1"))
        .await?;
    world.condition("far", "ControlPlaneExposed", "True").await?;
    world.get::<StatefulSet>("kmc-far").await?;
    let planes = world.api::<Cluster>();
    let spec = planes.get("far").await?.spec;
    assert_eq!(spec.external_address, "", "the spec is the user's");
    let kubeconfig = async |url: &str| {
        let url = url.to_owned();
        until(&format!("the kubeconfig leads to {url}"), async || {
            let Some(secret) = world.api::<Secret>().get_opt("far-kubeconfig").await? else {
                return Ok(None);
            };
            let text = secrets::text(&secret, "value").unwrap_or_default();
            Ok(text.contains(&url).then_some(()))
        })
        .await
    };
    kubeconfig("https://192.0.2.1:6443").await?;
    services
        .patch_status("kmc-far-lb", &PatchParams::default(), &address("192.0.2.2"))
        .await?;
    kubeconfig("https://192.0.2.2:6443").await
}

/// As releases before 3.0 have left it, with a StatefulSet that is not made as this release makes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_of_an_earlier_release_are_left_alone() -> Result<()> {
    let world = World::start().await?;
    let labels = json!({ "app": "k0smotron", "cluster": "old", "component": "cluster", "cluster.x-k8s.io/control-plane": "true" });
    let etcd_labels = json!({ "app": "k0smotron", "cluster": "old", "component": "etcd" });
    let set = |name: &str, labels: &Value, containers: Value, claims: Value| {
        json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet",
            "metadata": { "name": name, "labels": labels, "annotations": { "k0smotron.io/statefulset-hash": "5b9c77d" } },
            "spec": {
                "replicas": 1,
                "serviceName": name,
                "selector": { "matchLabels": labels },
                "template": { "metadata": { "labels": labels }, "spec": { "containers": containers } },
                "volumeClaimTemplates": claims,
            },
        })
    };
    let k0s = set(
        "kmc-old",
        &labels,
        json!([{
            "name": "controller",
            "image": "quay.io/k0sproject/k0s:v1.36.3-k0s.2",
            "args": ["/bin/sh", "-c", "/k0smotron-entrypoint.sh"],
            "ports": [
                { "name": "api", "containerPort": world.port },
                { "name": "konnectivity", "containerPort": 30132 },
            ],
        }]),
        json!([]),
    );
    let etcd = set(
        "kmc-old-etcd",
        &etcd_labels,
        json!([{ "name": "etcd", "image": "quay.io/k0sproject/etcd:v3.7.1", "command": ["/bin/bash", "-c"] }]),
        json!([{
            "metadata": { "name": "etcd-data" },
            "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } },
        }]),
    );
    let sets = world.api::<StatefulSet>();
    for set in [k0s, etcd] {
        let name = set["metadata"]["name"].as_str().unwrap().to_owned();
        let manager = PatchParams::apply("k0smotron-operator").force();
        sets.patch(&name, &manager, &Patch::Apply(set)).await?;
    }
    // Its keys are there, as it runs with them.
    for (secret, source) in [("ca", "ca"), ("etcd", "ca"), ("proxy", "ca")] {
        let pki = world.server.directory().join("pki");
        let secret: Secret = serde_json::from_value(json!({
            "metadata": { "name": format!("old-{secret}") },
            "stringData": {
                "tls.crt": fs::read_to_string(pki.join(format!("{source}.crt")))?,
                "tls.key": fs::read_to_string(pki.join(format!("{source}.key")))?,
            },
        }))?;
        world
            .api::<Secret>()
            .create(&PostParams::default(), &secret)
            .await?;
    }
    let keys = k0smotron_k0s::pki::generate_service_account_keys()?;
    let sa: Secret = serde_json::from_value(json!({
        "metadata": { "name": "old-sa" },
        "stringData": {
            "tls.crt": keys.public_pem,
            "tls.key": secrecy::ExposeSecret::expose_secret(&keys.private_pem),
        },
    }))?;
    world.api::<Secret>().create(&PostParams::default(), &sa).await?;

    world.plane("old", json!({})).await?;
    let message = world.condition("old", "Converged", "False").await?;
    assert!(message.contains("StatefulSet kmc-old-etcd"), "{message}");
    world.condition("old", "Available", "True").await?;
    world.at_rest(Duration::from_secs(2)).await?;
    for name in ["kmc-old", "kmc-old-etcd"] {
        let set = sets.get(name).await?;
        assert_eq!(set.metadata.generation, Some(1), "{name} was changed");
        assert_eq!(set.annotations()["k0smotron.io/statefulset-hash"], "5b9c77d");
        assert!(set.annotations().contains_key("k0smotron.io/inputs"));
    }

    // Until the spec changes what they are made from.
    world.plane("old", json!({ "version": "v1.36.4-k0s.0" })).await?;
    until("k0s' pods are made anew", async || {
        let set = sets.get("kmc-old").await?;
        Ok((image(&set, "controller").ends_with(":v1.36.4-k0s.0")).then_some(()))
    })
    .await?;
    assert_eq!(sets.get("kmc-old-etcd").await?.metadata.generation, Some(1));
    // Nothing of the earlier container is left in it.
    let set = sets.get("kmc-old").await?;
    let pod = set.spec.unwrap().template.spec.unwrap();
    assert_eq!(pod.containers.len(), 1);
    assert_eq!(
        pod.containers[0].args.as_ref().unwrap()[..2],
        ["k0s", "controller"]
    );

    // Or until somebody says so; etcd's members are replaced by us alone then.
    let message = world.condition("old", "Converged", "False").await?;
    assert!(message.contains("StatefulSet kmc-old-etcd"), "{message}");
    let converge = json!({ "metadata": { "annotations": { "k0smotron.io/converge": "" } } });
    world
        .api::<Cluster>()
        .patch("old", &PatchParams::default(), &Patch::Merge(converge))
        .await?;
    until("etcd's pods are made anew", async || {
        let strategy = sets
            .get("kmc-old-etcd")
            .await?
            .spec
            .and_then(|spec| spec.update_strategy);
        Ok(strategy.filter(|strategy| strategy.type_.as_deref() == Some("OnDelete")))
    })
    .await?;
    world.condition("old", "Converged", "True").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_done_is_said_and_nothing_is_written() -> Result<()> {
    let world = World::start().await?;
    let ingress = json!({ "ingress": { "apiHost": "a.example.com", "konnectivityHost": "b.example.com" } });
    world.plane("basic", ingress).await?;
    let message = world.condition("basic", "Unsupported", "True").await?;
    assert!(message.contains("spec.ingress"), "{message}");
    let all = world.at_rest(Duration::from_secs(1)).await?;
    assert_eq!(names(&all), ["Cluster basic"]);

    // Bad values stop what depends on them, and are named.
    world
        .plane(
            "odd",
            json!({ "version": "latest", "externalAddress": "127.0.0.1" }),
        )
        .await?;
    let message = world.condition("odd", "Stalled", "True").await?;
    assert!(message.contains("\"latest\""), "{message}");
    ensure!(world.api::<StatefulSet>().get_opt("kmc-odd").await?.is_none());
    Ok(())
}

/// What other namespaces got tokens with cannot be owned, and goes all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_of_other_namespaces_go_first() -> Result<()> {
    let world = World::start().await?;
    namespace(&world.client, "team").await?;
    world.own_ca("basic").await?;
    world.plane("basic", json!({})).await?;
    let plane: Cluster = world.get("basic").await?;
    let request = json!({
        "apiVersion": "k0smotron.io/v1beta2", "kind": "JoinTokenRequest",
        "metadata": {
            "name": "far",
            "labels": { "k0smotron.io/cluster-uid": plane.uid() },
            "annotations": { "k0smotron.io/cluster-ref-namespace": NAMESPACE },
        },
        "spec": { "clusterName": "basic" },
    });
    apply(&world.client, &request, "team", "test").await?;
    world.condition("basic", "Available", "True").await?;

    let planes = world.api::<Cluster>();
    planes.delete("basic", &DeleteParams::default()).await?;
    let message = world.condition("basic", "Deleting", "True").await?;
    assert!(message.contains("join token requests"), "{message}");
    let requests: Api<JoinTokenRequest> = Api::namespaced(world.client.clone(), "team");
    requests.delete("far", &DeleteParams::default()).await?;
    until("it is gone", async || {
        Ok(planes.get_opt("basic").await?.is_none().then_some(()))
    })
    .await
}
