//! Addresses and names of this host.

use std::net::IpAddr;

use anyhow::{Context as _, Result};

/// Interfaces that are never a host's own address: those of pod networks and virtual addresses.
fn is_foreign(interface: &str) -> bool {
    ["vxlan.calico", "kube-bridge", "dummyvip0"].contains(&interface)
        || interface.starts_with("veth")
        || interface.starts_with("cali")
}

/// The first address that is neither loopback nor a pod network's, IPv4 preferred; 127.0.0.1 when there is none.
pub fn first_public_address() -> String {
    let addresses = interface_addresses();
    let public = |(name, address): &&(String, IpAddr)| !is_foreign(name) && !address.is_loopback();
    addresses
        .iter()
        .filter(public)
        .find(|(_, address)| address.is_ipv4())
        .or_else(|| addresses.iter().find(public))
        .map_or_else(|| "127.0.0.1".to_owned(), |(_, address)| address.to_string())
}

/// Every address of every interface.
pub fn local_addresses() -> Vec<String> {
    interface_addresses()
        .into_iter()
        .map(|(_, address)| address.to_string())
        .collect()
}

fn interface_addresses() -> Vec<(String, IpAddr)> {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else {
        return Vec::new();
    };
    interfaces
        .filter_map(|interface| {
            let address = interface.address?;
            let ip = address
                .as_sockaddr_in()
                .map(|v4| IpAddr::V4(v4.ip()))
                .or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))?;
            Some((interface.interface_name, ip))
        })
        .collect()
}

/// The host name in lower case and without blanks around it, as kubelet takes it for a node name.
pub fn host_name() -> Result<String> {
    let name = nix::unistd::gethostname().context("the host name cannot be read")?;
    Ok(name.to_string_lossy().trim().to_lowercase())
}

/// The name of this host's node: the given override, or the host name.
pub fn node_name(override_: Option<&str>) -> Result<String> {
    match override_.map(str::trim).filter(|name| !name.is_empty()) {
        Some(name) => Ok(name.to_lowercase()),
        None => host_name(),
    }
}

/// `host:port`, with brackets around an IPv6 address.
pub fn host_port(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// Host and port of `host`, `host:port` or `[host]:port`.
pub fn split_host_port(text: &str, default_port: u16) -> (&str, u16) {
    match text.rsplit_once(':') {
        // More than one colon and no bracket: an IPv6 address without a port.
        Some((host, port)) if !host.contains(':') || host.starts_with('[') => (
            host.trim_start_matches('[').trim_end_matches(']'),
            port.parse().unwrap_or(default_port),
        ),
        _ => (text, default_port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_what_follows_a_host() {
        assert_eq!(split_host_port("lb.example", 8132), ("lb.example", 8132));
        assert_eq!(split_host_port("lb.example:30132", 8132), ("lb.example", 30132));
        assert_eq!(split_host_port("fd00::1", 8132), ("fd00::1", 8132));
        assert_eq!(split_host_port("[fd00::1]:443", 8132), ("fd00::1", 443));
    }
}
