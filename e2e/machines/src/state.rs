//! Names and places: everything about a machine that follows from its instance and name, and its record on disk.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::image::MachineImage;

const STATE: &str = "/var/lib/k0smotron-e2e";

/// Locks must not lie in what they protect; `/run` also forgets them at a reboot, as the kernel forgets machines.
const LOCKS: &str = "/run/k0smotron-e2e";

/// Longer than any start or stop takes; a lock that is held for more is a hung process, which is worth an error.
const LOCK_DEADLINE: Duration = Duration::from_secs(120);

/// The directory of everything that belongs to an instance and outlives the process that made it. Whoever puts
/// something there besides machines takes it away before [`crate::Network::down`].
#[must_use]
pub fn instance_directory(instance: u8) -> PathBuf {
    Path::new(STATE).join(instance.to_string())
}

/// The directory with one directory per machine.
pub(crate) fn machines_directory(instance: u8) -> PathBuf {
    instance_directory(instance).join("machines")
}

/// Identity of a machine on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) instance: u8,
    pub(crate) name: String,
}

impl Place {
    pub(crate) fn new(instance: u8, name: &str) -> Result<Self> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        ensure!(
            (1..=40).contains(&name.len()) && name.chars().all(allowed) && !name.starts_with('-'),
            "{name:?} is no machine name: up to 40 of a-z, 0-9 and -, not starting with -"
        );
        Ok(Self {
            instance,
            name: name.to_owned(),
        })
    }

    /// Name of the container, the network namespace and the cgroups.
    pub(crate) fn id(&self) -> String {
        format!("{}{}", id_prefix(self.instance), self.name)
    }

    pub(crate) fn directory(&self) -> PathBuf {
        machines_directory(self.instance).join(&self.name)
    }

    /// The machine's root as seen from the host while it is mounted.
    pub(crate) fn root(&self) -> PathBuf {
        self.directory().join("merged")
    }

    /// The real directory behind `/var/lib/k0s`.
    pub(crate) fn data(&self) -> PathBuf {
        self.directory().join("data")
    }

    pub(crate) fn bundle(&self) -> PathBuf {
        self.directory().join("bundle")
    }

    fn record(&self) -> PathBuf {
        self.directory().join("machine.json")
    }

    /// The record, if the machine exists and its start got as far as writing it.
    pub(crate) fn read(&self) -> Result<Option<Record>> {
        let path = self.record();
        match fs::read(&path) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    pub(crate) fn write(&self, record: &Record) -> Result<()> {
        let (path, partial) = (self.record(), self.directory().join("machine.json.partial"));
        fs::write(&partial, serde_json::to_vec_pretty(record)?)
            .and_then(|()| fs::rename(&partial, &path))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Waits until no other process or task starts or stops this machine.
    pub(crate) async fn lock(&self) -> Result<Lock> {
        Lock::take(Path::new(LOCKS).join(format!("{}.lock", self.id()))).await
    }
}

pub(crate) fn id_prefix(instance: u8) -> String {
    format!("k0sm-{instance}-")
}

/// What is kept about a machine beside its disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) index: u8,
    pub(crate) hostname: String,
    pub(crate) image: MachineImage,
}

impl Record {
    pub(crate) fn address(&self, instance: u8) -> Ipv4Addr {
        address(instance, self.index)
    }
}

/// Highest index: 10.88.N.254 is the last usable address.
pub(crate) const LAST_INDEX: u8 = 244;

pub(crate) fn address(instance: u8, index: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 88, instance, index.saturating_add(10))
}

/// Waits until no other process or task makes or removes what all machines of the instance share.
pub(crate) async fn lock(instance: u8) -> Result<Lock> {
    Lock::take(Path::new(LOCKS).join(format!("k0sm-{instance}.lock"))).await
}

/// An advisory lock on a file that is removed when the lock is released.
pub(crate) struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    async fn take(path: PathBuf) -> Result<Self> {
        fs::create_dir_all(LOCKS).with_context(|| format!("cannot make {LOCKS}; are you root?"))?;
        let begin = tokio::time::Instant::now();
        loop {
            let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
            // The holder before us removes the file, so a lock on it may be a lock on nothing by now.
            if file.try_lock().is_ok() && is_still(&path, &file) {
                return Ok(Self { path, _file: file });
            }
            if begin.elapsed() > LOCK_DEADLINE {
                bail!("{} is held by another process", path.display());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Before the lock goes with the file handle; a file that stays behind does no harm.
        let _ = fs::remove_file(&self.path);
    }
}

fn is_still(path: &Path, file: &File) -> bool {
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let (named, held) = (fs::metadata(path).map(identity), file.metadata().map(identity));
    matches!((named, held), (Ok(named), Ok(held)) if named == held)
}

#[cfg(test)]
mod tests {
    use super::{LAST_INDEX, Place, address};

    #[test]
    fn names_are_safe_in_paths_and_commands() {
        for name in ["controller-0", "w", "9"] {
            assert!(Place::new(1, name).is_ok(), "{name}");
        }
        for name in ["", "-x", "a/b", "..", "A", "a b", &"x".repeat(41)] {
            assert!(Place::new(1, name).is_err(), "{name}");
        }
    }

    #[test]
    fn ids_of_different_instances_never_share_a_prefix() {
        let (one, eleven) = (Place::new(1, "1-a").unwrap(), Place::new(11, "a").unwrap());
        assert!(!eleven.id().starts_with(&super::id_prefix(1)));
        assert_ne!(one.id(), eleven.id());
    }

    #[test]
    fn addresses_stay_within_the_subnet() {
        assert_eq!(address(7, 0).octets(), [10, 88, 7, 10]);
        assert_eq!(address(7, LAST_INDEX).octets(), [10, 88, 7, 254]);
    }
}
