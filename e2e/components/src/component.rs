//! What can be built, and how each differs from a plain `go install`.

use std::fmt;
use std::path::PathBuf;

/// One upstream project, built as one unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Component {
    /// kube-apiserver, kube-controller-manager, kube-scheduler, kubelet, kube-proxy, kubectl.
    Kubernetes,
    /// etcd and etcdctl.
    Etcd,
    /// containerd, containerd-shim-runc-v2 and ctr; runc itself is a package of the host.
    Containerd,
    /// `cluster-api-core` (the core manager), clusterctl, and under `share/` the core manifests of the same version.
    ClusterApi,
    /// kine, with SQLite in it.
    Kine,
    /// CoreDNS with the plugins that k0s' configuration of it names.
    CoreDns,
    /// konnectivity-server and proxy-agent.
    Konnectivity,
    /// butane and ignition-validate, which say what they think of our Ignition configs.
    Ignition,
}

/// Files of a Go module that are kept beside the binaries, so that a warm cache needs no module cache.
pub(crate) struct Share {
    pub(crate) module: &'static str,
    /// File or directory inside the module; copied to `share/<path>`.
    pub(crate) path: &'static str,
}

impl Component {
    /// In the order of their use: what the management plane needs comes first.
    pub const ALL: [Self; 8] = [
        Self::Etcd,
        Self::Kubernetes,
        Self::ClusterApi,
        Self::Containerd,
        Self::Kine,
        Self::CoreDns,
        Self::Konnectivity,
        Self::Ignition,
    ];

    /// Directory under `e2e/upstream`, and first half of the name in the cache.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Kubernetes => "kubernetes",
            Self::Etcd => "etcd",
            Self::Containerd => "containerd",
            Self::ClusterApi => "cluster-api",
            Self::Kine => "kine",
            Self::CoreDns => "coredns",
            Self::Konnectivity => "konnectivity",
            Self::Ignition => "ignition",
        }
    }

    /// The upstream version that the Go module pins, with leading `v`; a test compares it with the module files.
    #[must_use]
    pub fn version(self) -> &'static str {
        match self {
            Self::Kubernetes => "v1.36.3",
            Self::Etcd => "v3.6.14",
            Self::Containerd => "v2.3.3",
            Self::ClusterApi => "v1.14.0",
            Self::Kine => "v0.16.3",
            Self::CoreDns => "v1.12.0",
            Self::Konnectivity => "v0.36.0",
            Self::Ignition => "v2.24.0",
        }
    }

    /// The Go module whose version is [`Self::version`].
    #[cfg(test)]
    pub(crate) fn main_module(self) -> &'static str {
        match self {
            Self::Kubernetes => "k8s.io/kubernetes",
            Self::Etcd => "go.etcd.io/etcd/server/v3",
            Self::Containerd => "github.com/containerd/containerd/v2",
            Self::ClusterApi => "sigs.k8s.io/cluster-api",
            Self::Kine => "github.com/k3s-io/kine",
            Self::CoreDns => "github.com/coredns/coredns",
            Self::Konnectivity => "sigs.k8s.io/apiserver-network-proxy",
            Self::Ignition => "github.com/coreos/ignition/v2",
        }
    }

    /// Where its `go.mod` and `go.sum` lie.
    pub(crate) fn module_directory(self) -> PathBuf {
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../upstream")).join(self.name())
    }

    /// Arguments of `go install` that change what is built; part of the cache key.
    pub(crate) fn flags(self) -> Vec<String> {
        let mut linker = "-s -w".to_owned();
        if self == Self::Kubernetes {
            // Unstamped binaries report v0.0.0, and clients refuse to talk to such a server.
            let package = "k8s.io/component-base/version";
            let version = self.version();
            let mut numbers = version.trim_start_matches('v').split('.');
            let (major, minor) = (
                numbers.next().unwrap_or_default(),
                numbers.next().unwrap_or_default(),
            );
            linker.push_str(&format!(
                " -X {package}.gitVersion={version} -X {package}.gitMajor={major} -X {package}.gitMinor={minor}"
            ));
        }
        if self == Self::Kine {
            // The machines' C library is another one than the host's.
            linker.push_str(" -linkmode external -extldflags -static");
        }
        let mut flags = vec!["-trimpath".to_owned(), "-ldflags".to_owned(), linker];
        if self == Self::Containerd {
            // Snapshotters that need C libraries or kernel modules the machines do not have.
            flags.extend([
                "-tags".to_owned(),
                "no_btrfs,no_zfs,no_aufs,no_devmapper".to_owned(),
            ]);
        }
        if self == Self::Kine {
            let tags = "netgo,osusergo,sqlite_omit_load_extension";
            flags.extend(["-tags".to_owned(), tags.to_owned()]);
        }
        flags
    }

    /// Environment of the build, beside that of all components; part of the cache key, as the flags are.
    pub(crate) fn environment(self) -> &'static [(&'static str, &'static str)] {
        match self {
            // Without C, kine takes another SQLite, which does not understand the data source that k0s gives it.
            // The compiler is the one that Rust links with, which is there; Go would look for gcc by name.
            Self::Kine => &[
                ("CC", "cc"),
                ("CGO_ENABLED", "1"),
                ("CGO_CFLAGS", "-O1 -DSQLITE_USE_ALLOCA=1"),
            ],
            Self::Kubernetes
            | Self::Etcd
            | Self::Containerd
            | Self::ClusterApi
            | Self::CoreDns
            | Self::Konnectivity
            | Self::Ignition => &[],
        }
    }

    /// Go names a binary after its package; these get the name they are known by.
    pub(crate) fn renames(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Etcd => &[("server", "etcd")],
            Self::ClusterApi => &[("core", "cluster-api-core")],
            // The names that k0s starts the server by, and that its image has for the agent.
            Self::Konnectivity => &[("server", "konnectivity-server"), ("agent", "proxy-agent")],
            // The package of Butane's command is just called internal.
            Self::Ignition => &[("internal", "butane"), ("validate", "ignition-validate")],
            Self::Kubernetes | Self::Containerd | Self::Kine | Self::CoreDns => &[],
        }
    }

    pub(crate) fn shares(self) -> &'static [Share] {
        match self {
            Self::ClusterApi => &[
                Share {
                    module: "sigs.k8s.io/cluster-api",
                    path: "core/config",
                },
                Share {
                    module: "sigs.k8s.io/cluster-api",
                    path: "metadata.yaml",
                },
            ],
            Self::Kubernetes
            | Self::Etcd
            | Self::Containerd
            | Self::Kine
            | Self::CoreDns
            | Self::Konnectivity
            | Self::Ignition => &[],
        }
    }

    /// What to tell somebody who waits: two processors, nothing cached.
    pub(crate) fn estimate(self) -> &'static str {
        match self {
            Self::Kubernetes => "about 6 min",
            Self::Etcd | Self::Containerd => "about 40 s",
            Self::ClusterApi | Self::Kine | Self::CoreDns => "about 2 min",
            Self::Konnectivity => "about 1 min",
            Self::Ignition => "about 20 s",
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name(), self.version())
    }
}

#[cfg(test)]
mod tests {
    use super::Component;

    #[test]
    fn versions_are_those_of_the_module_files() {
        for component in Component::ALL {
            let text = std::fs::read_to_string(component.module_directory().join("go.mod")).unwrap();
            let wanted = format!("{} {}", component.main_module(), component.version());
            let pinned = text.lines().any(|line| {
                let line = line.trim_start_matches("require").trim();
                line.split(" //").next() == Some(wanted.as_str())
            });
            assert!(pinned, "{component}: go.mod does not require {wanted:?}");
        }
    }

    #[test]
    fn kubernetes_is_stamped_with_its_version() {
        let flags = Component::Kubernetes.flags().join(" ");
        assert!(flags.contains("gitVersion=v1.36.3"), "{flags}");
        assert!(flags.contains("gitMajor=1 "), "{flags}");
        assert!(flags.ends_with("gitMinor=36"), "{flags}");
    }
}
