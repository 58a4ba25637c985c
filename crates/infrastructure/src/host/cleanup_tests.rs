//! Cleaning a host up, by the generated scripts.

use super::{
    Answer,
    script::{self, Bootstrap, Cleanup},
    test_host::{DONE, Host, SENTINEL, eventually, file, identity, runs},
};

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
fn a_bootstrap_that_comes_after_the_clean_up_began_does_nothing() {
    let host = Host::new();
    assert!(matches!(host.bootstrap("a", &["false"]), Answer::Failed { .. }));
    host.install_k0s("m1");
    host.write("bin/k0s", "#!/bin/sh\nexit 0\n");
    assert!(matches!(host.cleanup("a", true), Answer::Failed { exit: 3, .. }));
    assert_eq!(
        host.bootstrap("a", &["touch @/ran", SENTINEL]),
        Answer::Interrupted
    );
    assert!(!host.path("ran").exists());
}
