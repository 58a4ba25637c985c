//! What the kernel needs before pods can talk to each other. As with k0s, whatever fails is only logged.

use std::{path::Path, process::Command};

const SWITCHES: [&str; 6] = [
    "net/ipv4/conf/all/forwarding",
    "net/ipv4/conf/default/forwarding",
    "net/ipv6/conf/all/forwarding",
    "net/ipv6/conf/default/forwarding",
    "net/bridge/bridge-nf-call-iptables",
    "net/bridge/bridge-nf-call-ip6tables",
];

/// Modules by the file that shows that they are there.
const MODULES: [(&str, &str); 3] = [
    ("nf_conntrack", "/proc/net/nf_conntrack"),
    ("br_netfilter", "/proc/sys/net/bridge/bridge-nf-call-iptables"),
    ("ip_tables", "/proc/net/ip_tables_targets"),
];

/// Loads modules and turns forwarding on.
pub fn set_up() {
    for (module, proof) in MODULES {
        if !Path::new(proof).exists() {
            let loaded = Command::new("modprobe")
                .arg(module)
                .output()
                .is_ok_and(|output| output.status.success());
            if !loaded {
                tracing::warn!("failed to load kernel module {module}");
            }
        }
    }
    for switch in SWITCHES {
        if let Err(error) = std::fs::write(Path::new("/proc/sys").join(switch), "1") {
            tracing::warn!("failed to enable {switch}: {error}");
        }
    }
}
