//! A slow network for one machine. The kernel's own means (`netem`) is a module that not every kernel has, so frames
//! are carried by this process, each after the same time: between the host's end of the machine's cable and a second
//! cable into the bridge.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, bind, recv, send, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike as _};

use crate::command::run;
use crate::machine::Machine;
use crate::network;

/// Longer than any frame of a network whose MTU is 1500.
const FRAME: usize = 2048;
/// How often a carrier that has nothing to do looks whether it is still wanted, in milliseconds.
const LOOK: i64 = 100;

/// A machine's delay. Dropping it leaves the machine cut off, as the end of this process does.
pub struct Delay {
    machine: Machine,
    wanted: Arc<AtomicBool>,
}

impl Machine {
    /// Delays every frame to and from the machine by this time, so that round trips take twice as much more, until
    /// [`Delay::remove`]. Needs `ethtool` on the host.
    ///
    /// # Errors
    /// The machine has a delay already or was stopped, or there is no `ethtool`.
    pub async fn delay(&self, time: Duration) -> Result<Delay> {
        self.add_delay(time)
            .await
            .with_context(|| format!("cannot delay the network of machine {}", self.name()))
    }

    async fn add_delay(&self, time: Duration) -> Result<Delay> {
        let instance = self.place().instance;
        let cable = self.port();
        let (near, far) = network::delay_ports(instance, self.index());
        run(
            "ip",
            &["link", "add", &near, "type", "veth", "peer", "name", &far],
        )
        .await?;
        // Frames must leave for this process as they would for a wire: cut to size, and with their checksums.
        let off = ["tx", "off", "tso", "off", "gso", "off"];
        run("ethtool", &[&["-K", far.as_str()], off.as_slice()].concat()).await?;
        let inside = ["netns", "exec", &self.id(), "ethtool", "-K", "eth0"];
        run("ip", &[inside.as_slice(), off.as_slice()].concat()).await?;
        run("ip", &["link", "set", &cable, "nomaster"]).await?;
        for port in [&cable, &near] {
            // The host itself must not answer here in place of the bridge.
            run("ip", &["link", "set", port, "arp", "off", "addrgenmode", "none"]).await?;
            run("ip", &["link", "set", port, "up"]).await?;
        }
        let wanted = Arc::new(AtomicBool::new(true));
        let (a, b) = (Arc::new(open(&cable)?), Arc::new(open(&near)?));
        for (from, to) in [(a.clone(), b.clone()), (b, a)] {
            let (sender, receiver) = mpsc::channel();
            let wanted = wanted.clone();
            // Threads of their own: timers of a busy runtime would add a time of their own.
            thread::spawn(move || take(&from, time, &sender, &wanted));
            thread::spawn(move || give(&receiver, &to));
        }
        network::connect(&far, instance).await?;
        Ok(Delay {
            machine: self.clone(),
            wanted,
        })
    }
}

impl Delay {
    /// Connects the machine to the bridge as before.
    ///
    /// # Errors
    /// The machine was stopped.
    pub async fn remove(self) -> Result<()> {
        let machine = &self.machine;
        let (near, _) = network::delay_ports(machine.place().instance, machine.index());
        run("ip", &["link", "delete", &near]).await?;
        run("ip", &["link", "set", &machine.port(), "arp", "on"]).await?;
        machine.mend().await
    }
}

impl Drop for Delay {
    fn drop(&mut self) {
        self.wanted.store(false, Ordering::Relaxed);
    }
}

/// A frame with the time at which it is due.
type Due = (Instant, Vec<u8>);

fn take(from: &OwnedFd, time: Duration, queue: &mpsc::Sender<Due>, wanted: &AtomicBool) {
    let mut frame = [0; FRAME];
    while wanted.load(Ordering::Relaxed) {
        // An error is a look at the time, or a port that is down or gone: the end comes from elsewhere.
        let Ok(length) = recv(from.as_raw_fd(), &mut frame, MsgFlags::empty()) else {
            continue;
        };
        let bytes = frame.get(..length).unwrap_or_default().to_vec();
        if queue.send((Instant::now() + time, bytes)).is_err() {
            return;
        }
    }
}

fn give(queue: &mpsc::Receiver<Due>, to: &OwnedFd) {
    while let Ok((due, frame)) = queue.recv() {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        // One that cannot be sent is lost, as on any wire.
        let _ = send(to.as_raw_fd(), &frame, MsgFlags::empty());
    }
}

/// A socket for all frames of an interface.
fn open(interface: &str) -> Result<OwnedFd> {
    let socket = socket(
        AddressFamily::Packet,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::EthAll,
    )
    .context("no packet socket; are you root?")?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::milliseconds(LOOK))?;
    let address = getifaddrs()?
        .filter(|found| found.interface_name == interface)
        .find_map(|found| found.address?.as_link_addr().copied())
        .ok_or(Errno::ENODEV)
        .with_context(|| format!("interface {interface}"))?;
    bind(socket.as_raw_fd(), &address).with_context(|| format!("cannot listen on {interface}"))?;
    Ok(socket)
}
