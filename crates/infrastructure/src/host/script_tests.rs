//! The generated scripts, run by this machine's own `sh` below a temporary directory.

use std::{
    fs,
    io::Write,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
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
struct Host {
    root: TempDir,
    settings: Settings,
}

impl Host {
    fn new() -> Self {
        let root = TempDir::new().unwrap();
        let settings = Settings {
            root: root.path().to_str().unwrap().to_owned(),
            step: Duration::from_secs(30),
            wait: Duration::from_secs(30),
        };
        Self { root, settings }
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.root.path().join(relative)
    }

    fn text(&self, relative: &str) -> String {
        fs::read_to_string(self.path(relative)).unwrap_or_default()
    }

    fn base(&self) -> PathBuf {
        // Where the scripts put it depends on who runs them.
        if is_root() {
            self.path("var/lib/k0smotron")
        } else {
            self.path(".k0smotron")
        }
    }

    fn start(&self, script: &Script) -> Child {
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

    fn run(&self, script: &Script) -> Answer {
        let output = self.start(script).wait_with_output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        Answer::parse(&printed).unwrap_or_else(|| panic!("no answer in {printed:?}"))
    }

    fn bootstrap(&self, id: &str, commands: &[&str]) -> Answer {
        self.run(&self.bootstrap_script(id, commands))
    }

    fn bootstrap_script(&self, id: &str, commands: &[&str]) -> Script {
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

    fn cleanup(&self, id: &str, owned: bool) -> Answer {
        self.run(&script::cleanup(
            &identity(id),
            &Cleanup::Reset,
            owned,
            &self.settings,
        ))
    }

    /// `@` stands for the host's root.
    fn local(&self, command: &str) -> String {
        command.replace('@', self.root.path().to_str().unwrap())
    }

    fn write(&self, relative: &str, text: &str) {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A k0s whose reset removes what it is told to.
    fn install_k0s(&self, machine: &str) {
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

fn is_root() -> bool {
    Command::new("id").arg("-u").output().unwrap().stdout == b"0\n"
}

/// Whether the process with the number that a file holds runs; one that only waits to be reaped does not.
fn runs(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

fn file(path: &str, mode: u32, content: &[u8]) -> HostFile {
    HostFile {
        path: path.to_owned(),
        mode,
        owner: None,
        append: false,
        content: content.to_vec(),
    }
}

fn identity(id: &str) -> Identity {
    Identity {
        install_id: id.into(),
        owner: format!("default/{id} of cluster c"),
        machine: "m1".into(),
    }
}

const SENTINEL: &str = "mkdir -p @/run/cluster-api && touch @/run/cluster-api/bootstrap-success.complete";
const DONE: Answer = Answer::Done { adopted: false };

fn eventually(what: impl Fn() -> bool) {
    let begun = Instant::now();
    while !what() {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "did not happen in 20 s"
        );
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn files_are_exact_and_commands_run_once_in_order() {
    let host = Host::new();
    let secret = host.local("@/etc/deep/token");
    let every_byte: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let work = Bootstrap {
        files: vec![
            file(&secret, 0o600, &every_byte),
            file(&host.local("@/it's a \"file\"$(x)"), 0o755, b""),
        ],
        commands: ["echo one >>@/log", "echo \"two $(umask)\" >>@/log", SENTINEL]
            .map(|c| host.local(c))
            .into(),
    };
    let script = script::bootstrap(&identity("a"), &work, &host.settings);
    assert_eq!(host.run(&script), DONE);
    assert_eq!(fs::read(&secret).unwrap(), every_byte);
    assert_eq!(fs::metadata(&secret).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(
        fs::metadata(host.path("etc/deep")).unwrap().mode() & 0o7777,
        0o755
    );
    assert_eq!(
        fs::metadata(host.path("it's a \"file\"$(x)")).unwrap().mode() & 0o7777,
        0o755
    );
    assert_eq!(host.text("log"), "one\ntwo 0022\n");
    // A retry of what is complete runs nothing, and no command is left behind to be read.
    assert_eq!(host.run(&script), DONE);
    assert_eq!(host.text("log"), "one\ntwo 0022\n");
    for left in ["steps", "output"] {
        assert_eq!(
            fs::read_dir(host.base().join("install-a/bootstrap").join(left))
                .unwrap()
                .count(),
            0
        );
    }
}

#[test]
fn a_failed_command_is_told_and_the_retry_goes_on_there() {
    let host = Host::new();
    let commands = [
        "echo one >>@/log",
        "test -e @/repaired || { echo broken >&2; exit 7; }",
        "echo three >>@/log",
        SENTINEL,
    ];
    let failed = Answer::Failed {
        step: 2,
        exit: 7,
        printed: "broken".into(),
    };
    assert_eq!(host.bootstrap("a", &commands), failed);
    assert_eq!(host.bootstrap("a", &commands), failed);
    host.write("repaired", "");
    assert_eq!(host.bootstrap("a", &commands), DONE);
    assert_eq!(host.text("log"), "one\nthree\n");
}

#[test]
fn a_command_that_changed_is_run_again() {
    let host = Host::new();
    assert!(matches!(
        host.bootstrap("a", &["echo one >>@/log", "false"]),
        Answer::Failed { step: 2, .. }
    ));
    assert_eq!(host.bootstrap("a", &["echo other >>@/log", SENTINEL]), DONE);
    assert_eq!(host.text("log"), "one\nother\n");
}

#[test]
fn a_command_that_hangs_is_killed_with_all_it_started() {
    let mut host = Host::new();
    host.settings.step = Duration::from_secs(1);
    let answer = host.bootstrap("a", &["echo begun; sleep 1000 & echo $! >@/child; wait"]);
    assert_eq!(
        answer,
        Answer::Expired {
            step: 1,
            printed: "begun".into()
        }
    );
    let child = host.text("child");
    eventually(|| !runs(&child));
}

#[test]
fn what_a_successful_command_left_running_goes_on() {
    let host = Host::new();
    assert_eq!(
        host.bootstrap("a", &["sleep 30 & echo $! >@/child", SENTINEL]),
        DONE
    );
    let child = host.text("child");
    assert!(runs(&child));
    assert!(Command::new("kill").arg(child.trim()).status().unwrap().success());
}

#[test]
fn work_survives_the_session_and_a_second_session_only_waits() {
    let host = Host::new();
    let commands = [
        "echo one >>@/log; while [ ! -e @/go ]; do sleep 0.05; done",
        SENTINEL,
    ];
    let mut first = host.start(&host.bootstrap_script("a", &commands));
    eventually(|| host.text("log") == "one\n");
    first.kill().unwrap();
    first.wait().unwrap();
    let second = host.start(&host.bootstrap_script("a", &commands));
    thread::sleep(Duration::from_millis(300));
    host.write("go", "");
    let printed = second.wait_with_output().unwrap().stdout;
    assert_eq!(Answer::parse(&String::from_utf8(printed).unwrap()), Some(DONE));
    assert_eq!(host.text("log"), "one\n");
}

#[test]
fn sessions_that_begin_together_run_everything_once() {
    for _ in 0..5 {
        let host = Host::new();
        let commands = ["echo one >>@/log", "echo two >>@/log; sleep 0.2", SENTINEL];
        let sessions: Vec<_> = (0..4)
            .map(|_| host.start(&host.bootstrap_script("a", &commands)))
            .collect();
        for session in sessions {
            let printed = String::from_utf8(session.wait_with_output().unwrap().stdout).unwrap();
            assert_eq!(Answer::parse(&printed), Some(DONE), "{printed}");
        }
        assert_eq!(host.text("log"), "one\ntwo\n");
    }
}

#[test]
fn a_killed_runner_is_noticed_and_its_command_does_not_run_twice_at_a_time() {
    let host = Host::new();
    let commands = [
        "echo $$ >>@/log; while [ ! -e @/go ]; do sleep 0.05; done",
        SENTINEL,
    ];
    let session = host.start(&host.bootstrap_script("a", &commands));
    eventually(|| !host.text("log").is_empty());
    let turn = fs::read_link(host.base().join("install-a/bootstrap/turn.2")).unwrap();
    let runner = turn.to_str().unwrap().split(':').next().unwrap().to_owned();
    assert!(
        Command::new("kill")
            .args(["-KILL", &runner])
            .status()
            .unwrap()
            .success()
    );
    let printed = String::from_utf8(session.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(Answer::parse(&printed), Some(Answer::Interrupted));
    let orphan = host.text("log");
    assert!(runs(&orphan));
    let again = host.start(&host.bootstrap_script("a", &commands));
    eventually(|| host.text("log").lines().count() == 2);
    assert!(!runs(&orphan));
    host.write("go", "");
    let printed = String::from_utf8(again.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(Answer::parse(&printed), Some(DONE));
}

#[test]
fn long_work_is_answered_with_running() {
    let mut host = Host::new();
    host.settings.wait = Duration::from_secs(1);
    let commands = ["while [ ! -e @/go ]; do sleep 0.05; done", SENTINEL];
    assert_eq!(host.bootstrap("a", &commands), Answer::Running);
    host.write("go", "");
    eventually(|| host.bootstrap("a", &commands) == DONE);
}

#[test]
fn a_host_belongs_to_one_install() {
    let host = Host::new();
    assert!(matches!(host.bootstrap("a", &["false"]), Answer::Failed { .. }));
    let by = "it is held by default/a of cluster c";
    assert_eq!(host.bootstrap("b", &[SENTINEL]), Answer::InUse(by.into()));
    // Nor may the other one clean it.
    assert_eq!(host.cleanup("b", true), Answer::Foreign(by.into()));
    assert_eq!(host.bootstrap("a", &[SENTINEL]), DONE);
}

#[test]
fn a_stale_sentinel_counts_for_nothing() {
    let host = Host::new();
    host.write("run/cluster-api/bootstrap-success.complete", "");
    assert_eq!(host.bootstrap("a", &["true"]), Answer::NoSentinel);
    assert_eq!(host.bootstrap("a", &["true", SENTINEL]), DONE);
}

#[test]
fn a_host_that_was_set_up_for_this_machine_is_adopted_and_any_other_refused() {
    let host = Host::new();
    host.install_k0s("m1");
    host.write("run/cluster-api/bootstrap-success.complete", "");
    assert_eq!(
        host.bootstrap("a", &["touch @/ran"]),
        Answer::Done { adopted: true }
    );
    assert!(!host.path("ran").exists());
    assert!(matches!(host.bootstrap("b", &["touch @/ran"]), Answer::InUse(_)));

    let host = Host::new();
    host.install_k0s("m10");
    host.write("run/cluster-api/bootstrap-success.complete", "");
    assert!(matches!(host.bootstrap("a", &["touch @/ran"]), Answer::InUse(_)));
    assert!(!host.path("ran").exists());
}

#[test]
fn an_unfinished_set_up_for_this_machine_goes_on() {
    let host = Host::new();
    host.install_k0s("m1");
    assert_eq!(host.bootstrap("a", &["touch @/ran", SENTINEL]), DONE);
    assert!(host.path("ran").exists());
}

#[test]
fn clean_up_resets_what_is_installed_and_gives_the_host_up() {
    let host = Host::new();
    host.write("etc/mine.conf", "was here before");
    let files = ["@/etc/mine.conf", "@/token"].map(|path| file(&host.local(path), 0o600, b"new"));
    let work = Bootstrap {
        files: files.into(),
        commands: vec![host.local(SENTINEL)],
    };
    assert_eq!(
        host.run(&script::bootstrap(&identity("a"), &work, &host.settings)),
        DONE
    );
    host.install_k0s("m1");
    assert_eq!(host.cleanup("a", true), Answer::Clean);
    let root = host.root.path().display();
    assert_eq!(
        host.text("bin/calls"),
        format!("reset --data-dir={root}/data --kubelet-root-dir={root}/kubelet\n")
    );
    for gone in [
        "data",
        "token",
        "run/cluster-api/bootstrap-success.complete",
        "etc/systemd/system/k0sworker.service",
    ] {
        assert!(!host.path(gone).exists(), "{gone}");
    }
    assert!(host.path("etc/mine.conf").exists());
    assert!(!host.base().exists());
    // The finalizer may not have been removed yet: again, and then the host is anybody's.
    assert_eq!(host.cleanup("a", true), Answer::Clean);
    assert_eq!(host.bootstrap("b", &[SENTINEL]), DONE);
}

#[test]
fn clean_up_ends_a_bootstrap_that_still_runs() {
    let host = Host::new();
    let mut session =
        host.start(&host.bootstrap_script("a", &["sleep 1000 & echo $! >@/child; wait", "touch @/late"]));
    eventually(|| !host.text("child").is_empty());
    session.kill().unwrap();
    session.wait().unwrap();
    assert_eq!(host.cleanup("a", false), Answer::Clean);
    let child = host.text("child");
    eventually(|| !runs(&child));
    assert!(!host.path("late").exists());
}

#[test]
fn files_in_the_data_directory_go_even_if_k0s_never_came() {
    let host = Host::new();
    let work = Bootstrap {
        files: vec![file(&host.local("@/var/lib/k0s/pki/ca.crt"), 0o644, b"x")],
        commands: vec!["false".into()],
    };
    let script = script::bootstrap(&identity("a"), &work, &host.settings);
    assert!(matches!(host.run(&script), Answer::Failed { .. }));
    assert_eq!(host.cleanup("a", false), Answer::Clean);
    assert!(!host.path("var/lib/k0s").exists());
}

#[test]
fn a_host_that_cannot_be_cleaned_is_not_given_up() {
    let host = Host::new();
    assert_eq!(host.bootstrap("a", &[SENTINEL]), DONE);
    host.install_k0s("m1");
    // A reset that reports success and removes nothing.
    host.write("bin/k0s", "#!/bin/sh\nexit 0\n");
    let Answer::Failed { exit: 3, printed, .. } = host.cleanup("a", true) else {
        panic!("cleaned")
    };
    assert!(
        printed.contains("not clean:") && printed.contains("data is not empty"),
        "{printed}"
    );
    assert!(matches!(host.bootstrap("b", &[SENTINEL]), Answer::InUse(_)));
    // Repaired, and tried again.
    host.install_k0s("m1");
    assert_eq!(host.cleanup("a", true), Answer::Clean);
}

#[test]
fn clean_up_leaves_alone_what_is_not_ours() {
    let host = Host::new();
    host.install_k0s("m2");
    assert!(matches!(host.cleanup("a", false), Answer::Foreign(_)));
    assert!(matches!(host.cleanup("a", true), Answer::Foreign(_)));
    assert!(host.path("data").exists());
    // A machine that never came as far as its host.
    assert_eq!(Host::new().cleanup("a", false), Answer::Clean);
    // One that the controller before us set up, which left no lock.
    let host = Host::new();
    host.install_k0s("m1");
    assert_eq!(host.cleanup("a", true), Answer::Clean);
    assert!(!host.path("data").exists());
}

#[test]
fn own_clean_up_commands_replace_ours_and_all_of_them_run() {
    let host = Host::new();
    assert_eq!(host.bootstrap("a", &[SENTINEL]), DONE);
    host.install_k0s("m1");
    let cleanup = |commands: &[&str]| {
        let commands = commands.iter().map(|command| host.local(command)).collect();
        host.run(&script::cleanup(
            &identity("a"),
            &Cleanup::Commands(commands),
            true,
            &host.settings,
        ))
    };
    let commands = ["echo one >>@/log", "echo no; exit 4", "echo three >>@/log"];
    assert_eq!(
        cleanup(&commands),
        Answer::Failed {
            step: 2,
            exit: 4,
            printed: "no".into()
        }
    );
    assert_eq!(host.text("log"), "one\nthree\n");
    assert_eq!(cleanup(&[]), Answer::Clean);
    assert!(host.path("data").exists());
}

#[test]
fn a_script_that_was_cut_does_nothing() {
    let host = Host::new();
    let whole = host.bootstrap_script("a", &["touch @/ran", SENTINEL]);
    let whole = whole.expose_secret();
    for cut in [1, 2, 5, 6, 100, whole.len() / 2] {
        let part = Script::from(whole[..whole.len() - cut].to_vec());
        let output = host.start(&part).wait_with_output().unwrap();
        // Only the last line end may be missing.
        assert_eq!(
            Answer::parse(&String::from_utf8(output.stdout).unwrap()).is_some(),
            cut == 1
        );
        assert_eq!(host.path("ran").exists(), cut == 1);
        if cut == 1 {
            fs::remove_file(host.path("ran")).unwrap();
            fs::remove_dir_all(host.base()).unwrap();
        }
    }
}

#[test]
fn files_are_written_through_links_and_never_into_directories() {
    let host = Host::new();
    host.write("real", "old");
    symlink(host.path("real"), host.path("link")).unwrap();
    let run = |path: &str| {
        let work = Bootstrap {
            files: vec![file(&host.local(path), 0o644, b"new")],
            commands: vec![host.local(SENTINEL)],
        };
        host.run(&script::bootstrap(&identity("a"), &work, &host.settings))
    };
    fs::create_dir(host.path("directory")).unwrap();
    assert!(matches!(run("@/directory"), Answer::Aborted(why) if why.ends_with("is a directory")));
    assert_eq!(run("@/link"), DONE);
    assert_eq!(host.text("real"), "new");
    assert!(host.path("link").is_symlink());
}

#[test]
fn pieces_are_added_once_and_owners_are_set() {
    let host = Host::new();
    host.write("hosts", "one\n");
    let piece = |text: &str| HostFile {
        append: true,
        ..file(&host.local("@/hosts"), 0o640, text.as_bytes())
    };
    let owner = String::from_utf8(Command::new("id").args(["-un"]).output().unwrap().stdout).unwrap();
    let owned = HostFile {
        owner: Some(owner.trim().to_owned()),
        ..file(&host.local("@/owned"), 0o600, b"")
    };
    let run = |command: &str| {
        let files = vec![piece("two\n"), piece("three\n"), owned.clone()];
        let commands = vec![host.local(command)];
        host.run(&script::bootstrap(
            &identity("a"),
            &Bootstrap { files, commands },
            &host.settings,
        ))
    };
    assert!(matches!(run("false"), Answer::Failed { .. }));
    assert_eq!(run(SENTINEL), DONE);
    assert_eq!(host.text("hosts"), "one\ntwo\nthree\n");
    assert_eq!(fs::metadata(host.path("hosts")).unwrap().mode() & 0o7777, 0o640);
    assert!(host.path("owned").exists());
}
