//! The worker configuration: a ConfigMap `worker-config-<profile>-1.36` per profile, which joining hosts and nodes
//! may read.

use anyhow::Result;
use kube::Client;
use serde_json::{Map, Value, json};

use super::objects::common_labels;
use crate::{
    api,
    config::Spec,
    paths::{CIPHER_SUITES, KUBERNETES_MINOR},
};

const COMPONENT: &str = "worker-config";

/// Name of a profile's ConfigMap.
pub fn config_map_name(profile: &str) -> String {
    format!("{COMPONENT}-{profile}-{KUBERNETES_MINOR}")
}

/// Writes all profiles and the right to read them. Profiles that are no longer configured are left.
/// `konnectivity` says whether the API server reaches nodes that way.
pub async fn apply(client: &Client, spec: &Spec, node: &Spec, konnectivity: bool) -> Result<()> {
    let config_maps = build(spec, node, konnectivity)?;
    let names: Vec<&Value> = config_maps
        .iter()
        .filter_map(|object| object.pointer("/metadata/name"))
        .collect();
    let name = format!("system:bootstrappers:{COMPONENT}-{KUBERNETES_MINOR}");
    let metadata = json!({"name": name, "namespace": "kube-system", "labels": common_labels(COMPONENT)});
    let group = |name: &str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": name});
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": metadata,
        "rules": [{
            "apiGroups": [""],
            "resources": ["configmaps"],
            "verbs": ["get", "list", "watch"],
            "resourceNames": names,
        }],
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": metadata,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [group("system:bootstrappers"), group("system:nodes")],
    });
    for object in [role, binding].iter().chain(&config_maps) {
        api::apply(client, object).await?;
    }
    Ok(())
}

/// One ConfigMap per profile, the default one first. `node` decides what cannot change while the cluster lives.
fn build(spec: &Spec, node: &Spec, konnectivity: bool) -> Result<Vec<Value>> {
    let mut profiles = vec![("default", Map::new())];
    for profile in &spec.worker_profiles {
        match profiles.iter_mut().find(|(name, _)| *name == profile.name) {
            Some((_, values)) => merge(values, &profile.values),
            None => profiles.push((&profile.name, profile.values.clone())),
        }
    }
    profiles
        .into_iter()
        .map(|(name, values)| {
            let mut kubelet = kubelet_defaults(spec, node)?;
            merge(&mut kubelet, &values);
            let pause = spec.images.pause();
            let mut labels = common_labels(COMPONENT);
            if let Some(labels) = labels.as_object_mut() {
                labels.insert("k0s.k0sproject.io/worker-profile".to_owned(), json!(name));
            }
            let mut agents = Map::from_iter([("agentPort".to_owned(), json!(node.konnectivity.agent_port))]);
            if konnectivity {
                agents.insert("enabled".to_owned(), json!(true));
            }
            let address = crate::net::host_port(&node.api.address, node.api.port);
            Ok(json!({
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": config_map_name(name), "namespace": "kube-system", "labels": labels},
                "data": {
                    "apiServerAddresses": json!([address]).to_string(),
                    "kubeletConfiguration": Value::Object(kubelet).to_string(),
                    "konnectivity": Value::Object(agents).to_string(),
                    "pauseImage": json!({"image": pause.image, "version": pause.version}).to_string(),
                    "primaryAddressFamily": json!("IPv4").to_string(),
                },
            }))
        })
        .collect()
}

fn kubelet_defaults(spec: &Spec, node: &Spec) -> Result<Map<String, Value>> {
    let mut kubelet = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "clusterDNS": [node.service_ip(10)?],
        "clusterDomain": node.network.cluster_domain,
        "kubeReservedCgroup": "system.slice",
        "kubeletCgroups": "/system.slice/containerd.service",
        "tlsMinVersion": "VersionTLS12",
        "tlsCipherSuites": CIPHER_SUITES,
        "failSwapOn": false,
        "rotateCertificates": true,
        "serverTLSBootstrap": true,
        "eventRecordQPS": 0,
        "volumePluginDir": "/usr/libexec/k0s/kubelet-plugins/volume/exec",
    });
    let gates: Map<String, Value> = spec
        .feature_gates
        .iter()
        .filter(|gate| gate.components.is_empty() || gate.components.iter().any(|name| name == "kubelet"))
        .map(|gate| (gate.name.clone(), json!(gate.enabled)))
        .collect();
    let Some(object) = kubelet.as_object_mut() else {
        return Ok(Map::new());
    };
    if !gates.is_empty() {
        object.insert("featureGates".to_owned(), Value::Object(gates));
    }
    Ok(std::mem::take(object))
}

/// Puts values over others, object by object.
fn merge(into: &mut Map<String, Value>, from: &Map<String, Value>) {
    for (key, value) in from {
        match (into.get_mut(key), value) {
            (Some(Value::Object(old)), Value::Object(new)) => merge(old, new),
            _ => {
                into.insert(key.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::NodeConfig;

    #[test]
    fn a_profile_lies_over_the_defaults_under_its_own_name() {
        let node = NodeConfig::parse(
            "spec: {api: {address: 10.0.0.5}, workerProfiles: [{name: v1, values: {failCgroupV1: false, \
             tlsMinVersion: VersionTLS13}}]}",
        )
        .unwrap();
        let maps = build(&node.spec, &node.spec, true).unwrap();
        let names: Vec<_> = maps
            .iter()
            .map(|map| map["metadata"]["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["worker-config-default-1.36", "worker-config-v1-1.36"]);
        let kubelet: Value =
            serde_json::from_str(maps[1]["data"]["kubeletConfiguration"].as_str().unwrap()).unwrap();
        assert_eq!(kubelet["failCgroupV1"], false);
        assert_eq!(kubelet["tlsMinVersion"], "VersionTLS13");
        assert_eq!(kubelet["clusterDNS"], json!(["10.96.0.10"]));
        let agents: Value = serde_json::from_str(maps[0]["data"]["konnectivity"].as_str().unwrap()).unwrap();
        assert_eq!(agents, json!({"enabled": true, "agentPort": 8132}));
        assert_eq!(maps[0]["data"]["apiServerAddresses"], r#"["10.0.0.5:6443"]"#);
    }
}
