//! The objects that k0s puts into every cluster: its own kinds and what joining hosts may do.

use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::sleep;

use crate::{api, paths::k0s_version};

const RBAC: &str = include_str!("objects/rbac.yaml");
const AUTOPILOT: &str = include_str!("objects/autopilot.yaml");
const CRDS: &str = include_str!("objects/crds.yaml");

/// k0s' own kinds, by the part of k0s that needs them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Crds {
    pub etcd: Vec<Value>,
    pub autopilot: Vec<Value>,
    pub cluster_config: Vec<Value>,
}

impl Crds {
    pub fn load() -> Result<Self> {
        serde_yaml::from_str(CRDS).context("the embedded kinds are malformed")
    }
}

/// Applies what joining hosts may do.
pub async fn apply_rbac(client: &Client) -> Result<()> {
    apply_all(client, RBAC).await
}

/// Applies what autopilot needs besides its kinds.
pub async fn apply_autopilot(client: &Client) -> Result<()> {
    apply_all(client, AUTOPILOT).await
}

async fn apply_all(client: &Client, embedded: &str) -> Result<()> {
    let objects: Vec<Value> = serde_yaml::from_str(embedded).context("the embedded objects are malformed")?;
    for object in &objects {
        api::apply(client, object).await?;
    }
    Ok(())
}

/// Applies kinds and waits until they are served.
pub async fn apply_crds(client: &Client, crds: &[Value]) -> Result<()> {
    for crd in crds {
        let applied = api::apply(client, crd).await?;
        wait_established(client, applied.metadata.name.as_deref().unwrap_or_default()).await?;
    }
    Ok(())
}

/// Waits until a kind is served, however long its creator takes; two minutes at most.
pub async fn wait_established(client: &Client, name: &str) -> Result<()> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let established = |crd: &CustomResourceDefinition| {
        crd.status
            .as_ref()
            .and_then(|status| status.conditions.as_ref())
            .is_some_and(|all| {
                all.iter()
                    .any(|one| one.type_ == "Established" && one.status == "True")
            })
    };
    let wait = async {
        loop {
            if api
                .get_opt(name)
                .await
                .ok()
                .flatten()
                .as_ref()
                .is_some_and(established)
            {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), wait)
        .await
        .with_context(|| format!("{name} is not served"))
}

/// The labels on everything that k0s owns.
pub fn common_labels(component: &str) -> Value {
    serde_json::json!({
        "app.kubernetes.io/name": "k0s",
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/version": k0s_version().replace('+', "-"),
        "app.kubernetes.io/managed-by": "k0s",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_objects_are_well_formed() {
        let crds = Crds::load().unwrap();
        for crd in crds
            .etcd
            .iter()
            .chain(&crds.autopilot)
            .chain(&crds.cluster_config)
        {
            let crd: CustomResourceDefinition = serde_json::from_value(crd.clone()).unwrap();
            let (plural, group) = (crd.spec.names.plural, crd.spec.group);
            assert_eq!(crd.metadata.name.unwrap(), format!("{plural}.{group}"));
        }
        let bindings: Vec<Value> = serde_yaml::from_str(RBAC).unwrap();
        assert_eq!(bindings.len(), 3);
        let autopilot: Vec<Value> = serde_yaml::from_str(AUTOPILOT).unwrap();
        assert_eq!(autopilot.len(), 5);
    }
}
