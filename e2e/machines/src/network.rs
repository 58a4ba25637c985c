//! The network of an instance: one bridge on the host, and for each machine a namespace with a veth pair into it.
//!
//! There is no way out to other networks: machines reach each other, the host's bridge address and nothing else.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::command::{self, run};
use crate::machine::places;
use crate::state::{self, LAST_INDEX, Place, address};

/// Each machine has systemd, containerd and kubelet as watchers, and the limit is one for all machines of the host.
/// Below it, containerd's CRI plugin fails with "failed to create fsnotify watcher: too many open files".
const INOTIFY_INSTANCES: u32 = 8192;
const INOTIFY_FILE: &str = "/proc/sys/fs/inotify/max_user_instances";

/// The bridge of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    instance: u8,
}

impl Network {
    /// Makes the bridge `k0sm-<instance>` with 10.88.`instance`.1/24, unless it is there. Raises the host's limit of
    /// inotify instances if it is below 8192, which does not survive a reboot.
    ///
    /// # Errors
    /// Not root, instance 0 or 255, no iproute2, or the subnet is in use elsewhere on this host.
    pub async fn up(instance: u8) -> Result<Self> {
        ensure!(
            (1..=254).contains(&instance),
            "an instance number is 1 to 254, not {instance}"
        );
        let network = Self { instance };
        let _lock = state::lock(instance).await?;
        raise_inotify_limit()?;
        let (bridge, host) = (network.bridge(), network.host());
        // A bridge without an address of its own takes that of a port, and changes it as ports come and go: machines
        // would then send to a host that is not there until their neighbour entry expires.
        let mac = mac(instance, 1);
        add(&["link", "add", &bridge, "address", &mac, "type", "bridge"]).await?;
        add(&["address", "add", &format!("{host}/24"), "dev", &bridge])
            .await
            .with_context(|| format!("is 10.88.{instance}.0/24 in use on this host?"))?;
        run("ip", &["link", "set", &bridge, "up"]).await?;
        Ok(network)
    }

    /// Removes the bridge, the SSH key and the state of an instance whose machines are stopped; nothing to do is fine.
    ///
    /// # Errors
    /// A machine is left ([`crate::stop_all`] comes first), or the bridge cannot be removed.
    pub async fn down(instance: u8) -> Result<()> {
        let _lock = state::lock(instance).await?;
        let left = places(instance)?;
        ensure!(
            left.is_empty(),
            "instance {instance} still has {} machines",
            left.len()
        );
        let bridge = Self { instance }.bridge();
        if exists(&bridge) {
            run("ip", &["link", "delete", &bridge]).await?;
        }
        for part in ["machines", "ssh"] {
            let directory = state::instance_directory(instance).join(part);
            if directory.exists() {
                fs::remove_dir_all(&directory)
                    .with_context(|| format!("cannot remove {}", directory.display()))?;
            }
        }
        // Succeeds only when nobody else keeps anything there.
        let _ = fs::remove_dir(state::instance_directory(instance));
        Ok(())
    }

    #[must_use]
    pub fn instance(&self) -> u8 {
        self.instance
    }

    /// The host's address on the bridge, where machines reach what runs outside of them.
    #[must_use]
    pub fn host(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 88, self.instance, 1)
    }

    fn bridge(&self) -> String {
        format!("k0sm-{}", self.instance)
    }
}

/// The addresses of the pods on the machine with this index: 10.244.`index + 10`.0/24, within the pod network that
/// k0s and kubeadm use by default.
pub(crate) fn pod_subnet(index: u8) -> String {
    format!("10.244.{}.0/24", index.saturating_add(10))
}

/// Makes namespace and veth pair of a machine, which must not exist yet.
pub(crate) async fn attach(place: &Place, index: u8) -> Result<()> {
    let (id, instance) = (place.id(), place.instance);
    let (network, port) = (Network { instance }, port(instance, index));
    let own = index.saturating_add(10);
    run("ip", &["netns", "add", &id]).await?;
    // The address follows from the index: a machine that replaces another one is reachable at once, without waiting
    // for the neighbour entries of its predecessor to expire.
    let mac = mac(instance, own);
    run(
        "ip",
        &[
            "link", "add", &port, "type", "veth", "peer", "name", "eth0", "address", &mac, "netns", &id,
        ],
    )
    .await?;
    connect(&port, instance).await?;

    let mut batch = format!(
        "link set lo up\naddress add {}/24 dev eth0\nlink set eth0 up\nroute add default via {}\n",
        address(instance, index),
        network.host()
    );
    // Pods of other machines, also of those that do not exist yet.
    for other in (0..=LAST_INDEX).filter(|other| *other != index) {
        let (subnet, via) = (pod_subnet(other), address(instance, other));
        batch.push_str(&format!("route add {subnet} via {via}\n"));
    }
    let file = place.directory().join("network.batch");
    fs::write(&file, batch).with_context(|| format!("cannot write {}", file.display()))?;
    run("ip", &["-netns", &id, "-batch", &file.to_string_lossy()]).await?;
    Ok(())
}

/// Removes namespace and veth pair, whatever there is of them.
pub(crate) async fn detach(place: &Place) -> Result<()> {
    if !namespace(place).exists() {
        return Ok(());
    }
    let id = place.id();
    // The pair would go with its namespace, but only some time after the last process in it.
    // Failure means that there is none; if the namespace itself is broken, the next command says so.
    let _ = run("ip", &["-netns", &id, "link", "delete", "eth0"]).await;
    if let Some(record) = place.read()? {
        let (near, _) = delay_ports(place.instance, record.index);
        if exists(&near) {
            run("ip", &["link", "delete", &near]).await?;
        }
    }
    run("ip", &["netns", "delete", &id]).await.map(drop)
}

/// Path of the machine's network namespace.
pub(crate) fn namespace(place: &Place) -> PathBuf {
    Path::new("/run/netns").join(place.id())
}

/// Plugs a port into the bridge.
pub(crate) async fn connect(port: &str, instance: u8) -> Result<()> {
    let bridge = Network { instance }.bridge();
    run("ip", &["link", "set", port, "master", &bridge, "up"])
        .await
        .map(drop)
}

/// The two ends of the second cable that a slow network needs.
pub(crate) fn delay_ports(instance: u8, index: u8) -> (String, String) {
    (
        format!("k0sm{instance}d{index}"),
        format!("k0sm{instance}e{index}"),
    )
}

/// The host's end; the kernel allows 15 characters.
pub(crate) fn port(instance: u8, index: u8) -> String {
    format!("k0sm{instance}v{index}")
}

/// A locally administered address.
fn mac(instance: u8, last: u8) -> String {
    format!("02:6b:30:73:{instance:02x}:{last:02x}")
}

fn exists(link: &str) -> bool {
    Path::new("/sys/class/net").join(link).exists()
}

/// `ip … add`, where "is there already" is as good.
async fn add(arguments: &[&str]) -> Result<()> {
    let output = command::output("ip", arguments, command::DEADLINE).await?;
    let there = ["File exists", "already assigned"];
    if !output.success() && there.iter().any(|text| output.stderr.contains(text)) {
        return Ok(());
    }
    output
        .into_stdout(&format!("ip {}", arguments.join(" ")))
        .map(drop)
}

fn raise_inotify_limit() -> Result<()> {
    let limit = fs::read_to_string(INOTIFY_FILE).unwrap_or_default();
    if limit
        .trim()
        .parse::<u32>()
        .is_ok_and(|limit| limit < INOTIFY_INSTANCES)
    {
        fs::write(INOTIFY_FILE, INOTIFY_INSTANCES.to_string())
            .with_context(|| format!("cannot write {INOTIFY_FILE}; are you root?"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{mac, pod_subnet, port};

    #[test]
    fn interface_names_fit_the_kernel() {
        assert!(port(254, 244).len() <= 15);
        assert!(super::delay_ports(254, 244).1.len() <= 15);
    }

    #[test]
    fn every_machine_has_its_own_pods_and_hardware_address() {
        assert_eq!(pod_subnet(0), "10.244.10.0/24");
        assert_eq!(pod_subnet(244), "10.244.254.0/24");
        assert_eq!(mac(7, 10), "02:6b:30:73:07:0a");
        assert_ne!(mac(7, 10), mac(8, 10));
    }
}
