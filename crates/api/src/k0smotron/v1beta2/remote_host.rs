//! Another cluster that the pods of a control plane run in.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::k0smotron::DEFAULT_KUBECONFIG_KEY;

/// Another cluster that the pods of a control plane run in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RemoteHostClusterSpec {
    /// Secret with the kubeconfig of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeconfig_ref: Option<KubeconfigRef>,
}

/// Secret with the kubeconfig of a hosting cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["name", "namespace"]))]
pub struct KubeconfigRef {
    /// Name of the Secret.
    #[serde(default)]
    pub name: String,
    /// Namespace of the Secret.
    #[serde(default)]
    pub namespace: String,
    /// Key of the kubeconfig in the Secret.
    #[serde(default = "KubeconfigRef::default_key")]
    pub key: String,
}

impl KubeconfigRef {
    fn default_key() -> String {
        DEFAULT_KUBECONFIG_KEY.to_owned()
    }
}
