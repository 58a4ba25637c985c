//! An image: layers, and how its program is started.

use serde_json::{Value, json};

use crate::layer::Layer;

/// One image for the architecture of this host.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// Full reference, with registry and tag.
    pub name: String,
    pub entrypoint: Vec<String>,
    /// Arguments unless the pod gives others.
    pub command: Vec<String>,
    /// `NAME=value`
    pub environment: Vec<String>,
    /// Numeric, or the kubelet cannot tell that it is not root; root when empty.
    pub user: String,
    /// From the bottom up.
    pub layers: Vec<Layer>,
}

impl Image {
    /// The OCI configuration object. It holds no time of creation: the same image every time.
    pub(crate) fn config(&self) -> Value {
        let mut environment =
            vec!["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()];
        environment.extend(self.environment.iter().cloned());
        let diff_ids: Vec<_> = self.layers.iter().map(|layer| &layer.diff_id).collect();
        json!({
            "architecture": architecture(),
            "os": "linux",
            "config": {
                "Entrypoint": self.entrypoint,
                "Cmd": self.command,
                "Env": environment,
                "User": self.user,
            },
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        })
    }
}

/// In Go's words, which are OCI's.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
