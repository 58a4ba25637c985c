//! `spec.network`, with k0s' checks of what a control plane depends on: address ranges and the two kinds of load
//! balancing, which are checked and accepted here, but not played.

use std::{collections::BTreeMap, net::IpAddr};

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::go::parse_duration;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Network {
    #[serde(rename = "podCIDR")]
    pub pod_cidr: String,
    #[serde(rename = "serviceCIDR")]
    pub service_cidr: String,
    pub provider: String,
    pub cluster_domain: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    control_plane_load_balancing: Option<ControlPlaneLoadBalancing>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_local_load_balancing: Option<NodeLocalLoadBalancing>,
    pub kube_proxy: KubeProxy,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// kube-proxy, as far as this stand-in deploys it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KubeProxy {
    pub disabled: bool,
    pub mode: String,
    pub metrics_bind_address: String,
    pub healthz_bind_address: String,
    pub extra_args: BTreeMap<String, String>,
    pub raw_args: Vec<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl Default for KubeProxy {
    fn default() -> Self {
        Self {
            disabled: false,
            mode: "iptables".to_owned(),
            metrics_bind_address: "0.0.0.0:10249".to_owned(),
            healthz_bind_address: "0.0.0.0:10256".to_owned(),
            extra_args: BTreeMap::new(),
            raw_args: Vec::new(),
            rest: Map::new(),
        }
    }
}

impl Default for Network {
    fn default() -> Self {
        Self {
            pod_cidr: "10.244.0.0/16".to_owned(),
            service_cidr: "10.96.0.0/12".to_owned(),
            provider: "kuberouter".to_owned(),
            cluster_domain: "cluster.local".to_owned(),
            control_plane_load_balancing: None,
            node_local_load_balancing: None,
            kube_proxy: KubeProxy::default(),
            rest: Map::new(),
        }
    }
}

impl Network {
    /// Whether virtual addresses move between the controllers.
    pub fn balances_control_plane(&self) -> bool {
        self.control_plane_load_balancing
            .as_ref()
            .is_some_and(|balancing| balancing.enabled)
    }

    /// Whether every worker balances its own requests.
    pub fn balances_on_nodes(&self) -> bool {
        self.node_local_load_balancing
            .as_ref()
            .is_some_and(|balancing| balancing.enabled)
    }

    pub(super) fn validate(&self) -> Result<()> {
        if !["kuberouter", "calico", "custom"].contains(&self.provider.as_str()) {
            bail!("network: provider: Unsupported value: {:?}", self.provider);
        }
        for (field, cidr) in [("podCIDR", &self.pod_cidr), ("serviceCIDR", &self.service_cidr)] {
            ensure!(
                is_cidr(cidr),
                "network: {field}: Invalid value: {cidr:?}: invalid CIDR address"
            );
        }
        ensure!(
            self.pod_cidr.contains(':') == self.service_cidr.contains(':'),
            "network: podCIDR: Invalid value: {:?}: podCIDR and serviceCIDR must be both IPv4 or IPv6",
            self.pod_cidr
        );
        if let Some(balancing) = &self.node_local_load_balancing {
            balancing.validate().context("network")?;
        }
        if let Some(balancing) = &self.control_plane_load_balancing {
            balancing.validate().context("controlPlaneLoadBalancing")?;
        }
        Ok(())
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NodeLocalLoadBalancing {
    enabled: bool,
    #[serde(rename = "type")]
    kind: String,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl NodeLocalLoadBalancing {
    fn validate(&self) -> Result<()> {
        ensure!(
            ["", "EnvoyProxy", "Traefik"].contains(&self.kind.as_str()),
            "nodeLocalLoadBalancing.type: Unsupported value: {:?}: supported values: \"EnvoyProxy\", \"Traefik\"",
            self.kind
        );
        Ok(())
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ControlPlaneLoadBalancing {
    enabled: bool,
    #[serde(rename = "type")]
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    keepalived: Option<Keepalived>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Keepalived {
    vrrp_instances: Vec<VrrpInstance>,
    virtual_servers: Vec<VirtualServer>,
    #[serde(rename = "userSpaceProxyBindPort")]
    user_space_proxy_port: i64,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct VrrpInstance {
    #[serde(rename = "virtualIPs")]
    virtual_ips: Vec<String>,
    #[serde(rename = "virtualRouterID")]
    virtual_router_id: i64,
    auth_pass: String,
    unicast_peers: Vec<String>,
    #[serde(rename = "unicastSourceIP")]
    unicast_source_ip: String,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct VirtualServer {
    ip_address: String,
    lb_algo: String,
    lb_kind: String,
    delay_loop: String,
    persistence_timeout_seconds: i64,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// Checked even when it is not enabled, as k0s does.
impl ControlPlaneLoadBalancing {
    fn validate(&self) -> Result<()> {
        ensure!(
            ["", "Keepalived"].contains(&self.kind.as_str()),
            "unsupported CPLB type: {}. Only allowed value: Keepalived",
            self.kind
        );
        let Some(keepalived) = &self.keepalived else {
            return Ok(());
        };
        keepalived
            .vrrp_instances
            .iter()
            .try_for_each(VrrpInstance::validate)?;
        keepalived
            .virtual_servers
            .iter()
            .try_for_each(VirtualServer::validate)?;
        ensure!(
            (0..=65535).contains(&keepalived.user_space_proxy_port),
            "UserSpaceProxyPort must be in the range of 1-65535"
        );
        Ok(())
    }
}

impl VrrpInstance {
    fn validate(&self) -> Result<()> {
        ensure!(
            (0..=255).contains(&self.virtual_router_id),
            "VirtualRouterID must be in the range of 1-255"
        );
        ensure!(!self.auth_pass.is_empty(), "AuthPass must be defined");
        ensure!(self.auth_pass.len() <= 8, "AuthPass must be 8 characters or less");
        ensure!(!self.virtual_ips.is_empty(), "VirtualIPs must be defined");
        for address in &self.virtual_ips {
            ensure!(is_cidr(address), "VirtualIPs must be a CIDR. Got: {address}");
        }
        if self.unicast_peers.is_empty() {
            return Ok(());
        }
        let source = &self.unicast_source_ip;
        ensure!(
            source.parse::<IpAddr>().is_ok(),
            "UnicastPeers require a valid UnicastSourceIP. Got: {source}"
        );
        for peer in &self.unicast_peers {
            ensure!(
                peer.parse::<IpAddr>().is_ok(),
                "UnicastPeers require valid IP addresses. Got: {peer}"
            );
            ensure!(
                peer != source,
                "UnicastPeers must not contain the UnicastSourceIP. Got: {peer}"
            );
        }
        Ok(())
    }
}

impl VirtualServer {
    fn validate(&self) -> Result<()> {
        ensure!(!self.ip_address.is_empty(), "IPAddress must be defined");
        ensure!(
            self.ip_address.parse::<IpAddr>().is_ok(),
            "invalid IP address: {}",
            self.ip_address
        );
        let algorithms = ["", "rr", "wrr", "lc", "wlc", "lblc", "dh", "sh", "sed", "nq"];
        ensure!(
            algorithms.contains(&self.lb_algo.as_str()),
            "invalid LBAlgo: {} ",
            self.lb_algo
        );
        ensure!(
            ["", "NAT", "DR", "TUN"].contains(&self.lb_kind.as_str()),
            "invalid LBKind: {} ",
            self.lb_kind
        );
        ensure!(
            (0..=2_678_400).contains(&self.persistence_timeout_seconds),
            "PersistenceTimeout must be in the range of 1-2678400"
        );
        if !self.delay_loop.is_empty() {
            ensure!(
                parse_duration(&self.delay_loop)?.as_micros() > 0,
                "DelayLoop must be positive"
            );
        }
        Ok(())
    }
}

fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else {
        return false;
    };
    let most = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    bits.parse::<u8>().is_ok_and(|bits| bits <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(yaml: &str) -> Result<()> {
        let network: Network = serde_yaml::from_str(yaml)?;
        network.validate()
    }

    #[test]
    fn the_settings_of_the_documents_are_accepted() {
        check(
            "controlPlaneLoadBalancing: {enabled: true, type: Keepalived, keepalived: {\
             vrrpInstances: [{virtualIPs: [10.0.0.100/24], authPass: secret}], \
             virtualServers: [{ipAddress: 10.0.0.100, delayLoop: 1m}]}}\n\
             nodeLocalLoadBalancing: {enabled: true, type: EnvoyProxy}",
        )
        .unwrap();
        check("controlPlaneLoadBalancing: {enabled: true}").unwrap();
    }

    #[test]
    fn mistakes_are_refused_in_the_words_of_k0s() {
        let instance = |fields: &str| {
            format!("controlPlaneLoadBalancing: {{keepalived: {{vrrpInstances: [{{{fields}}}]}}}}")
        };
        for (yaml, message) in [
            (
                instance("virtualIPs: [10.0.0.100/24]"),
                "AuthPass must be defined",
            ),
            (
                instance("authPass: much-too-long, virtualIPs: [10.0.0.100/24]"),
                "AuthPass must be 8 characters or less",
            ),
            (instance("authPass: a"), "VirtualIPs must be defined"),
            (
                instance("authPass: a, virtualIPs: [10.0.0.100]"),
                "VirtualIPs must be a CIDR. Got: 10.0.0.100",
            ),
            (
                instance("authPass: a, virtualIPs: [10.0.0.1/24], unicastPeers: [10.0.0.2]"),
                "require a valid UnicastSourceIP",
            ),
            (
                "controlPlaneLoadBalancing: {type: HAProxy}".to_owned(),
                "unsupported CPLB type: HAProxy",
            ),
            (
                "nodeLocalLoadBalancing: {type: Envoy}".to_owned(),
                "nodeLocalLoadBalancing.type: Unsupported value",
            ),
            ("podCIDR: 10.244.0.0".to_owned(), "podCIDR: Invalid value"),
            ("serviceCIDR: fd00::/108".to_owned(), "must be both IPv4 or IPv6"),
        ] {
            let error = format!("{:#}", check(&yaml).unwrap_err());
            assert!(error.contains(message), "{yaml}: {error}");
        }
    }
}
