//! K0sControllerConfig: bootstrap data of one controller.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::{BootstrapStatus, K0sConfigSpec};
use crate::unsupported::Fields;

/// What a controller machine is set up with.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "bootstrap.cluster.x-k8s.io",
    version = "v1beta2",
    kind = "K0sControllerConfig",
    plural = "k0scontrollerconfigs",
    namespaced,
    status = "BootstrapStatus",
    doc = "Makes the bootstrap data of one k0s controller. Usually created by a K0sControlPlane.",
    derive = "PartialEq",
    label("cluster.x-k8s.io/v1beta2", "v1beta2"),
    label("cluster.x-k8s.io/provider", "bootstrap-k0smotron"),
    printcolumn(
        name = "Cluster",
        type_ = "string",
        json_path = r".metadata.labels['cluster\.x-k8s\.io/cluster-name']",
        description = "Cluster the controller belongs to"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status",
        description = "Whether the bootstrap data exists"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct K0sControllerConfigSpec {
    /// Version of k0s, such as v1.36.3+k0s.2. Default: the version of the Machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    #[x_kube(
        validation = Rule::new(r"self == '' || self.matches('^v?[0-9]+\\.[0-9]+\\.[0-9]+([-+][0-9A-Za-z.+-]+)?$')")
            .message("version must look like v1.36.3 or v1.36.3+k0s.2")
    )]
    pub version: Option<String>,
    #[serde(flatten)]
    pub config: K0sConfigSpec,
}

impl K0sControllerConfigSpec {
    /// Paths of the fields that are set and not supported yet.
    #[must_use]
    pub fn unsupported(&self) -> Vec<String> {
        Fields::default()
            .below("spec", self.config.unsupported())
            .into_vec()
    }
}
