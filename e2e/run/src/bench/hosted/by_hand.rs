//! What a plane is made of, taken from a namespace and applied again.

use anyhow::{Context, Result};
use k0smotron_e2e_plane::manifests;
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, ListParams},
    core::GroupVersionKind,
};
use serde_json::{Value, json};

/// In the order in which they are applied: what pods mount and are reached by comes before them.
const KINDS: [(&str, &str, &str); 7] = [
    ("", "v1", "Secret"),
    ("", "v1", "ConfigMap"),
    ("", "v1", "Service"),
    ("", "v1", "ServiceAccount"),
    ("networking.k8s.io", "v1", "NetworkPolicy"),
    ("policy", "v1", "PodDisruptionBudget"),
    ("apps", "v1", "StatefulSet"),
];

/// All objects of one plane.
pub struct Objects {
    pub namespace: String,
    /// YAML stream.
    yaml: String,
}

impl Objects {
    /// Everything in the namespace that its plane owns or that is labelled as its own, as somebody would write it.
    ///
    /// # Errors
    /// An object cannot be listed.
    pub async fn of(client: &Client, namespace: &str) -> Result<Self> {
        let mut yaml = String::new();
        for (group, version, kind) in KINDS {
            let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
            let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
            for object in api.list(&ListParams::default()).await? {
                // Kubernetes puts these into every namespace.
                if matches!(object.name_any().as_str(), "kube-root-ca.crt" | "default") {
                    continue;
                }
                yaml.push_str("---\n");
                yaml.push_str(&serde_yaml::to_string(&written(object, &resource))?);
            }
        }
        Ok(Self {
            namespace: namespace.to_owned(),
            yaml,
        })
    }

    /// # Errors
    /// An object is refused.
    pub async fn apply(&self, client: &Client) -> Result<()> {
        manifests::apply(client, &self.yaml, &self.namespace)
            .await
            .context("cannot apply what a plane is made of")
            .map(drop)
    }
}

/// Without what the API server and its controllers have added. Services keep their addresses, which are free again by then:
/// pods know them.
fn written(object: DynamicObject, resource: &ApiResource) -> Value {
    let metadata = json!({
        "name": object.name_any(),
        "labels": object.labels(),
        "annotations": object.annotations(),
    });
    let mut data = object.data;
    if let Some(fields) = data.as_object_mut() {
        fields.remove("status");
    }
    // A first member founds its cluster, which this one has done by now.
    if let Some(state) = data
        .pointer_mut("/data/state")
        .filter(|state| *state == "existing")
    {
        *state = json!("new");
    }
    let mut written = json!({
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": metadata,
    });
    if let (Some(written), Some(data)) = (written.as_object_mut(), data.as_object()) {
        written.extend(data.clone());
    }
    written
}
