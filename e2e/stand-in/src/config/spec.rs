//! `spec` of the `ClusterConfig`: its sections, their defaults and their checks.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{images::Images, network::Network, storage::Storage};

/// `spec` with defaults. Sections whose decoder in k0s is not strict accept unknown fields here too.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Spec {
    #[serde(default)]
    pub api: Api,
    #[serde(default)]
    pub controller_manager: Component,
    #[serde(default)]
    pub scheduler: Component,
    #[serde(default)]
    pub storage: Storage,
    #[serde(default)]
    pub network: Network,
    #[serde(default)]
    pub worker_profiles: Vec<WorkerProfile>,
    #[serde(default)]
    pub images: Images,
    #[serde(default)]
    pub feature_gates: Vec<FeatureGate>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    telemetry: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    install_config: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    extensions: Option<Value>,
    #[serde(default)]
    pub konnectivity: Konnectivity,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    metrics_server: Option<Value>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Api {
    pub address: String,
    pub only_bind_to_address: bool,
    pub external_address: String,
    pub extra_args: BTreeMap<String, String>,
    pub raw_args: Vec<String>,
    /// Port of the join API.
    pub k0s_api_port: u16,
    pub port: u16,
    pub sans: Vec<String>,
}

impl Default for Api {
    fn default() -> Self {
        Self {
            address: crate::net::first_public_address(),
            only_bind_to_address: false,
            external_address: String::new(),
            extra_args: BTreeMap::new(),
            raw_args: Vec::new(),
            k0s_api_port: 9443,
            port: 6443,
            sans: Vec::new(),
        }
    }
}

impl Api {
    /// Host part of `externalAddress`; empty when there is none.
    pub fn external_host(&self) -> &str {
        match self.external_address.rsplit_once(':') {
            // More than one colon and no bracket: an IPv6 address without a port.
            Some((host, _)) if !host.contains(':') || host.starts_with('[') => {
                host.trim_start_matches('[').trim_end_matches(']')
            }
            _ => &self.external_address,
        }
    }

    /// Port of `externalAddress`, or the API server's own.
    pub fn external_port(&self) -> u16 {
        if self.external_host() == self.external_address {
            return self.port;
        }
        self.external_address
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse().ok())
            .unwrap_or(self.port)
    }

    /// Where workers and kubeconfigs reach the API server.
    pub fn server_url(&self) -> String {
        self.url(self.port)
    }

    /// Where joining controllers reach the join API.
    pub fn join_url(&self) -> String {
        self.url(self.k0s_api_port)
    }

    /// How this host's own components reach the API server.
    pub fn local_url(&self) -> String {
        if self.only_bind_to_address {
            return format!("https://{}", crate::net::host_port(&self.address, self.port));
        }
        format!("https://localhost:{}", self.port)
    }

    fn url(&self, port: u16) -> String {
        if self.external_address.is_empty() {
            return format!("https://{}", crate::net::host_port(&self.address, port));
        }
        // An external address that carries a port is taken as it stands, even for the join API.
        if self.external_host() != self.external_address {
            return format!("https://{}", self.external_address);
        }
        format!("https://{}", crate::net::host_port(&self.external_address, port))
    }
}

/// Extra arguments of kube-controller-manager or kube-scheduler.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Component {
    pub extra_args: BTreeMap<String, String>,
    pub raw_args: Vec<String>,
}

/// The way from the API server to nodes that it cannot dial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Konnectivity {
    pub admin_port: u16,
    pub agent_port: u16,
    /// Where the agents find the server, if not at the API server's host.
    pub external_address: String,
}

impl Default for Konnectivity {
    fn default() -> Self {
        Self {
            admin_port: 8133,
            agent_port: 8132,
            external_address: String::new(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerProfile {
    pub name: String,
    /// KubeletConfiguration fields that override k0s' own.
    #[serde(default)]
    pub values: Map<String, Value>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureGate {
    pub name: String,
    pub enabled: bool,
    #[serde(default)]
    pub components: Vec<String>,
}

/// `spec` from the API or a file, with defaults and checks.
pub fn parse_spec(given: &Map<String, Value>) -> Result<Spec> {
    // `null` sections mean the defaults, as with k0s.
    let without_nulls: Map<String, Value> = given
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let spec: Spec = serde_json::from_value(Value::Object(without_nulls))?;
    spec.validate()?;
    Ok(spec)
}

impl Spec {
    fn validate(&self) -> Result<()> {
        if self.api.address.parse::<std::net::IpAddr>().is_err() {
            bail!(
                "spec: api: address: Invalid value: {:?}: invalid IP address",
                self.api.address
            );
        }
        self.storage.validate()?;
        self.network.validate().context("spec")?;
        if self.network.balances_on_nodes() && !self.api.external_address.is_empty() {
            bail!(
                "spec: network.nodeLocalLoadBalancing.enabled: Forbidden: node-local load balancing cannot be used \
                 in conjunction with an external Kubernetes API server address"
            );
        }
        for profile in &self.worker_profiles {
            if profile.name.is_empty() {
                bail!("spec: workerProfiles: name: Required value");
            }
            // Fields that k0s sets itself and refuses in a profile.
            for reserved in [
                "clusterDNS",
                "clusterDomain",
                "staticPodURL",
                "apiVersion",
                "kind",
            ] {
                let given = profile.values.get(reserved);
                let harmless = match reserved {
                    "apiVersion" => given.is_none_or(|value| value == "kubelet.config.k8s.io/v1beta1"),
                    "kind" => given.is_none_or(|value| value == "KubeletConfiguration"),
                    _ => given.is_none(),
                };
                if !harmless {
                    bail!("spec: workerProfiles: values: {reserved}: may not be used in k0s worker profiles");
                }
            }
        }
        self.service_ip(1)?;
        Ok(())
    }

    /// The n-th address of the service network; 1 is the API's service, 10 the cluster DNS.
    pub fn service_ip(&self, number: u32) -> Result<String> {
        let cidr = &self.network.service_cidr;
        let network = cidr.split_once('/').map_or(cidr.as_str(), |(network, _)| network);
        let address: std::net::IpAddr = network
            .parse()
            .with_context(|| format!("spec: network: serviceCIDR: {cidr:?} is no CIDR"))?;
        Ok(match address {
            std::net::IpAddr::V4(v4) => {
                std::net::Ipv4Addr::from(u32::from(v4).saturating_add(number)).to_string()
            }
            std::net::IpAddr::V6(v6) => {
                std::net::Ipv6Addr::from(u128::from(v6).saturating_add(number.into())).to_string()
            }
        })
    }

    /// Feature gates of a component as `Name=bool`, comma separated; empty when there are none.
    pub fn feature_gates_of(&self, component: &str) -> String {
        self.feature_gates
            .iter()
            .filter(|gate| gate.components.is_empty() || gate.components.iter().any(|name| name == component))
            .map(|gate| format!("{}={}", gate.name, gate.enabled))
            .collect::<Vec<_>>()
            .join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn external_addresses_with_and_without_port() {
        let api = |external: &str| Api {
            address: "10.0.0.5".to_owned(),
            external_address: external.to_owned(),
            ..Api::default()
        };
        assert_eq!(api("").server_url(), "https://10.0.0.5:6443");
        assert_eq!(api("lb.example").join_url(), "https://lb.example:9443");
        assert_eq!(api("lb.example:443").server_url(), "https://lb.example:443");
        assert_eq!(api("lb.example:443").join_url(), "https://lb.example:443");
        assert_eq!(api("fd00::1").server_url(), "https://[fd00::1]:6443");
        assert_eq!(api("lb.example:443").external_host(), "lb.example");
        assert_eq!(api("lb.example:443").external_port(), 443);
    }
}
