//! What clusterctl has installed already: its `Provider` objects.

use anyhow::{Context, Result, bail};
use kube::api::{Api, DynamicObject, ListParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, ResourceExt};
use serde_json::Value;

/// The pairs of `wanted` (flag of `clusterctl init`, `name:version`) that are not installed.
///
/// # Errors
/// One is installed in another version: that is an upgrade, not an installation.
pub(super) async fn missing<'a>(
    client: &Client,
    wanted: &[(&'a str, String)],
) -> Result<Vec<(&'a str, String)>> {
    let kind = GroupVersionKind::gvk("clusterctl.cluster.x-k8s.io", "v1alpha3", "Provider");
    let providers: Api<DynamicObject> = Api::all_with(client.clone(), &ApiResource::from_gvk(&kind));
    let installed = match providers.list(&ListParams::default()).await {
        Ok(list) => list.items,
        // The CRD itself comes with the first `init`.
        Err(kube::Error::Api(status)) if status.code == 404 => Vec::new(),
        Err(error) => return Err(error).context("cannot list clusterctl's providers"),
    };
    let mut missing = Vec::new();
    for (flag, provider) in wanted {
        let (name, version) = provider.split_once(':').context("name:version")?;
        let label = match *flag {
            "--core" => name.to_owned(),
            flag => format!("{}-{name}", flag.trim_start_matches("--")),
        };
        match installed.iter().find(|found| found.name_any() == label) {
            None => missing.push((*flag, provider.clone())),
            Some(found) => {
                let found = found
                    .data
                    .get("version")
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                if found != version {
                    bail!(
                        "{label} is installed in version {found}, not {version}: take the plane down first"
                    );
                }
            }
        }
    }
    Ok(missing)
}
