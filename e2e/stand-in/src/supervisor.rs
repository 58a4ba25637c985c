//! Runs a component's process: starts it, starts it again five seconds after it ended, and stops it.
//!
//! Like k0s, it gives each component a process group of its own and a pid file, and marks it in its environment:
//! after a crash of k0s itself the components live on, and the next start ends the old ones before it starts new.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    process::{Child, Command},
    sync::{mpsc, oneshot},
    time::{Instant, sleep, timeout},
};

use crate::paths::Paths;

/// Set in every component's environment, so that a pid file can be told to still mean our process.
const MARK: &str = "_K0S_MANAGED=yes";
const RESPAWN_DELAY: Duration = Duration::from_secs(5);

/// How to run a component.
#[derive(Clone, Debug)]
pub struct Program {
    pub name: &'static str,
    pub executable: PathBuf,
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
    /// How long the process may take to end after SIGTERM.
    pub stop_timeout: Duration,
}

impl Program {
    /// A program found in the instance's `bin` directory or in `PATH`, with k0s' usual five seconds to stop.
    pub fn find(paths: &Paths, name: &'static str, arguments: Vec<String>) -> Result<Self> {
        Ok(Self {
            name,
            executable: paths.executable(name)?,
            arguments,
            environment: Vec::new(),
            stop_timeout: Duration::from_secs(5),
        })
    }
}

/// A component under supervision. Dropping this ends the process too, but nobody can wait for that.
#[derive(Debug)]
pub struct Supervised {
    name: &'static str,
    requests: mpsc::Sender<StopRequest>,
}

#[derive(Debug)]
struct StopRequest {
    /// Time for the process to end by itself before it is asked to.
    grace: Duration,
    done: oneshot::Sender<()>,
}

impl Supervised {
    /// Starts the program; an error when it cannot be executed the first time.
    pub async fn start(paths: &Paths, program: Program) -> Result<Self> {
        let name = program.name;
        let pid_file = paths.run_dir.join(format!("{name}.pid"));
        end_leftover(&pid_file).await?;
        let child = spawn(paths, &program, &pid_file)?;
        let (requests, received) = mpsc::channel(1);
        tokio::spawn(supervise(paths.clone(), program, pid_file, child, received));
        Ok(Self { name, requests })
    }

    /// Ends the process with SIGTERM, and with SIGKILL when it takes too long.
    pub async fn stop(self) {
        self.stop_after(Duration::ZERO).await;
    }

    /// Like [`Self::stop`], but first waits for the process to end by itself.
    pub async fn stop_after(self, grace: Duration) {
        let (done, finished) = oneshot::channel();
        // Either channel closes only when the supervision has ended, and then there is nothing left to stop.
        if self.requests.send(StopRequest { grace, done }).await.is_ok() {
            let _ = finished.await;
        }
        tracing::info!(component = self.name, "stopped");
    }
}

async fn supervise(
    paths: Paths,
    program: Program,
    pid_file: PathBuf,
    child: Child,
    mut requests: mpsc::Receiver<StopRequest>,
) {
    let mut running = Some(child);
    loop {
        let request = match running.take() {
            Some(mut child) => tokio::select! {
                status = child.wait() => {
                    let _ = fs::remove_file(&pid_file);
                    tracing::error!(component = program.name, ?status, "process ended unexpectedly");
                    continue;
                }
                request = requests.recv() => {
                    let grace = request.as_ref().map_or(Duration::ZERO, |request| request.grace);
                    terminate(&program, child, grace).await;
                    let _ = fs::remove_file(&pid_file);
                    request
                }
            },
            None => tokio::select! {
                () = sleep(RESPAWN_DELAY) => {
                    match spawn(&paths, &program, &pid_file) {
                        Ok(child) => running = Some(child),
                        Err(error) => tracing::warn!(component = program.name, "failed to start: {error:#}"),
                    }
                    continue;
                }
                request = requests.recv() => request,
            },
        };
        if let Some(request) = request {
            let _ = request.done.send(());
        }
        return;
    }
}

fn spawn(paths: &Paths, program: &Program, pid_file: &Path) -> Result<Child> {
    let path = std::env::var("PATH").unwrap_or_default();
    let (mark, value) = MARK.split_once('=').unwrap_or((MARK, ""));
    let child = Command::new(&program.executable)
        .args(&program.arguments)
        .env("PATH", format!("{}:{path}", paths.bin_dir().display()))
        .env(mark, value)
        .envs(program.environment.iter().map(|(name, value)| (name, value)))
        .current_dir(&paths.data_dir)
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
        .with_context(|| format!("{} cannot be executed", program.executable.display()))?;
    let pid = child.id().unwrap_or_default();
    fs::write(pid_file, format!("{pid}\n"))
        .and_then(|()| fs::set_permissions(pid_file, fs::Permissions::from_mode(0o644)))
        .with_context(|| format!("{} cannot be written", pid_file.display()))?;
    tracing::info!(component = program.name, pid, "started");
    Ok(child)
}

async fn terminate(program: &Program, mut child: Child, grace: Duration) {
    if !grace.is_zero() && timeout(grace, child.wait()).await.is_ok() {
        return;
    }
    if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
    if timeout(program.stop_timeout, child.wait()).await.is_err() {
        tracing::warn!(component = program.name, "did not end in time, killing it");
        let _ = child.kill().await;
    }
}

/// Ends the process that a crashed predecessor left behind, when the pid still means a component of k0s.
async fn end_leftover(pid_file: &Path) -> Result<()> {
    let Ok(text) = fs::read_to_string(pid_file) else {
        return Ok(());
    };
    let Ok(pid) = text.trim().parse::<i32>() else {
        return Ok(());
    };
    let ours = || {
        fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| {
            environment
                .split(|byte| *byte == 0)
                .any(|entry| entry == MARK.as_bytes())
        })
    };
    let started = Instant::now();
    while ours() {
        let signal = if started.elapsed() < Duration::from_secs(5) {
            Signal::SIGTERM
        } else {
            Signal::SIGKILL
        };
        tracing::info!(pid, %signal, "ending the process of an earlier run");
        let _ = kill(Pid::from_raw(pid), signal);
        let asked = Instant::now();
        while ours() && asked.elapsed() < Duration::from_secs(5) {
            sleep(Duration::from_millis(50)).await;
        }
        if started.elapsed() > Duration::from_secs(20) {
            anyhow::bail!("process {pid} of an earlier run does not end");
        }
    }
    Ok(())
}
