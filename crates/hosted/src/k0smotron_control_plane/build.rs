//! Makes the hosted Cluster. Pure.

use std::collections::BTreeMap;

use k0smotron_api::{
    capi,
    k0smotron::v1beta2::Cluster,
    names::{annotations, labels},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt, api::ObjectMeta};
use serde_json::{Map, Value, json};

use super::{Error, fetch::Inputs};

/// What `clusterctl move` is told, which prints the object and not this; but this is where whoever looks at the object
/// finds it.
const BLOCK_MOVE: &str = "the data of this control plane is in volumes of this cluster and would stay behind: back it up first. \
                          To move the objects without it, remove this annotation while clusterctl waits for that";

/// What was built and is not written yet.
pub struct Built {
    pub hosted: Cluster,
}

/// Makes the hosted Cluster: the spec of the control plane, and the network of its Cluster.
pub fn build(inputs: &Inputs) -> Result<Built, Error> {
    let plane = &inputs.plane;
    let cluster = inputs.cluster.as_ref().ok_or(Error::Incomplete)?;
    let mut spec = plane.spec.plane.clone();
    spec.k0s_config = k0s_config(spec.k0s_config, cluster);
    let mut labels = BTreeMap::from([(labels::CLUSTER_NAME.to_owned(), cluster.name_any())]);
    // Or the manager that looks after the one would not see the other (contract G12).
    let filter = plane.labels().get_key_value(labels::WATCH_FILTER);
    labels.extend(filter.map(|(key, value)| (key.clone(), value.clone())));
    let mut said: BTreeMap<_, _> = plane
        .annotations()
        .iter()
        .filter(|(key, _)| SERVICE.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    if spec.remote_host_cluster.is_none() {
        said.insert(annotations::BLOCK_MOVE.to_owned(), BLOCK_MOVE.to_owned());
    }
    let mut hosted = Cluster::new(&cluster.name_any(), spec);
    hosted.metadata = ObjectMeta {
        namespace: plane.namespace(),
        labels: Some(labels),
        annotations: Some(said),
        owner_references: owner(inputs).map(|owner| vec![owner]),
        ..hosted.metadata
    };
    Ok(Built { hosted })
}

/// Settings of the Service that objects of the original carry in annotations.
const SERVICE: [&str; 4] = [
    annotations::DROPPED_SERVICE_LABELS,
    annotations::DROPPED_SERVICE_ANNOTATIONS,
    annotations::DROPPED_SERVICE_TRAFFIC_POLICY,
    annotations::DROPPED_SERVICE_BALANCER_CLASS,
];

/// Not as its controller: that is how it always was.
fn owner(inputs: &Inputs) -> Option<OwnerReference> {
    inputs.plane.owner_ref(&())
}

/// The user's k0s configuration, and what the Cluster says of its network where the user says nothing.
fn k0s_config(config: Option<Value>, cluster: &capi::Cluster) -> Option<Value> {
    let mut network = Map::new();
    let mut say = |key: &str, value: String| {
        if !value.is_empty() {
            network.insert(key.to_owned(), Value::from(value));
        }
    };
    say("podCIDR", cluster.pod_cidrs().join(","));
    say("serviceCIDR", cluster.service_cidrs().join(","));
    say(
        "clusterDomain",
        cluster.service_domain().unwrap_or_default().to_owned(),
    );
    if network.is_empty() {
        return config;
    }
    let mut config = config
        .unwrap_or_else(|| json!({ "apiVersion": "k0s.k0sproject.io/v1beta1", "kind": "ClusterConfig" }));
    let below = |object: &mut Value, key: &str| {
        if let Some(object) = object.as_object_mut() {
            object.entry(key).or_insert_with(|| json!({}));
        }
    };
    // A configuration of another shape is refused elsewhere, and stays as it is.
    below(&mut config, "spec");
    if let Some(spec) = config.get_mut("spec") {
        below(spec, "network");
    }
    if let Some(Value::Object(said)) = config.pointer_mut("/spec/network") {
        for (key, value) in network {
            said.entry(key).or_insert(value);
        }
    }
    Some(config)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn inputs(plane: &str, network: &str) -> Inputs {
        let plane = serde_yaml::from_str(&format!(
            "apiVersion: controlplane.cluster.x-k8s.io/v1beta2
kind: K0smotronControlPlane
metadata:
  name: cp
  namespace: ns
  uid: u
{plane}"
        ))
        .unwrap();
        let cluster = serde_yaml::from_str(&format!(
            "apiVersion: cluster.x-k8s.io/v1beta2
kind: Cluster
metadata: {{name: demo, namespace: ns}}
spec: {{clusterNetwork: {{{network}}}}}
"
        ))
        .unwrap();
        Inputs {
            plane: Arc::new(plane),
            cluster: Some(Arc::new(cluster)),
            hosted: None,
            infrastructure: None,
            identity: None,
        }
    }

    /// Names, labels and owners are those that users, tools and earlier releases know.
    #[test]
    fn a_hosted_cluster_as_it_always_was() {
        let plane = "  labels: {mine: a, cluster.x-k8s.io/watch-filter: blue}
  annotations: {mine: a, k0smotron.io/conversion-dropped-service.loadBalancerClass: '\"x\"'}
spec: {version: v1.36.3-k0s.2, replicas: 3, service: {type: NodePort}}
";
        let network = "pods: {cidrBlocks: [10.1.0.0/16, fd01::/48]}, services: {cidrBlocks: [10.2.0.0/16]}, serviceDomain: demo.local";
        let hosted = build(&inputs(plane, network)).unwrap().hosted;
        insta::assert_yaml_snapshot!(hosted);
    }

    #[test]
    fn what_the_user_says_of_the_network_wins() {
        let plane = "spec: {k0sConfig: {apiVersion: k0s.k0sproject.io/v1beta1, kind: ClusterConfig, \
                     spec: {network: {podCIDR: 10.9.0.0/16, provider: calico}}}}\n";
        let network = "pods: {cidrBlocks: [10.1.0.0/16]}, services: {cidrBlocks: [10.2.0.0/16]}";
        let hosted = build(&inputs(plane, network)).unwrap().hosted;
        assert_eq!(
            hosted.spec.k0s_config.unwrap()["spec"]["network"],
            json!({ "podCIDR": "10.9.0.0/16", "provider": "calico", "serviceCIDR": "10.2.0.0/16" })
        );
        let hosted = build(&inputs("spec: {}\n", "")).unwrap().hosted;
        assert_eq!(hosted.spec.k0s_config, None);
    }

    #[test]
    fn only_what_would_stay_behind_blocks_a_move() {
        let blocks = |plane: &str| {
            let hosted = build(&inputs(plane, "")).unwrap().hosted;
            hosted
                .annotations()
                .contains_key("clusterctl.cluster.x-k8s.io/block-move")
        };
        assert!(blocks("spec: {}\n"));
        assert!(!blocks(
            "spec: {remoteHostCluster: {kubeconfigRef: {name: a, namespace: b}}}\n"
        ));
    }
}
