//! In the place of cert-manager: two open CRDs, and where there are nodes also its work.
//!
//! clusterctl takes cert-manager for installed when it can create an Issuer and a Certificate. On a plane of processes
//! nobody acts on them: it has its own certificates and points the webhooks at them. With nodes, [`issue`] does once
//! what cert-manager does again and again.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use crate::manifests;
use crate::pki;

/// Names the Certificate, `namespace/name`, whose authority a webhook's client is to trust.
const INJECT: &str = "cert-manager.io/inject-ca-from";

/// Key of a Secret under which its authority is.
const AUTHORITY: &str = "ca.crt";

pub(super) async fn stand_in(client: &Client) -> Result<()> {
    let crds = [
        open_crd("Issuer", "issuers")?,
        open_crd("Certificate", "certificates")?,
    ];
    manifests::apply_definitions(client, &crds).await
}

/// Makes the Secret of every Certificate that has none, and puts its authority where the annotations ask for it: webhooks
/// and conversions of CRDs.
///
/// # Errors
/// A Certificate lacks what it must say, or the API server refuses something.
pub async fn issue(client: &Client) -> Result<()> {
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("cert-manager.io", "v1", "Certificate"));
    let certificates: Api<DynamicObject> = Api::all_with(client.clone(), &kind);
    let mut authorities = BTreeMap::new();
    for certificate in certificates.list(&ListParams::default()).await? {
        let name = certificate.name_any();
        let namespace = certificate
            .namespace()
            .context("a Certificate without namespace")?;
        let authority = issue_one(client, &namespace, &certificate.data)
            .await
            .with_context(|| format!("Certificate {name}"))?;
        authorities.insert(format!("{namespace}/{name}"), STANDARD.encode(authority));
    }
    for resource in [
        ApiResource::erase::<MutatingWebhookConfiguration>(&()),
        ApiResource::erase::<ValidatingWebhookConfiguration>(&()),
        ApiResource::erase::<CustomResourceDefinition>(&()),
    ] {
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        for object in api.list(&ListParams::default()).await? {
            let authority = object
                .annotations()
                .get(INJECT)
                .and_then(|name| authorities.get(name));
            if let Some(patch) = authority.and_then(|authority| trusting(&object.data, authority)) {
                api.patch(&object.name_any(), &PatchParams::default(), &Patch::Merge(patch))
                    .await
                    .with_context(|| format!("cannot inject an authority into {}", object.name_any()))?;
            }
        }
    }
    Ok(())
}

/// Makes the Secret of one Certificate, and returns its authority.
async fn issue_one(client: &Client, namespace: &str, certificate: &Value) -> Result<String> {
    let spec = certificate.get("spec").context("no spec")?;
    let secret = spec
        .get("secretName")
        .and_then(Value::as_str)
        .context("no secretName")?;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let present = secrets.get_opt(secret).await?.and_then(|found| found.data);
    // Whoever serves with it hears of another one only after a while.
    if let Some(authority) = present.and_then(|mut data| data.remove(AUTHORITY)) {
        return Ok(String::from_utf8(authority.0)?);
    }
    let names: Vec<String> = serde_json::from_value(spec.get("dnsNames").cloned().context("no dnsNames")?)?;
    let identity = pki::server_identity(&names)?;
    let object = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": secret, "namespace": namespace},
        "type": "kubernetes.io/tls",
        "stringData": {
            AUTHORITY: identity.authority,
            "tls.crt": identity.certificate,
            "tls.key": identity.key,
        },
    });
    manifests::apply(client, &object.to_string(), namespace).await?;
    Ok(identity.authority)
}

/// The merge patch that makes the API server trust `authority` in all the object's webhooks.
fn trusting(object: &Value, authority: &str) -> Option<Value> {
    if object.pointer("/spec/conversion/webhook").is_some() {
        let webhook = json!({"clientConfig": {"caBundle": authority}});
        return Some(json!({"spec": {"conversion": {"webhook": webhook}}}));
    }
    let mut webhooks = object.get("webhooks")?.clone();
    for webhook in webhooks.as_array_mut()? {
        let config = webhook.get_mut("clientConfig")?.as_object_mut()?;
        config.insert("caBundle".to_owned(), authority.into());
    }
    Some(json!({"webhooks": webhooks}))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn webhooks_and_conversions_are_told_whom_to_trust() {
        let service = json!({"name": "hook", "namespace": "capi-system"});
        let object = json!({"webhooks": [{"name": "a", "clientConfig": {"service": service}}]});
        let patch = trusting(&object, "Y2E=").unwrap();
        assert_eq!(patch["webhooks"][0]["clientConfig"]["caBundle"], "Y2E=");
        assert_eq!(patch["webhooks"][0]["clientConfig"]["service"], service);
        let crd = json!({"spec": {"conversion": {"webhook": {"clientConfig": {"service": service}}}}});
        let patch = trusting(&crd, "Y2E=").unwrap();
        assert_eq!(
            patch["spec"]["conversion"]["webhook"]["clientConfig"]["caBundle"],
            "Y2E="
        );
        assert_eq!(
            trusting(&json!({"spec": {"conversion": {"strategy": "None"}}}), "Y2E="),
            None
        );
    }
}
