//! ConfigMaps: k0s' configuration, and what k0s applies to the cluster.

use k0smotron_api::k0smotron::v1beta2::Cluster;
use serde_json::{Value, json};

use super::{Kind, Object, k0s, metadata};
use crate::k0smotron_cluster::names::{self, Component, Names};

/// Key under which pods of earlier releases, and users, find the configuration.
const EARLIER_KEY: &str = "K0SMOTRON_K0S_YAML";

fn config_map(plane: &Cluster, names: &Names, name: String, component: Component, data: Value) -> Object {
    let metadata = metadata(plane, names, &name, names::base(plane), component);
    Object {
        kind: Kind::ConfigMap,
        value: json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}),
        name,
    }
}

/// As YAML; JSON is YAML too, and is what is left where that is not to be had.
fn yaml(value: &Value) -> String {
    serde_yaml::to_string(value).unwrap_or_else(|_| value.to_string())
}

/// k0s' configuration.
pub fn config(plane: &Cluster, names: &Names, [ours, earlier]: &[Value; 2]) -> Object {
    let data = json!({k0s::CONFIG_KEY: yaml(ours), EARLIER_KEY: yaml(earlier)});
    config_map(plane, names, names.config(), Component::ClusterConfig, data)
}

/// Tells k0s' telemetry who hosts it; without effect when telemetry is off.
pub fn telemetry(plane: &Cluster, names: &Names) -> Object {
    let manifest = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "k0s-telemetry", "namespace": "kube-system"},
        "data": {"provider": "k0smotron"},
    });
    let data = json!({"configmap.yaml": yaml(&manifest)});
    config_map(plane, names, names.telemetry(), Component::Telemetry, data)
}

/// Tells the cluster where its own API server is, which networks need that do without kube-proxy.
pub fn endpoint(plane: &Cluster, names: &Names, address: &str) -> Object {
    let manifest = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "control-plane-endpoint", "namespace": "kube-system"},
        "data": {
            "apiServerHost": address,
            "apiServerPort": plane.spec.service.api_port.to_string(),
        },
    });
    let data = json!({"endpoint.yaml": yaml(&manifest)});
    config_map(plane, names, names.endpoint(), Component::ControlPlane, data)
}
