//! Setting a host up, by the generated scripts.

use std::{
    fs,
    os::unix::fs::{MetadataExt, symlink},
    process::Command,
    thread,
    time::Duration,
};

use secrecy::ExposeSecret;

use super::{
    Answer,
    script::{self, Bootstrap, HostFile, Script},
    test_host::{DONE, Host, SENTINEL, eventually, file, identity, runs},
};

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
