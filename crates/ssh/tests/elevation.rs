//! Elevation by the real sudo and the real doas, as users who are made for the tests and removed after them.
//!
//! Needs root, sudo and (for one test) doas; without them it says so and checks nothing here (the command lines and the
//! treatment of refusals have unit tests, and the machines of the end-to-end suites have users with sudo).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure ends the test"
)]

mod support;

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command as Process, Stdio};
use std::time::Duration;

use k0smotron_ssh::{Command, Elevation, Error, Session, SshTransport, Target, Transport};
use support::{ED25519, LONG, Sshd, output, usable};

const PASSWORD: &str = r#"p'a"s $s\word"#;

/// A user who exists as long as this does.
struct TestUser {
    name: String,
    sshd: Sshd,
}

impl TestUser {
    /// `program`: what becomes root. Each test has a user of its own: they run at the same time.
    fn new(name: &str, program: &str) -> Option<Self> {
        let is_root = output(Process::new("id").arg("-u")).trim() == "0";
        let has = |program: &str| Path::new(program).exists();
        if !is_root || !has(program) || !has("/usr/sbin/useradd") {
            eprintln!("skipped: needs root, {program} and useradd");
            return None;
        }
        let name = format!("k0smotron-ssh-{name}");
        // A test that was killed may have left its user.
        remove_user(&name);
        output(Process::new("useradd").args([
            "--no-create-home",
            "--home-dir",
            "/",
            "--shell",
            "/bin/sh",
            &name,
        ]));
        // Without a password the account would be locked, and a locked account is refused by the server.
        let mut chpasswd = Process::new("chpasswd").stdin(Stdio::piped()).spawn().unwrap();
        let line = format!("{name}:{PASSWORD}\n");
        chpasswd.stdin.take().unwrap().write_all(line.as_bytes()).unwrap();
        assert!(chpasswd.wait().unwrap().success());
        Some(Self {
            name,
            sshd: Sshd::start(),
        })
    }

    /// Replaces what sudo lets the user do. `@` stands for the user.
    fn sudoers(&self, rules: &str) {
        let path = sudoers(&self.name);
        // Only a name with a dot or a tilde is passed over by sudo: nobody reads half of it.
        let new = format!("{path}~");
        fs::write(&new, format!("{}\n", rules.replace('@', &self.name))).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o440)).unwrap();
        fs::rename(new, path).unwrap();
    }

    fn target(&self, elevation: Elevation) -> Target {
        Target {
            user: self.name.clone(),
            elevation,
            ..self.sshd.target(self.sshd.user_key(ED25519))
        }
    }

    async fn session(&self, elevation: Elevation) -> Session {
        usable(SshTransport.connect(&self.target(elevation), LONG).await.unwrap())
    }

    /// Why a command is not run as root.
    async fn refused(&self, elevation: Elevation) -> Error {
        let session = self.session(elevation).await;
        let error = session.run(&Command::new("id -u"), LONG).await.unwrap_err();
        assert!(matches!(error, Error::ElevationRefused { .. }), "{error}");
        error
    }
}

impl Drop for TestUser {
    fn drop(&mut self) {
        remove_user(&self.name);
    }
}

fn sudoers(user: &str) -> String {
    format!("/etc/sudoers.d/{user}")
}

fn remove_user(name: &str) {
    let _ = fs::remove_file(sudoers(name));
    // By force: the processes of the last session end only once the runtime goes on.
    for _ in 0..50 {
        let mut userdel = Process::new("userdel");
        userdel
            .args(["--force", name])
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

/// Commands and files as root, with input that is not text.
async fn is_root(session: &Session, directory: &Path) {
    let command = Command::new("id -u; wc -c").stdin([0, b'\n', 255, b'\n', 4]);
    let output = session.run(&command, LONG).await.unwrap();
    assert_eq!(output.stdout.replace(' ', ""), "0\n5\n", "{}", output.stderr);
    let path = directory.join("root's");
    let text = path.to_str().unwrap();
    session
        .put(text, 0o600, b"k0smotron-input\n\0", LONG)
        .await
        .unwrap();
    assert_eq!(fs::metadata(&path).unwrap().uid(), 0);
    assert_eq!(
        session.read_small(text, 100, LONG).await.unwrap().unwrap(),
        b"k0smotron-input\n\0"
    );
    fs::remove_file(path).unwrap();
}

#[tokio::test]
async fn a_password_is_given_to_sudo_where_it_is_asked_for() {
    let Some(user) = TestUser::new("password", "/usr/bin/sudo") else {
        return;
    };
    let sudo = |password: &str| Elevation::Sudo(Some(password.into()));
    let directory = user.sshd.path("");
    user.sudoers("@ ALL=(ALL) ALL");
    let session = user.session(sudo(PASSWORD)).await;
    is_root(&session, &directory).await;
    // One attempt, which is what locks accounts.
    let error = user.refused(sudo("wrong")).await.to_string();
    assert!(error.contains("1 incorrect password attempt"), "{error}");
    assert!(error.contains("check the password"), "{error}");

    // The host stops to ask, in the same session: the password must not become input.
    user.sudoers("@ ALL=(ALL) NOPASSWD: ALL");
    is_root(&session, &directory).await;
    is_root(&user.session(sudo(PASSWORD)).await, &directory).await;
    is_root(&user.session(sudo("wrong")).await, &directory).await;
}

#[tokio::test]
async fn a_path_that_leads_nowhere_hinders_nobody() {
    let Some(mut user) = TestUser::new("path", "/usr/bin/sudo") else {
        return;
    };
    user.sudoers("Defaults:@ secure_path=/nowhere\n@ ALL=(ALL) NOPASSWD: ALL");
    user.sshd.configure("SetEnv PATH=/nowhere\n");
    is_root(&user.session(Elevation::Sudo(None)).await, &user.sshd.path("")).await;
    let plain = user.session(Elevation::None).await;
    let output = plain.run(&Command::new("id -un"), LONG).await.unwrap();
    assert_eq!(output.stdout.trim(), user.name, "{}", output.stderr);
}

#[tokio::test]
async fn a_sudo_that_wants_a_terminal_is_told_with_the_remedy() {
    let Some(user) = TestUser::new("tty", "/usr/bin/sudo") else {
        return;
    };
    user.sudoers("Defaults:@ requiretty\n@ ALL=(ALL) NOPASSWD: ALL");
    let error = user.refused(Elevation::Sudo(None)).await.to_string();
    let remedy = format!("`Defaults:{} !requiretty`", user.name);
    assert!(error.contains(&remedy), "{error}");
    // As the remedy says.
    user.sudoers("Defaults:@ requiretty\nDefaults:@ !requiretty\n@ ALL=(ALL) NOPASSWD: ALL");
    is_root(&user.session(Elevation::Sudo(None)).await, &user.sshd.path("")).await;
}

#[tokio::test]
async fn a_user_becomes_root_with_doas_if_the_host_lets_him() {
    const CONFIG: &str = "/etc/doas.conf";
    let Some(user) = TestUser::new("doas", "/usr/bin/doas") else {
        return;
    };
    if Path::new(CONFIG).exists() {
        eprintln!("skipped: this host has a {CONFIG} of its own");
        return;
    }
    struct Config;
    impl Drop for Config {
        fn drop(&mut self) {
            let _ = fs::remove_file(CONFIG);
        }
    }
    let _config = Config;
    let permit = |rule: &str| {
        fs::write(CONFIG, format!("{rule} {}\n", user.name)).unwrap();
        fs::set_permissions(CONFIG, fs::Permissions::from_mode(0o600)).unwrap();
    };
    permit("permit");
    let error = user.refused(Elevation::Doas).await;
    assert_eq!(error.reason(), "DoasRefused");
    assert!(error.to_string().contains("Authentication required"), "{error}");
    assert!(
        error
            .to_string()
            .contains(&format!("`permit nopass {}`", user.name)),
        "{error}"
    );
    permit("permit nopass");
    is_root(&user.session(Elevation::Doas).await, &user.sshd.path("")).await;
}

#[tokio::test]
async fn a_user_becomes_root_with_sudo_if_the_host_lets_him() {
    let Some(user) = TestUser::new("plain", "/usr/bin/sudo") else {
        return;
    };
    let sshd = &user.sshd;

    // Nothing allowed yet.
    let session = user.session(Elevation::Sudo(None)).await;
    let error = session.run(&Command::new("id -u"), LONG).await.unwrap_err();
    assert_eq!(error.reason(), "SudoRefused", "{error}");
    assert!(
        error
            .to_string()
            .contains(&format!("{} ALL=(ALL) NOPASSWD: ALL", user.name)),
        "{error}"
    );

    // Allowed, but not without a password.
    user.sudoers("@ ALL=(ALL) ALL");
    let error = session.run(&Command::new("id -u"), LONG).await.unwrap_err();
    assert!(error.to_string().contains("a password is required"), "{error}");

    // As the remedy says, and in the same session.
    user.sudoers("@ ALL=(ALL) NOPASSWD: ALL");
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
    let plain = user.session(Elevation::None).await;
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
        .args(["-u", &user.name, "-x", "sleep"])
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
