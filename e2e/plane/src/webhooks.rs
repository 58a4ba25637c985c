//! Webhooks of a manager that is a process: from Services, which nothing here routes, to addresses of loopback.

use std::fs;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::ApiResource;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use crate::pki::Pki;

/// Wherever a webhook or CRD conversion names `service` (namespace, name), names `https://127.0.0.1:<port>` instead.
///
/// What has been changed already names no Service any more, so this can be repeated.
pub(crate) async fn redirect(client: &Client, service: (&str, &str), port: u16, pki: &Pki) -> Result<()> {
    let ca = fs::read(pki.ca()).context("cannot read the CA of the plane")?;
    let target = Target {
        service,
        port,
        ca: STANDARD.encode(ca),
    };
    for resource in [
        ApiResource::erase::<MutatingWebhookConfiguration>(&()),
        ApiResource::erase::<ValidatingWebhookConfiguration>(&()),
        ApiResource::erase::<CustomResourceDefinition>(&()),
    ] {
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        for object in api.list(&ListParams::default()).await?.items {
            if let Some(patch) = target.patch(&object.data) {
                api.patch(&object.name_any(), &PatchParams::default(), &Patch::Merge(patch))
                    .await
                    .with_context(|| format!("cannot redirect {} {}", resource.kind, object.name_any()))?;
            }
        }
    }
    Ok(())
}

struct Target<'a> {
    service: (&'a str, &'a str),
    port: u16,
    ca: String,
}

impl Target<'_> {
    /// The merge patch that redirects `object`, a webhook configuration or a CRD; none if there is nothing to do.
    fn patch(&self, object: &Value) -> Option<Value> {
        if let Some(conversion) = object.pointer("/spec/conversion/webhook/clientConfig") {
            let mut config = self.redirected(conversion)?;
            config.as_object_mut()?.insert("service".into(), Value::Null);
            return Some(json!({ "spec": { "conversion": { "webhook": { "clientConfig": config } } } }));
        }
        let mut webhooks = object.get("webhooks")?.clone();
        let mut changed = false;
        for webhook in webhooks.as_array_mut()? {
            let config = webhook.get_mut("clientConfig")?;
            if let Some(redirected) = self.redirected(config) {
                *config = redirected;
                changed = true;
            }
        }
        changed.then(|| json!({ "webhooks": webhooks }))
    }

    fn redirected(&self, config: &Value) -> Option<Value> {
        let service = config.get("service").filter(|service| !service.is_null())?;
        let field = |name| service.get(name).and_then(Value::as_str).unwrap_or_default();
        let path = field("path");
        ((field("namespace"), field("name")) == self.service)
            .then(|| json!({ "url": format!("https://127.0.0.1:{}{path}", self.port), "caBundle": self.ca }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Target;

    const TARGET: Target<'_> = Target {
        service: ("capi-system", "hook"),
        port: 20_110,
        ca: String::new(),
    };

    #[test]
    fn webhooks_of_the_service_are_redirected_and_others_kept() {
        let mine = json!({"service": {"namespace": "capi-system", "name": "hook", "path": "/validate"}});
        let other = json!({"service": {"namespace": "default", "name": "hook", "path": "/validate"}});
        let object =
            json!({"webhooks": [{"name": "a", "clientConfig": mine}, {"name": "b", "clientConfig": other}]});
        let patch = TARGET.patch(&object).unwrap();
        assert_eq!(
            patch["webhooks"][0]["clientConfig"]["url"],
            "https://127.0.0.1:20110/validate"
        );
        assert_eq!(patch["webhooks"][0]["name"], "a");
        assert_eq!(patch["webhooks"][1]["clientConfig"], other);
        assert_eq!(TARGET.patch(&patch), None);
    }

    #[test]
    fn conversion_is_redirected() {
        let service = json!({"namespace": "capi-system", "name": "hook", "path": "/convert"});
        let object = json!({"spec": {"conversion": {"webhook": {"clientConfig": {"service": service}}}}});
        let patch = TARGET.patch(&object).unwrap();
        let config = &patch["spec"]["conversion"]["webhook"]["clientConfig"];
        assert_eq!(config["url"], "https://127.0.0.1:20110/convert");
        assert!(config["service"].is_null());
        assert_eq!(
            TARGET.patch(&json!({"spec": {"conversion": {"strategy": "None"}}})),
            None
        );
    }
}
