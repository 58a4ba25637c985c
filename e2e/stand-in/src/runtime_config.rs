//! The run-time configuration `/run/k0s/k0s.yaml`: what the running instance started with, and the lock that says
//! that it runs. Other commands find the instance's paths there, and `reset` refuses while the lock is held.

use std::{
    fs::{File, OpenOptions, TryLockError},
    os::unix::fs::OpenOptionsExt as _,
};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::{config::NodeConfig, paths::Paths};

/// Held while the instance runs; the file goes when this is dropped.
pub struct RuntimeConfig {
    paths: Paths,
    _lock: File,
}

impl RuntimeConfig {
    /// Takes the lock and writes the file; an error when another instance runs.
    pub fn acquire(paths: &Paths, node: Option<&NodeConfig>) -> Result<Self> {
        let file = paths.runtime_config();
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(lock_path(paths))
            .context("the lock of the runtime configuration cannot be opened")?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!("another k0s process is still running"),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let content = json!({
            "apiVersion": "k0s.k0sproject.io/v1beta1",
            "kind": "RuntimeConfig",
            "spec": {"nodeConfig": node, "k0sVars": paths},
        });
        crate::pki::write_atomically(&file, &serde_yaml::to_string(&content)?, 0o600)?;
        Ok(Self {
            paths: paths.clone(),
            _lock: lock,
        })
    }
}

impl Drop for RuntimeConfig {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.paths.runtime_config());
    }
}

/// Whether an instance runs.
pub fn is_running(paths: &Paths) -> Result<bool> {
    let lock = match File::open(lock_path(paths)) {
        Ok(lock) => lock,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error).context("the lock of the runtime configuration cannot be opened"),
    };
    match lock.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

/// The running instance's own paths, or the given ones when none runs.
pub fn effective_paths(given: Paths) -> Result<Paths> {
    if !is_running(&given)? {
        return Ok(given);
    }
    let running = std::fs::read_to_string(given.runtime_config())
        .ok()
        .and_then(|text| serde_yaml::from_str::<Value>(&text).ok())
        .and_then(|content| content.pointer("/spec/k0sVars").cloned())
        .and_then(|paths| serde_json::from_value(paths).ok());
    Ok(running.unwrap_or(given))
}

fn lock_path(paths: &Paths) -> std::path::PathBuf {
    paths.run_dir.join("k0s.yaml.lock")
}
