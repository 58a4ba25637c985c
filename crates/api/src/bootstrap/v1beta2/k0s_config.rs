//! How k0s is set up on a controller: shared by K0sControllerConfig and the control plane that makes it.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{File, ProvisionerSpec};
use crate::meta::LabelsAndAnnotations;
use crate::unsupported::Fields;

/// Directory of the k0s binary when none is given.
pub const DEFAULT_INSTALL_DIR: &str = "/usr/local/bin";

pub(super) fn default_install_dir() -> String {
    DEFAULT_INSTALL_DIR.to_owned()
}

/// How k0s is set up on a controller.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct K0sConfigSpec {
    /// Format of the bootstrap data; cloud-config when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioner: Option<ProvisionerSpec>,
    /// Directory on the host that holds the `k0s` binary.
    #[serde(default = "default_install_dir")]
    #[schemars(length(max = 1024))]
    pub k0s_install_dir: String,
    /// The k0s ClusterConfig. Changes reach running clusters through k0s' dynamic configuration and never replace machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::free_form_object")]
    pub k0s: Option<serde_json::Value>,
    /// Further files for the host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    #[x_kube(
        validation = Rule::new("self.all(f, self.exists_one(g, g.path == f.path))").message("each path may be used by one file only")
    )]
    pub files: Vec<File>,
    /// Keeps the host's own name as the name of the node, instead of the name of the Machine.
    #[serde(default)]
    pub use_system_hostname: bool,
    /// Further arguments for `k0s controller`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512))]
    pub args: Vec<String>,
    /// Commands to run before k0s is downloaded and started, one shell line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pre_k0s_commands: Vec<String>,
    /// Commands to run after k0s has been started, one shell line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub post_k0s_commands: Vec<String>,
    /// The k0s binary is on the host already: nothing is downloaded.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pre_installed_k0s: bool,
    /// Where to get the k0s binary: a http, https or oci URL. Default: the k0s project's own download service.
    #[serde(default, rename = "downloadURL", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    #[x_kube(
        validation = Rule::new("self == '' || self.matches('^(https?|oci)://.')")
            .message("downloadURL must be a http://, https:// or oci:// URL")
    )]
    pub download_url: Option<String>,
    /// Reaches the API of a control plane without a route to it through a tunnel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tunneling: Option<TunnelingSpec>,
    /// Labels and annotations for the bootstrap Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_metadata: Option<LabelsAndAnnotations>,
    /// Directory on the host for k0s' configuration and token files. Default: /etc.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub working_dir: Option<String>,
}

impl K0sConfigSpec {
    /// Paths below this of what is set and not supported yet.
    #[must_use]
    pub fn unsupported(&self) -> Vec<String> {
        let provisioner = self.provisioner.as_ref();
        let provisioner = provisioner.map(ProvisionerSpec::unsupported_for_controllers);
        let tunneling = self.tunneling.as_ref().is_some_and(|tunneling| tunneling.enabled);
        Fields::default()
            .below("provisioner", provisioner.unwrap_or_default())
            .when(tunneling, "tunneling.enabled: true")
            .into_vec()
    }
}

impl Default for K0sConfigSpec {
    fn default() -> Self {
        Self {
            provisioner: None,
            k0s_install_dir: default_install_dir(),
            k0s: None,
            files: Vec::new(),
            use_system_hostname: false,
            args: Vec::new(),
            pre_k0s_commands: Vec::new(),
            post_k0s_commands: Vec::new(),
            pre_installed_k0s: false,
            download_url: None,
            tunneling: None,
            secret_metadata: None,
            working_dir: None,
        }
    }
}

/// A tunnel from the control plane to the management cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TunnelingSpec {
    /// Switches the tunnel on.
    #[serde(default)]
    pub enabled: bool,
    /// Address under which the nodes reach the management cluster's node ports; detected when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub server_address: Option<String>,
    /// Node port that the tunnel's client connects to.
    #[serde(default = "TunnelingSpec::default_server_node_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub server_node_port: i32,
    /// Node port that carries the API through the tunnel.
    #[serde(default = "TunnelingSpec::default_tunneling_node_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub tunneling_node_port: i32,
    /// Whether the tunnel carries the API's port or acts as a proxy.
    #[serde(default)]
    pub mode: TunnelingMode,
}

impl TunnelingSpec {
    fn default_server_node_port() -> i32 {
        31700
    }

    fn default_tunneling_node_port() -> i32 {
        31443
    }
}

impl Default for TunnelingSpec {
    fn default() -> Self {
        Self {
            enabled: false,
            server_address: None,
            server_node_port: Self::default_server_node_port(),
            tunneling_node_port: Self::default_tunneling_node_port(),
            mode: TunnelingMode::default(),
        }
    }
}

/// How the tunnel is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TunnelingMode {
    #[default]
    Tunnel,
    Proxy,
}
