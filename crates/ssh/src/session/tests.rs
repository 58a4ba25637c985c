//! Elevation and files over connections that are not SSH: one that only notes what it is asked, and the shell
//! of this machine.

use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use futures::future::{BoxFuture, FutureExt};
use tokio::io::AsyncWriteExt;

use super::*;
use crate::Captured;

const LONG: Duration = Duration::from_secs(60);
const KEY: &str = "ssh-ed25519 SHA256:TY+7jF398fWZpqSN9qfhV9dMUBn4120LYmQ5l+sDElY";

fn session(connection: impl Connection + 'static, user: &str, elevation: Elevation) -> Session {
    let host_key: HostKey = KEY.parse().unwrap();
    let target = Target {
        address: "10.0.0.1".into(),
        port: 22,
        user: user.into(),
        key: "".into(),
        passphrase: None,
        certificate: None,
        elevation,
        host_keys: HostKeyPolicy::Pinned(vec![host_key.clone()].into()),
        via: None,
    };
    match Connected::new(Box::new(connection), &target, vec![host_key]) {
        Connected::Known(session) => session,
        Connected::FirstUse(_) => panic!("the key is pinned"),
    }
}

fn raw(code: u32, stderr: &str) -> RawOutput {
    let mut captured = Captured::with_limit(KEPT_OUTPUT);
    captured.push(stderr.as_bytes());
    RawOutput {
        exit: ExitStatus::Code(code),
        stdout: Captured::with_limit(0),
        stderr: captured,
    }
}

/// Notes the command lines. The one of `refused` fails with that status and output.
#[derive(Clone, Default)]
struct Notes {
    lines: Arc<Mutex<Vec<String>>>,
    refused: Option<(String, u32, &'static str)>,
}

impl Connection for Notes {
    fn exec<'a>(&'a self, exec: Exec<'a>) -> BoxFuture<'a, Result<RawOutput, Error>> {
        self.lines.lock().unwrap().push(exec.line.to_owned());
        let outcome = match &self.refused {
            Some((line, code, stderr)) if exec.line == line => raw(*code, stderr),
            _ => raw(0, ""),
        };
        futures::future::ready(Ok(outcome)).boxed()
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        futures::future::ready(()).boxed()
    }
}

#[tokio::test]
async fn sudo_is_asked_once_and_then_used_for_everything() {
    let notes = Notes::default();
    let sudo = Elevation::Sudo(None);
    let session = session(notes.clone(), "debian", sudo.clone());
    session.run(&Command::new("echo it's $HOME"), LONG).await.unwrap();
    session
        .put("/etc/k0s/k0s.yaml", 0o600, b"a: b", LONG)
        .await
        .unwrap();
    session.read_small("/etc/k0s/k0s.yaml", 10, LONG).await.unwrap();
    let lines = notes.lines.lock().unwrap();
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[0], sudo.line(&["true"]));
    assert_eq!(lines[1], sudo.line(&["sh", "-c", "echo it's $HOME"]));
    assert!(lines.iter().all(|line| line.contains("exec sudo -n -- ")));
    assert!(lines[2].contains(" put /etc/k0s/k0s.yaml /etc/k0s /etc/k0s/.k0smotron-"));
    assert!(lines[2].ends_with(" 600 4"));
}

#[tokio::test]
async fn root_and_those_who_stay_what_they_are_need_no_sudo() {
    for (user, elevation) in [
        ("root", Elevation::Sudo(None)),
        ("root", Elevation::Doas),
        ("root", Elevation::None),
        ("debian", Elevation::None),
    ] {
        let notes = Notes::default();
        session(notes.clone(), user, elevation)
            .run(&Command::new("id"), LONG)
            .await
            .unwrap();
        assert_eq!(
            *notes.lines.lock().unwrap(),
            [Elevation::None.line(&["sh", "-c", "id"])]
        );
    }
}

#[tokio::test]
async fn a_refusal_is_an_error_with_the_remedy_and_nothing_is_run() {
    let no_password = || Elevation::Sudo(None);
    for (elevation, code, said, reason, remedy) in [
        (
            no_password(),
            1,
            "sudo: a password is required\n",
            "SudoRefused",
            "`debian ALL=(ALL) NOPASSWD: ALL`",
        ),
        (
            no_password(),
            127,
            "sh: 1: exec: sudo: not found\n",
            "SudoRefused",
            "install sudo",
        ),
        (
            no_password(),
            1,
            "sudo: sorry, you must have a tty to run sudo\n",
            "SudoRefused",
            "`Defaults:debian !requiretty`",
        ),
        (
            Elevation::Sudo(Some("wrong".into())),
            1,
            "Sorry, try again.\nsudo: 1 incorrect password attempt\n",
            "SudoRefused",
            "check the password",
        ),
        (
            Elevation::Doas,
            1,
            "doas: Authentication required\n",
            "DoasRefused",
            "`permit nopass debian`",
        ),
    ] {
        let asked = elevation.line(&["true"]);
        let notes = Notes {
            refused: Some((asked.clone(), code, said)),
            ..Notes::default()
        };
        let session = session(notes.clone(), "debian", elevation);
        for _ in 0..2 {
            let error = session.run(&Command::new("reboot"), LONG).await.unwrap_err();
            assert!(matches!(error, Error::ElevationRefused { .. }), "{error}");
            assert_eq!((error.reason(), error.is_retryable()), (reason, false));
            for part in ["debian at 10.0.0.1:22", said.lines().last().unwrap(), remedy] {
                assert!(error.to_string().contains(part), "{error}");
            }
        }
        // Asked again each time, since somebody may have put it right meanwhile.
        assert_eq!(*notes.lines.lock().unwrap(), [asked.clone(), asked]);
    }
}

#[tokio::test]
async fn a_command_that_fails_like_a_refusal_is_no_refusal() {
    let sudo = Elevation::Sudo(None);
    let notes = Notes {
        refused: Some((
            sudo.line(&["sh", "-c", "false"]),
            1,
            "sudo: a password is required",
        )),
        ..Notes::default()
    };
    let output = session(notes, "debian", sudo)
        .run(&Command::new("false"), LONG)
        .await
        .unwrap();
    assert_eq!(output.exit_status, 1);
}

/// Runs command lines with the shell of this machine. Of the input, at first only the half arrives.
struct HalfTheInput {
    shell: &'static [&'static str],
    directory: std::path::PathBuf,
    /// Whether the other half follows, or the connection ends.
    complete: bool,
    /// Mode and content of what lay in the directory after the first half.
    seen: Arc<Mutex<Vec<File>>>,
}

/// Mode and content.
type File = (u32, Vec<u8>);

fn files(directory: &Path) -> Vec<File> {
    use std::os::unix::fs::PermissionsExt;
    let entries = std::fs::read_dir(directory)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path());
    entries
        .map(|path| {
            (
                path.metadata().unwrap().permissions().mode() & 0o7777,
                std::fs::read(path).unwrap(),
            )
        })
        .collect()
}

impl Connection for HalfTheInput {
    fn exec<'a>(&'a self, exec: Exec<'a>) -> BoxFuture<'a, Result<RawOutput, Error>> {
        async move {
            let mut command = tokio::process::Command::new(self.shell[0]);
            command.args(&self.shell[1..]).args(["-c", exec.line]);
            let mut child = command
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let mut stdin = child.stdin.take().unwrap();
            let (first, second) = exec.stdin.split_at(exec.stdin.len() / 2);
            stdin.write_all(first).await.unwrap();
            let written = |(_, content): &File| content == first;
            while !files(&self.directory).iter().any(written) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            *self.seen.lock().unwrap() = files(&self.directory);
            if self.complete {
                stdin.write_all(second).await.unwrap();
            }
            drop(stdin);
            let output = child.wait_with_output().await.unwrap();
            let stderr = String::from_utf8(output.stderr).unwrap();
            Ok(raw(output.status.code().unwrap().try_into().unwrap(), &stderr))
        }
        .boxed()
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        futures::future::ready(()).boxed()
    }
}

/// The shells that are here: Debian's, and the one of small hosts.
fn shells() -> Vec<&'static [&'static str]> {
    let mut shells: Vec<&'static [&'static str]> = vec![&["sh"]];
    shells.extend([&["busybox", "sh"][..], &["bash"]].into_iter().filter(|shell| {
        std::process::Command::new(shell[0])
            .arg("--help")
            .output()
            .is_ok_and(|output| output.status.success())
    }));
    shells
}

#[tokio::test]
async fn half_a_file_is_readable_for_nobody_else_and_does_not_have_the_name() {
    for shell in shells() {
        for (mode, complete) in [(0o644, true), (0o400, true), (0o644, false)] {
            let directory = tempfile::tempdir().unwrap();
            let new = directory.path().join("new");
            let seen = Arc::new(Mutex::new(Vec::new()));
            let connection = HalfTheInput {
                shell,
                directory: new.clone(),
                complete,
                seen: seen.clone(),
            };
            let path = new.join("file");
            let session = session(connection, "debian", Elevation::None);
            let outcome = session
                .put(path.to_str().unwrap(), mode, b"first second", LONG)
                .await;

            assert_eq!(*seen.lock().unwrap(), [(0o600, b"first ".to_vec())], "{shell:?}");
            if complete {
                outcome.unwrap();
                assert_eq!(files(&new), [(mode, b"first second".to_vec())], "{shell:?}");
                assert!(path.exists());
            } else {
                let error = outcome.unwrap_err().to_string();
                assert!(
                    error.contains("the content did not arrive completely"),
                    "{shell:?}: {error}"
                );
                assert_eq!(files(&new), [], "{shell:?}");
            }
        }
    }
}

#[tokio::test]
async fn half_a_file_does_not_replace_a_whole_one() {
    for shell in shells() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, "old").unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let connection = HalfTheInput {
            shell,
            directory: directory.path().to_owned(),
            complete: false,
            seen: seen.clone(),
        };
        let session = session(connection, "debian", Elevation::None);
        session
            .put(path.to_str().unwrap(), 0o600, b"new content", LONG)
            .await
            .unwrap_err();
        assert_eq!(seen.lock().unwrap().len(), 2);
        assert_eq!(files(directory.path()).len(), 1);
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
    }
}
