//! Services: in front of k0s, and those of etcd.

use std::collections::BTreeMap;

use k0smotron_api::{
    k0smotron::v1beta2::{Cluster, ExternalTrafficPolicy, ServiceType},
    names::annotations,
};
use kube::ResourceExt;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Kind, Object, insert, metadata};
use crate::k0smotron_cluster::names::{self, Component, Names};

/// Ports of etcd.
pub const ETCD_CLIENT: u16 = 2379;
pub const ETCD_PEER: u16 = 2380;
/// Port of etcd's health and metrics, without TLS; a NetworkPolicy keeps it to the node.
pub const ETCD_HEALTH: u16 = 2381;

fn service(name: String, metadata: Value, spec: Value) -> Object {
    Object {
        kind: Kind::Service,
        value: json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}),
        name,
    }
}

/// In front of k0s.
pub fn k0s(plane: &Cluster, names: &Names) -> Object {
    let wanted = &plane.spec.service;
    let name = names.service(wanted.r#type);
    let labels = names::base(plane);
    let mut metadata = metadata(plane, names, &name, labels, Component::ControlPlane);
    let mut extend = |field: &str, carried: &str, own: &BTreeMap<String, String>| {
        let mut all: BTreeMap<String, String> = metadata
            .get(field)
            .and_then(|value| serde_json::from_value(value.clone()).ok())
            .unwrap_or_default();
        all.extend(dropped::<BTreeMap<_, _>>(plane, carried).unwrap_or_default());
        all.extend(own.clone());
        if let (false, Some(fields)) = (all.is_empty(), metadata.as_object_mut()) {
            fields.insert(field.to_owned(), json!(all));
        }
    };
    extend("labels", annotations::DROPPED_SERVICE_LABELS, &wanted.labels);
    extend(
        "annotations",
        annotations::DROPPED_SERVICE_ANNOTATIONS,
        &wanted.annotations,
    );

    let port = |name: &str, number: i64| {
        let mut port = json!({"name": name, "port": number, "targetPort": number, "protocol": "TCP"});
        if wanted.r#type == ServiceType::NodePort {
            insert(&mut port, "nodePort", json!(number));
        }
        port
    };
    let mut spec = json!({
        "type": wanted.r#type,
        "ports": [port("api", wanted.api_port), port("konnectivity", wanted.konnectivity_port)],
        "selector": selector(plane),
    });
    let outside = wanted.r#type != ServiceType::ClusterIp;
    let policy = wanted.external_traffic_policy;
    let policy = policy
        .or_else(|| dropped::<ExternalTrafficPolicy>(plane, annotations::DROPPED_SERVICE_TRAFFIC_POLICY));
    if let (true, Some(policy)) = (outside, policy) {
        insert(&mut spec, "externalTrafficPolicy", json!(policy));
    }
    let class = wanted.load_balancer_class.clone();
    let class = class.or_else(|| dropped::<String>(plane, annotations::DROPPED_SERVICE_BALANCER_CLASS));
    if let (ServiceType::LoadBalancer, Some(class)) = (wanted.r#type, class) {
        insert(&mut spec, "loadBalancerClass", json!(class));
    }
    service(name, metadata, spec)
}

/// Without the user's labels: pods that were made before one was set are behind the Service too.
fn selector(plane: &Cluster) -> Value {
    let mut labels = names::base(plane);
    labels.retain(|key, _| {
        !plane.labels().contains_key(key)
            || [names::APP.0, names::CLUSTER, "component"].contains(&key.as_str())
    });
    json!(labels)
}

fn etcd_selector(plane: &Cluster) -> Value {
    let mut selector = selector(plane);
    insert(&mut selector, "component", json!("etcd"));
    selector
}

/// What a conversion of an earlier release left in an annotation, as JSON; nothing when it cannot be read.
fn dropped<T: DeserializeOwned>(plane: &Cluster, annotation: &str) -> Option<T> {
    serde_json::from_str(plane.annotations().get(annotation)?).ok()
}

/// By which members of etcd find one another, also while they are not ready.
pub fn etcd(plane: &Cluster, names: &Names) -> Object {
    let name = names.etcd();
    let labels = names::etcd_selector(plane);
    let metadata = metadata(plane, names, &name, labels, Component::Etcd);
    let spec = json!({
        "type": "ClusterIP",
        "clusterIP": "None",
        "publishNotReadyAddresses": true,
        "ports": [
            {"name": "client", "port": ETCD_CLIENT, "targetPort": ETCD_CLIENT, "protocol": "TCP"},
            {"name": "peer", "port": ETCD_PEER, "targetPort": ETCD_PEER, "protocol": "TCP"},
        ],
        "selector": etcd_selector(plane),
    });
    service(name, metadata, spec)
}

/// By which k0s reaches members of etcd that answer.
pub fn etcd_client(plane: &Cluster, names: &Names) -> Object {
    let name = names.etcd_client();
    let labels = names::etcd_selector(plane);
    let metadata = metadata(plane, names, &name, labels, Component::Etcd);
    let spec = json!({
        "type": "ClusterIP",
        "ports": [{"name": "client", "port": ETCD_CLIENT, "targetPort": ETCD_CLIENT, "protocol": "TCP"}],
        "selector": etcd_selector(plane),
    });
    service(name, metadata, spec)
}
