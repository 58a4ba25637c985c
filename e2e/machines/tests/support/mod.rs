//! A scene for each test: an instance number of its own, nothing there before and nothing left afterwards.

use std::future::Future;
use std::path::Path;
use std::process::{Command, Output};

use k0smotron_e2e_machines::{Network, SshKey, stop_all};

/// Runs `body` with a fresh network and key, and cleans up whatever the outcome.
pub async fn scene<F>(instance: u8, body: impl FnOnce(Network, SshKey) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    clean(instance).await;
    let network = Network::up(instance).await.unwrap();
    let key = SshKey::generate(instance).await.unwrap();
    let outcome = tokio::spawn(body(network, key)).await;
    clean(instance).await;
    if let Err(error) = outcome {
        std::panic::resume_unwind(error.into_panic());
    }
    assert_eq!(traces(instance), Vec::<String>::new());
}

async fn clean(instance: u8) {
    stop_all(instance).await.unwrap();
    Network::down(instance).await.unwrap();
}

/// Everything on this host that still carries the instance's name.
pub fn traces(instance: u8) -> Vec<String> {
    let names = [
        format!("k0sm-{instance}-"),
        format!("k0sm-{instance}:"),
        format!("k0sm{instance}v"),
        format!("k0sm{instance}d"),
        format!("k0sm{instance}e"),
        format!("k0smotron-e2e/{instance}/"),
    ];
    let mut found = Vec::new();
    for command in [
        "runc list",
        "ip netns list",
        "ip -oneline link",
        "cat /proc/self/mountinfo",
        "find /sys/fs/cgroup -name 'k0sm-*'",
        "find /run/runc /run/k0smotron-e2e -name 'k0sm-*'",
        "find /var/lib/k0smotron-e2e -maxdepth 2 -printf '%p/\\n'",
    ] {
        let output = shell(command);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines = text
            .lines()
            .filter(|line| names.iter().any(|name| line.contains(name)));
        found.extend(lines.map(|line| format!("{command}: {line}")));
    }
    found
}

pub fn shell(command: &str) -> Output {
    Command::new("/bin/sh").args(["-c", command]).output().unwrap()
}

/// Runs `command` over SSH with the stock client.
pub fn ssh(key: &Path, login: &str, command: &str) -> Output {
    Command::new("ssh")
        .args([
            "-o",
            "BatchMode=yes",
            "-o",
            "ConnectTimeout=5",
            "-o",
            "LogLevel=ERROR",
        ])
        .args([
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
            "-i",
        ])
        .arg(key)
        .args([login, command])
        .output()
        .unwrap()
}

/// Standard output of a command that succeeded.
pub fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
