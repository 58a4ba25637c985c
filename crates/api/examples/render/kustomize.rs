//! The part of kustomize that `config/` uses, so that a release needs no Go tool.
//!
//! For: resources, names with prefix and suffix, labels, JSON patches and the removal of objects. Anything else in a
//! kustomization is refused, never skipped. `kubectl kustomize config/<provider>` gives the same objects.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Kustomization {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    #[serde(default)]
    resources: Vec<PathBuf>,
    #[serde(default)]
    patches: Vec<Patch>,
    #[serde(default)]
    name_prefix: String,
    #[serde(default)]
    name_suffix: String,
    #[serde(default)]
    labels: Vec<Labels>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Patch {
    target: Target,
    patch: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Target {
    kind: String,
    name: Option<String>,
    /// Only the form `key!=value`.
    label_selector: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Labels {
    pairs: BTreeMap<String, String>,
}

/// The objects of a directory with a `kustomization.yaml`, in the order in which they are listed.
pub fn build(directory: &Path) -> Result<Vec<Value>> {
    let file = directory.join("kustomization.yaml");
    let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    let kustomization: Kustomization =
        serde_yaml::from_str(&text).with_context(|| format!("understanding {}", file.display()))?;
    let mut objects = Vec::new();
    for resource in &kustomization.resources {
        let path = directory.join(resource);
        objects.extend(if path.is_dir() {
            build(&path)?
        } else {
            read(&path)?
        });
    }
    for patch in &kustomization.patches {
        apply(patch, &mut objects).with_context(|| format!("patching as {} says", file.display()))?;
    }
    rename(&kustomization, &mut objects);
    for object in &mut objects {
        for (key, value) in kustomization.labels.iter().flat_map(|labels| &labels.pairs) {
            let metadata = object.get_mut("metadata").and_then(Value::as_object_mut);
            let metadata = metadata.context("an object without metadata")?;
            let labels = metadata
                .entry("labels")
                .or_insert_with(|| Value::Object(Map::new()));
            labels
                .as_object_mut()
                .context("labels that are no map")?
                .insert(key.clone(), value.clone().into());
        }
    }
    Ok(objects)
}

/// The documents of a YAML file.
fn read(path: &Path) -> Result<Vec<Value>> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let documents = serde_yaml::Deserializer::from_str(&text).map(Value::deserialize);
    let documents: Vec<_> = documents
        .collect::<Result<_, _>>()
        .with_context(|| format!("understanding {}", path.display()))?;
    Ok(documents
        .into_iter()
        .filter(|document| !document.is_null())
        .collect())
}

fn apply(patch: &Patch, objects: &mut Vec<Value>) -> Result<()> {
    let before = objects.len();
    let content: Value = serde_yaml::from_str(&patch.patch)?;
    if content.is_array() {
        let operations: json_patch::Patch = serde_json::from_value(content)?;
        let mut matched = false;
        for object in objects.iter_mut().filter(|object| selects(&patch.target, object)) {
            json_patch::patch(object, &operations)?;
            matched = true;
        }
        ensure!(matched, "no {} to patch", patch.target.kind);
    } else if content.get("$patch").and_then(Value::as_str) == Some("delete") {
        objects.retain(|object| !selects(&patch.target, object));
        ensure!(objects.len() < before, "no {} to remove", patch.target.kind);
    } else {
        bail!("neither a JSON patch nor `$patch: delete`");
    }
    Ok(())
}

fn selects(target: &Target, object: &Value) -> bool {
    let differs = |selector: &String| {
        selector.split_once("!=").is_some_and(|(key, value)| {
            object
                .pointer("/metadata/labels")
                .and_then(|labels| labels.get(key))
                .and_then(Value::as_str)
                != Some(value)
        })
    };
    kind(object) == target.kind
        && target.name.as_deref().is_none_or(|wanted| name(object) == wanted)
        && target.label_selector.as_ref().is_none_or(differs)
}

/// Adds prefix and suffix to names, and to the places that refer to a renamed object.
fn rename(kustomization: &Kustomization, objects: &mut [Value]) {
    let renamed: Vec<(String, String)> = objects
        .iter()
        // As in kustomize: these names are an interface.
        .filter(|object| !matches!(kind(object), "Namespace" | "CustomResourceDefinition"))
        .map(|object| (kind(object).to_owned(), name(object).to_owned()))
        .collect();
    let replace = |kind: &str, value: Option<&mut Value>| {
        if let Some(Value::String(name)) = value
            && renamed.contains(&(kind.to_owned(), name.clone()))
        {
            *name = format!("{}{name}{}", kustomization.name_prefix, kustomization.name_suffix);
        }
    };
    for object in objects {
        let own_kind = kind(object).to_owned();
        replace(&own_kind, object.pointer_mut("/metadata/name"));
        replace(
            "ServiceAccount",
            object.pointer_mut("/spec/template/spec/serviceAccountName"),
        );
        replace(
            "Service",
            object.pointer_mut("/spec/conversion/webhook/clientConfig/service/name"),
        );
        for webhook in object
            .get_mut("webhooks")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            replace("Service", webhook.pointer_mut("/clientConfig/service/name"));
        }
        let role_kind = object
            .pointer("/roleRef/kind")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        replace(&role_kind, object.pointer_mut("/roleRef/name"));
        for subject in object
            .get_mut("subjects")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            replace("ServiceAccount", subject.pointer_mut("/name"));
        }
    }
}

fn kind(object: &Value) -> &str {
    object.get("kind").and_then(Value::as_str).unwrap_or_default()
}

fn name(object: &Value) -> &str {
    object
        .pointer("/metadata/name")
        .and_then(Value::as_str)
        .unwrap_or_default()
}
