//! The cache: `${K0SMOTRON_CACHE:-~/.cache/k0smotron}/components/<name>-<hash>/`.
//!
//! An entry is either absent or complete: it is built beside its place and moved there by rename, under a lock per
//! component that the kernel drops with its holder.

use std::env;
use std::fs::{self, File, TryLockError};
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::component::Component;
use crate::go::Toolchain;

/// Raised when the layout of an entry changes without any of the other inputs.
const LAYOUT: &str = "1";

/// `${K0SMOTRON_CACHE:-~/.cache/k0smotron}`; need not exist.
///
/// # Errors
/// Neither of the variables is set.
pub fn directory() -> Result<PathBuf> {
    match env::var_os("K0SMOTRON_CACHE").filter(|value| !value.is_empty()) {
        Some(path) => Ok(PathBuf::from(path)),
        None => Ok(env::home_dir()
            .context("neither K0SMOTRON_CACHE nor HOME is set")?
            .join(".cache/k0smotron")),
    }
}

pub(crate) struct Cache {
    directory: PathBuf,
}

impl Cache {
    pub(crate) fn open() -> Result<Self> {
        Self::at(directory()?.join("components"))
    }

    fn at(directory: PathBuf) -> Result<Self> {
        fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        Ok(Self { directory })
    }

    /// The entry for `key`; `build` fills a fresh directory when there is none.
    pub(crate) fn get_or_build(
        &self,
        component: Component,
        key: &str,
        build: impl FnOnce(&std::path::Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let entry = self.directory.join(format!("{}-{key}", component.name()));
        if entry.is_dir() {
            return Ok(entry);
        }
        let _lock = self.lock(component)?;
        if entry.is_dir() {
            return Ok(entry);
        }
        self.remove_interrupted_builds(component)?;
        eprintln!("building {component} … {}", component.estimate());
        let begin = Instant::now();
        let partial = tempfile::Builder::new()
            .prefix(&format!(".{}-", component.name()))
            .tempdir_in(&self.directory)
            .with_context(|| format!("cannot write in {}", self.directory.display()))?;
        build(partial.path())?;
        fs::set_permissions(
            partial.path(),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )?;
        fs::rename(partial.keep(), &entry).with_context(|| format!("cannot make {}", entry.display()))?;
        eprintln!("built {component} in {} s", begin.elapsed().as_secs());
        Ok(entry)
    }

    /// What a killed build left behind; only the holder of the lock may call this.
    fn remove_interrupted_builds(&self, component: Component) -> Result<()> {
        let prefix = format!(".{}-", component.name());
        for entry in fs::read_dir(&self.directory).context("cannot list the component cache")? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(&prefix) {
                fs::remove_dir_all(entry.path())
                    .with_context(|| format!("cannot remove {}", entry.path().display()))?;
            }
        }
        Ok(())
    }

    fn lock(&self, component: Component) -> Result<File> {
        let path = self.directory.join(format!(".{}.lock", component.name()));
        let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => eprintln!("waiting for another build of {component} …"),
            Err(TryLockError::Error(error)) => return Err(error).context("cannot lock the component cache"),
        }
        file.lock().context("cannot lock the component cache")?;
        Ok(file)
    }
}

/// Everything that decides what the binaries are, as 16 hexadecimal digits.
pub(crate) fn key(component: Component, toolchain: &Toolchain) -> Result<String> {
    let mut hash = Sha256::new();
    hash.update(LAYOUT);
    for file in ["go.mod", "go.sum"] {
        let path = component.module_directory().join(file);
        hash.update(fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?);
        hash.update([0]);
    }
    // Components that are not an upstream main package have one of their own.
    if let Ok(program) = fs::read(component.module_directory().join("main.go")) {
        hash.update(program);
        hash.update([0]);
    }
    for part in component.flags() {
        hash.update(part);
        hash.update([0]);
    }
    for (name, value) in component.environment() {
        hash.update(format!("{name}={value}\0"));
    }
    hash.update(toolchain.identity());
    Ok(hash
        .finalize()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use anyhow::bail;

    use super::Cache;
    use crate::component::Component;

    #[test]
    fn one_build_for_callers_at_the_same_time() {
        let root = tempfile::tempdir().unwrap();
        let builds = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let cache = Cache::at(root.path().into()).unwrap();
                    let entry = cache
                        .get_or_build(Component::Etcd, "k", |target| {
                            builds.fetch_add(1, Ordering::SeqCst);
                            Ok(fs::write(target.join("etcd"), "binary")?)
                        })
                        .unwrap();
                    assert_eq!(fs::read_to_string(entry.join("etcd")).unwrap(), "binary");
                });
            }
        });
        assert_eq!(builds.into_inner(), 1);
    }

    #[test]
    fn a_failed_build_leaves_nothing_that_looks_complete() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::at(root.path().into()).unwrap();
        fs::create_dir(root.path().join(".etcd-killed")).unwrap();
        let failed = cache.get_or_build(Component::Etcd, "k", |target| {
            fs::write(target.join("etcd"), "half")?;
            bail!("disk full")
        });
        assert!(failed.is_err());
        let left: Vec<_> = fs::read_dir(root.path())
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(left, [".etcd.lock"]);
    }
}
