//! How k0s is set up on a controller: shared by K0sControllerConfig and the control plane that makes it.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::HostSetup;
use crate::bootstrap::v1beta2::TunnelingSpec;

/// How k0s is set up on a controller.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct K0sConfigSpec {
    /// The k0s ClusterConfig. Changes reach running clusters through k0s' dynamic configuration and never replace machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::free_form_object")]
    pub k0s: Option<serde_json::Value>,
    /// Reaches the API of a control plane without a route to it through a tunnel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tunneling: Option<TunnelingSpec>,
    #[serde(flatten)]
    pub host: HostSetup,
}
