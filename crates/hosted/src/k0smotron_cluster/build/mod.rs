//! From what is known and decided to objects. Pure.
//!
//! Objects are JSON, as they are sent: what users bring (volumes, resources, scheduling) goes through as it was written,
//! so that a field which is newer than this program is not lost. Secrets are not made here ([`super::certificates`]).

pub mod etcd;
pub mod k0s;
mod manifests;
mod pods;
mod protection;
pub mod services;

use std::collections::{BTreeMap, BTreeSet};

use k0smotron_api::k0smotron::v1beta2::Cluster;
use k0smotron_k0s::version::Version;
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, Service},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use kube::{Resource, ResourceExt, core::ApiResource};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{
    config::{self, ConfigError, Hosting},
    membership,
    names::{Component, Labels, Names, with_component},
};

/// How pods are made now (annotation `k0smotron.io/shape`). A release that makes them differently counts on.
pub const SHAPE: &str = "1";

/// Kinds of objects that are applied. In the order in which they are: what pods need comes before the pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Service,
    ConfigMap,
    NetworkPolicy,
    PodDisruptionBudget,
    StatefulSet,
}

impl Kind {
    pub const ALL: [Self; 5] = [
        Self::Service,
        Self::ConfigMap,
        Self::NetworkPolicy,
        Self::PodDisruptionBudget,
        Self::StatefulSet,
    ];

    pub fn resource(self) -> ApiResource {
        match self {
            Self::Service => ApiResource::erase::<Service>(&()),
            Self::ConfigMap => ApiResource::erase::<ConfigMap>(&()),
            Self::NetworkPolicy => ApiResource::erase::<NetworkPolicy>(&()),
            Self::PodDisruptionBudget => ApiResource::erase::<PodDisruptionBudget>(&()),
            Self::StatefulSet => ApiResource::erase::<StatefulSet>(&()),
        }
    }
}

/// An object to be applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    pub kind: Kind,
    pub name: String,
    pub value: Value,
}

/// What objects are made from, besides the spec.
#[derive(Clone, Debug)]
pub struct Facts {
    pub external_address: Option<String>,
    /// Addresses of the Service in front of k0s.
    pub service_addresses: BTreeSet<String>,
    /// Addresses of the Service in front of etcd.
    pub etcd_addresses: BTreeSet<String>,
    /// Digest of the certificates of the authorities, and of that of etcd alone.
    pub authorities: String,
    pub etcd_authority: String,
}

/// The version of k0s that the spec asks for; `None` when it is none.
pub fn version(plane: &Cluster) -> Option<Version> {
    Version::parse_lenient(plane.spec.version())
        .ok()
        .map(|version| version.with_default_suffix())
}

/// Members of etcd that serve the control plane.
pub fn members(plane: &Cluster) -> usize {
    membership::members_for(plane.spec.replicas)
}

/// Pods of k0s that are asked for.
pub fn replicas(plane: &Cluster) -> i32 {
    plane.spec.replicas.max(1)
}

fn hosting(plane: &Cluster, names: &Names, facts: &Facts, etcd_service: String) -> Hosting {
    let service = names.service(plane.spec.service.r#type);
    let namespace = &names.namespace;
    let mut sans = facts.service_addresses.clone();
    sans.extend([
        service.clone(),
        format!("{service}.{namespace}"),
        format!("{service}.{namespace}.svc"),
        format!("{service}.{namespace}.svc.cluster.local"),
    ]);
    Hosting {
        cluster: names.cluster.clone(),
        api_port: plane.spec.service.api_port,
        konnectivity_port: plane.spec.service.konnectivity_port,
        external_address: facts.external_address.clone(),
        sans,
        etcd_service,
        drains_watches: version(plane).is_some_and(|version| version.kubernetes() >= (1, 28, 0)),
    }
}

/// The configuration of this release's pods, and the one of earlier releases' pods, which they read when they start.
///
/// # Errors
/// The user's part cannot be used.
pub fn configurations(plane: &Cluster, names: &Names, facts: &Facts) -> Result<[Value; 2], ConfigError> {
    let users = plane.spec.k0s_config.as_ref();
    let ours = hosting(plane, names, facts, names.etcd_client());
    let earlier = hosting(plane, names, facts, names.etcd());
    Ok([
        config::effective(users, &ours, config::FILES)?,
        config::effective(users, &earlier, config::EARLIER_FILES)?,
    ])
}

/// The objects besides the StatefulSets, and Secrets.
pub fn surroundings(
    plane: &Cluster,
    names: &Names,
    facts: &Facts,
    configurations: &[Value; 2],
) -> Vec<Object> {
    let mut objects = vec![
        services::k0s(plane, names),
        services::etcd(plane, names),
        services::etcd_client(plane, names),
        manifests::config(plane, names, configurations),
        manifests::telemetry(plane, names),
    ];
    objects.extend(
        facts
            .external_address
            .as_ref()
            .map(|address| manifests::endpoint(plane, names, address)),
    );
    objects.extend(protection::policies(plane, names));
    objects.extend(protection::budgets(plane, names));
    objects
}

/// Metadata of an object: name, labels, the user's annotations, and that the control plane controls it.
fn metadata(plane: &Cluster, names: &Names, name: &str, labels: Labels, component: Component) -> Value {
    let mut metadata = json!({
        "name": name,
        "namespace": names.namespace,
        "labels": with_component(labels, component),
        "ownerReferences": plane.controller_owner_ref(&()).into_iter().collect::<Vec<_>>(),
    });
    let annotations = annotations(plane);
    if let (false, Some(fields)) = (annotations.is_empty(), metadata.as_object_mut()) {
        fields.insert("annotations".to_owned(), json!(annotations));
    }
    metadata
}

/// Annotations that users put on the control plane for what belongs to it, such as those of meshes and scrapers. Those by
/// which tools keep their books of the control plane itself are not.
fn annotations(plane: &Cluster) -> BTreeMap<String, String> {
    const BOOKKEEPING: [&str; 7] = [
        "kubectl.kubernetes.io",
        "k0smotron.io",
        "cluster.x-k8s.io",
        "helm.sh",
        "argoproj.io",
        "toolkit.fluxcd.io",
        "clusterctl.cluster.x-k8s.io",
    ];
    let is_bookkeeping = |key: &str| {
        let domain = key.split_once('/').map_or("", |(domain, _)| domain);
        BOOKKEEPING
            .iter()
            .any(|own| domain == *own || domain.strip_suffix(own).is_some_and(|rest| rest.ends_with('.')))
    };
    let all = plane.annotations().iter().filter(|(key, _)| !is_bookkeeping(key));
    all.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Sets a field of an object.
fn insert(object: &mut Value, field: &str, value: Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.insert(field.to_owned(), value);
    }
}

/// A digest of what something is made from: 16 hexadecimal characters.
pub fn digest(value: &Value) -> String {
    // Keys of JSON objects are sorted here, so equal values have equal texts.
    let digest = Sha256::digest(sorted(value).to_string().as_bytes());
    let bytes = digest.iter().take(8);
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields: BTreeMap<_, _> = fields
                .iter()
                .map(|(key, value)| (key.clone(), sorted(value)))
                .collect();
            Value::Object(fields.into_iter().collect())
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

/// Without what is not set: a field that a later release adds leaves digests as they are until it is used.
fn without_unset(fields: Value) -> Value {
    match fields {
        Value::Object(fields) => {
            let is_set = |value: &Value| match value {
                Value::Null => false,
                Value::String(text) => !text.is_empty(),
                Value::Array(items) => !items.is_empty(),
                Value::Object(fields) => !fields.is_empty(),
                _ => true,
            };
            let fields: Map<_, _> = fields.into_iter().filter(|(_, value)| is_set(value)).collect();
            Value::Object(fields)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests;
