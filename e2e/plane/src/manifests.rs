//! YAML files onto an API server, as `kubectl apply --server-side` would.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::{self, Scope};
use kube::{Client, ResourceExt};
use serde::Deserialize as _;
use serde_json::Value;

use crate::wait::Patience;

/// Field manager of everything the tests apply.
pub const FIELD_MANAGER: &str = "k0smotron-e2e";

/// Every document of a YAML stream; empty ones are left out.
///
/// # Errors
/// The text is not YAML.
pub fn documents(yaml: &str) -> Result<Vec<Value>> {
    serde_yaml::Deserializer::from_str(yaml)
        .map(|document| Value::deserialize(document).context("not YAML"))
        .filter(|value| !matches!(value, Ok(Value::Null)))
        .collect()
}

/// Applies every object of a YAML stream in its order; namespaced ones without a namespace go to `namespace`.
///
/// # Errors
/// Not YAML, a kind that is not served, or a refusal; the message names the object.
pub async fn apply(client: &Client, yaml: &str, namespace: &str) -> Result<Vec<DynamicObject>> {
    let mut applied = Vec::new();
    for document in documents(yaml)? {
        let object: DynamicObject = serde_json::from_value(document).context("not a Kubernetes object")?;
        applied.push(apply_object(client, &object, namespace).await?);
    }
    Ok(applied)
}

async fn apply_object(client: &Client, object: &DynamicObject, namespace: &str) -> Result<DynamicObject> {
    let types = object
        .types
        .as_ref()
        .context("an object without apiVersion and kind")?;
    let kind = GroupVersionKind::try_from(types)?;
    let name = object
        .metadata
        .name
        .as_deref()
        .with_context(|| format!("a {} without name", kind.kind))?;
    let (resource, capabilities) = discovery::pinned_kind(client, &kind)
        .await
        .with_context(|| format!("{} of {} is not served", kind.kind, kind.api_version()))?;
    let api: Api<DynamicObject> = match capabilities.scope {
        Scope::Cluster => Api::all_with(client.clone(), &resource),
        Scope::Namespaced => {
            let namespace = object.metadata.namespace.as_deref().unwrap_or(namespace);
            Api::namespaced_with(client.clone(), namespace, &resource)
        }
    };
    api.patch(
        name,
        &PatchParams::apply(FIELD_MANAGER).force(),
        &Patch::Apply(object),
    )
    .await
    .with_context(|| format!("cannot apply {} {name}", kind.kind))
}

/// Applies every CustomResourceDefinition of the `*.yaml` files in `directory`, and waits until they are served.
///
/// # Errors
/// There is none, one is refused, or one is not established within 30 s.
pub async fn apply_crds(client: &Client, directory: &Path) -> Result<()> {
    let mut crds = Vec::new();
    for path in yaml_files(directory)? {
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        for document in documents(&text).with_context(|| path.display().to_string())? {
            if document.get("kind").and_then(Value::as_str) == Some("CustomResourceDefinition") {
                let crd = serde_json::from_value(document)
                    .with_context(|| format!("{} holds no usable CRD", path.display()))?;
                crds.push(crd);
            }
        }
    }
    ensure!(
        !crds.is_empty(),
        "no CustomResourceDefinition in {}",
        directory.display()
    );
    apply_definitions(client, &crds).await
}

/// Applies CustomResourceDefinitions and waits until they are served.
///
/// # Errors
/// One is refused, or not established within 30 s.
pub async fn apply_definitions(client: &Client, crds: &[CustomResourceDefinition]) -> Result<()> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for crd in crds {
        let name = crd.name_any();
        api.patch(
            &name,
            &PatchParams::apply(FIELD_MANAGER).force(),
            &Patch::Apply(crd),
        )
        .await
        .with_context(|| format!("cannot apply CustomResourceDefinition {name}"))?;
    }
    for crd in crds {
        let name = crd.name_any();
        let what = format!("CustomResourceDefinition {name} is established");
        let patience = Patience::new(what, Duration::from_secs(30));
        while !is_established(&api.get(&name).await?) {
            patience.wait().await?;
        }
    }
    Ok(())
}

fn is_established(crd: &CustomResourceDefinition) -> bool {
    let conditions = crd
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    conditions
        .into_iter()
        .any(|condition| condition.type_ == "Established" && condition.status == "True")
}

fn yaml_files(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
