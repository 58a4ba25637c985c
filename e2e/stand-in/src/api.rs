//! Clients of the API servers that this host talks to, and writing objects to them.

use std::path::Path;

use anyhow::{Context as _, Result};
use kube::{
    Api, Client, Config, ResourceExt as _,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::Value;

/// The field manager of everything that is applied here.
pub const FIELD_MANAGER: &str = "k0s";

/// A client for a kubeconfig file.
pub async fn client(kubeconfig: &Path) -> Result<Client> {
    let text = std::fs::read_to_string(kubeconfig)
        .with_context(|| format!("{} cannot be read", kubeconfig.display()))?;
    client_for(&text)
        .await
        .with_context(|| format!("{} is no usable kubeconfig", kubeconfig.display()))
}

/// A client with the credentials of a kubeconfig file for another API server of the same cluster.
pub async fn client_at(kubeconfig: &Path, server: &str) -> Result<Client> {
    let mut kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    for cluster in kubeconfig
        .clusters
        .iter_mut()
        .filter_map(|named| named.cluster.as_mut())
    {
        cluster.server = Some(server.to_owned());
    }
    client_from(kubeconfig).await
}

/// A client for a kubeconfig's text.
pub async fn client_for(kubeconfig: &str) -> Result<Client> {
    client_from(Kubeconfig::from_yaml(kubeconfig)?).await
}

async fn client_from(kubeconfig: Kubeconfig) -> Result<Client> {
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    config.connect_timeout = Some(std::time::Duration::from_secs(5));
    config.disable_compression = true;
    Ok(Client::try_from(config)?)
}

/// Applies an object that carries its `apiVersion` and `kind`, by server-side apply.
pub async fn apply(client: &Client, object: &Value) -> Result<DynamicObject> {
    let object: DynamicObject = serde_json::from_value(object.clone())?;
    let types = object.types.clone().context("an object to apply has no kind")?;
    let kind = GroupVersionKind::try_from(types)?;
    let api = dynamic(client, &kind, object.namespace().as_deref());
    let name = object.name_any();
    api.patch(
        &name,
        &PatchParams::apply(FIELD_MANAGER).force(),
        &Patch::Apply(&object),
    )
    .await
    .with_context(|| format!("{} {name} cannot be applied", kind.kind))
}

/// Objects of a kind that has no type here.
pub fn dynamic(client: &Client, kind: &GroupVersionKind, namespace: Option<&str>) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(kind);
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

/// Whether an error of the API says that something is not there.
pub fn is_not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_not_found())
}
