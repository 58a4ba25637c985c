//! What a spec asks for and this version does not do yet.
//!
//! Such a field is accepted, named by condition [`UNSUPPORTED`](crate::names::conditions::types::UNSUPPORTED), and what it stands in is
//! not written to at all until the field is gone or its feature is there. Each spec lists its own fields: `spec.unsupported()`; [`of`] asks
//! an object whose kind is not known beforehand.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    bootstrap::v1beta2::{K0sControllerConfig, K0sWorkerConfig, K0sWorkerConfigTemplate},
    control_plane::v1beta2::{
        K0sControlPlane, K0sControlPlaneTemplate, K0smotronControlPlane, K0smotronControlPlaneTemplate,
    },
    infrastructure::v1beta2::{
        PooledRemoteMachine, RemoteCluster, RemoteClusterTemplate, RemoteMachine, RemoteMachineTemplate,
    },
    k0smotron::v1beta2::{Cluster, JoinTokenRequest},
};

/// Collects the paths of fields that are set.
#[derive(Default)]
pub(crate) struct Fields(Vec<String>);

impl Fields {
    /// Adds `path` when the field is set.
    pub(crate) fn when(mut self, is_set: bool, path: impl Into<String>) -> Self {
        if is_set {
            self.0.push(path.into());
        }
        self
    }

    /// Adds what a part of the spec lists, each below `path`.
    pub(crate) fn below(mut self, path: &str, fields: Vec<String>) -> Self {
        self.0
            .extend(fields.into_iter().map(|field| format!("{path}.{field}")));
        self
    }

    pub(crate) fn into_vec(self) -> Vec<String> {
        self.0
    }
}

/// What an object of one of our kinds, at v1beta2, asks for and is not done. Templates and objects of other kinds ask for nothing.
///
/// # Errors
/// The object does not have the shape of its kind, so that no controller can read it.
pub fn of(object: &Value) -> Result<Vec<String>, serde_json::Error> {
    fn ask<K: DeserializeOwned>(
        object: &Value,
        unsupported: impl FnOnce(K) -> Vec<String>,
    ) -> Result<Vec<String>, serde_json::Error> {
        K::deserialize(object).map(unsupported)
    }
    let nothing = Vec::new;
    let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
    let (group, _) = text("apiVersion").split_once('/').unwrap_or_default();
    match (group, text("kind")) {
        ("k0smotron.io", "Cluster") => ask(object, |it: Cluster| it.spec.unsupported()),
        ("k0smotron.io", "JoinTokenRequest") => ask(object, |it: JoinTokenRequest| it.spec.unsupported()),
        ("controlplane.cluster.x-k8s.io", kind) => match kind {
            "K0sControlPlane" => ask(object, |it: K0sControlPlane| it.spec.unsupported()),
            "K0sControlPlaneTemplate" => ask(object, |_: K0sControlPlaneTemplate| nothing()),
            "K0smotronControlPlane" => ask(object, |it: K0smotronControlPlane| it.spec.plane.unsupported()),
            "K0smotronControlPlaneTemplate" => ask(object, |_: K0smotronControlPlaneTemplate| nothing()),
            _ => Ok(nothing()),
        },
        ("bootstrap.cluster.x-k8s.io", kind) => match kind {
            "K0sControllerConfig" => ask(object, |it: K0sControllerConfig| it.spec.unsupported()),
            "K0sWorkerConfig" => ask(object, |_: K0sWorkerConfig| nothing()),
            "K0sWorkerConfigTemplate" => ask(object, |_: K0sWorkerConfigTemplate| nothing()),
            _ => Ok(nothing()),
        },
        ("infrastructure.cluster.x-k8s.io", kind) => match kind {
            "RemoteCluster" => ask(object, |_: RemoteCluster| nothing()),
            "RemoteClusterTemplate" => ask(object, |_: RemoteClusterTemplate| nothing()),
            "RemoteMachine" => ask(object, |it: RemoteMachine| it.spec.unsupported()),
            "RemoteMachineTemplate" => ask(object, |_: RemoteMachineTemplate| nothing()),
            "PooledRemoteMachine" => ask(object, |it: PooledRemoteMachine| it.spec.unsupported()),
            _ => Ok(nothing()),
        },
        _ => Ok(nothing()),
    }
}

/// The message of the condition, with the remedy; `None` when every field is followed.
#[must_use]
pub fn message(fields: &[String]) -> Option<String> {
    (!fields.is_empty()).then(|| {
        format!(
            "not supported by this version yet: {}; remove or change what is named, nothing is done until then",
            fields.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_are_asked_by_their_kind() {
        let machine = |spec: Value| json!({"apiVersion": "infrastructure.cluster.x-k8s.io/v1beta2", "kind": "RemoteMachine", "metadata": {}, "spec": spec});
        assert_eq!(
            of(&machine(json!({"provisionJob": {}}))).unwrap(),
            ["spec.provisionJob"]
        );
        assert_eq!(of(&machine(json!({"pool": "a"}))).unwrap(), [""; 0]);
        assert!(of(&machine(json!({"port": "ssh"}))).is_err());
        // Cluster API's own Cluster, not ours.
        assert_eq!(
            of(&json!({"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Cluster"})).unwrap(),
            [""; 0]
        );
    }

    #[test]
    fn fields_are_named_with_their_paths() {
        let fields = Fields::default()
            .when(true, "spec.replicas: 3")
            .when(false, "spec.rollout")
            .below("spec.k0sConfigSpec", vec!["tunneling.enabled: true".to_owned()])
            .into_vec();
        assert_eq!(
            fields,
            ["spec.replicas: 3", "spec.k0sConfigSpec.tunneling.enabled: true"]
        );
        assert!(
            message(&fields)
                .unwrap()
                .contains("spec.replicas: 3, spec.k0sConfigSpec.tunneling")
        );
        assert_eq!(message(&[]), None);
    }
}
