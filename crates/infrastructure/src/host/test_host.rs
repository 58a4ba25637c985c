//! Test equipment: a host that is a directory, on which this machine's own `sh` runs the generated scripts.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::{
    Answer,
    script::{self, Bootstrap, Cleanup, HostFile, Identity, Script, Settings},
};

/// A host that is a directory. The lock is below it whoever runs the tests.
pub(super) struct Host {
    pub(super) root: TempDir,
    pub(super) settings: Settings,
}

impl Host {
    pub(super) fn new() -> Self {
        let root = TempDir::new().unwrap();
        let settings = Settings {
            root: root.path().to_str().unwrap().to_owned(),
            step: Duration::from_secs(30),
            wait: Duration::from_secs(30),
        };
        Self { root, settings }
    }

    pub(super) fn path(&self, relative: &str) -> PathBuf {
        self.root.path().join(relative)
    }

    pub(super) fn text(&self, relative: &str) -> String {
        fs::read_to_string(self.path(relative)).unwrap_or_default()
    }

    pub(super) fn base(&self) -> PathBuf {
        // Where the scripts put it depends on who runs them.
        if is_root() {
            self.path("var/lib/k0smotron")
        } else {
            self.path(".k0smotron")
        }
    }

    pub(super) fn start(&self, script: &Script) -> Child {
        let mut child = Command::new("sh")
            .arg("-s")
            .env("HOME", self.root.path())
            .env("SHELL", "/bin/sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(script.expose_secret())
            .unwrap();
        child
    }

    pub(super) fn run(&self, script: &Script) -> Answer {
        let output = self.start(script).wait_with_output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        Answer::parse(&printed).unwrap_or_else(|| panic!("no answer in {printed:?}"))
    }

    pub(super) fn bootstrap(&self, id: &str, commands: &[&str]) -> Answer {
        self.run(&self.bootstrap_script(id, commands))
    }

    pub(super) fn bootstrap_script(&self, id: &str, commands: &[&str]) -> Script {
        let commands = commands.iter().map(|command| self.local(command)).collect();
        script::bootstrap(
            &identity(id),
            &Bootstrap {
                files: Vec::new(),
                commands,
            },
            &self.settings,
        )
    }

    pub(super) fn cleanup(&self, id: &str, owned: bool) -> Answer {
        self.run(&script::cleanup(
            &identity(id),
            &Cleanup::Reset,
            owned,
            &self.settings,
        ))
    }

    /// `@` stands for the host's root.
    pub(super) fn local(&self, command: &str) -> String {
        command.replace('@', self.root.path().to_str().unwrap())
    }

    pub(super) fn write(&self, relative: &str, text: &str) {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A k0s whose reset removes what it is told to.
    pub(super) fn install_k0s(&self, machine: &str) {
        let root = self.root.path().to_str().unwrap();
        self.write(
            "bin/k0s",
            "#!/bin/sh\necho \"$@\" >>\"${0%/*}/calls\"\nfor a; do case $a in --data-dir=*) rm -rf \"${a#*=}\" ;; esac; \
             done\nrm -f \"${0%/bin/k0s}/etc/systemd/system/\"k0s*.service\n",
        );
        fs::set_permissions(self.path("bin/k0s"), fs::Permissions::from_mode(0o755)).unwrap();
        self.write(
            "etc/systemd/system/k0sworker.service",
            &format!(
                "[Service]\nExecStart={root}/bin/k0s worker --data-dir={root}/data --kubelet-root-dir={root}/kubelet \
                 --labels=k0smotron.io/machine-name={machine} --token-file={root}/token\n"
            ),
        );
        self.write("data/pki/ca.crt", "x");
    }
}

pub(super) fn is_root() -> bool {
    Command::new("id").arg("-u").output().unwrap().stdout == b"0\n"
}

/// Whether the process with the number that a file holds runs; one that only waits to be reaped does not.
pub(super) fn runs(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

pub(super) fn file(path: &str, mode: u32, content: &[u8]) -> HostFile {
    HostFile {
        path: path.to_owned(),
        mode,
        owner: None,
        append: false,
        content: content.to_vec(),
    }
}

pub(super) fn identity(id: &str) -> Identity {
    Identity {
        install_id: id.into(),
        owner: format!("default/{id} of cluster c"),
        machine: "m1".into(),
    }
}

pub(super) const SENTINEL: &str =
    "mkdir -p @/run/cluster-api && touch @/run/cluster-api/bootstrap-success.complete";
pub(super) const DONE: Answer = Answer::Done { adopted: false };

pub(super) fn eventually(what: impl Fn() -> bool) {
    let begun = Instant::now();
    while !what() {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "did not happen in 20 s"
        );
        thread::sleep(Duration::from_millis(20));
    }
}
