//! Programs of this host that images are made with.

use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};

/// Runs a program to its end; anything but success is an error that quotes it.
pub(crate) fn run(command: &mut Command) -> Result<Output> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {program}; is its Debian package installed?"))?;
    let (status, stderr) = (output.status, String::from_utf8_lossy(&output.stderr));
    ensure!(status.success(), "{program} failed ({status}): {}", stderr.trim());
    Ok(output)
}
