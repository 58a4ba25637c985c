//! Planes that another operator made go on under ours, and under the other again: no pod, claim or certificate is replaced,
//! and nobody writes into what the user wrote. Then one of them becomes what ours would have made.
//!
//! The other operator is `UPSTREAM_OPERATOR`; without it there is nothing to take over, and this is no part of the suite.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k0smotron_api::{
    k0smotron::v1beta2::Cluster,
    names::{conditions::types, hosted, secrets},
};
use k0smotron_e2e_plane::manifests;
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{PersistentVolumeClaim, Pod, Secret, Service},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
    core::NamespaceResourceScope,
};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::is_ready;
use crate::{
    cluster,
    hosted::HostedTestbed,
    k0s,
    progress::{seconds, step, until},
    suites::{
        control_plane::standing::{Standing, unchanged},
        load::under_load,
    },
    testbed::{self, VERSION},
};

const NAMESPACE: &str = "taken";
/// Planes of `take_over.yaml` and their replicas.
const PLANES: [(&str, usize); 5] = [
    ("one", 1),
    ("two", 1),
    ("earlier-version", 1),
    ("with-claims", 1),
    ("three", 3),
];
/// The one that converges.
const CONVERGING: &str = "three";
/// The other operator waits a minute for the first probe of every pod, one pod after another.
const LIMIT: Duration = Duration::from_secs(600);
const POLL: Duration = Duration::from_millis(500);
/// Long enough for each of them to look at everything more than once.
const LOOKED_AT: Duration = Duration::from_secs(60);

/// # Errors
/// With what was replaced, restarted or written.
pub async fn goes_on_under_ours(testbed: &HostedTestbed) -> Result<()> {
    println!("== planes of another operator are taken over and handed back");
    let other =
        testbed::other_operator().context("UPSTREAM_OPERATOR says which operator to take over from")?;
    let planes = Planes {
        client: testbed.plane.client()?,
    };
    step("other operator", testbed.plane.operate_with_other(&other)).await?;
    step("five of its planes", planes.create(testbed)).await?;
    // Its last steps come after the last thing that can be seen.
    tokio::time::sleep(LOOKED_AT).await;
    let before = planes.standing().await?;
    println!("  {} things stand", before.len());

    step("our manager", testbed.plane.operate_with_ours(VERSION)).await?;
    planes.until_ours_says("False").await?;
    planes.stay(&before, "taken over").await?;

    step("other operator", testbed.plane.operate_with_other(&other)).await?;
    planes.stay(&before, "handed back").await?;

    step("our manager", testbed.plane.operate_with_ours(VERSION)).await?;
    planes.until_ours_says("False").await?;
    unchanged(&before, &planes.standing().await?, "taken over again")?;
    planes.converge(CONVERGING).await?;
    planes.delete().await
}

struct Planes {
    client: Client,
}

impl Planes {
    fn all<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    async fn create(&self, testbed: &HostedTestbed) -> Result<()> {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
        manifests::apply(&self.client, &namespace.to_string(), "").await?;
        let planes = include_str!("take_over.yaml")
            .replace("VERSION", k0s::VERSION)
            .replace("ADDRESS", &testbed.plane.address().to_string());
        manifests::apply(&self.client, &planes, NAMESPACE).await?;
        until("all pods of all planes are ready", LIMIT, POLL, || async {
            let pods = self.all::<Pod>().list(&ListParams::default()).await?.items;
            let wanted: usize = PLANES.iter().map(|(_, replicas)| 2 * replicas).sum();
            Ok((pods.len() == wanted && pods.iter().all(is_ready)).then_some(()))
        })
        .await?;
        for (name, _) in PLANES {
            until("the API server answers", LIMIT, POLL, || async {
                Ok(self.answers(name).await.ok())
            })
            .await
            .with_context(|| name.to_owned())?;
        }
        Ok(())
    }

    async fn kubeconfig(&self, name: &str) -> Result<String> {
        let secret = self.all::<Secret>().get(&secrets::kubeconfig(name)).await?;
        let value = secret.data.unwrap_or_default().remove("value");
        Ok(String::from_utf8(value.context("no kubeconfig")?.0)?)
    }

    /// The plane's API server, with the kubeconfig that users have.
    async fn answers(&self, name: &str) -> Result<()> {
        let client = cluster::client(&self.kubeconfig(name).await?).await?;
        client.apiserver_version().await?;
        Ok(())
    }

    /// Waits until our controller has looked at every plane: only ours says whether one is converged.
    async fn until_ours_says(&self, converged: &str) -> Result<()> {
        for (name, _) in PLANES {
            let said = until("our conditions", LIMIT, POLL, || async {
                let status = self.all::<Cluster>().get(name).await?.status;
                let conditions = status.unwrap_or_default().conditions;
                let holds = |type_: &str, value: &str| {
                    let mut all = conditions.iter();
                    all.any(|condition| condition.type_ == type_ && condition.status == value)
                };
                let said = holds(types::AVAILABLE, "True") && holds(hosted::types::CONVERGED, converged);
                Ok(said.then_some(()))
            });
            said.await.with_context(|| name.to_owned())?;
        }
        Ok(())
    }

    /// What there is, and what tells it from another of its name.
    async fn standing(&self) -> Result<Standing> {
        let mut found = Standing::new();
        self.note::<Pod>(&mut found, |pod| {
            let containers = pod.status.as_ref().and_then(|it| it.container_statuses.as_ref());
            let restarts = containers.into_iter().flatten().map(|it| it.restart_count);
            format!("{:?}", restarts.collect::<Vec<_>>())
        })
        .await?;
        self.note::<PersistentVolumeClaim>(&mut found, |_| String::new())
            .await?;
        self.note::<Service>(&mut found, |service| {
            let spec = service.spec.clone().unwrap_or_default();
            format!("{:?} {:?} {:?}", spec.cluster_ip, spec.ports, spec.selector)
        })
        .await?;
        self.note::<StatefulSet>(&mut found, |set| {
            let status = set.status.clone().unwrap_or_default();
            format!("{:?}", status.update_revision)
        })
        .await?;
        // Leaf certificates are renewed: whoever uses one reads it again. Authorities and what users hold are not.
        let kept = ["ca", "etcd", "proxy", "sa", "kubeconfig"];
        self.note::<Secret>(&mut found, |secret| {
            let name = secret.name_any();
            let purpose = PLANES
                .iter()
                .find_map(|(plane, _)| name.strip_prefix(&format!("{plane}-")));
            let parts = secret.data.iter().flatten();
            let text = parts.filter(|(key, _)| *key == secrets::TLS_CRT || *key == "value");
            match purpose.is_some_and(|purpose| kept.contains(&purpose)) {
                true => text.map(|(_, data)| String::from_utf8_lossy(&data.0)).collect(),
                false => String::new(),
            }
        })
        .await?;
        // Their specs are the user's.
        self.note::<Cluster>(&mut found, |plane| format!("{:?}", plane.metadata.generation))
            .await?;
        Ok(found)
    }

    async fn note<K>(&self, found: &mut Standing, tell: impl Fn(&K) -> String) -> Result<()>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        for object in self.all::<K>().list(&ListParams::default()).await? {
            let uid = object.uid().unwrap_or_default();
            found.insert(
                format!("{} {}", K::kind(&()), object.name_any()),
                format!("{uid} {}", tell(&object)),
            );
        }
        Ok(())
    }

    /// Watches for a while: nothing that there was may change, and every API server answers.
    async fn stay(&self, before: &Standing, what: &str) -> Result<()> {
        tokio::time::sleep(LOOKED_AT).await;
        let mut now = self.standing().await?;
        // What one of them has made beside it replaces nothing.
        let more: Vec<_> = now
            .keys()
            .filter(|key| !before.contains_key(*key))
            .cloned()
            .collect();
        now.retain(|key, _| before.contains_key(key));
        unchanged(before, &now, what)?;
        for (name, _) in PLANES {
            self.answers(name).await.with_context(|| name.to_owned())?;
        }
        println!("  {what}: nothing replaced, nothing restarted; new beside it: {more:?}");
        Ok(())
    }

    /// One of them becomes what ours would have made, under a writer.
    async fn converge(&self, name: &str) -> Result<()> {
        let kubeconfig = self.kubeconfig(name).await?;
        let converged = async {
            let change = json!({"metadata": {"annotations": {hosted::annotations::CONVERGE: "true"}}});
            self.all::<Cluster>()
                .patch(name, &PatchParams::default(), &Patch::Merge(change))
                .await?;
            let begun = std::time::Instant::now();
            until("the plane is converged", LIMIT, POLL, || async {
                let status = self.all::<Cluster>().get(name).await?.status.unwrap_or_default();
                let mut conditions = status.conditions.iter();
                let said = conditions.any(|condition| {
                    condition.type_ == hosted::types::CONVERGED && condition.status == "True"
                });
                let of_plane = ListParams::default().labels(&format!("app=k0smotron,cluster={name}"));
                let pods = self.all::<Pod>().list(&of_plane).await?.items;
                Ok((said && pods.iter().all(is_ready)).then_some(()))
            })
            .await?;
            Ok(begun.elapsed())
        };
        let (took, _) = under_load(&kubeconfig, "converges", converged).await?;
        println!("  {name} is converged after {}", seconds(took));
        Ok(())
    }

    async fn delete(&self) -> Result<()> {
        let planes = self.all::<Cluster>();
        for (name, _) in PLANES {
            planes.delete(name, &DeleteParams::default()).await?;
        }
        until("deletion of the planes and their pods", LIMIT, POLL, || async {
            let left = planes.list(&ListParams::default()).await?.items.len()
                + self.all::<Pod>().list(&ListParams::default()).await?.items.len();
            Ok((left == 0).then_some(()))
        })
        .await?;
        let left = self
            .all::<StatefulSet>()
            .list(&ListParams::default())
            .await?
            .items;
        ensure!(left.is_empty(), "StatefulSets are left");
        Ok(())
    }
}
