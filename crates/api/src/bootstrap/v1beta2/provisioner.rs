//! In which format bootstrap data is written, and for which platform.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ContentSource;
use crate::unsupported::Fields;

/// Format and platform of the bootstrap data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProvisionerSpec {
    /// Format of the bootstrap data; also written to key `format` of the bootstrap Secret, where infrastructure providers look for it.
    #[serde(default, rename = "type")]
    pub type_: ProvisionerType,
    /// Platform of the host, which decides the commands.
    #[serde(default)]
    pub platform: Platform,
    /// Settings for type `ignition`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignition: Option<IgnitionSpec>,
    /// User data of your own that is merged into the generated one: cloud-config, or a PowerShell script. For Ignition see
    /// ignition.additionalConfig.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_user_data_ref: Option<ContentSource>,
}

/// Format of bootstrap data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProvisionerType {
    #[default]
    CloudConfig,
    Ignition,
    Powershell,
    PowershellXml,
}

/// Platform of a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    #[default]
    Linux,
    Windows,
}

/// Settings for Ignition, given as Butane.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["variant", "version"]))]
pub struct IgnitionSpec {
    /// Butane variant of the host's operating system.
    #[serde(default)]
    pub variant: IgnitionVariant,
    /// Version of the Butane specification, such as "1.5.0".
    #[serde(default)]
    #[schemars(length(min = 1, max = 64))]
    pub version: String,
    /// Butane YAML that is merged over the generated one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub additional_config: Option<String>,
}

/// Butane variant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum IgnitionVariant {
    #[default]
    Fcos,
    Flatcar,
    Openshift,
    R4e,
    Fiot,
}

impl ProvisionerSpec {
    /// Paths below the provisioner of what is set and not supported for controllers: k0s has none on Windows.
    pub(super) fn unsupported_for_controllers(&self) -> Vec<String> {
        let power_shell = [ProvisionerType::Powershell, ProvisionerType::PowershellXml];
        Fields::default()
            .when(
                power_shell.contains(&self.type_),
                format!("type: {}", self.type_.as_str()),
            )
            .when(self.platform == Platform::Windows, "platform: windows")
            .into_vec()
    }
}

impl IgnitionVariant {
    /// The value as it is written in manifests and in Butane.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fcos => "fcos",
            Self::Flatcar => "flatcar",
            Self::Openshift => "openshift",
            Self::R4e => "r4e",
            Self::Fiot => "fiot",
        }
    }
}

impl ProvisionerType {
    /// The value as it is written in manifests and in the bootstrap Secret's key `format`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CloudConfig => "cloud-config",
            Self::Ignition => "ignition",
            Self::Powershell => "powershell",
            Self::PowershellXml => "powershell-xml",
        }
    }
}
