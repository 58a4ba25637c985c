//! Security contexts of Pods and containers.

use k8s_openapi::api::core::v1;
use schemars::JsonSchema;

use super::Foreign;

/// Rights of all containers of a Pod, and what its volumes are owned by.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, rename_all = "camelCase")]
pub struct PodSecurityContext {
    /// User that the containers run as, by number.
    pub run_as_user: Option<i64>,
    /// Group that the containers run as, by number.
    pub run_as_group: Option<i64>,
    /// Containers that would run as root are not started.
    pub run_as_non_root: Option<bool>,
    /// Group that volumes are made to belong to, by number.
    pub fs_group: Option<i64>,
    /// When ownership of volumes is changed: OnRootMismatch or Always. Default: Always.
    pub fs_group_change_policy: Option<String>,
    /// Further groups of the containers, by number.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub supplemental_groups: Option<Vec<i64>>,
    /// Whether groups from the image's /etc/group are added: Merge or Strict. Default: Merge.
    pub supplemental_groups_policy: Option<String>,
    /// Which system calls are allowed.
    pub seccomp_profile: Option<SeccompProfile>,
    /// AppArmor profile of the containers.
    pub app_armor_profile: Option<AppArmorProfile>,
    /// SELinux label of the containers.
    pub se_linux_options: Option<SeLinuxOptions>,
    /// How the SELinux label reaches volumes: MountOption or Recursive.
    #[schemars(rename = "seLinuxChangePolicy")]
    pub se_linux_change_policy: Option<String>,
    /// Kernel parameters of the Pod's namespaces.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub sysctls: Option<Vec<Sysctl>>,
}

impl Foreign for PodSecurityContext {
    type Core = v1::PodSecurityContext;
}

/// Rights of one container; they win over those of the Pod.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, rename_all = "camelCase")]
pub struct SecurityContext {
    /// User that the container runs as, by number.
    pub run_as_user: Option<i64>,
    /// Group that the container runs as, by number.
    pub run_as_group: Option<i64>,
    /// A container that would run as root is not started.
    pub run_as_non_root: Option<bool>,
    /// Whether a process may gain more rights than its parent has.
    pub allow_privilege_escalation: Option<bool>,
    /// Whether the container has all rights of the node.
    pub privileged: Option<bool>,
    /// Whether the root of the file system can only be read.
    pub read_only_root_filesystem: Option<bool>,
    /// How /proc is mounted: Default or Unmasked.
    pub proc_mount: Option<String>,
    /// Capabilities given and taken away.
    pub capabilities: Option<Capabilities>,
    /// Which system calls are allowed.
    pub seccomp_profile: Option<SeccompProfile>,
    /// AppArmor profile of the container.
    pub app_armor_profile: Option<AppArmorProfile>,
    /// SELinux label of the container.
    pub se_linux_options: Option<SeLinuxOptions>,
}

impl Foreign for SecurityContext {
    type Core = v1::SecurityContext;
}

/// Capabilities of a container.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, rename_all = "camelCase")]
pub struct Capabilities {
    /// Capabilities to give, such as NET_BIND_SERVICE.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub add: Option<Vec<String>>,
    /// Capabilities to take away; ALL for all of them.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub drop: Option<Vec<String>>,
}

/// Seccomp profile.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, rename_all = "camelCase")]
pub struct SeccompProfile {
    /// RuntimeDefault, Unconfined or Localhost.
    pub r#type: String,
    /// File on the node, for type Localhost.
    pub localhost_profile: Option<String>,
}

/// AppArmor profile.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, rename_all = "camelCase")]
pub struct AppArmorProfile {
    /// RuntimeDefault, Unconfined or Localhost.
    pub r#type: String,
    /// Profile that is loaded on the node, for type Localhost.
    pub localhost_profile: Option<String>,
}

/// SELinux label.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, rename_all = "camelCase")]
pub struct SeLinuxOptions {
    /// Level part of the label.
    pub level: Option<String>,
    /// Role part of the label.
    pub role: Option<String>,
    /// Type part of the label.
    pub r#type: Option<String>,
    /// User part of the label.
    pub user: Option<String>,
}

/// A kernel parameter.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, rename_all = "camelCase")]
pub struct Sysctl {
    /// Name, such as net.ipv4.ip_local_port_range.
    pub name: String,
    /// Value to set.
    pub value: String,
}
