//! A real OpenSSH server on a free port of the loopback, with its own keys and directory; gone when dropped.

#![allow(dead_code, reason = "each test file uses another part")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test equipment: a failure ends the test"
)]

use std::fs;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use k0smotron_ssh::{
    Connected, Elevation, Error, HostKey, HostKeyPolicy, Session, SshTransport, Target, Transport,
};
use secrecy::SecretString;
use tempfile::TempDir;

/// Long enough for a busy machine; no test waits for it unless something is broken.
pub const LONG: Duration = Duration::from_secs(60);

pub struct Sshd {
    directory: TempDir,
    pub port: u16,
    child: Child,
}

impl Sshd {
    /// A server with an Ed25519 host key.
    pub fn start() -> Self {
        Self::with_host_keys(&["ed25519"])
    }

    /// A server with one host key of each kind (`ssh-keygen -t`).
    pub fn with_host_keys(kinds: &[&str]) -> Self {
        let directory = TempDir::new().unwrap();
        // Tests that log in as somebody else: the server reads authorized_keys as that user.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(directory.path().join("authorized_keys"), "").unwrap();
        for kind in kinds {
            keygen(
                &directory.path().join(format!("host_{kind}")),
                &["-t", kind, "-N", ""],
            );
        }
        // Another process may take the free port before the server does.
        for _ in 0..10 {
            let port = TcpListener::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap()
                .port();
            let mut child = spawn(directory.path(), port, kinds);
            if answers(&mut child, port) {
                return Self {
                    directory,
                    port,
                    child,
                };
            }
            stop(&mut child);
        }
        panic!(
            "sshd does not start: {}",
            fs::read_to_string(directory.path().join("log")).unwrap_or_default()
        );
    }

    /// The same server on the same port, after its host keys were replaced by these.
    pub fn replace_host_keys(&mut self, kinds: &[&str]) {
        stop(&mut self.child);
        for entry in fs::read_dir(self.path("")).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap().to_string_lossy().starts_with("host_") {
                fs::remove_file(path).unwrap();
            }
        }
        for kind in kinds {
            keygen(&self.path(&format!("host_{kind}")), &["-t", kind, "-N", ""]);
        }
        self.child = spawn(self.directory.path(), self.port, kinds);
        assert!(answers(&mut self.child, self.port), "sshd does not start again");
    }

    /// The same server on the same port, with these lines added to its configuration.
    pub fn configure(&mut self, lines: &str) {
        stop(&mut self.child);
        fs::write(self.path("extra"), lines).unwrap();
        self.child = spawn(self.directory.path(), self.port, &["ed25519"]);
        assert!(answers(&mut self.child, self.port), "sshd does not start again");
    }

    /// A path in the directory of this server.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Makes a key pair with `ssh-keygen`, lets it in, and returns the private half.
    pub fn user_key(&self, keygen_arguments: &[&str]) -> SecretString {
        let path = self.path(&format!("user_{:x}", rand::random::<u64>()));
        keygen(&path, keygen_arguments);
        self.let_in(&path.with_extension("pub"));
        fs::read_to_string(path).unwrap().into()
    }

    /// Adds a public key to authorized_keys.
    pub fn let_in(&self, public: &Path) {
        let mut keys = fs::read_to_string(self.path("authorized_keys")).unwrap();
        keys.push_str(&fs::read_to_string(public).unwrap());
        fs::write(self.path("authorized_keys"), keys).unwrap();
    }

    /// The host key of this kind as `ssh-keygen -l` shows it.
    pub fn host_key(&self, kind: &str) -> HostKey {
        let public = fs::read_to_string(self.path(&format!("host_{kind}.pub"))).unwrap();
        let listed = output(
            Command::new("ssh-keygen")
                .arg("-lf")
                .arg(self.path(&format!("host_{kind}.pub"))),
        );
        let fingerprint = listed.split_whitespace().nth(1).unwrap();
        format!("{} {fingerprint}", public.split_whitespace().next().unwrap())
            .parse()
            .unwrap()
    }

    /// The user who runs the test, on this server.
    pub fn target(&self, key: SecretString) -> Target {
        Target {
            address: "127.0.0.1".into(),
            port: self.port,
            user: output(Command::new("id").arg("-un")).trim().to_owned(),
            key,
            passphrase: None,
            certificate: None,
            elevation: Elevation::None,
            host_keys: HostKeyPolicy::FirstUse,
            via: None,
        }
    }

    /// A session with a new key.
    pub async fn session(&self) -> Session {
        usable(
            SshTransport
                .connect(&self.target(self.user_key(ED25519)), LONG)
                .await
                .unwrap(),
        )
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        stop(&mut self.child);
    }
}

pub const ED25519: &[&str] = &["-t", "ed25519", "-N", ""];

/// The session of a host, whose key is trusted if it is new.
pub fn usable(connected: Connected) -> Session {
    match connected {
        Connected::Known(session) => session,
        Connected::FirstUse(contact) => contact.pinned(),
    }
}

/// The error of a connection attempt that has to fail.
pub async fn refusal(target: &Target) -> Error {
    SshTransport
        .connect(target, LONG)
        .await
        .expect_err("this connection must be refused")
}

/// Signs a public key with that of an authority, and returns the certificate.
pub fn sign(authority: &Path, public: &Path, arguments: &[&str]) -> String {
    output(
        Command::new("ssh-keygen")
            .arg("-q")
            .arg("-s")
            .arg(authority)
            .args(arguments)
            .arg(public),
    );
    fs::read_to_string(public.to_str().unwrap().replace(".pub", "-cert.pub")).unwrap()
}

pub fn keygen(path: &Path, arguments: &[&str]) {
    output(
        Command::new("ssh-keygen")
            .args(["-q", "-C", "test", "-f"])
            .arg(path)
            .args(arguments),
    );
}

/// Standard output of a program that has to succeed.
pub fn output(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn spawn(directory: &Path, port: u16, kinds: &[&str]) -> Child {
    // Debian's unit makes this directory; without the unit nobody does.
    let _ = fs::create_dir_all("/run/sshd");
    let path = |name: &str| directory.join(name).display().to_string();
    let mut config = format!(
        "ListenAddress 127.0.0.1:{port}\nPidFile none\nUsePAM no\nStrictModes no\nPermitRootLogin prohibit-password\n\
         PasswordAuthentication no\nKbdInteractiveAuthentication no\nAuthorizedKeysFile {}\nMaxStartups 100\n",
        path("authorized_keys")
    );
    for kind in kinds {
        config.push_str(&format!("HostKey {}\n", path(&format!("host_{kind}"))));
    }
    config.push_str(&fs::read_to_string(directory.join("extra")).unwrap_or_default());
    fs::write(directory.join("config"), config).unwrap();
    let log = fs::File::create(directory.join("log")).unwrap();
    Command::new("/usr/sbin/sshd")
        .args(["-D", "-e", "-f", &path("config")])
        .stdin(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("openssh-server is installed")
}

/// Waits until the server greets; false if it ends instead.
fn answers(child: &mut Child, port: u16) -> bool {
    let start = Instant::now();
    while start.elapsed() < LONG && child.try_wait().unwrap().is_none() {
        let mut greeting = [0; 4];
        let connection = TcpStream::connect(("127.0.0.1", port)).and_then(|mut tcp| {
            tcp.set_read_timeout(Some(Duration::from_secs(5)))?;
            tcp.read_exact(&mut greeting)
        });
        if connection.is_ok() && &greeting == b"SSH-" && child.try_wait().unwrap().is_none() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

fn stop(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}
