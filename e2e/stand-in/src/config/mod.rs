//! The `ClusterConfig` of k0s (`k0s.k0sproject.io/v1beta1`), as far as the played components read it, with k0s'
//! defaults. What they do not read is kept as it is and appears in the cluster-wide object unchanged.

mod images;
mod network;
mod spec;
mod storage;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

pub use self::{
    images::Images,
    spec::{Api, Component, Spec, parse_spec},
    storage::Storage,
};
use crate::paths::{DEFAULT_CONFIG, Paths};

/// The configuration of this node: the file's content over the defaults.
#[derive(Clone, Debug, Serialize)]
pub struct NodeConfig {
    pub spec: Spec,
    /// `spec` as the user wrote it.
    #[serde(skip)]
    given: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    #[serde(default, rename = "metadata")]
    _metadata: Value,
    #[serde(default)]
    spec: Option<Map<String, Value>>,
    #[serde(default, rename = "status")]
    _status: Value,
}

impl NodeConfig {
    /// Reads the instance's configuration file, or standard input for `-`. A default file that does not exist
    /// means the defaults; any other that does not exist is an error.
    pub fn load(paths: &Paths) -> Result<Self> {
        Self::parse(&read(paths)?).with_context(|| context(paths))
    }

    /// As [`Self::load`], for the controller itself: one that is single keeps its data in kine, unless the file
    /// has a section about storage.
    pub fn load_for_controller(paths: &Paths, single: bool) -> Result<Self> {
        let mut given = parse_document(&read(paths)?).with_context(|| context(paths))?;
        if single && given.get("storage").is_none_or(Value::is_null) {
            given.insert(
                "storage".to_owned(),
                Storage::of_single_controller(&paths.data_dir),
            );
        }
        Self::from_spec(given).with_context(|| context(paths))
    }

    /// Parses YAML or JSON and checks what the played components rely on.
    pub fn parse(text: &str) -> Result<Self> {
        Self::from_spec(parse_document(text)?)
    }

    fn from_spec(given: Map<String, Value>) -> Result<Self> {
        let spec = parse_spec(&given)?;
        Ok(Self { spec, given })
    }

    /// The object `kube-system/k0s` that dynamic configuration starts from: without what belongs to one node.
    pub fn cluster_wide(&self) -> Value {
        let mut spec = self.given.clone();
        for section in ["api", "storage", "installConfig"] {
            spec.remove(section);
        }
        if let Some(network) = spec.get_mut("network").and_then(Value::as_object_mut) {
            for field in [
                "serviceCIDR",
                "clusterDomain",
                "controlPlaneLoadBalancing",
                "primaryAddressFamily",
            ] {
                network.remove(field);
            }
        }
        json!({
            "apiVersion": "k0s.k0sproject.io/v1beta1",
            "kind": "ClusterConfig",
            "metadata": {"name": "k0s", "namespace": "kube-system"},
            "spec": spec,
        })
    }
}

fn context(paths: &Paths) -> String {
    format!(
        "failed to load node config {}",
        paths.startup_config_path.display()
    )
}

fn read(paths: &Paths) -> Result<String> {
    let file = &paths.startup_config_path;
    if file.as_os_str() == "-" {
        return std::io::read_to_string(std::io::stdin())
            .context("the configuration cannot be read from stdin");
    }
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && file.as_os_str() == DEFAULT_CONFIG => {
            Ok(String::new())
        }
        Err(error) => Err(error).with_context(|| context(paths)),
    }
}

fn parse_document(text: &str) -> Result<Map<String, Value>> {
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    let document: Document = serde_yaml::from_str(text)?;
    if !document.kind.is_empty() && document.kind != "ClusterConfig" {
        bail!("unexpected kind {:?}, expected ClusterConfig", document.kind);
    }
    if !document.api_version.is_empty() && !document.api_version.starts_with("k0s.k0sproject.io/") {
        bail!("unexpected apiVersion {:?}", document.api_version);
    }
    Ok(document.spec.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BENCH: &str = r#"
apiVersion: k0s.k0sproject.io/v1beta1
kind: ClusterConfig
metadata: {name: k0s}
spec:
  api: {address: 10.88.0.10, sans: [10.88.0.1]}
  network: {provider: custom, serviceCIDR: 10.96.0.0/12}
  telemetry: {enabled: false}
  images: {default_pull_policy: Never}
  storage: {etcd: {extraArgs: {name: m1}}}
  workerProfiles: [{name: v1, values: {failCgroupV1: false}}]
"#;

    #[test]
    fn the_bench_configuration_over_the_defaults() {
        let spec = NodeConfig::parse(BENCH).unwrap().spec;
        assert_eq!((spec.api.port, spec.api.k0s_api_port), (6443, 9443));
        assert_eq!(spec.storage.etcd.member_name().unwrap(), "m1");
        assert_eq!(spec.network.pod_cidr, "10.244.0.0/16");
        assert_eq!(spec.service_ip(1).unwrap(), "10.96.0.1");
        assert_eq!(spec.service_ip(10).unwrap(), "10.96.0.10");
        assert_eq!(spec.worker_profiles[0].values["failCgroupV1"], false);
        assert_eq!(spec.images.pause().version, "3.10.2-0");
    }

    #[test]
    fn what_belongs_to_a_node_stays_out_of_the_cluster_wide_object() {
        let object = NodeConfig::parse(BENCH).unwrap().cluster_wide();
        let spec = object["spec"].as_object().unwrap();
        assert!(!spec.contains_key("api") && !spec.contains_key("storage"));
        assert_eq!(spec["network"], json!({"provider": "custom"}));
        assert_eq!(spec["workerProfiles"][0]["name"], "v1");
    }

    #[test]
    fn json_is_yaml_and_nothing_at_all_means_the_defaults() {
        let json =
            r#"{"kind":"ClusterConfig","spec":{"api":{"address":"10.0.0.1","port":7443},"scheduler":null}}"#;
        assert_eq!(NodeConfig::parse(json).unwrap().spec.api.port, 7443);
        assert_eq!(NodeConfig::parse("").unwrap().spec.network.provider, "kuberouter");
    }

    #[test]
    fn a_single_controller_uses_kine_unless_its_file_speaks_of_storage() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("k0s.yaml");
        let paths = Paths::new(Some(directory.path()), None, Some(&file), None).unwrap();
        let load = |text: &str, single: bool| {
            std::fs::write(&file, text).unwrap();
            NodeConfig::load_for_controller(&paths, single)
                .unwrap()
                .spec
                .storage
        };
        let kine = load("spec: {}", true);
        assert!(kine.is_kine() && kine.kine().data_source.contains("/db/state.db"));
        assert!(!load("spec: {storage: {etcd: {}}}", true).is_kine());
        assert!(!load("spec: {}", false).is_kine());
    }

    #[test]
    fn mistakes_are_refused() {
        for (text, message) in [
            ("spec: {apis: {}}", "unknown field"),
            ("kind: Deployment", "unexpected kind"),
            ("spec: {api: {address: here}}", "invalid IP address"),
            ("spec: {storage: {type: redis}}", "Unsupported value: \"redis\""),
            (
                "spec: {api: {address: 10.0.0.1, externalAddress: lb}, network: {nodeLocalLoadBalancing: {enabled: true}}}",
                "cannot be used in conjunction",
            ),
            (
                "spec: {workerProfiles: [{name: a, values: {clusterDNS: [10.0.0.1]}}]}",
                "may not be used",
            ),
        ] {
            let error = format!("{:#}", NodeConfig::parse(text).unwrap_err());
            assert!(error.contains(message), "{text}: {error}");
        }
    }
}
