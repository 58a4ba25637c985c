//! Where k0s keeps things, and the versions and names that its files and objects carry.
//!
//! Every path follows from the data directory; run-time files of root live under `/run/k0s`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// The release that this binary plays.
const K0S_VERSION: &str = "v1.36.3+k0s.2";
/// `major.minor` of Kubernetes, as it appears in the names of the worker configuration objects.
pub const KUBERNETES_MINOR: &str = "1.36";
/// Where k0s looks for its configuration when no `--config` is given.
pub const DEFAULT_CONFIG: &str = "/etc/k0s/k0s.yaml";
/// Default of `--data-dir`.
pub const DEFAULT_DATA_DIR: &str = "/var/lib/k0s";
/// Directory of pid files, sockets and the run-time configuration.
pub const RUN_DIR: &str = "/run/k0s";
/// Cipher suites that k0s hands to every component.
pub const CIPHER_SUITES: [&str; 6] = [
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
];

/// The release that this binary plays. A test makes another release of it, to update to, by writing another version of
/// the same length over this one in a copy of the executable; so the compiler must not compute with it.
pub fn k0s_version() -> &'static str {
    std::hint::black_box(K0S_VERSION)
}

/// The paths of one k0s instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Paths {
    pub data_dir: PathBuf,
    pub kubelet_root_dir: PathBuf,
    pub run_dir: PathBuf,
    pub status_socket_path: PathBuf,
    /// The configuration file that was given, or the default one.
    pub startup_config_path: PathBuf,
}

impl Paths {
    /// Paths for the given flags; anything not given takes k0s' default, and relative paths become absolute.
    pub fn new(
        data_dir: Option<&Path>,
        kubelet_root_dir: Option<&Path>,
        config: Option<&Path>,
        status_socket: Option<&Path>,
    ) -> Result<Self> {
        let absolute = |path: &Path| {
            std::path::absolute(path).with_context(|| format!("{} cannot be made absolute", path.display()))
        };
        let data_dir = absolute(data_dir.unwrap_or_else(|| Path::new(DEFAULT_DATA_DIR)))?;
        let run_dir = PathBuf::from(RUN_DIR);
        Ok(Self {
            kubelet_root_dir: match kubelet_root_dir {
                Some(given) => absolute(given)?,
                None => data_dir.join("kubelet"),
            },
            status_socket_path: status_socket.map_or_else(|| run_dir.join("status.sock"), Path::to_path_buf),
            startup_config_path: config.map_or_else(|| PathBuf::from(DEFAULT_CONFIG), Path::to_path_buf),
            data_dir,
            run_dir,
        })
    }

    pub fn bin_dir(&self) -> PathBuf {
        self.data_dir.join("bin")
    }

    pub fn pki_dir(&self) -> PathBuf {
        self.data_dir.join("pki")
    }

    /// A file below the PKI directory, such as `etcd/ca.crt`.
    pub fn pki(&self, name: &str) -> PathBuf {
        self.pki_dir().join(name)
    }

    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.pki("admin.conf")
    }

    pub fn etcd_data_dir(&self) -> PathBuf {
        self.data_dir.join("etcd")
    }

    /// The file whose presence tells k0s that this host's etcd is a member already.
    pub fn etcd_database(&self) -> PathBuf {
        self.etcd_data_dir().join("member/snap/db")
    }

    /// kine's socket; the odd end of its name is k0s' own.
    pub fn kine_socket(&self) -> PathBuf {
        self.run_dir.join("kine/kine.sock:2379")
    }

    /// Each directory in it is a stack of objects that k0s applies.
    pub fn manifests_dir(&self) -> PathBuf {
        self.data_dir.join("manifests")
    }

    /// What tells the API server to reach nodes through konnectivity.
    pub fn egress_config(&self) -> PathBuf {
        self.data_dir.join("konnectivity.conf")
    }

    pub fn konnectivity_socket(&self) -> PathBuf {
        self.run_dir.join("konnectivity-server/konnectivity-server.sock")
    }

    pub fn kubelet_kubeconfig(&self) -> PathBuf {
        self.data_dir.join("kubelet.conf")
    }

    /// The run-time configuration; its `.lock` neighbour is held while k0s runs.
    pub fn runtime_config(&self) -> PathBuf {
        self.run_dir.join("k0s.yaml")
    }

    pub fn containerd_socket(&self) -> PathBuf {
        self.run_dir.join("containerd.sock")
    }

    /// An executable by name: the instance's own `bin` first, then `PATH`, as k0s does for bare builds.
    pub fn executable(&self, name: &str) -> Result<PathBuf> {
        let own = self.bin_dir().join(name);
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::iter::once(own)
            .chain(std::env::split_paths(&path).map(|directory| directory.join(name)))
            .find(|candidate| candidate.is_file())
            .with_context(|| format!("{name} is neither in {} nor in PATH", self.bin_dir().display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_follows_from_the_data_directory() {
        let paths = Paths::new(Some(Path::new("/srv/k0s")), None, None, None).unwrap();
        assert_eq!(paths.kubelet_root_dir, Path::new("/srv/k0s/kubelet"));
        assert_eq!(paths.pki("etcd/ca.crt"), Path::new("/srv/k0s/pki/etcd/ca.crt"));
        assert_eq!(paths.startup_config_path, Path::new("/etc/k0s/k0s.yaml"));
        assert_eq!(paths.status_socket_path, Path::new("/run/k0s/status.sock"));
    }
}
