//! K0sWorkerConfig: bootstrap data of one worker, and the template for many.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::{BootstrapStatus, File, ProvisionerSpec, k0s_config::default_install_dir};
use crate::meta::{LabelsAndAnnotations, TemplateMetadata};

/// What a worker machine is set up with.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "bootstrap.cluster.x-k8s.io",
    version = "v1beta2",
    kind = "K0sWorkerConfig",
    plural = "k0sworkerconfigs",
    namespaced,
    status = "BootstrapStatus",
    doc = "Makes the bootstrap data of one k0s worker. Usually created from a K0sWorkerConfigTemplate.",
    derive = "PartialEq",
    label("cluster.x-k8s.io/v1beta2", "v1beta2"),
    label("cluster.x-k8s.io/provider", "bootstrap-k0smotron"),
    printcolumn(
        name = "Cluster",
        type_ = "string",
        json_path = r".metadata.labels['cluster\.x-k8s\.io/cluster-name']",
        description = "Cluster the worker belongs to"
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
#[x_kube(
    validation = Rule::new(
        "!has(self.provisioner) || self.provisioner.platform != 'windows' || !has(self.version) || self.version == '' || \
         self.version.matches('^v?([2-9]|[1-9][0-9]+|1\\\\.(3[5-9]|[4-9][0-9]|[1-9][0-9]{2,})|1\\\\.34\\\\.([2-9]|[1-9][0-9]+))([^0-9]|$)')"
    ).message("workers on Windows need k0s v1.34.2+k0s.0 or later").field_path(".version")
)]
pub struct K0sWorkerConfigSpec {
    /// Format of the bootstrap data; cloud-config for Linux when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioner: Option<ProvisionerSpec>,
    /// Directory on the host that holds the `k0s` binary.
    #[serde(default = "default_install_dir")]
    #[schemars(length(max = 1024))]
    pub k0s_install_dir: String,
    /// Version of k0s, such as v1.36.3+k0s.2. Default: the version of the Machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    #[x_kube(
        validation = Rule::new(r"self == '' || self.matches('^v?[0-9]+\\.[0-9]+\\.[0-9]+([-+][0-9A-Za-z.+-]+)?$')")
            .message("version must look like v1.36.3 or v1.36.3+k0s.2")
    )]
    pub version: Option<String>,
    /// Keeps the host's own name as the name of the node, instead of the name of the Machine.
    #[serde(default)]
    pub use_system_hostname: bool,
    /// Further files for the host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    #[x_kube(
        validation = Rule::new("self.all(f, self.exists_one(g, g.path == f.path))").message("each path may be used by one file only")
    )]
    pub files: Vec<File>,
    /// Further arguments for `k0s worker`.
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
    /// Labels and annotations for the bootstrap Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_metadata: Option<LabelsAndAnnotations>,
    /// Directory on the host for the k0s token file. Default: /etc.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub working_dir: Option<String>,
}

impl Default for K0sWorkerConfigSpec {
    fn default() -> Self {
        Self {
            provisioner: None,
            k0s_install_dir: default_install_dir(),
            version: None,
            use_system_hostname: false,
            files: Vec::new(),
            args: Vec::new(),
            pre_k0s_commands: Vec::new(),
            post_k0s_commands: Vec::new(),
            pre_installed_k0s: false,
            download_url: None,
            secret_metadata: None,
            working_dir: None,
        }
    }
}

/// Template of the K0sWorkerConfigs of a MachineDeployment or MachineSet (contract B4).
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "bootstrap.cluster.x-k8s.io",
    version = "v1beta2",
    kind = "K0sWorkerConfigTemplate",
    plural = "k0sworkerconfigtemplates",
    namespaced,
    doc = "Template of the K0sWorkerConfigs of a MachineDeployment or MachineSet.",
    derive = "PartialEq",
    label("cluster.x-k8s.io/v1beta2", "v1beta2"),
    label("cluster.x-k8s.io/provider", "bootstrap-k0smotron")
)]
#[serde(rename_all = "camelCase")]
pub struct K0sWorkerConfigTemplateSpec {
    /// What every K0sWorkerConfig made from this template gets.
    #[serde(default)]
    pub template: K0sWorkerConfigTemplateResource,
}

/// Metadata and spec of the configs to be made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct K0sWorkerConfigTemplateResource {
    /// Labels and annotations of the configs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<TemplateMetadata>,
    /// Spec of the configs.
    #[serde(default)]
    pub spec: K0sWorkerConfigSpec,
}
