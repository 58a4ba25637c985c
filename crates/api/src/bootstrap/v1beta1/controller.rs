//! K0sControllerConfig: bootstrap data of one controller.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::{BootstrapStatus, K0sConfigSpec};

/// What a controller machine is set up with.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "bootstrap.cluster.x-k8s.io",
    version = "v1beta1",
    kind = "K0sControllerConfig",
    plural = "k0scontrollerconfigs",
    namespaced,
    status = "BootstrapStatus",
    doc = "Makes the bootstrap data of one k0s controller. Usually created by a K0sControlPlane.",
    deprecated = "bootstrap.cluster.x-k8s.io/v1beta1 K0sControllerConfig is deprecated; use bootstrap.cluster.x-k8s.io/v1beta2",
    derive = "PartialEq",
    label("cluster.x-k8s.io/v1beta1", "v1beta1")
)]
#[serde(rename_all = "camelCase")]
pub struct K0sControllerConfigSpec {
    /// Version of k0s, such as v1.36.3+k0s.2. Default: the version of the Machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub version: Option<String>,
    #[serde(flatten)]
    pub config: K0sConfigSpec,
}
