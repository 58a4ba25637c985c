//! `k0smotronctl migrate check`: what taking over a cluster's objects would change, hold back, roll or refuse. Reads only.

use std::{fmt, path::Path};

use anyhow::{Context as _, Result};
use k0smotron_api::{
    conversion::{self, Version},
    unsupported, validation,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client, Config, ResourceExt,
    api::{ApiResource, DynamicObject, ListParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::Value;

use crate::{document::title, schema::Schemas};

/// Objects of one page of a list: bounds what is held at once.
const PAGE: u32 = 200;

/// What taking over does to one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It cannot be read, so nothing is done for it.
    Refuse(String),
    /// Something of it is lost.
    Change(String),
    /// Machines that run are replaced.
    Roll(String),
    /// Not written to by this version, for what it asks.
    Hold(String),
    /// Its stored form is written anew, with the same content.
    Rewrite(String),
    /// To be known, with no effect.
    Note(String),
}

impl Effect {
    /// Whether somebody has to do something before taking over.
    #[must_use]
    pub fn counts(&self) -> bool {
        !matches!(self, Self::Rewrite(_) | Self::Note(_))
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (verb, why) = match self {
            Self::Refuse(why) => ("refuse", why),
            Self::Change(why) => ("change", why),
            Self::Roll(why) => ("roll", why),
            Self::Hold(why) => ("hold", why),
            Self::Rewrite(why) => ("rewrite", why),
            Self::Note(why) => ("note", why),
        };
        write!(f, "{verb}: {why}")
    }
}

/// Hands a line for each effect to `print`. Returns the number of objects, and of effects that somebody has to look at.
///
/// # Errors
/// The cluster cannot be read.
pub async fn check(
    client: &Client,
    namespace: Option<&str>,
    mut print: impl FnMut(String),
) -> Result<(usize, usize)> {
    let schemas = Schemas::new()?;
    let (mut objects, mut found) = (0, 0);
    let mut report = |title: &str, effects: Vec<Effect>| {
        for effect in effects {
            found += usize::from(effect.counts());
            print(format!("{title}: {effect}"));
        }
    };
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    for crd in k0smotron_api::crds() {
        let name = crd.name_any();
        let installed = definitions.get_opt(&name).await;
        let Some(installed) =
            installed.with_context(|| format!("cannot read CustomResourceDefinition {name}"))?
        else {
            continue;
        };
        report(&name, of_definition(&installed));
        match list(client, &installed, namespace).await {
            Ok(listed) => {
                objects += listed.len();
                for object in listed {
                    let namespace = object.pointer("/metadata/namespace").and_then(Value::as_str);
                    let title = format!("{}: {}", namespace.unwrap_or_default(), title(&object));
                    report(&title, of_object(&object, &schemas));
                }
            }
            // The others are worth a look all the same.
            Err(error) => report(
                &name,
                vec![Effect::Refuse(format!("its objects cannot be listed: {error:#}"))],
            ),
        }
    }
    Ok((objects, found))
}

/// A client for the cluster that a kubeconfig, or the surroundings, say.
///
/// # Errors
/// There is no cluster, or the kubeconfig cannot be read.
pub async fn client(kubeconfig: Option<&Path>, context: Option<&str>) -> Result<Client> {
    let chosen = KubeConfigOptions {
        context: context.map(str::to_owned),
        ..KubeConfigOptions::default()
    };
    let config = match kubeconfig {
        Some(path) => Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &chosen).await?,
        None if context.is_some() => Config::from_kubeconfig(&chosen).await?,
        None => Config::infer().await.context("no kubeconfig; see --kubeconfig")?,
    };
    Ok(Client::try_from(config)?)
}

/// What taking over does to the definition of a kind.
#[must_use]
pub fn of_definition(installed: &CustomResourceDefinition) -> Vec<Effect> {
    let mut effects = Vec::new();
    let stored = installed
        .status
        .iter()
        .flat_map(|status| status.stored_versions.iter().flatten());
    if stored.clone().any(|version| version != Version::V1Beta2.as_str()) {
        let stored: Vec<_> = stored.map(String::as_str).collect();
        effects.push(Effect::Rewrite(format!(
            "objects are stored as {}; the manager writes each once as {}, with the same content",
            stored.join(" and "),
            Version::V1Beta2.as_str()
        )));
    }
    if installed
        .annotations()
        .contains_key("cert-manager.io/inject-ca-from")
    {
        effects.push(Effect::Note(
            "cert-manager injects the CA of its conversion; the manager brings its own, so remove the Certificate afterwards".to_owned(),
        ));
    }
    effects
}

/// Every object of a kind, in the version in which it is served best.
async fn list(
    client: &Client,
    crd: &CustomResourceDefinition,
    namespace: Option<&str>,
) -> Result<Vec<Value>> {
    let served = |wanted: &str| {
        crd.spec
            .versions
            .iter()
            .any(|version| version.served && version.name == wanted)
    };
    let version = [Version::V1Beta2.as_str(), Version::V1Beta1.as_str()]
        .into_iter()
        .find(|version| served(version));
    let version =
        version.context("it serves neither v1beta2 nor v1beta1; upgrade to k0smotron 1.10 first")?;
    let resource = ApiResource {
        group: crd.spec.group.clone(),
        version: version.to_owned(),
        api_version: format!("{}/{version}", crd.spec.group),
        kind: crd.spec.names.kind.clone(),
        plural: crd.spec.names.plural.clone(),
    };
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let mut page = ListParams::default().limit(PAGE);
    let mut objects = Vec::new();
    loop {
        let list = api.list(&page).await?;
        for object in list.items {
            let mut object = serde_json::to_value(object)?;
            // Items of a list have no type of their own where the server leaves it out.
            if let Some(fields) = object.as_object_mut() {
                fields.insert("apiVersion".to_owned(), resource.api_version.clone().into());
                fields.insert("kind".to_owned(), resource.kind.clone().into());
            }
            objects.push(object);
        }
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(objects),
        }
    }
}

/// What taking over does to one object, as a cluster serves it.
#[must_use]
pub fn of_object(object: &Value, schemas: &Schemas) -> Vec<Effect> {
    let mut effects = Vec::new();
    if let Some(schema) = schemas.of(object) {
        let unknown = schema.unknown(object);
        effects.extend(unknown.into_iter().map(|problem| {
            Effect::Change(format!(
                "{} is not known to this version, and goes when the object is written",
                problem.field
            ))
        }));
        let problems = schemas.check(schema, &schema.defaulted(object.clone()), None);
        // The API server spares what it has stored already, as our rules do.
        let kept = |problem| Effect::Note(format!("{problem} (kept, because it was there before)"));
        effects.extend(problems.into_iter().map(kept));
    }
    let current = match conversion::convert(object.clone(), Version::V1Beta2) {
        Ok(current) => current,
        Err(error) => {
            effects.push(Effect::Refuse(format!("it cannot be converted: {error}")));
            return effects;
        }
    };
    match unsupported::of(&current) {
        Ok(fields) => effects.extend(unsupported::message(&fields).map(Effect::Hold)),
        Err(error) => effects.push(Effect::Refuse(format!("the controllers cannot read it: {error}"))),
    }
    effects.extend(rollout(&current));
    if current.pointer("/metadata/deletionTimestamp").is_some() {
        effects.push(Effect::Note(
            "it is being deleted; the new manager goes on with that".to_owned(),
        ));
    }
    // Rules spare what is stored already; what they would refuse of a new object are warnings here.
    effects.extend(
        validation::validate(&current, Some(&current))
            .warnings
            .into_iter()
            .map(Effect::Note),
    );
    effects
}

/// A rollout that is under way goes on under the new manager.
fn rollout(control_plane: &Value) -> Option<Effect> {
    if control_plane.get("kind").and_then(Value::as_str) != Some("K0sControlPlane") {
        return None;
    }
    let number = |field: &str| control_plane.get("status")?.get(field)?.as_i64();
    let (replicas, current) = (number("replicas")?, number("upToDateReplicas").unwrap_or(0));
    (current < replicas).then(|| {
        Effect::Roll(format!(
            "{current} of {replicas} machines are as the spec says; let the manager that runs now finish that first"
        ))
    })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinitionStatus;
    use serde_json::json;

    use super::*;

    fn effects(object: Value) -> Vec<String> {
        let effects = of_object(&object, &Schemas::new().unwrap());
        effects.iter().map(ToString::to_string).collect()
    }

    fn plane(spec: Value, status: Value) -> Value {
        let mut plane = json!({
            "apiVersion": "controlplane.cluster.x-k8s.io/v1beta2", "kind": "K0sControlPlane",
            "metadata": {"name": "a", "namespace": "b", "uid": "c", "resourceVersion": "1"},
            "spec": {"version": "v1.36.3+k0s.2", "replicas": 1, "k0sConfigSpec": {}, "machineTemplate": {"infrastructureRef":
                {"apiGroup": "infrastructure.cluster.x-k8s.io", "kind": "RemoteMachineTemplate", "name": "a"}}},
            "status": status
        });
        let fields = plane["spec"].as_object_mut().unwrap();
        fields.extend(spec.as_object().unwrap().clone());
        plane
    }

    #[test]
    fn what_is_fine_has_no_effect() {
        assert_eq!(
            effects(plane(json!({}), json!({"replicas": 1, "upToDateReplicas": 1}))),
            [""; 0]
        );
    }

    #[test]
    fn each_effect_is_named() {
        let rolling = effects(plane(json!({}), json!({"replicas": 1})));
        assert!(rolling[0].starts_with("roll: 0 of 1 machines"), "{rolling:?}");
        let held = effects(plane(
            json!({"k0sConfigSpec": {"tunneling": {"enabled": true}}}),
            json!({}),
        ));
        assert!(
            held[0].starts_with("hold: ") && held[0].contains("spec.k0sConfigSpec.tunneling.enabled"),
            "{held:?}"
        );
        let changed = effects(plane(json!({"invented": 1}), json!({})));
        assert!(
            changed[0].starts_with("change: spec.invented is not known"),
            "{changed:?}"
        );
        let kept = effects(plane(json!({"replicas": 0}), json!({})));
        assert!(
            kept[0].starts_with("note: spec.replicas: Invalid value: 0"),
            "{kept:?}"
        );
        let refused = effects(plane(json!({"version": 1}), json!({})));
        assert!(
            refused
                .iter()
                .any(|effect| effect.starts_with("refuse: the controllers cannot read it")),
            "{refused:?}"
        );
        let mut going = plane(json!({}), json!({}));
        going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert!(effects(going)[0].starts_with("note: it is being deleted"));
    }

    #[test]
    fn definitions_say_how_objects_are_stored() {
        let mut crd = k0smotron_api::crds().remove(0);
        let mut effects = |versions: &[&str]| {
            let status = CustomResourceDefinitionStatus {
                stored_versions: Some(versions.iter().map(|version| (*version).to_owned()).collect()),
                ..CustomResourceDefinitionStatus::default()
            };
            crd.status = Some(status);
            of_definition(&crd)
        };
        assert_eq!(effects(&["v1beta2"]), []);
        let [Effect::Rewrite(why)] = &effects(&["v1beta1", "v1beta2"])[..] else {
            panic!("one effect")
        };
        assert!(why.contains("v1beta1 and v1beta2"), "{why}");
    }
}
