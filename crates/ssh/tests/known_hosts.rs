//! Our reading of known_hosts against that of OpenSSH.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure ends the test"
)]

mod support;

use std::fs;
use std::process::{Command, Stdio};

use k0smotron_ssh::known_hosts;
use support::{ED25519, Sshd, keygen, output};

/// How many lines `ssh-keygen -F` finds for a host.
fn found_by_openssh(path: &std::path::Path, name: &str) -> usize {
    let mut command = Command::new("ssh-keygen");
    let found = command
        .args(["-F", name, "-f"])
        .arg(path)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8(found.stdout)
        .unwrap()
        .lines()
        .filter(|line| line.starts_with("# Host"))
        .count()
}

#[test]
fn lines_are_found_as_openssh_finds_them() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("known_hosts");
    keygen(&directory.path().join("key"), ED25519);
    let key = fs::read_to_string(directory.path().join("key.pub")).unwrap();
    let key = key.trim();
    let plain = format!(
        "web.example.org,10.0.0.1 {key}\n[web.example.org]:2222 {key}\n[10.0.0.2]:23 {key}\nfd00::1 {key}\n"
    );
    let patterns = format!("*.example.org,!db.example.org {key}\n10.0.?.* {key}\n# web.example.org {key}\n");
    let compare = |text: &str| {
        for (host, port) in [
            ("web.example.org", 22),
            ("WEB.example.org", 22),
            ("web.example.org", 2222),
            ("db.example.org", 22),
            ("10.0.0.1", 22),
            ("10.0.0.2", 22),
            ("10.0.0.2", 23),
            ("10.0.10.2", 22),
            ("fd00::1", 22),
            ("nowhere", 22),
        ] {
            let name = if port == 22 {
                host.to_owned()
            } else {
                format!("[{host}]:{port}")
            };
            let ours = known_hosts(text, host, port).unwrap().keys.len();
            // As ssh does before it looks.
            let name = name.to_ascii_lowercase();
            assert_eq!(ours, found_by_openssh(&path, &name), "{name} in\n{text}");
        }
    };
    for text in [plain.clone(), patterns] {
        fs::write(&path, &text).unwrap();
        compare(&text);
    }
    fs::write(&path, &plain).unwrap();
    output(Command::new("ssh-keygen").args(["-q", "-H", "-f"]).arg(&path));
    let hashed = fs::read_to_string(&path).unwrap();
    assert!(hashed.contains("|1|") && !hashed.contains("10.0.0.1"), "{hashed}");
    compare(&hashed);
}

#[test]
fn what_ssh_keyscan_prints_is_what_the_host_shows() {
    let sshd = Sshd::with_host_keys(&["ed25519", "ecdsa", "rsa"]);
    let printed = output(Command::new("ssh-keyscan").args(["-p", &sshd.port.to_string(), "127.0.0.1"]));
    let mut found = known_hosts(&printed, "127.0.0.1", sshd.port).unwrap().keys;
    found.sort_by_key(ToString::to_string);
    let expected = ["ecdsa", "ed25519", "rsa"].map(|kind| sshd.host_key(kind));
    assert_eq!(found, expected, "{printed}");
}
