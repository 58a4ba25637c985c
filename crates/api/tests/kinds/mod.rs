//! Objects of any kind through their Rust types.

use k0smotron_api::{
    bootstrap::v1beta2::{K0sControllerConfig, K0sWorkerConfig, K0sWorkerConfigTemplate},
    control_plane::v1beta2::{
        K0sControlPlane, K0sControlPlaneTemplate, K0smotronControlPlane, K0smotronControlPlaneTemplate,
    },
    infrastructure::v1beta2::{
        PooledRemoteMachine, RemoteCluster, RemoteClusterTemplate, RemoteMachine, RemoteMachineTemplate,
    },
    k0smotron::v1beta2::{Cluster, JoinTokenRequest},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// Decodes by kind and gives back what the type would write.
pub fn through_type(document: &Value) -> Result<Value, serde_json::Error> {
    fn through<T: Serialize + DeserializeOwned>(document: &Value) -> Result<Value, serde_json::Error> {
        serde_json::to_value(serde_json::from_value::<T>(document.clone())?)
    }
    match document["kind"].as_str().unwrap() {
        "Cluster" => through::<Cluster>(document),
        "JoinTokenRequest" => through::<JoinTokenRequest>(document),
        "K0smotronControlPlane" => through::<K0smotronControlPlane>(document),
        "K0smotronControlPlaneTemplate" => through::<K0smotronControlPlaneTemplate>(document),
        "K0sControlPlane" => through::<K0sControlPlane>(document),
        "K0sControlPlaneTemplate" => through::<K0sControlPlaneTemplate>(document),
        "K0sControllerConfig" => through::<K0sControllerConfig>(document),
        "K0sWorkerConfig" => through::<K0sWorkerConfig>(document),
        "K0sWorkerConfigTemplate" => through::<K0sWorkerConfigTemplate>(document),
        "RemoteCluster" => through::<RemoteCluster>(document),
        "RemoteClusterTemplate" => through::<RemoteClusterTemplate>(document),
        "RemoteMachine" => through::<RemoteMachine>(document),
        "RemoteMachineTemplate" => through::<RemoteMachineTemplate>(document),
        "PooledRemoteMachine" => through::<PooledRemoteMachine>(document),
        other => panic!("no type for kind {other}"),
    }
}

/// Everything in `written` is in `kept`, unchanged; `kept` may have defaults beside it.
pub fn assert_kept(written: &Value, kept: &Value, path: &str) {
    match (written, kept) {
        (Value::Object(written), Value::Object(kept)) => {
            for (key, value) in written {
                match kept.get(key) {
                    Some(kept) => assert_kept(value, kept, &format!("{path}.{key}")),
                    // What says nothing may be left out.
                    None => assert!(
                        [json!(false), json!(""), json!({}), json!([])].contains(value),
                        "{path}.{key} is lost: {value}"
                    ),
                }
            }
        }
        (Value::Array(written), Value::Array(kept)) => {
            assert_eq!(written.len(), kept.len(), "{path}");
            written
                .iter()
                .zip(kept)
                .for_each(|(written, kept)| assert_kept(written, kept, path));
        }
        _ => assert_eq!(written, kept, "{path}"),
    }
}
