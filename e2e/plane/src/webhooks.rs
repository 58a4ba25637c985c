//! Webhooks of a manager that is a process: from Services, which nothing here routes, to addresses of loopback.

use std::fs;
use std::net::SocketAddr;

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

/// Who makes the certificate of a webhook server, and tells the API server to trust it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Certificates {
    /// The plane, as cert-manager would.
    Plane,
    /// The manager itself.
    Own,
}

/// A manager that serves webhooks as a process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// Where whoever it takes the place of served the same.
    pub(crate) replaced: SocketAddr,
    pub(crate) certificates: Certificates,
    /// Set where it is not to be as installed: `Ignore` for a manager that does not serve all that is asked.
    pub(crate) failure_policy: Option<&'static str>,
    /// Names of definitions whose conversion it does not serve. API servers ask for it all the time, also for versions that
    /// nobody uses: they are told that there is none, as long as this server is there.
    pub(crate) unconverted: &'static [&'static str],
}

/// Annotation with the conversion that a definition has while the server can.
const CONVERSION: &str = "e2e.k0smotron.io/conversion";

/// Wherever a webhook or CRD conversion names `service` (namespace, name), names the server's address instead.
///
/// What has been changed already names no Service any more, but an address: that of this server, so this can be
/// repeated, or that of another one which it replaces.
pub(crate) async fn redirect(
    client: &Client,
    service: (&str, &str),
    server: Server,
    pki: &Pki,
) -> Result<()> {
    let ca = match server.certificates {
        Certificates::Plane => {
            Some(STANDARD.encode(fs::read(pki.ca()).context("cannot read the CA of the plane")?))
        }
        Certificates::Own => None,
    };
    let target = Target { service, server, ca };
    for resource in [
        ApiResource::erase::<MutatingWebhookConfiguration>(&()),
        ApiResource::erase::<ValidatingWebhookConfiguration>(&()),
        ApiResource::erase::<CustomResourceDefinition>(&()),
    ] {
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        for object in api.list(&ListParams::default()).await?.items {
            if let Some(patch) = target.change(&object) {
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
    server: Server,
    /// Whom to trust; what is there stays when the manager says it itself.
    ca: Option<String>,
}

impl Target<'_> {
    fn change(&self, object: &DynamicObject) -> Option<Value> {
        let converts = !self.server.unconverted.contains(&object.name_any().as_str());
        let with = |kept: Value, conversion: Value| {
            let metadata = json!({ "annotations": { CONVERSION: kept } });
            Some(json!({ "metadata": metadata, "spec": { "conversion": conversion } }))
        };
        if let Some(kept) = object.annotations().get(CONVERSION).filter(|_| converts) {
            let mut conversion: Value = serde_json::from_str(kept).ok()?;
            let config = conversion.pointer_mut("/webhook/clientConfig")?;
            *config = self.redirected(config)?;
            return with(Value::Null, conversion);
        }
        let conversion = object.data.pointer("/spec/conversion");
        let leads_here = conversion
            .and_then(|conversion| conversion.pointer("/webhook/clientConfig"))
            .and_then(|config| self.redirected(config));
        if let (false, Some(_), Some(conversion)) = (converts, leads_here, conversion) {
            return with(
                conversion.to_string().into(),
                json!({ "strategy": "None", "webhook": null }),
            );
        }
        self.patch(&object.data)
    }

    /// The merge patch that redirects `object`, a webhook configuration or a CRD; none if there is nothing to do.
    fn patch(&self, object: &Value) -> Option<Value> {
        if let Some(conversion) = object.pointer("/spec/conversion/webhook/clientConfig") {
            let mut config = self
                .redirected(conversion)
                .filter(|config| config != conversion)?;
            config.as_object_mut()?.insert("service".into(), Value::Null);
            return Some(json!({ "spec": { "conversion": { "webhook": { "clientConfig": config } } } }));
        }
        let before = object.get("webhooks")?;
        let mut webhooks = before.clone();
        for webhook in webhooks.as_array_mut()? {
            let Some(config) = webhook
                .get("clientConfig")
                .and_then(|config| self.redirected(config))
            else {
                continue;
            };
            let webhook = webhook.as_object_mut()?;
            webhook.insert("clientConfig".into(), config);
            if let Some(policy) = self.server.failure_policy {
                webhook.insert("failurePolicy".into(), policy.into());
            }
        }
        (&webhooks != before).then(|| json!({ "webhooks": webhooks }))
    }

    /// The configuration as it should be, if it leads to this manager.
    fn redirected(&self, config: &Value) -> Option<Value> {
        let base = format!("https://{}", self.server.address);
        let replaced = format!("https://{}/", self.server.replaced);
        let url = match config.get("service").filter(|service| !service.is_null()) {
            Some(service) => {
                let field = |name| service.get(name).and_then(Value::as_str).unwrap_or_default();
                ((field("namespace"), field("name")) == self.service)
                    .then(|| format!("{base}{}", field("path")))?
            }
            None => {
                let url = config.get("url").and_then(Value::as_str)?;
                let here = || url.starts_with(&format!("{base}/")).then(|| url.to_owned());
                let path = url.strip_prefix(&replaced);
                path.map(|path| format!("{base}/{path}")).or_else(here)?
            }
        };
        let mut redirected = json!({ "url": url });
        let trusted = self.ca.clone().map(Value::from);
        if let Some(ca) = trusted.or_else(|| config.get("caBundle").cloned()) {
            redirected.as_object_mut()?.insert("caBundle".into(), ca);
        }
        Some(redirected)
    }
}

#[cfg(test)]
mod tests {
    use kube::api::DynamicObject;
    use serde_json::{Value, json};

    use super::{Certificates, Server, Target};

    fn target(certificates: Certificates) -> Target<'static> {
        Target {
            service: ("capi-system", "hook"),
            server: Server {
                address: "127.0.0.1:20110".parse().unwrap(),
                replaced: "127.0.0.2:9443".parse().unwrap(),
                certificates,
                failure_policy: None,
                unconverted: &[],
            },
            ca: (certificates == Certificates::Plane).then(|| "Y2E=".to_owned()),
        }
    }

    #[test]
    fn webhooks_of_the_service_are_redirected_and_others_kept() {
        let mine = json!({"service": {"namespace": "capi-system", "name": "hook", "path": "/validate"}});
        let other = json!({"service": {"namespace": "default", "name": "hook", "path": "/validate"}});
        let object =
            json!({"webhooks": [{"name": "a", "clientConfig": mine}, {"name": "b", "clientConfig": other}]});
        let target = target(Certificates::Plane);
        let patch = target.patch(&object).unwrap();
        assert_eq!(
            patch["webhooks"][0]["clientConfig"],
            json!({"url": "https://127.0.0.1:20110/validate", "caBundle": "Y2E="})
        );
        assert_eq!(patch["webhooks"][0]["name"], "a");
        assert_eq!(patch["webhooks"][1]["clientConfig"], other);
        assert_eq!(target.patch(&patch), None);
    }

    #[test]
    fn conversion_is_redirected() {
        let service = json!({"namespace": "capi-system", "name": "hook", "path": "/convert"});
        let object = json!({"spec": {"conversion": {"webhook": {"clientConfig": {"service": service}}}}});
        let target = target(Certificates::Plane);
        let patch = target.patch(&object).unwrap();
        let config = &patch["spec"]["conversion"]["webhook"]["clientConfig"];
        assert_eq!(config["url"], "https://127.0.0.1:20110/convert");
        assert!(config["service"].is_null());
        assert_eq!(
            target.patch(&json!({"spec": {"conversion": {"strategy": "None"}}})),
            None
        );
    }

    #[test]
    fn what_a_manager_has_injected_stays_until_another_takes_its_place() {
        let config = json!({"url": "https://127.0.0.1:20110/a", "caBundle": "b3du"});
        let object = json!({"webhooks": [{"name": "a", "clientConfig": config, "failurePolicy": "Fail"}]});
        assert_eq!(target(Certificates::Own).patch(&object), None);
        let mut other = target(Certificates::Plane);
        other.server.failure_policy = Some("Ignore");
        let patch = other.patch(&object).unwrap();
        assert_eq!(patch["webhooks"][0]["clientConfig"]["caBundle"], "Y2E=");
        assert_eq!(patch["webhooks"][0]["failurePolicy"], "Ignore");
    }

    #[test]
    fn a_conversion_that_a_server_lacks_comes_back_with_the_next() {
        let conversion = |url: &str| {
            json!({
                "strategy": "Webhook",
                "webhook": { "conversionReviewVersions": ["v1"], "clientConfig": { "url": url, "caBundle": "b3du" } },
            })
        };
        let definition = |annotations: &Value, conversion: &Value| -> DynamicObject {
            serde_json::from_value(json!({
                "metadata": { "name": "hosts.example.org", "annotations": annotations },
                "spec": { "conversion": conversion },
            }))
            .unwrap()
        };
        let here = conversion("https://127.0.0.1:20110/convert");
        let mut lacking = target(Certificates::Plane);
        lacking.server.address = "127.0.0.2:9443".parse().unwrap();
        lacking.server.replaced = "127.0.0.1:20110".parse().unwrap();
        lacking.server.unconverted = &["hosts.example.org"];
        let patch = lacking.change(&definition(&json!({}), &here)).unwrap();
        assert_eq!(
            patch["spec"]["conversion"],
            json!({ "strategy": "None", "webhook": null })
        );
        let none = definition(&patch["metadata"]["annotations"], &json!({ "strategy": "None" }));
        assert_eq!(lacking.change(&none), None);
        let patch = target(Certificates::Own).change(&none).unwrap();
        assert_eq!(patch["spec"]["conversion"], here);
        assert!(patch["metadata"]["annotations"]["e2e.k0smotron.io/conversion"].is_null());
    }

    #[test]
    fn what_leads_to_a_replaced_server_leads_to_this_one() {
        let webhook = |url: &str| json!({"name": "a", "clientConfig": {"url": url, "caBundle": "b3du"}});
        let object =
            json!({"webhooks": [webhook("https://127.0.0.2:9443/a"), webhook("https://127.0.0.3:9443/a")]});
        let patch = target(Certificates::Own).patch(&object).unwrap();
        assert_eq!(patch["webhooks"][0], webhook("https://127.0.0.1:20110/a"));
        assert_eq!(patch["webhooks"][1], webhook("https://127.0.0.3:9443/a"));
    }
}
