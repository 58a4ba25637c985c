//! Two open CRDs in the place of cert-manager.
//!
//! clusterctl takes cert-manager for installed when it can create an Issuer and a Certificate. Nobody acts on them
//! here: the plane has its own certificates and points the webhooks at them.

use anyhow::Result;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use serde_json::json;

use crate::manifests;

pub(super) async fn stand_in(client: &Client) -> Result<()> {
    let crds = [
        open_crd("Issuer", "issuers")?,
        open_crd("Certificate", "certificates")?,
    ];
    manifests::apply_definitions(client, &crds).await
}

fn open_crd(kind: &str, plural: &str) -> Result<CustomResourceDefinition> {
    Ok(serde_json::from_value(json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{plural}.cert-manager.io") },
        "spec": {
            "group": "cert-manager.io",
            "scope": "Namespaced",
            "names": { "kind": kind, "plural": plural, "singular": kind.to_lowercase(), "listKind": format!("{kind}List") },
            "versions": [{
                "name": "v1",
                "served": true,
                "storage": true,
                "subresources": { "status": {} },
                "schema": { "openAPIV3Schema": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } },
            }],
        },
    }))?)
}
