//! clusterctl's configuration and the local repository of Cluster API core.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use k0smotron_e2e_components::{Component, ensure};
use serde_json::json;
use tokio::process::Command;

use super::PROVIDER;

/// The configuration file, under clusterctl's home.
pub(super) const CONFIG: &str = "clusterctl.yaml";

const PROVIDER_TYPES: [(&str, &str); 3] = [
    ("bootstrap", "BootstrapProvider"),
    ("control-plane", "ControlPlaneProvider"),
    ("infrastructure", "InfrastructureProvider"),
];

const DEVELOPMENT_IMAGE: &str = "gcr.io/k8s-staging-cluster-api/cluster-api-controller:main";
const CORE_IMAGE: &str = "registry.k8s.io/cluster-api/cluster-api-controller";

/// Where the binaries and manifests of Cluster API lie.
pub(super) struct Components {
    kubernetes: PathBuf,
    cluster_api: PathBuf,
}

impl Components {
    pub(super) fn find() -> Result<Self> {
        Ok(Self {
            kubernetes: ensure(Component::Kubernetes)?,
            cluster_api: ensure(Component::ClusterApi)?,
        })
    }

    pub(super) fn clusterctl(&self) -> PathBuf {
        self.cluster_api.join("clusterctl")
    }

    pub(super) fn core(&self) -> PathBuf {
        self.cluster_api.join("cluster-api-core")
    }

    /// What a Cluster API release publishes as `core-components.yaml`: with the image of the release instead of that
    /// of its development, which is pulled whether it is there or not.
    async fn render_core(&self) -> Result<String> {
        let output = Command::new(self.kubernetes.join("kubectl"))
            .arg("kustomize")
            .arg(self.cluster_api.join("share/core/config/default"))
            .output()
            .await
            .context("cannot run kubectl")?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "cannot render Cluster API's manifests: {}",
            error.trim()
        );
        let version = Component::ClusterApi.version();
        Ok(String::from_utf8(output.stdout)?
            .replace(DEVELOPMENT_IMAGE, &format!("{CORE_IMAGE}:{version}"))
            .replace("imagePullPolicy: Always", "imagePullPolicy: IfNotPresent"))
    }
}

/// Writes core's repository and the configuration file, which names `providers` for ours, into `home`.
pub(super) async fn write(
    home: &Path,
    components: &Components,
    providers: &Path,
    version: &str,
) -> Result<()> {
    let core_version = Component::ClusterApi.version();
    let core = home.join("repository/cluster-api").join(core_version);
    fs::create_dir_all(&core).with_context(|| format!("cannot make {}", core.display()))?;
    fs::write(core.join("core-components.yaml"), components.render_core().await?)?;
    fs::copy(
        components.cluster_api.join("share/metadata.yaml"),
        core.join("metadata.yaml"),
    )
    .context("cannot copy Cluster API's metadata.yaml")?;

    let providers = providers
        .canonicalize()
        .with_context(|| format!("no provider repository in {}", providers.display()))?;
    let mut entries = vec![json!({
        "name": "cluster-api",
        "type": "CoreProvider",
        "url": url(&core.join("core-components.yaml")),
    })];
    for (kind, type_) in PROVIDER_TYPES {
        let directory = providers.join(format!("{kind}-{PROVIDER}")).join(version);
        let file = directory.join(format!("{kind}-components.yaml"));
        for needed in [&file, &directory.join("metadata.yaml")] {
            ensure!(
                needed.is_file(),
                "the provider repository lacks {}",
                needed.display()
            );
        }
        entries.push(json!({ "name": PROVIDER, "type": type_, "url": url(&file) }));
    }
    let config = json!({
        "providers": entries,
        "overridesFolder": home.join("overrides"),
        // ClusterClass is the one gate off by default that our users turn on.
        "CLUSTER_TOPOLOGY": "true",
    });
    fs::write(home.join(CONFIG), serde_yaml::to_string(&config)?).context("cannot write clusterctl.yaml")
}

fn url(path: &Path) -> String {
    format!("file://{}", path.display())
}
