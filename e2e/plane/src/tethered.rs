//! A process that ends with its owner: killed on drop, and by the kernel when this program dies first.
//!
//! Also what can happen to it meanwhile, for tests of what others do then.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// A running process. Dropping it kills it.
pub struct Tethered {
    name: &'static str,
    child: Child,
    log: PathBuf,
    /// Dropped with the owner, which lets the parent thread end.
    _tether: mpsc::Sender<()>,
}

impl Tethered {
    /// Starts `program`; its output goes to `log`.
    ///
    /// # Errors
    /// The log cannot be written, or `setpriv` of util-linux cannot be run.
    pub fn start(name: &'static str, program: &Path, args: &[String], log: PathBuf) -> Result<Self> {
        let output = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let (tether, until_dropped) = mpsc::channel::<()>();
        let (send, started) = mpsc::channel();
        // The kernel's "parent" is the thread, not the process: one from a pool, or that of a test, may end too early.
        thread::spawn(move || {
            if send.send(command.spawn()).is_ok() {
                let _dropped = until_dropped.recv();
            }
        });
        let child = started
            .recv()
            .context("the starting thread died")?
            .with_context(|| format!("cannot start {name} by `setpriv` of util-linux"))?;
        Ok(Self {
            name,
            child,
            log,
            _tether: tether,
        })
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// It has ended; the message holds the end of its log.
    pub fn check(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{} ended with {status}:\n{}", self.name, tail(&self.log));
        }
        Ok(())
    }

    /// Stops it where it stands; what it is connected to neither gets an answer nor hears of an end.
    ///
    /// # Errors
    /// It has ended.
    pub fn freeze(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on after [`Self::freeze`].
    ///
    /// # Errors
    /// It has ended.
    pub fn thaw(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Asks it to end, and waits until it has, which blocks this thread.
    ///
    /// # Errors
    /// It has ended before.
    pub fn end(mut self) -> Result<()> {
        self.signal(Signal::TERM)?;
        self.child.wait()?;
        Ok(())
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        // Not reaped yet, so the number cannot mean anybody else.
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).with_context(|| format!("cannot signal {}", self.name))
    }
}

impl Drop for Tethered {
    fn drop(&mut self) {
        // Fails only for a process that has ended already.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// The last lines of a log, for an error message.
pub(crate) fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    lines.split_at(lines.len().saturating_sub(15)).1.join("\n")
}
