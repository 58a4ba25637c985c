//! The way to a host and what is trusted on it: shared by RemoteMachine, its template and pool entries.

use kube::{KubeSchema, core::Rule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::machine::{default_port, default_user};
use crate::unsupported::Fields;

/// Secret with the key to log in with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["name"]))]
pub struct SshKeyReference {
    /// Name of the Secret, whose key "value" holds the SSH private key. Empty, as other releases store it for hosts of pools, counts as
    /// no reference.
    #[serde(default)]
    #[schemars(length(max = 253))]
    pub name: String,
    /// Key of the Secret that holds an OpenSSH certificate of the private key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub certificate_key: Option<String>,
    /// Key of the Secret that holds the passphrase of the private key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub passphrase_key: Option<String>,
}

/// What a host has to prove that it is; any one of these is enough.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct HostKeys {
    /// Fingerprints of the host's keys as ssh-keygen -l prints them: SHA256:... , or with the algorithm before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        inner(
            length(max = 256),
            regex(pattern = r"^([a-z0-9@.-]+ +)?SHA256:[A-Za-z0-9+/]{43}=?$")
        )
    )]
    pub fingerprints: Vec<String>,
    /// Lines of a known_hosts file, as ssh-keyscan prints them. Lines for other hosts have no effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65536))]
    pub known_hosts: Option<String>,
    /// Public keys of authorities whose host certificates are accepted, such as "ssh-ed25519 AAAA...".
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 8192)))]
    pub authorities: Vec<String>,
}

/// A host to go through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["address"]))]
pub struct JumpHost {
    /// IP address or DNS name of the host, as seen from the one before it.
    #[serde(default)]
    #[schemars(length(min = 1, max = 253))]
    pub address: String,
    /// SSH port of the host.
    #[serde(default = "default_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// User to log in as.
    #[serde(default = "default_user")]
    #[schemars(length(max = 256))]
    pub user: String,
    /// Secret in the same namespace with the SSH private key for this host; the machine's own when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh_key_ref: Option<SshKeyReference>,
    /// What the host has to prove that it is. Without it the key that it shows first is kept, and no other accepted afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_keys: Option<HostKeys>,
}

impl Default for JumpHost {
    fn default() -> Self {
        Self {
            address: String::new(),
            port: default_port(),
            user: default_user(),
            ssh_key_ref: None,
            host_keys: None,
        }
    }
}

/// How commands become root on a host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["method"]))]
#[x_kube(
    validation = Rule::new("!has(self.passwordRef) || self.method != 'none'")
        .message("a password needs a method that asks for it; set method to sudo or doas, or remove passwordRef")
)]
pub struct ElevationSettings {
    /// none runs commands as the user who logs in; sudo and doas run them as root. Has no effect for the user root.
    #[serde(default)]
    pub method: ElevationMethod,
    /// Key of a Secret in the same namespace with the user's password; none is needed when the host asks for none. For sudo only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_ref: Option<PasswordReference>,
}

impl ElevationSettings {
    /// Paths below this of what is set and not supported yet.
    pub(super) fn unsupported(&self) -> Vec<String> {
        Fields::default()
            // It reads passwords from a terminal only.
            .when(
                self.method == ElevationMethod::Doas && self.password_ref.is_some(),
                "passwordRef",
            )
            .into_vec()
    }

    /// Refuses `elevation` beside a `useSudo` that says something else.
    pub(super) fn same_as_use_sudo() -> Rule {
        Rule::new(
            "!has(self.elevation) || !has(self.useSudo) || !self.useSudo || self.elevation.method == 'sudo'",
        )
        .message("useSudo and elevation.method say different things; remove useSudo")
        .field_path(".useSudo")
    }
}

/// How commands become root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ElevationMethod {
    None,
    #[default]
    Sudo,
    Doas,
}

/// One key of a Secret in the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["key", "name"]))]
pub struct PasswordReference {
    /// Name of the Secret.
    #[serde(default)]
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key in the Secret's data.
    #[serde(default)]
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// A file that the manager fetches and puts on a host, such as the k0s binary or a bundle of images.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["path", "url"]))]
pub struct Upload {
    /// Where the manager gets the file: a http, https or oci URL, or file:/// for a volume of the manager.
    #[serde(default)]
    #[schemars(length(min = 1, max = 2048), regex(pattern = r"^(https?|oci|file)://."))]
    pub url: String,
    /// SHA-256 checksum of the file in hexadecimal digits. Without it the file is taken as it comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9a-f]{64}$"))]
    pub sha256: Option<String>,
    /// Where the file goes on the host, as an absolute path, such as /usr/local/bin/k0s.
    #[serde(default)]
    #[schemars(length(min = 1, max = 1024), regex(pattern = r"^/[^\n]*[^/\n]$"))]
    pub path: String,
    /// Permissions as an octal string such as "0755"; "0644" when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^(0o)?[0-7]{3,4}$"))]
    pub permissions: Option<String>,
}
