//! What controllers and workers have in common.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::bootstrap::v1beta2::{ContentSource, DEFAULT_INSTALL_DIR, File, IgnitionSpec};

fn default_install_dir() -> String {
    DEFAULT_INSTALL_DIR.to_owned()
}

/// How a host is set up before and after k0s starts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostSetup {
    /// Makes the bootstrap data an Ignition config; cloud-config when not given. From v1beta2 on: provisioner.ignition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignition: Option<IgnitionSpec>,
    /// Directory on the host that holds the `k0s` binary.
    #[serde(default = "default_install_dir")]
    #[schemars(length(max = 1024))]
    pub k0s_install_dir: String,
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
    /// Further arguments for `k0s controller` or `k0s worker`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512))]
    pub args: Vec<String>,
    /// Commands to run before k0s is downloaded and started, one shell line each. From v1beta2 on: preK0sCommands.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pre_start_commands: Vec<String>,
    /// Commands to run after k0s has been started, one shell line each. From v1beta2 on: postK0sCommands.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub post_start_commands: Vec<String>,
    /// The k0s binary is on the host already: nothing is downloaded.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pre_installed_k0s: bool,
    /// Where to get the k0s binary: a http, https or oci URL. Default: the k0s project's own download service.
    #[serde(default, rename = "downloadURL", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub download_url: Option<String>,
    /// User data of your own that is appended to the generated one. From v1beta2 on: provisioner.customUserDataRef.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_user_data_ref: Option<ContentSource>,
    /// Directory on the host for k0s' configuration and token files. Default: /etc.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub working_dir: Option<String>,
}
