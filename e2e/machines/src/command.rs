//! Commands of the host with a deadline and errors that quote what the command said.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::process::Command;
use tokio::time::timeout;

/// `ip`, `mount`, `runc` and their like answer at once; one that does not hangs.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// What a command left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Exit status; 128 and above when a signal ended it.
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// Whether the exit status was 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.status == 0
    }

    /// Standard output, or an error that quotes standard error.
    pub(crate) fn into_stdout(self, command: &str) -> Result<String> {
        if self.success() {
            return Ok(self.stdout);
        }
        let mut message = format!("`{command}` ended with status {}", self.status);
        for text in [self.stderr.trim(), self.stdout.trim()] {
            if !text.is_empty() {
                let _ = write!(message, ": {text}");
            }
        }
        bail!(message)
    }
}

/// Runs `program` to its end, whatever its exit status.
pub(crate) async fn output<I, S>(program: &str, arguments: I, deadline: Duration) -> Result<Output>
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(deadline, command.output())
        .await
        .with_context(|| format!("`{program}` did not end within {} s", deadline.as_secs()))?
        .with_context(|| format!("cannot run {program}; is its Debian package installed?"))?;
    let status = output.status;
    Ok(Output {
        status: status.code().unwrap_or_else(|| {
            128 + std::os::unix::process::ExitStatusExt::signal(&status).unwrap_or_default()
        }),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Runs `program`; anything but exit status 0 is an error.
pub(crate) async fn run(program: &str, arguments: &[&str]) -> Result<String> {
    output(program, arguments, DEADLINE)
        .await?
        .into_stdout(&format!("{program} {}", arguments.join(" ")))
}

/// For the builders of the cache, which are synchronous: anything but success is an error that quotes the program.
pub(crate) fn run_blocking(command: &mut std::process::Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {program}; is its Debian package installed?"))?;
    let (status, stderr) = (output.status, String::from_utf8_lossy(&output.stderr));
    ensure!(status.success(), "{program} failed ({status}): {}", stderr.trim());
    Ok(())
}
