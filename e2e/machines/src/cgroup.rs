//! The cgroups of a machine. `runc delete` removes them, but not always all that systemd made below, and not when
//! runc's own state is lost; leftovers would keep processes of a dead machine alive and out of sight.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::time::{Instant, sleep};

use crate::command::run;
use crate::state::Place;

const ROOT: &str = "/sys/fs/cgroup";
const DEADLINE: Duration = Duration::from_secs(10);

/// Kills what is left in the machine's cgroups and removes them, in every hierarchy.
pub(crate) async fn remove(place: &Place) -> Result<()> {
    let id = place.id();
    let begin = Instant::now();
    loop {
        let left = hierarchies()?
            .into_iter()
            .map(|hierarchy| hierarchy.join(&id))
            .filter(|path| path.is_dir());
        let mut left: Vec<_> = left.collect();
        left.retain(|path| !remove_tree(path));
        if left.is_empty() {
            return Ok(());
        }
        for process in left.iter().flat_map(|path| processes(path)) {
            // Gone in the meantime is fine.
            let _ = run("kill", &["-KILL", &process]).await;
        }
        ensure!(
            begin.elapsed() < DEADLINE,
            "processes of {id} stay in {}",
            left.iter()
                .map(|path| path.to_string_lossy())
                .collect::<Vec<_>>()
                .join(", ")
        );
        sleep(Duration::from_millis(50)).await;
    }
}

/// Process ids, as the host counts, of everything that runs in the machine.
pub(crate) fn processes_of(place: &Place) -> Result<Vec<String>> {
    let id = place.id();
    let mut found: Vec<String> = hierarchies()?
        .iter()
        .flat_map(|hierarchy| processes(&hierarchy.join(&id)))
        .collect();
    found.sort();
    found.dedup();
    Ok(found)
}

/// The root itself with cgroup v2 alone, one directory for each hierarchy with v1 and the hybrid of both.
fn hierarchies() -> Result<Vec<PathBuf>> {
    let root = Path::new(ROOT);
    if root.join("cgroup.controllers").exists() {
        return Ok(vec![root.to_owned()]);
    }
    directories(root).with_context(|| format!("cannot read {ROOT}"))
}

fn remove_tree(path: &Path) -> bool {
    for child in directories(path).unwrap_or_default() {
        remove_tree(&child);
    }
    // The files of a cgroup are the kernel's and go with it.
    fs::remove_dir(path).is_ok() || !path.exists()
}

fn processes(path: &Path) -> Vec<String> {
    let mut found: Vec<String> = fs::read_to_string(path.join("cgroup.procs"))
        .unwrap_or_default()
        .lines()
        .map(str::to_owned)
        .collect();
    for child in directories(path).unwrap_or_default() {
        found.extend(processes(&child));
    }
    found
}

fn directories(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}
