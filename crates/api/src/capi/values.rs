//! Values that Cluster API's kinds and ours share.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Reference to an object of a provider in the same namespace; its version follows from the contract label of its definition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["apiGroup", "kind", "name"]))]
pub struct ContractReference {
    /// API group of the object, such as infrastructure.cluster.x-k8s.io.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(min = 1, max = 253))]
    pub api_group: String,
    /// Kind of the object.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,
    /// Name of the object.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

impl ContractReference {
    /// A reference to an object of this group, kind and name.
    pub fn new(api_group: impl Into<String>, kind: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            api_group: api_group.into(),
            kind: kind.into(),
            name: name.into(),
        }
    }

    /// Whether the reference names an object of this group and kind.
    #[must_use]
    pub fn is(&self, api_group: &str, kind: &str) -> bool {
        self.api_group == api_group && self.kind == kind
    }
}

/// Host and port of an API server (contract C2, IC2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.port) || has(self.host)").message("a port needs a host"))]
pub struct Endpoint {
    /// DNS name or IP address.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(min = 1, max = 512))]
    pub host: String,
    /// Port on which the API server is reached.
    #[serde(default, skip_serializing_if = "Endpoint::is_unset")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
}

impl Endpoint {
    #[allow(clippy::trivially_copy_pass_by_ref)] // the signature that serde wants
    fn is_unset(port: &i32) -> bool {
        *port == 0
    }

    /// Host and port when both are set, which is what Cluster API calls a valid endpoint.
    #[must_use]
    pub fn address(&self) -> Option<(&str, u16)> {
        let port = u16::try_from(self.port).ok().filter(|port| *port != 0)?;
        (!self.host.is_empty()).then_some((self.host.as_str(), port))
    }
}

/// Bounds for the steps of deleting a machine, in seconds; 0 or unset waits without bound where Cluster API says so (contract C5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct MachineDeletion {
    /// Seconds to wait for pods to be evicted; 0 waits for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub node_drain_timeout_seconds: Option<i32>,
    /// Seconds to wait for volumes to be detached; 0 waits for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub node_volume_detach_timeout_seconds: Option<i32>,
    /// Seconds to try to delete the node; 0 tries for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub node_deletion_timeout_seconds: Option<i32>,
}

impl MachineDeletion {
    /// These bounds, and those of `other` where none is set.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            node_drain_timeout_seconds: self
                .node_drain_timeout_seconds
                .or(other.node_drain_timeout_seconds),
            node_volume_detach_timeout_seconds: self
                .node_volume_detach_timeout_seconds
                .or(other.node_volume_detach_timeout_seconds),
            node_deletion_timeout_seconds: self
                .node_deletion_timeout_seconds
                .or(other.node_deletion_timeout_seconds),
        }
    }

    /// Whether no bound is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// One address of a machine (contract IM4).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["address", "type"]))]
pub struct MachineAddress {
    /// What kind of address this is.
    #[serde(default, rename = "type")]
    pub type_: MachineAddressType,
    /// The address itself, of the kind that type says.
    #[serde(default)]
    #[schemars(length(min = 1, max = 256))]
    pub address: String,
}

/// Kind of an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum MachineAddressType {
    #[default]
    Hostname,
    ExternalIP,
    InternalIP,
    ExternalDNS,
    InternalDNS,
}
