//! K0sControlPlane: a control plane whose controllers run on Machines.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{K0sControlPlaneStatus, MachineNaming, MachineTemplate, Remediation, Rollout};
use crate::bootstrap::v1beta2::K0sConfigSpec;
use crate::meta::LabelsAndAnnotations;
use crate::unsupported::Fields;

/// A control plane whose controllers run on Machines.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "controlplane.cluster.x-k8s.io",
    version = "v1beta2",
    kind = "K0sControlPlane",
    plural = "k0scontrolplanes",
    namespaced,
    status = "K0sControlPlaneStatus",
    doc = "A k0s control plane whose controllers run on Machines.",
    derive = "PartialEq",
    label("cluster.x-k8s.io/v1beta2", "v1beta2"),
    label("cluster.x-k8s.io/provider", "control-plane-k0smotron"),
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(
        name = "Cluster",
        type_ = "string",
        json_path = r".metadata.labels['cluster\.x-k8s\.io/cluster-name']",
        description = "Cluster the control plane belongs to"
    ),
    printcolumn(
        name = "Desired",
        type_ = "integer",
        json_path = ".spec.replicas",
        priority = 10,
        description = "Machines asked for"
    ),
    printcolumn(
        name = "Replicas",
        type_ = "integer",
        json_path = ".status.replicas",
        description = "Machines that are not being deleted"
    ),
    printcolumn(
        name = "Ready",
        type_ = "integer",
        json_path = ".status.readyReplicas",
        description = "Machines that are ready"
    ),
    printcolumn(
        name = "UpToDate",
        type_ = "integer",
        json_path = ".status.upToDateReplicas",
        description = "Machines that match the spec"
    ),
    printcolumn(
        name = "Available",
        type_ = "integer",
        json_path = ".status.availableReplicas",
        description = "Machines that are available"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Version",
        type_ = "string",
        json_path = ".spec.version",
        description = "Version of k0s asked for"
    )
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["k0sConfigSpec", "machineTemplate", "version"]))]
#[x_kube(
    validation = Rule::new("self.updateStrategy != 'Recreate' || !has(self.k0sConfigSpec.args) || !('--single' in self.k0sConfigSpec.args)")
        .message("updateStrategy Recreate adds a second controller, which --single cannot have; use InPlace or remove --single")
        .field_path(".updateStrategy")
)]
pub struct K0sControlPlaneSpec {
    /// Number of controllers.
    #[serde(default = "K0sControlPlaneSpec::default_replicas")]
    #[schemars(range(min = 1))]
    pub replicas: i32,
    /// How changes reach existing controllers: in place where possible, or by replacing machines.
    #[serde(default)]
    pub update_strategy: UpdateStrategy,
    /// Version of k0s, such as v1.36.3+k0s.2.
    #[serde(default)]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(
        validation = Rule::new(r"self.matches('^v?[0-9]+\\.[0-9]+\\.[0-9]+([-+][0-9A-Za-z.+-]+)?$')")
            .message("version must look like v1.36.3 or v1.36.3+k0s.2"),
        validation = Rule::new(r"!self.matches('^v?1\\.31\\.1([-+]|$)')")
            .message("k0s v1.31.1 cannot run control planes on machines; use v1.31.2+k0s.0 or later"),
        validation = Rule::new(
            r"[self, oldSelf].exists(v, !v.matches('^v?[0-9]{1,5}\\.[0-9]{1,5}\\.')) || self.replace('v', '').split('.')[0] != oldSelf.replace('v', '').split('.')[0] || int(self.split('.')[1]) - int(oldSelf.split('.')[1]) <= 1"
        ).message("version may move up by one minor version at a time; upgrade to the next minor version first")
    )]
    pub version: String,
    /// How k0s is set up on the controllers.
    #[serde(default)]
    #[x_kube(
        validation = Rule::new(
            "!has(self.provisioner) || \
             (self.provisioner.platform != 'windows' && !self.provisioner.type.startsWith('powershell'))"
        ).message("controllers run on Linux only; set provisioner.platform to linux and provisioner.type to cloud-config or ignition")
    )]
    pub k0s_config_spec: K0sConfigSpec,
    /// What the Machines are made from.
    #[serde(default)]
    pub machine_template: MachineTemplate,
    /// Labels and annotations for the kubeconfig Secrets, set when a Secret is created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeconfig_secret_metadata: Option<LabelsAndAnnotations>,
    /// When Machines are replaced although nothing of them has changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// How often, and how soon again, unhealthy Machines are replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remediation: Option<Remediation>,
    /// How Machines, and what belongs to them, are named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_naming: Option<MachineNaming>,
}

impl K0sControlPlaneSpec {
    fn default_replicas() -> i32 {
        1
    }

    /// Paths of the fields that are set and not supported yet.
    #[must_use]
    pub fn unsupported(&self) -> Vec<String> {
        Fields::default()
            .below("spec.k0sConfigSpec", self.k0s_config_spec.unsupported())
            .into_vec()
    }
}

/// How changes reach existing controllers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum UpdateStrategy {
    #[default]
    InPlace,
    Recreate,
    RecreateDeleteFirst,
}
