//! `runc`, as far as machines need it. Its state is where it keeps that by default: `runc list` shows the machines.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

use crate::command::{self, Output, run};
use crate::state::Place;

/// A killed container is gone when the kernel has taken down its processes and mounts.
const GONE_DEADLINE: Duration = Duration::from_secs(20);

const STATE: &str = "/run/runc";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Creating,
    Created,
    Running,
    Paused,
    Stopped,
}

#[derive(Deserialize)]
struct State {
    status: Status,
}

/// The container's status; none if there is no such container.
pub(crate) async fn status(place: &Place) -> Result<Option<Status>> {
    let output = command::output("runc", ["state", &place.id()], command::DEADLINE).await?;
    if output.success() {
        let state: State =
            serde_json::from_str(&output.stdout).context("cannot read the answer of runc state")?;
        return Ok(Some(state.status));
    }
    if output.stderr.contains("does not exist") {
        return Ok(None);
    }
    bail!("runc state {}: {}", place.id(), output.stderr.trim())
}

/// Starts the container of the bundle; returns as soon as its init runs.
pub(crate) async fn start(place: &Place) -> Result<()> {
    // Files, not pipes: init keeps them open for as long as it lives.
    let log = place.directory().join("console.log");
    let console = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let mut command = Command::new("runc");
    command
        .args(["run", "--detach", "--bundle"])
        .arg(place.bundle())
        .arg(place.id())
        .stdin(Stdio::null())
        .stdout(console.try_clone()?)
        .stderr(console)
        .kill_on_drop(true);
    let status = timeout(command::DEADLINE, command.status())
        .await
        .context("runc run did not return")?
        .context("cannot run runc; is its Debian package installed?")?;
    ensure!(
        status.success(),
        "runc run {}: {}",
        place.id(),
        fs::read_to_string(&log).unwrap_or_default().trim()
    );
    Ok(())
}

/// Runs a shell command inside.
pub(crate) async fn exec(place: &Place, script: &str, deadline: Duration) -> Result<Output> {
    command::output("runc", ["exec", &place.id(), "/bin/sh", "-c", script], deadline).await
}

pub(crate) async fn pause(place: &Place) -> Result<()> {
    run("runc", &["pause", &place.id()]).await.map(drop)
}

pub(crate) async fn resume(place: &Place) -> Result<()> {
    run("runc", &["resume", &place.id()]).await.map(drop)
}

/// Kills every process inside, as pulling the plug would, and forgets the container; none there is fine.
pub(crate) async fn remove(place: &Place) -> Result<()> {
    let id = place.id();
    let begin = Instant::now();
    loop {
        match status(place).await? {
            None => return forget(&id),
            // A frozen process does not even die.
            Some(Status::Paused) => resume(place).await?,
            Some(Status::Stopped) => {
                run("runc", &["delete", "--force", &id]).await?;
                continue;
            }
            Some(Status::Creating | Status::Created | Status::Running) => {
                // Errors when the container ends by itself at this moment, which the next round sees.
                let _ = command::output("runc", ["kill", &id, "KILL"], command::DEADLINE).await?;
            }
        }
        ensure!(begin.elapsed() < GONE_DEADLINE, "{id} does not die");
        sleep(Duration::from_millis(50)).await;
    }
}

/// A runc that was killed early leaves a directory that is no container for `state` and `delete`, and one for `run`.
fn forget(id: &str) -> Result<()> {
    match fs::remove_dir_all(Path::new(STATE).join(id)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error).context("cannot remove runc's state"),
        _ => Ok(()),
    }
}
