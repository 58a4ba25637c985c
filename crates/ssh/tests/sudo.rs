//! Elevation by the real sudo, as a user who is made for the test and removed after it.
//!
//! Needs root and sudo; without them it says so and checks nothing here (the command lines and the treatment
//! of refusals have unit tests, and the machines of the end-to-end suites have a sudo user).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure ends the test"
)]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command as Process, Stdio};
use std::time::Duration;

use k0smotron_ssh::{Command, Elevation, SshTransport, Target, Transport};
use support::{ED25519, LONG, Sshd, output, usable};

const USER: &str = "k0smotron-ssh-test";
const SUDOERS: &str = "/etc/sudoers.d/k0smotron-ssh-test";

/// A user who exists as long as this does.
struct TestUser;

impl TestUser {
    fn new() -> Option<Self> {
        let is_root = output(Process::new("id").arg("-u")).trim() == "0";
        let has = |program: &str| Path::new(program).exists();
        if !is_root || !has("/usr/bin/sudo") || !has("/usr/sbin/useradd") {
            eprintln!("skipped: needs root, sudo and useradd");
            return None;
        }
        // A test that was killed may have left its user.
        remove_user();
        output(Process::new("useradd").args([
            "--no-create-home",
            "--home-dir",
            "/",
            "--shell",
            "/bin/sh",
            USER,
        ]));
        // Without a password the account would be locked, and a locked account is refused by the server.
        output(Process::new("usermod").args(["--password", "*", USER]));
        Some(Self)
    }

    fn may(&self, rule: &str) {
        fs::write(SUDOERS, format!("{USER} ALL=(ALL) {rule}\n")).unwrap();
        fs::set_permissions(SUDOERS, fs::Permissions::from_mode(0o440)).unwrap();
    }
}

impl Drop for TestUser {
    fn drop(&mut self) {
        remove_user();
    }
}

fn remove_user() {
    let _ = fs::remove_file(SUDOERS);
    // The processes of the last session may take a moment to end.
    for _ in 0..50 {
        let mut userdel = Process::new("userdel");
        userdel
            .arg(USER)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // 6: there is no such user.
        if userdel
            .status()
            .is_ok_and(|status| matches!(status.code(), Some(0 | 6)))
        {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[tokio::test]
async fn a_user_becomes_root_with_sudo_if_the_host_lets_him() {
    let Some(user) = TestUser::new() else { return };
    let sshd = Sshd::start();
    let target = Target {
        user: USER.into(),
        elevation: Elevation::Sudo,
        ..sshd.target(sshd.user_key(ED25519))
    };
    let connect = async |target: &Target| usable(SshTransport.connect(target, LONG).await.unwrap());

    // Nothing allowed yet.
    let session = connect(&target).await;
    let error = session.run(&Command::new("id -u"), LONG).await.unwrap_err();
    assert_eq!(error.reason(), "SudoRefused", "{error}");
    assert!(
        error
            .to_string()
            .contains(&format!("{USER} ALL=(ALL) NOPASSWD: ALL")),
        "{error}"
    );

    // Allowed, but not without a password.
    user.may("ALL");
    let error = session.run(&Command::new("id -u"), LONG).await.unwrap_err();
    assert!(error.to_string().contains("a password is required"), "{error}");

    // As the remedy says, and in the same session.
    user.may("NOPASSWD: ALL");
    let output = session.run(&Command::new("id -u; exit 3"), LONG).await.unwrap();
    assert_eq!(
        (output.stdout.as_str(), output.exit_status),
        ("0\n", 3),
        "{}",
        output.stderr
    );
    let killed = session.run(&Command::new("kill -KILL $$"), LONG).await.unwrap();
    assert_eq!(
        (killed.signal.as_deref(), killed.exit_status),
        (Some("KILL"), 137)
    );

    // Files belong to root, and root reads them.
    let path = sshd.path("root's/secret");
    session
        .put(path.to_str().unwrap(), 0o600, b"secret", LONG)
        .await
        .unwrap();
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!(
        (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777),
        (0, 0, 0o600)
    );
    assert_eq!(
        session
            .read_small(path.to_str().unwrap(), 10, LONG)
            .await
            .unwrap()
            .unwrap(),
        b"secret"
    );

    // What is started in the background stays, without holding the call.
    let log = sshd.path("background");
    let line = format!(
        "setsid sh -c 'sleep 0.3; id -u' </dev/null >{} 2>&1 &",
        log.display()
    );
    session.run(&Command::new(line), LONG).await.unwrap();
    session.close().await;
    let start = std::time::Instant::now();
    while fs::read(&log).ok().as_deref() != Some(b"0\n") {
        assert!(start.elapsed() < LONG);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    // Without elevation the same user is nobody special, and a forbidden file is an error, not a missing
    // file.
    let plain = connect(&Target {
        elevation: Elevation::None,
        ..target.clone()
    })
    .await;
    assert_ne!(
        plain.run(&Command::new("id -u"), LONG).await.unwrap().stdout,
        "0\n"
    );
    let error = plain
        .read_small(path.to_str().unwrap(), 10, LONG)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("Permission denied"), "{error}");
    let error = plain
        .put("/etc/k0smotron-ssh-test/file", 0o600, b"", LONG)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("Permission denied"), "{error}");

    // A command that hangs is asked to end when it is given up.
    let hang = Command::new("exec sleep 100");
    assert_eq!(
        plain
            .run(&hang, Duration::from_millis(300))
            .await
            .unwrap_err()
            .reason(),
        "DeadlineExceeded"
    );
    let start = std::time::Instant::now();
    while Process::new("pgrep")
        .args(["-u", USER, "-x", "sleep"])
        .stdout(Stdio::null())
        .status()
        .unwrap()
        .success()
    {
        assert!(start.elapsed() < LONG, "the command goes on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    plain.close().await;
}
