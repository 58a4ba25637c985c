//! What k0s is called with on a host, whatever is in our values: the commands are run by a real shell with a k0s that
//! writes down what it was given.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use proptest::prelude::*;

use super::*;
use crate::worker::WorkerInstall;

const VERSION: &str = "v1.36.3+k0s.2";
/// Says the wanted version, so that nothing is downloaded.
const RECORDER: &str = "#!/bin/sh
case $1 in
version) echo v1.36.3+k0s.2 ;;
*) printf '%s\\0' \"$@\" >\"$RECORD\" ;;
esac
";

/// A name that only a careless command line would not take for one.
fn hostile_name() -> impl Strategy<Value = String> {
    "[-_ a-z$`'\"\\\\;&|<>(){}*?~#!=%é]{1,12}(\\$\\(touch pwned\\)|`touch pwned`|'; touch pwned;')?"
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn our_values_reach_k0s_as_they_are(bin in hostile_name(), etc in hostile_name(), machine in hostile_name()) {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join(&bin);
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("k0s"), RECORDER).unwrap();
        fs::set_permissions(directory.join("k0s"), fs::Permissions::from_mode(0o755)).unwrap();
        let installation = Installation {
            version: Some(VERSION.parse().unwrap()),
            install_dir: directory.to_str().unwrap().to_owned(),
            working_dir: format!("/{etc}"),
            machine_name: machine.clone(),
            ..Installation::default()
        };
        let steps = WorkerInstall { installation, join_token: "token".into() }.steps().unwrap();
        for command in steps.commands.download.iter().chain([&steps.commands.install]) {
            let status = Command::new("/bin/sh")
                .args(["-c", command])
                .current_dir(root.path())
                .env("RECORD", root.path().join("record"))
                .status()
                .unwrap();
            prop_assert!(status.success(), "{}", command);
        }
        let given = fs::read_to_string(root.path().join("record")).unwrap();
        let given: Vec<_> = given.split_terminator('\0').collect();
        let token = format!("/{etc}/k0s.token");
        let label = format!("--labels=k0smotron.io/machine-name={machine}");
        let name = format!("--kubelet-extra-args=--hostname-override={machine}");
        prop_assert_eq!(
            given,
            ["install", "worker", "--force", "--token-file", &token, &label, &name]
        );
        prop_assert!(!root.path().join("pwned").exists());
    }
}

#[test]
fn what_users_wrote_for_a_shell_is_handed_on_as_it_stands() {
    let written = ["export NODE_IP=\"$(hostname -I)\"", "cd /opt && ./x > y 2>&1"].map(str::to_owned);
    let installation = Installation {
        preinstalled: true,
        pre_commands: written.to_vec(),
        post_commands: written.to_vec(),
        machine_name: "m1".to_owned(),
        ..Installation::default()
    };
    let commands = installation
        .commands("install".to_owned(), "k0sworker")
        .unwrap()
        .all();
    assert!(commands.starts_with(&written));
    assert!(commands[4..].starts_with(&written));
}
