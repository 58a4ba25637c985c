//! The applier of `<data-dir>/manifests`: every directory in it is a stack, whose `*.yaml` files are applied when they
//! change, and whose objects are deleted when they are no longer in them or the directory is gone. Only the leader does
//! that.
//!
//! What counts as a change is what k0s' file watch sees: names, sizes and times of the files themselves. Behind
//! symbolic links, as in a mounted ConfigMap, nothing changes in that sense.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams},
    core::GroupVersionKind,
    discovery::{self, Discovery, Scope, verbs},
};
use serde::Deserialize as _;
use serde_json::Value;
use tokio::{sync::watch, time::sleep};

use super::objects;
use crate::{api::FIELD_MANAGER, paths::Paths};

const STACK_LABEL: &str = "k0s.k0sproject.io/stack";
/// k0s waits as long for more changes before it applies a stack.
const PERIOD: Duration = Duration::from_secs(1);
/// Stacks that k0s has made itself in the past, and no longer reads.
const IGNORED: [&str; 6] = [
    "api-config",
    "autopilot",
    "bootstraprbac",
    "etcd-member",
    "helm",
    "windows",
];
/// These inherit the label from what they belong to, without an owner.
const INHERITED: [&str; 2] = ["Endpoints", "EndpointSlice"];

/// Files of a stack by name, with what shows that one has changed.
type Files = BTreeMap<String, (u64, Option<SystemTime>)>;

/// Follows the directory; for ever.
pub async fn run(client: Client, paths: Paths, leading: watch::Receiver<bool>) {
    let directory = paths.manifests_dir();
    if let Err(error) = fs::create_dir_all(&directory) {
        tracing::error!("{} cannot be made: {error}", directory.display());
        return;
    }
    let mut applied: BTreeMap<String, Files> = BTreeMap::new();
    let mut seen = BTreeMap::new();
    loop {
        sleep(PERIOD).await;
        if !*leading.borrow() {
            applied.clear();
            continue;
        }
        let found = stacks(&directory);
        for (name, files) in &found {
            // Whatever still changes is left for the next look.
            let settled = seen.get(name) == Some(files);
            if settled && applied.get(name) != Some(files) {
                match apply(&client, name, &directory.join(name), files).await {
                    Ok(()) => {
                        tracing::info!(stack = name, "applied");
                        applied.insert(name.clone(), files.clone());
                    }
                    Err(error) => tracing::warn!(stack = name, "failed to apply manifests: {error:#}"),
                }
            }
        }
        for name in applied
            .keys()
            .filter(|name| !found.contains_key(*name))
            .cloned()
            .collect::<Vec<_>>()
        {
            match prune(&client, &name, &BTreeSet::new()).await {
                Ok(()) => drop(applied.remove(&name)),
                Err(error) => tracing::warn!(stack = name, "failed to delete the stack: {error:#}"),
            }
        }
        seen = found;
    }
}

fn stacks(directory: &Path) -> BTreeMap<String, Files> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.path().is_dir())
        .map(|entry| {
            (
                entry.file_name().to_string_lossy().into_owned(),
                files(&entry.path()),
            )
        })
        .filter(|(name, _)| !IGNORED.contains(&name.as_str()))
        .collect()
}

fn files(stack: &Path) -> Files {
    let entries = fs::read_dir(stack).into_iter().flatten().flatten();
    entries
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry))
        .filter(|(name, _)| name.ends_with(".yaml"))
        .filter_map(|(name, entry)| {
            let metadata = entry.metadata().ok()?;
            Some((name, (metadata.len(), metadata.modified().ok())))
        })
        .collect()
}

async fn apply(client: &Client, stack: &str, directory: &Path, files: &Files) -> Result<()> {
    let mut all = Vec::new();
    for name in files.keys() {
        let path = directory.join(name);
        let text = fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        all.extend(parse(&text).with_context(|| path.display().to_string())?);
    }
    // Cluster-wide objects first: namespaces and kinds are there before what is in them.
    all.sort_by_key(|object| object.metadata.namespace.is_some());
    let mut keep = BTreeSet::new();
    let mut failed = None;
    for mut object in all {
        let labels = object.metadata.labels.get_or_insert_default();
        labels.insert(STACK_LABEL.to_owned(), stack.to_owned());
        match apply_one(client, object).await {
            Ok(id) => drop(keep.insert(id)),
            Err(error) => failed = Some(error),
        }
    }
    match failed {
        // What could not be read or applied must not count as no longer wanted.
        Some(error) => Err(error),
        None => prune(client, stack, &keep).await,
    }
}

fn parse(text: &str) -> Result<Vec<DynamicObject>> {
    let mut objects = Vec::new();
    for document in serde_yaml::Deserializer::from_str(text) {
        let value = Value::deserialize(document)?;
        let items = match value.get("items") {
            Some(Value::Array(items)) => items.clone(),
            _ => vec![value],
        };
        for item in items.into_iter().filter(|item| item.get("kind").is_some()) {
            objects.push(serde_json::from_value(item)?);
        }
    }
    Ok(objects)
}

/// Kind, namespace and name.
type Id = (String, String, Option<String>, String);

fn id(kind: &GroupVersionKind, object: &DynamicObject) -> Id {
    (
        kind.group.clone(),
        kind.kind.clone(),
        object.namespace(),
        object.name_any(),
    )
}

async fn apply_one(client: &Client, mut object: DynamicObject) -> Result<Id> {
    let types = object.types.clone().context("an object without kind")?;
    let kind = GroupVersionKind::try_from(&types)?;
    let name = object.name_any();
    let (resource, capabilities) = discovery::pinned_kind(client, &kind)
        .await
        .with_context(|| format!("{} is not served", kind.kind))?;
    let api: Api<DynamicObject> = match (&capabilities.scope, object.namespace()) {
        (Scope::Cluster, _) => {
            object.metadata.namespace = None;
            Api::all_with(client.clone(), &resource)
        }
        (Scope::Namespaced, namespace) => {
            let namespace = namespace.unwrap_or_else(|| "default".to_owned());
            object.metadata.namespace = Some(namespace.clone());
            Api::namespaced_with(client.clone(), &namespace, &resource)
        }
    };
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    api.patch(&name, &parameters, &Patch::Apply(&object))
        .await
        .with_context(|| format!("{} {name} cannot be applied", kind.kind))?;
    if kind.kind == "CustomResourceDefinition" {
        objects::wait_established(client, &name).await?;
    }
    Ok(id(&kind, &object))
}

/// Deletes the stack's objects that are not in `keep`.
async fn prune(client: &Client, stack: &str, keep: &BTreeSet<Id>) -> Result<()> {
    let labelled = ListParams::default().labels(&format!("{STACK_LABEL}={stack}"));
    let groups = Discovery::new(client.clone()).run().await?;
    for (resource, capabilities) in groups
        .groups()
        .flat_map(discovery::ApiGroup::recommended_resources)
    {
        let deletable = capabilities.supports_operation(verbs::DELETE)
            && capabilities.supports_operation(verbs::LIST)
            && !INHERITED.contains(&resource.kind.as_str());
        if !deletable {
            continue;
        }
        let kind = GroupVersionKind::gvk(&resource.group, &resource.version, &resource.kind);
        let all: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        // A kind whose server does not answer hides nothing of ours.
        let Ok(found) = all.list(&labelled).await else {
            continue;
        };
        for object in found {
            if keep.contains(&id(&kind, &object)) || !object.owner_references().is_empty() {
                continue;
            }
            let api: Api<DynamicObject> = match object.namespace() {
                Some(namespace) => Api::namespaced_with(client.clone(), &namespace, &resource),
                None => all.clone(),
            };
            match api.delete(&object.name_any(), &DeleteParams::foreground()).await {
                Err(error) if !crate::api::is_not_found(&error) => return Err(error.into()),
                _ => tracing::info!(stack, kind = kind.kind, name = object.name_any(), "deleted"),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_documents_are_objects_and_comments_are_none() {
        let text = "# nothing\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\n\
            apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Secret, metadata: {name: b}}\n";
        let names: Vec<_> = parse(text).unwrap().iter().map(DynamicObject::name_any).collect();
        assert_eq!(names, ["a", "b"]);
    }

    #[test]
    fn only_yaml_files_of_directories_are_stacks() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("own")).unwrap();
        fs::create_dir_all(directory.path().join("helm")).unwrap();
        for file in ["own/a.yaml", "own/b.txt", "helm/c.yaml", "d.yaml"] {
            fs::write(directory.path().join(file), "x").unwrap();
        }
        let found = stacks(directory.path());
        assert_eq!(found.keys().collect::<Vec<_>>(), ["own"]);
        assert_eq!(found["own"].keys().collect::<Vec<_>>(), ["a.yaml"]);
    }
}
