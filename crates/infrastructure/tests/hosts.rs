//! Attempts on a real host: OpenSSH on the loopback, with a directory as the root of what the scripts touch.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "test equipment: a failure ends the test"
)]

#[path = "../../ssh/tests/support/mod.rs"]
mod support;

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use k0smotron_infrastructure::host::{
    Answer, Problem,
    redact::Secrets,
    script::{self, Bootstrap, Cleanup, HostFile, Identity, Script, Settings},
    work::{self, Work},
};
use k0smotron_ssh::{HostKeyPolicy, NewHost, SshTransport, Target};
use support::{ED25519, Sshd};

struct Host {
    sshd: Sshd,
    target: Target,
    settings: Settings,
    pins: Arc<AtomicUsize>,
}

impl Host {
    fn start() -> Self {
        let sshd = Sshd::start();
        let target = sshd.target(sshd.user_key(ED25519));
        let root = sshd.path("root");
        fs::create_dir(&root).unwrap();
        let settings = Settings {
            root: root.to_str().unwrap().to_owned(),
            step: Duration::from_secs(30),
            wait: Duration::from_secs(2),
        };
        Self {
            sshd,
            target,
            settings,
            pins: Arc::default(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.sshd.path("root").join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn bootstrap(&self, id: &str, commands: &[&str]) -> Script {
        let root = &self.settings.root;
        let file = HostFile {
            path: format!("{root}/etc/token"),
            mode: 0o600,
            owner: None,
            append: false,
            content: vec![b'x'; 300_000],
        };
        let sentinel = format!(
            "mkdir -p {root}/run/cluster-api && touch {root}/run/cluster-api/bootstrap-success.complete"
        );
        let commands = commands
            .iter()
            .map(|c| c.replace('@', root))
            .chain([sentinel])
            .collect();
        script::bootstrap(
            &identity(id),
            &Bootstrap {
                files: vec![file],
                commands,
            },
            &self.settings,
        )
    }

    async fn attempt(&self, script: &Script) -> Result<Answer, Problem> {
        let secrets = Secrets::default();
        let remedy = "remove the annotation".to_owned();
        let work = Work {
            target: &self.target,
            script,
            settings: &self.settings,
            name: "bootstrap",
            steps: 2,
            secrets: &secrets,
            on_changed_key: &BTreeMap::from([(self.target.endpoint(), remedy)]),
            deadline: Duration::from_secs(60),
        };
        let pins = self.pins.clone();
        work::attempt(&SshTransport, &work, |_: Vec<NewHost>| async move {
            pins.fetch_add(1, Ordering::Relaxed);
            Ok(())
        })
        .await
    }
}

fn identity(id: &str) -> Identity {
    Identity {
        install_id: id.into(),
        owner: format!("default/{id}"),
        machine: "m1".into(),
    }
}

const DONE: Result<Answer, Problem> = Ok(Answer::Done { adopted: false });

#[tokio::test]
async fn a_host_is_set_up_and_cleaned_up() {
    let host = Host::start();
    assert_eq!(
        host.attempt(&host.bootstrap("a", &["echo one >>@/log"])).await,
        DONE
    );
    assert_eq!(host.pins.load(Ordering::Relaxed), 1);
    assert_eq!(host.text("log"), "one\n");
    assert_eq!(host.text("etc/token").len(), 300_000);
    assert_eq!(
        host.attempt(&host.bootstrap("a", &["echo one >>@/log"])).await,
        DONE
    );
    assert_eq!(host.text("log"), "one\n");
    let problem = host.attempt(&host.bootstrap("b", &[])).await.unwrap_err();
    assert_eq!(problem.reason, "HostInUse");
    assert!(
        problem.stuck && problem.message.contains("default/a"),
        "{}",
        problem.message
    );
    let cleanup = script::cleanup(&identity("a"), &Cleanup::Reset, true, &host.settings);
    assert_eq!(host.attempt(&cleanup).await, Ok(Answer::Clean));
    assert!(!host.path("etc/token").exists());
    assert_eq!(host.attempt(&host.bootstrap("b", &[])).await, DONE);
}

#[tokio::test]
async fn an_attempt_that_is_cut_off_loses_and_repeats_nothing() {
    let host = Host::start();
    let script = host.bootstrap(
        "a",
        &["echo one >>@/log; while [ ! -e @/go ]; do sleep 0.05; done; echo two >>@/log"],
    );
    // A manager that is killed again and again while a command runs, later than the answers `running` come.
    for cut in [500, 1000, 3000] {
        assert!(
            tokio::time::timeout(Duration::from_millis(cut), host.attempt(&script))
                .await
                .is_err()
        );
    }
    let last = host.attempt(&script);
    let (answer, ()) = tokio::join!(last, async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        fs::write(host.path("go"), "").unwrap();
    });
    assert_eq!(answer, DONE);
    assert_eq!(host.text("log"), "one\ntwo\n");
}

#[tokio::test]
async fn two_managers_at_once_run_everything_once() {
    let host = Host::start();
    let script = host.bootstrap("a", &["echo one >>@/log; sleep 0.5"]);
    let (one, two, three) = tokio::join!(
        host.attempt(&script),
        host.attempt(&script),
        host.attempt(&script)
    );
    assert_eq!((one, two, three), (DONE, DONE, DONE));
    assert_eq!(host.text("log"), "one\n");
}

#[tokio::test]
async fn failures_name_the_step_the_status_and_the_end_of_the_output() {
    let host = Host::start();
    let problem = host
        .attempt(&host.bootstrap("a", &["echo joining with abcdef.0123456789abcdef; exit 9"]))
        .await;
    let problem = problem.unwrap_err();
    assert_eq!(problem.reason, "CommandFailed");
    let said = "command 1 of 2 of the bootstrap on 127.0.0.1:";
    assert!(problem.message.starts_with(said), "{}", problem.message);
    assert!(
        problem
            .message
            .ends_with("ended with exit status 9; it printed: joining with [redacted]"),
        "{}",
        problem.message
    );
}

#[tokio::test]
async fn a_changed_host_key_runs_nothing_and_shows_both() {
    let mut host = Host::start();
    let old = host.sshd.host_key("ed25519");
    host.target.host_keys = HostKeyPolicy::Pinned(vec![old.clone()].into());
    host.sshd.replace_host_keys(&["ed25519"]);
    let problem = host
        .attempt(&host.bootstrap("a", &["touch @/ran"]))
        .await
        .unwrap_err();
    assert_eq!(problem.reason, "HostKeyChanged");
    for part in [
        old.to_string(),
        host.sshd.host_key("ed25519").to_string(),
        "remove the annotation".to_owned(),
    ] {
        assert!(problem.message.contains(&part), "{part} in {}", problem.message);
    }
    assert!(problem.stuck && !host.path("ran").exists());
}

#[tokio::test]
async fn a_refused_key_and_a_dead_host_are_told_apart() {
    let mut host = Host::start();
    let stranger = Sshd::start();
    host.target.key = stranger.user_key(ED25519);
    let script = host.bootstrap("a", &[]);
    let refused = host.attempt(&script).await.unwrap_err();
    assert_eq!((refused.reason, refused.stuck), ("AuthenticationFailed", true));
    assert_eq!(
        host.pins.load(Ordering::Relaxed),
        0,
        "no key is kept of a host that let nobody in"
    );
    host.target.key = "nonsense".into();
    let invalid = host.attempt(&script).await.unwrap_err();
    assert_eq!((invalid.reason, invalid.stuck), ("InvalidSSHKey", true));
    host.target = stranger.target(stranger.user_key(ED25519));
    drop(stranger);
    let unreachable = host.attempt(&script).await.unwrap_err();
    assert_eq!(
        (unreachable.reason, unreachable.stuck),
        ("HostUnreachable", false)
    );
}
