//! The worker profile, read from its ConfigMap with the node's own credentials, and kept in the data directory.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use serde_json::{Map, Value, json};
use tokio::time::sleep;

use crate::{api, config::Images, controller::worker_profiles::config_map_name, paths::Paths, pki};

/// A profile's ConfigMap: JSON by name.
#[derive(Debug)]
pub struct Profile(BTreeMap<String, String>);

/// Loads a profile; ten tries, because a new cluster may not have written it yet.
pub async fn load(paths: &Paths, name: &str) -> Result<Profile> {
    let client = api::client(&paths.kubelet_kubeconfig()).await?;
    let config_maps: Api<ConfigMap> = Api::namespaced(client, "kube-system");
    let mut pause = Duration::from_millis(500);
    let mut attempt = 1;
    let data = loop {
        match config_maps.get(&config_map_name(name)).await {
            Ok(config_map) => break config_map.data.unwrap_or_default(),
            Err(error) if attempt == 10 => {
                return Err(error).with_context(|| format!("worker profile {name} cannot be loaded"));
            }
            Err(error) => tracing::warn!(attempt, "worker profile {name} is not there yet: {error}"),
        }
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(60));
        attempt += 1;
    };
    let stored = serde_yaml::to_string(&json!({"name": name, "data": data}))?;
    pki::write_atomically(&paths.data_dir.join("worker-profile.yaml"), &stored, 0o644)?;
    Ok(Profile(data))
}

impl Profile {
    /// The KubeletConfiguration of the profile.
    pub fn kubelet(&self) -> Result<Map<String, Value>> {
        let text = self
            .0
            .get("kubeletConfiguration")
            .context("the worker profile has no kubeletConfiguration")?;
        serde_json::from_str(text).context("the worker profile's kubeletConfiguration is malformed")
    }

    /// The pause image's reference.
    pub fn pause_image(&self) -> String {
        let given = self
            .0
            .get("pauseImage")
            .and_then(|text| serde_json::from_str(text).ok());
        let pause = Images::with_pause(given).pause();
        format!("{}:{}", pause.image, pause.version)
    }
}
