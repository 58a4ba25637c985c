//! Plain ssh, as a person would use it: for what is done "by hand".

use std::{net::Ipv4Addr, path::Path};

use anyhow::{Result, ensure};
use tokio::process::Command;

/// Runs a script on the host as root and returns what it printed.
///
/// # Errors
/// When ssh or the script fails, with what it printed.
pub async fn run(key: &Path, host: Ipv4Addr, script: &str) -> Result<String> {
    let output = Command::new("ssh")
        .arg("-i")
        .arg(key)
        .args([
            "-o",
            "BatchMode=yes",
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
        ])
        .args(["-o", "LogLevel=ERROR", "-o", "ConnectTimeout=10"])
        .arg(format!("root@{host}"))
        .arg(script)
        .output()
        .await?;
    ensure!(
        output.status.success(),
        "on {host}: {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
