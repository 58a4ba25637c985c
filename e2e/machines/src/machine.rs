//! A machine from start to stop.
//!
//! Start and stop hold a lock of the machine, write its record before anything else exists, and find everything
//! again by name: whatever a killed process left behind, the next start or stop in any process removes.

use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::command::Output;
use crate::image::MachineImage;
use crate::network::Network;
use crate::runc::{self, Status};
use crate::state::{self, LAST_INDEX, Place, Record};
use crate::{cgroup, disk, network, oci};

/// A start takes about 6 s alone; several at once on two processors share them.
const BOOT_DEADLINE: Duration = Duration::from_secs(120);

/// For [`Machine::exec`] without a deadline of its own.
const EXEC_DEADLINE: Duration = Duration::from_secs(60);

/// What a machine is to be.
#[derive(Clone, Debug)]
pub struct MachineSpec {
    /// Unique in the instance: up to 40 of a-z, 0-9 and `-`.
    pub name: String,
    /// Unique in the instance, 0 to 244: the address is 10.88.N.`10 + index`, pods get 10.244.`10 + index`.0/24.
    pub index: u8,
    pub hostname: String,
    /// Public keys, in the format of `authorized_keys`, that may log in as `root`, as `admin` (sudo without a
    /// password) and as `guest` (no sudo).
    pub authorized_keys: Vec<String>,
    /// What cloud-init makes of the machine at its first boot, if its image has it. The machine is up when that is done; where
    /// a part of it failed, starting the machine does.
    pub user_data: Option<String>,
}

impl MachineSpec {
    /// A machine whose host name is its name.
    #[must_use]
    pub fn new(name: &str, index: u8, authorized_key: &str) -> Self {
        Self {
            name: name.to_owned(),
            index,
            hostname: name.to_owned(),
            authorized_keys: vec![authorized_key.to_owned()],
            user_data: None,
        }
    }
}

/// A machine that was started, by this process or another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    place: Place,
    record: Record,
}

impl Machine {
    /// Starts a machine and waits until systemd is done and sshd answers. One that runs already under this name is
    /// adopted as it is, with the authorized keys of `spec`; the remains of a dead one are removed first.
    ///
    /// # Errors
    /// Not root; the name is invalid; the index is another machine's, or not the one this machine runs with; or the
    /// machine is not up within two minutes (it is left as it is then, for a look at it).
    pub async fn start(network: &Network, image: &MachineImage, spec: &MachineSpec) -> Result<Self> {
        let place = Place::new(network.instance(), &spec.name)?;
        Self::start_at(place, image, spec)
            .await
            .with_context(|| format!("cannot start machine {}", spec.name))
    }

    async fn start_at(place: Place, image: &MachineImage, spec: &MachineSpec) -> Result<Self> {
        ensure!(
            spec.index <= LAST_INDEX,
            "index {} is above {LAST_INDEX}",
            spec.index
        );
        let _lock = place.lock().await?;
        if let Some(machine) = Self::adopt(&place, spec).await? {
            return Ok(machine);
        }
        clear(&place).await?;
        let record = Record {
            index: spec.index,
            hostname: spec.hostname.clone(),
            image: image.clone(),
        };
        let bundle = place.bundle();
        reserve(&place, &record).await?;
        fs::create_dir_all(&bundle).with_context(|| format!("cannot make {}", bundle.display()))?;
        fs::write(
            bundle.join("config.json"),
            oci::config(&place, &record).to_string(),
        )
        .context("cannot write the container's configuration")?;
        network::attach(&place, record.index).await?;
        disk::mount(&place, &record).await?;
        disk::write_identity(&place, spec).await?;
        let machine = Self { place, record };
        machine.boot().await?;
        // Later on, a failed unit is an affair of whoever installed it.
        let failed = machine.exec("systemctl --failed --plain --no-legend").await?;
        ensure!(failed.trim().is_empty(), "failed units: {}", failed.trim());
        Ok(machine)
    }

    async fn adopt(place: &Place, spec: &MachineSpec) -> Result<Option<Self>> {
        let Some(record) = place.read()? else {
            return Ok(None);
        };
        match runc::status(place).await? {
            Some(Status::Paused) => runc::resume(place).await?,
            Some(Status::Running) => {}
            _ => return Ok(None),
        }
        ensure!(
            record.index == spec.index && record.hostname == spec.hostname,
            "it runs with index {} and host name {}; stop it first",
            record.index,
            record.hostname
        );
        disk::authorize(place, &spec.authorized_keys)?;
        let machine = Self {
            place: place.clone(),
            record,
        };
        machine.wait_until_up().await?;
        Ok(Some(machine))
    }

    async fn boot(&self) -> Result<()> {
        runc::start(&self.place).await?;
        self.wait_until_up().await
    }

    /// Until systemd has started everything, which is later than sshd's first answer: before that, logins of users
    /// other than root are refused.
    async fn wait_until_up(&self) -> Result<()> {
        let begin = Instant::now();
        let address = SocketAddr::from((self.address(), 22));
        loop {
            let state = self.try_exec("systemctl is-system-running").await?;
            let state = state.stdout.trim();
            if matches!(state, "running" | "degraded") && answers(address).await {
                return Ok(());
            }
            ensure!(
                begin.elapsed() < BOOT_DEADLINE,
                "after {} s systemd says {state:?} and sshd on {address} does not answer; see `runc exec {} journalctl`",
                BOOT_DEADLINE.as_secs(),
                self.id()
            );
            sleep(Duration::from_millis(100)).await;
        }
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.place.name
    }

    /// Name of the container (`runc exec -t <id> bash`) and of the network namespace.
    #[must_use]
    pub fn id(&self) -> String {
        self.place.id()
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    pub(crate) fn index(&self) -> u8 {
        self.record.index
    }

    #[must_use]
    pub fn hostname(&self) -> &str {
        &self.record.hostname
    }

    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.record.address(self.place.instance)
    }

    /// Runs a shell command as root, past the network and sshd, and returns its standard output. For looking into a
    /// machine; what is under test goes through SSH. Ends after a minute.
    ///
    /// # Errors
    /// The command fails (quotes its standard error), or the machine does not run.
    pub async fn exec(&self, script: &str) -> Result<String> {
        self.try_exec(script)
            .await?
            .into_stdout(script)
            .with_context(|| format!("on machine {}", self.name()))
    }

    /// As [`Self::exec`], with any exit status as an answer.
    ///
    /// # Errors
    /// The command does not end within a minute, or runc cannot be run.
    pub async fn try_exec(&self, script: &str) -> Result<Output> {
        runc::exec(&self.place, script, EXEC_DEADLINE).await
    }

    /// Writes a copy of a file of this host to `target`, an absolute path of the machine outside of `/var/lib/k0s`, `/run`
    /// and `/tmp`.
    ///
    /// # Errors
    /// One of them cannot be read or written.
    pub async fn install(&self, source: &Path, target: &str, mode: u32) -> Result<()> {
        let path = self.place.root().join(target.trim_start_matches('/'));
        let copied = async {
            if let Some(parent) = path.parent() {
                tokio::fs::create_dir_all(parent).await?;
            }
            // Not over the old one, which may be running.
            let partial = path.with_extension("partial");
            tokio::fs::copy(source, &partial).await?;
            tokio::fs::set_permissions(&partial, fs::Permissions::from_mode(mode)).await?;
            tokio::fs::rename(&partial, &path).await
        };
        copied
            .await
            .with_context(|| format!("cannot copy {} to {}", source.display(), path.display()))
    }

    /// Stops every process of the machine where it stands; its network stays. Connections neither answer nor break.
    ///
    /// # Errors
    /// The machine does not run.
    pub async fn freeze(&self) -> Result<()> {
        runc::pause(&self.place).await
    }

    /// Lets a frozen machine go on.
    ///
    /// # Errors
    /// The machine is not frozen.
    pub async fn thaw(&self) -> Result<()> {
        runc::resume(&self.place).await
    }

    /// Pulls the plug: every process dies at once, the disk stays.
    ///
    /// # Errors
    /// Processes do not die within their deadline.
    pub async fn power_off(&self) -> Result<()> {
        let _lock = self.place.lock().await?;
        runc::remove(&self.place).await?;
        cgroup::remove(&self.place).await
    }

    /// Boots a machine that was powered off from its disk, and waits as [`Self::start`] does.
    ///
    /// # Errors
    /// The machine runs, was stopped, or is not up within two minutes.
    pub async fn power_on(&self) -> Result<()> {
        let _lock = self.place.lock().await?;
        self.boot().await
    }

    /// Removes the machine and everything of it: processes, cgroups, mounts, network namespace, disk. Repeatable.
    ///
    /// # Errors
    /// The kernel holds on to a process or a mount; calling it again goes on.
    pub async fn stop(&self) -> Result<()> {
        stop(&self.place).await
    }
}

/// The machines of an instance, in the order of their names: running, frozen, powered off, or half started.
///
/// # Errors
/// The state directory cannot be read.
pub fn list(instance: u8) -> Result<Vec<Machine>> {
    let mut machines = Vec::new();
    for place in places(instance)? {
        if let Some(record) = place.read()? {
            machines.push(Machine { place, record });
        }
    }
    Ok(machines)
}

/// Stops all machines of an instance, also those whose start did not get far or whose record is lost.
///
/// # Errors
/// As [`Machine::stop`], for the first one; the others are stopped nevertheless.
pub async fn stop_all(instance: u8) -> Result<()> {
    let mut result = Ok(());
    for place in places(instance)? {
        let stopped = stop(&place).await;
        result = result.and(stopped);
    }
    result
}

async fn stop(place: &Place) -> Result<()> {
    let _lock = place.lock().await?;
    clear(place)
        .await
        .with_context(|| format!("cannot stop machine {}", place.name))
}

/// Removes all there is of a machine, in the order that lets nothing hold on to what comes next.
async fn clear(place: &Place) -> Result<()> {
    runc::remove(place).await?;
    cgroup::remove(place).await?;
    disk::unmount(place).await?;
    network::detach(place).await?;
    let directory = place.directory();
    // Takes a while with a real etcd or containerd in it, and other tasks have timers.
    let removed = tokio::task::spawn_blocking({
        let directory = directory.clone();
        move || fs::remove_dir_all(directory)
    });
    match removed.await? {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", directory.display()))
        }
        _ => Ok(()),
    }
}

/// Everything that looks like a machine of the instance: by state directory and by network namespace.
pub(crate) fn places(instance: u8) -> Result<Vec<Place>> {
    let prefix = state::id_prefix(instance);
    let mut names = directory_names(&state::machines_directory(instance))?;
    let namespaces = directory_names("/run/netns".as_ref())?;
    names.extend(
        namespaces
            .iter()
            .filter_map(|id| id.strip_prefix(&prefix))
            .map(str::to_owned),
    );
    names.sort();
    names.dedup();
    names.iter().map(|name| Place::new(instance, name)).collect()
}

fn directory_names(directory: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", directory.display())),
    };
    entries
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect()
}

/// Writes the record, unless another machine has the index: two machines with one address would both half work.
async fn reserve(place: &Place, record: &Record) -> Result<()> {
    let _lock = state::lock(place.instance).await?;
    for other in places(place.instance)? {
        let index = other.read()?.map(|record| record.index);
        ensure!(
            other == *place || index != Some(record.index),
            "machine {} has index {} already",
            other.name,
            record.index
        );
    }
    fs::create_dir_all(place.directory())
        .with_context(|| format!("cannot make {}", place.directory().display()))?;
    place.write(record)
}

/// Whether sshd sends its banner.
async fn answers(address: SocketAddr) -> bool {
    let banner = async {
        let mut banner = [0; 4];
        TcpStream::connect(address).await?.read_exact(&mut banner).await?;
        std::io::Result::Ok(banner)
    };
    matches!(timeout(Duration::from_secs(2), banner).await, Ok(Ok(banner)) if &banner == b"SSH-")
}
