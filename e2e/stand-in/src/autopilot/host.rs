//! A host's own part in its update: acts on the signal on its object, step by step.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, process::Stdio, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use futures::StreamExt as _;
use kube::{
    Client, ResourceExt as _,
    runtime::{WatchStreamExt as _, watcher},
};
use nix::{
    sys::signal::{Signal as UnixSignal, kill},
    unistd::Pid,
};
use sha2::{Digest as _, Sha256};
use tokio::{process::Command, time::sleep};

use super::{
    signal::{Phase, Signal, Update},
    signal_node::SignalKind,
};
use crate::paths::k0s_version;

/// What has been downloaded waits under this name beside the executable.
const DOWNLOADED: &str = "k0s.tmp";
/// Name of the executable that is replaced, whatever the running one is called.
const EXECUTABLE: &str = "k0s";
/// A download that stands still for so long, in seconds, has failed.
const STALE_SECONDS: &str = "60";
const RETRY: Duration = Duration::from_secs(1);

/// The host of this process.
pub struct Host {
    client: Client,
    kind: SignalKind,
    name: String,
    directory: PathBuf,
    /// The signal for which this very process has replaced the executable: the restart is still to come.
    replaced: Option<Signal>,
}

/// What is to be done about a signal.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Nothing,
    Report(Phase),
    Download(Update),
    Replace,
    Terminate,
}

impl Host {
    /// `name`: of the ControlNode or Node that is this host's.
    pub fn new(client: Client, kind: SignalKind, name: String) -> Result<Self> {
        let executable = std::env::current_exe().context("the path of this executable is unknown")?;
        let directory = executable
            .parent()
            .context("this executable lies nowhere")?
            .to_owned();
        Ok(Self {
            client,
            kind,
            name,
            directory,
            replaced: None,
        })
    }

    /// Follows the signals until it is dropped.
    pub async fn run(mut self) {
        let config = watcher::Config::default().fields(&format!("metadata.name={}", self.name));
        let mut events = watcher(self.kind.api(&self.client), config)
            .default_backoff()
            .applied_objects()
            .boxed();
        while let Some(event) = events.next().await {
            let Ok(object) = event else { continue };
            if self.kind.parse(&object).signal.is_none() {
                continue;
            }
            while let Err(error) = self.act().await {
                tracing::warn!("autopilot: {error:#}");
                sleep(RETRY).await;
            }
        }
    }

    /// Does the next step of the signal as it is now.
    async fn act(&mut self) -> Result<()> {
        let Some(object) = self.kind.api(&self.client).get_opt(&self.name).await? else {
            return Ok(());
        };
        let node = self.kind.parse(&object);
        let Some(signal) = node.signal else { return Ok(()) };
        let report = match next(&signal, k0s_version(), self.replaced.as_ref()) {
            Step::Nothing => return Ok(()),
            Step::Report(phase) => signal.at(phase),
            Step::Download(update) => {
                tracing::info!("autopilot: downloading {}", update.url);
                match self.download(&update).await {
                    Ok(()) => signal.at(Phase::Cordoning),
                    Err(error) => {
                        tracing::error!("autopilot: unable to download {}: {error:#}", update.url);
                        signal.at(Phase::FailedDownload)
                    }
                }
            }
            Step::Replace => {
                let downloaded = self.directory.join(DOWNLOADED);
                fs::set_permissions(&downloaded, fs::Permissions::from_mode(0o755))
                    .and_then(|()| fs::rename(&downloaded, self.directory.join(EXECUTABLE)))
                    .with_context(|| {
                        format!("{} cannot take the executable's place", downloaded.display())
                    })?;
                let report = signal.at(Phase::Restart);
                self.replaced = Some(report.clone());
                report
            }
            Step::Terminate => {
                tracing::info!("autopilot: restarting k0s");
                return kill(Pid::this(), UnixSignal::SIGTERM).context("k0s cannot be ended");
            }
        };
        let phase = report.phase();
        tracing::info!(?phase, "autopilot: updating signaling response");
        self.kind
            .write(
                &self.client,
                &self.name,
                object.resource_version().as_deref(),
                &report,
            )
            .await?;
        Ok(())
    }

    /// By curl, which every host has that downloads k0s itself.
    async fn download(&self, update: &Update) -> Result<()> {
        let file = self.directory.join(DOWNLOADED);
        let output = Command::new("curl")
            .args(["-sSfL", "--speed-limit", "1", "--speed-time", STALE_SECONDS, "-o"])
            .arg(&file)
            .arg(&update.url)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .context("curl cannot be run")?;
        if !output.status.success() {
            bail!(
                "download failed: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        if update.sha256.is_empty() {
            return Ok(());
        }
        let content = tokio::fs::read(&file).await?;
        let found: String = Sha256::digest(&content)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let matches = found.eq_ignore_ascii_case(&update.sha256);
        if !matches {
            fs::remove_file(&file)?;
        }
        ensure!(matches, "hash mismatch: expected {}, got {found}", update.sha256);
        Ok(())
    }
}

/// `replaced`: the signal for which this process has replaced the executable, if it has.
fn next(signal: &Signal, running: &str, replaced: Option<&Signal>) -> Step {
    let Some(update) = &signal.command.k0supdate else {
        return Step::Nothing;
    };
    let up_to_date = running == update.version;
    match signal.phase() {
        None if up_to_date && !update.forceupdate => Step::Report(Phase::Completed),
        None => Step::Report(Phase::Downloading),
        Some(Phase::Downloading) => Step::Download(update.clone()),
        Some(Phase::ApplyingUpdate) => Step::Replace,
        Some(Phase::Restart) => {
            // A signal at this step that another process wrote means that the restart has happened.
            let pending = replaced == Some(signal);
            if up_to_date || (!pending && update.forceupdate) {
                Step::Report(Phase::UnCordoning)
            } else if pending {
                Step::Terminate
            } else {
                // Another version runs than was asked for; starting it again would not help.
                Step::Nothing
            }
        }
        // The leader's turn, or the end.
        Some(
            Phase::Cordoning | Phase::UnCordoning | Phase::Completed | Phase::Failed | Phase::FailedDownload,
        ) => Step::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "v1.36.3+k0s.2";
    const NEW: &str = "v1.36.3+k0s.3";

    fn signal(forceupdate: bool) -> Signal {
        let update = Update {
            url: "http://host/k0s".to_owned(),
            version: NEW.to_owned(),
            sha256: String::new(),
            forceupdate,
        };
        Signal::new("id", 0, update)
    }

    #[test]
    fn an_update_goes_through_all_steps_of_the_host() {
        let signal = signal(false);
        assert_eq!(next(&signal, OLD, None), Step::Report(Phase::Downloading));
        assert!(matches!(
            next(&signal.at(Phase::Downloading), OLD, None),
            Step::Download(_)
        ));
        assert_eq!(next(&signal.at(Phase::Cordoning), OLD, None), Step::Nothing);
        assert_eq!(next(&signal.at(Phase::ApplyingUpdate), OLD, None), Step::Replace);
        let restart = signal.at(Phase::Restart);
        assert_eq!(next(&restart, OLD, Some(&restart)), Step::Terminate);
        assert_eq!(next(&restart, NEW, None), Step::Report(Phase::UnCordoning));
        assert_eq!(next(&signal.at(Phase::Completed), NEW, None), Step::Nothing);
    }

    #[test]
    fn nothing_is_downloaded_for_the_running_version_unless_forced() {
        assert_eq!(next(&signal(false), NEW, None), Step::Report(Phase::Completed));
        assert_eq!(next(&signal(true), NEW, None), Step::Report(Phase::Downloading));
    }

    #[test]
    fn a_restart_that_brought_another_version_is_not_repeated() {
        let restart = signal(false).at(Phase::Restart);
        assert_eq!(next(&restart, OLD, None), Step::Nothing);
        let forced = signal(true).at(Phase::Restart);
        assert_eq!(next(&forced, OLD, None), Step::Report(Phase::UnCordoning));
    }
}
