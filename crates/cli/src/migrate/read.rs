//! What `migrate check` reads from a cluster.

use std::{collections::BTreeMap, fmt::Debug};

use anyhow::{Context as _, Result};
use k0smotron_api::{
    capi::{self, Cluster, Machine},
    conversion::Version,
};
use k8s_openapi::{
    NamespaceResourceScope, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    jiff::Timestamp,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ApiResource, DynamicObject, ListParams},
    discovery,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Effect, World};

/// The definition of Cluster API's Machines.
pub(super) const MACHINES: &str = "machines.cluster.x-k8s.io";
/// Objects of one page of a list: bounds what is held at once.
const PAGE: u32 = 200;

/// Every object of a kind, in the version in which it is served best.
pub(super) async fn objects(
    client: &Client,
    crd: &CustomResourceDefinition,
    namespace: Option<&str>,
) -> Result<Vec<Value>> {
    let version = [Version::V1Beta2.as_str(), Version::V1Beta1.as_str()]
        .into_iter()
        .find(|version| serves(crd, version));
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
    let mut objects = Vec::new();
    for object in every(&api).await? {
        let mut object = serde_json::to_value(object)?;
        // Items of a list have no type of their own where the server leaves it out.
        if let Some(fields) = object.as_object_mut() {
            fields.insert("apiVersion".to_owned(), resource.api_version.clone().into());
            fields.insert("kind".to_owned(), resource.kind.clone().into());
        }
        objects.push(object);
    }
    Ok(objects)
}

/// Cluster API's objects. Where it is not installed there are none; where it is too old that is an effect of its own.
pub(super) async fn world(client: &Client, namespace: Option<&str>) -> Result<(World, Vec<Effect>)> {
    let mut world = World {
        now: Timestamp::now(),
        ..World::default()
    };
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let definition = definitions.get_opt(MACHINES).await;
    let Some(definition) =
        definition.with_context(|| format!("cannot read CustomResourceDefinition {MACHINES}"))?
    else {
        return Ok((world, Vec::new()));
    };
    let version = capi::API_VERSION.rsplit('/').next().unwrap_or_default();
    if !serves(&definition, version) {
        let why = format!(
            "Cluster API does not serve {version}, which this version speaks; upgrade it to 1.11 or later first"
        );
        return Ok((world, vec![Effect::Refuse(why)]));
    }
    world.clusters = of_cluster_api::<Cluster>(client, namespace).await?;
    world.machines = of_cluster_api::<Machine>(client, namespace).await?;
    let controllers = world.machines.iter().filter(|machine| machine.is_control_plane());
    let mut apis = BTreeMap::new();
    let mut origins = BTreeMap::new();
    for machine in controllers {
        let Some(reference) = &machine.spec.infrastructure_ref else {
            continue;
        };
        let kind = (reference.api_group.clone(), reference.kind.clone());
        if !apis.contains_key(&kind) {
            let resource = resource(client, &kind.0, &kind.1).await;
            let resource = resource.with_context(|| format!("cannot find the API of {}", kind.1))?;
            apis.insert(kind.clone(), resource);
        }
        let Some(resource) = apis.get(&kind).and_then(Option::as_ref) else {
            continue;
        };
        let namespace = machine.namespace().unwrap_or_default();
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &namespace, resource);
        let read = api.get_metadata_opt(&reference.name).await;
        let read = read.with_context(|| format!("cannot read {} {namespace}/{}", kind.1, reference.name))?;
        if let Some(infrastructure) = read {
            let annotations = infrastructure.metadata.annotations.unwrap_or_default();
            origins.insert((namespace, machine.name_any()), annotations);
        }
    }
    world.origins = origins;
    Ok((world, Vec::new()))
}

fn serves(crd: &CustomResourceDefinition, wanted: &str) -> bool {
    let mut versions = crd.spec.versions.iter();
    versions.any(|version| version.served && version.name == wanted)
}

async fn of_cluster_api<K>(client: &Client, namespace: Option<&str>) -> Result<Vec<K>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let api: Api<K> = match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    every(&api)
        .await
        .with_context(|| format!("cannot list {} of Cluster API", K::plural(&())))
}

/// Every object, page by page.
async fn every<K: Clone + Debug + DeserializeOwned>(api: &Api<K>) -> Result<Vec<K>> {
    let mut page = ListParams::default().limit(PAGE);
    let mut objects = Vec::new();
    loop {
        let list = api.list(&page).await?;
        objects.extend(list.items);
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(objects),
        }
    }
}

/// The API of a kind at the most stable of its versions; `None` when nothing serves it. The version that is preferred for the
/// group may not have the kind: providers share their groups, and each has versions of its own.
async fn resource(client: &Client, group: &str, kind: &str) -> Result<Option<ApiResource>, kube::Error> {
    match discovery::group(client, group).await {
        Ok(group) => Ok(group.versions().find_map(|version| {
            let resources = group.versioned_resources(version).into_iter();
            resources
                .map(|(resource, _)| resource)
                .find(|resource| resource.kind == kind)
        })),
        // In plain text, which kube's own `is_not_found` takes for something else.
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(kube::Error::Discovery(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
