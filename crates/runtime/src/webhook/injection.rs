//! Tells API servers whom to trust: `caBundle` of our webhook configurations and of the conversion of our kinds.
//!
//! Nothing else of these objects is ours, and nothing else is written: not the Service, nor the URL that somebody has
//! put in its place.

use std::collections::BTreeSet;

use k8s_openapi::{
    ByteString,
    api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::FIELD_MANAGER;
use crate::definitions;

/// An object that holds `caBundle`s of ours.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Target {
    Validating(String),
    Mutating(String),
    Definition(String),
}

impl Target {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Validating(name) | Self::Mutating(name) | Self::Definition(name) => name,
        }
    }

    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Validating(_) => "ValidatingWebhookConfiguration",
            Self::Mutating(_) => "MutatingWebhookConfiguration",
            Self::Definition(_) => "CustomResourceDefinition",
        }
    }
}

/// How a target was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Not installed; it will be injected when it is.
    Absent,
    /// As it should be, or without a webhook of ours.
    Right,
    /// Written. Who else writes `caBundle`, as the object itself says.
    Written { others: BTreeSet<String> },
}

/// The Service by which API servers reach us: namespace and name.
pub(super) type Service = (String, String);

/// Makes the target trust `authorities` (PEM).
///
/// # Errors
/// When the API server refuses; a conflict with another writer is worth another try.
pub(super) async fn inject(
    client: &Client,
    target: &Target,
    service: &Service,
    authorities: &str,
) -> Result<Found, kube::Error> {
    match target {
        Target::Validating(name) => {
            inject_into::<ValidatingWebhookConfiguration>(
                &Api::all(client.clone()),
                name,
                service,
                authorities,
            )
            .await
        }
        Target::Mutating(name) => {
            inject_into::<MutatingWebhookConfiguration>(&Api::all(client.clone()), name, service, authorities)
                .await
        }
        Target::Definition(name) => inject_into(&definitions::api(client), name, service, authorities).await,
    }
}

async fn inject_into<K>(
    api: &Api<K>,
    name: &str,
    service: &Service,
    authorities: &str,
) -> Result<Found, kube::Error>
where
    K: Resource + Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    let Some(object) = api.get_opt(name).await? else {
        return Ok(Found::Absent);
    };
    let value = serde_json::to_value(&object).map_err(kube::Error::SerdeError)?;
    let Some(operations) = operations(&value, service, authorities) else {
        return Ok(Found::Right);
    };
    let patch = serde_json::from_value(operations).map_err(kube::Error::SerdeError)?;
    let parameters = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    api.patch(name, &parameters, &Patch::<()>::Json(patch)).await?;
    Ok(Found::Written {
        others: writers(&object),
    })
}

/// The JSON patch that sets what is not set, on the version that was read; none if all is as it should be.
fn operations(object: &Value, service: &Service, authorities: &str) -> Option<Value> {
    let bundle = serde_json::to_value(ByteString(authorities.as_bytes().to_vec())).ok()?;
    let needs = |config: &Value| is_ours(config, service) && config.get("caBundle") != Some(&bundle);
    let set = |path: String| json!({ "op": "add", "path": format!("{path}/caBundle"), "value": bundle });
    let mut operations = Vec::new();
    let conversion = "/spec/conversion/webhook/clientConfig";
    if object.pointer(conversion).is_some_and(needs) {
        operations.push(set(conversion.to_owned()));
    }
    let webhooks = object.get("webhooks").and_then(Value::as_array);
    for (index, webhook) in webhooks.into_iter().flatten().enumerate() {
        if webhook.get("clientConfig").is_some_and(needs) {
            operations.push(set(format!("/webhooks/{index}/clientConfig")));
        }
    }
    if operations.is_empty() {
        return None;
    }
    if let Some(version) = object.pointer("/metadata/resourceVersion") {
        // Refused as a conflict when another was faster: indexes may mean other webhooks by now.
        operations.insert(
            0,
            json!({ "op": "replace", "path": "/metadata/resourceVersion", "value": version }),
        );
    }
    Some(operations.into())
}

/// Whether a client configuration leads to us: by our Service, or by a URL, since the object is ours by its name.
/// Another Service is that of another deployment, whose authorities are not ours.
fn is_ours(config: &Value, service: &Service) -> bool {
    match config.get("service").filter(|named| !named.is_null()) {
        Some(named) => {
            let field = |name| named.get(name).and_then(Value::as_str).unwrap_or_default();
            (field("namespace"), field("name")) == (service.0.as_str(), service.1.as_str())
        }
        None => true,
    }
}

/// Who else says that it set a `caBundle`.
fn writers<K: Resource>(object: &K) -> BTreeSet<String> {
    let mut writers = BTreeSet::new();
    for entry in object.managed_fields() {
        let fields = entry.fields_v1.as_ref().map(|fields| fields.0.to_string());
        if let Some(manager) = &entry.manager
            && manager != FIELD_MANAGER
            && fields.is_some_and(|fields| fields.contains("f:caBundle"))
        {
            writers.insert(manager.clone());
        }
    }
    if object
        .annotations()
        .keys()
        .any(|key| key.starts_with("cert-manager.io/inject-"))
    {
        writers.insert("cainjector of cert-manager (see the annotation cert-manager.io/inject-…)".to_owned());
    }
    writers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service() -> Service {
        ("k0smotron".to_owned(), "hook".to_owned())
    }

    fn apply(object: &Value, operations: Value) -> Value {
        let mut object = object.clone();
        let patch: json_patch::Patch = serde_json::from_value(operations).unwrap();
        json_patch::patch(&mut object, &patch).unwrap();
        object
    }

    #[test]
    fn only_bundles_of_our_service_and_of_urls_are_set() {
        let ours = json!({ "namespace": "k0smotron", "name": "hook", "path": "/a" });
        let other = json!({ "namespace": "elsewhere", "name": "hook", "path": "/a" });
        let object = json!({
            "metadata": { "name": "x", "resourceVersion": "7" },
            "webhooks": [
                { "name": "a", "clientConfig": { "service": ours, "caBundle": "b2xk" } },
                { "name": "b", "clientConfig": { "url": "https://127.0.0.1:1/b" } },
                { "name": "c", "clientConfig": { "service": other, "caBundle": "b2xk" } },
            ],
        });
        let patched = apply(&object, operations(&object, &service(), "new").unwrap());
        let mut expected = object;
        expected["webhooks"][0]["clientConfig"]["caBundle"] = json!("bmV3");
        expected["webhooks"][1]["clientConfig"]["caBundle"] = json!("bmV3");
        assert_eq!(patched, expected);
        assert_eq!(
            operations(&patched, &service(), "new"),
            None,
            "nothing is written twice"
        );
    }

    #[test]
    fn conversion_of_a_kind_is_injected_where_there_is_one() {
        let without = json!({ "spec": { "conversion": { "strategy": "None" } } });
        assert_eq!(operations(&without, &service(), "new"), None);
        let config = json!({ "service": { "namespace": "k0smotron", "name": "hook" } });
        let object = json!({
            "metadata": { "resourceVersion": "7" },
            "spec": { "conversion": { "strategy": "Webhook", "webhook": { "clientConfig": config } } },
        });
        let patched = apply(&object, operations(&object, &service(), "new").unwrap());
        assert_eq!(
            patched.pointer("/spec/conversion/webhook/clientConfig/caBundle"),
            Some(&json!("bmV3"))
        );
    }

    #[test]
    fn other_writers_are_named() {
        let object: ValidatingWebhookConfiguration = serde_json::from_value(json!({
            "metadata": {
                "name": "x",
                "annotations": { "cert-manager.io/inject-ca-from": "a/b" },
                "managedFields": [
                    { "manager": FIELD_MANAGER, "fieldsV1": { "f:caBundle": {} } },
                    { "manager": "flux", "fieldsV1": { "f:webhooks": { "f:caBundle": {} } } },
                    { "manager": "kubectl", "fieldsV1": { "f:metadata": {} } },
                ],
            },
        }))
        .unwrap();
        let writers = writers(&object);
        assert!(
            writers.contains("flux") && !writers.contains("kubectl"),
            "{writers:?}"
        );
        assert!(
            writers.iter().any(|writer| writer.starts_with("cainjector")),
            "{writers:?}"
        );
    }
}
