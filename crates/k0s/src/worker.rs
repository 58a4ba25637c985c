//! Makes a Linux host a k0s worker.

use secrecy::{ExposeSecret, SecretString};

use crate::arguments;
use crate::installation::Installation;
use crate::plan::{File, PlanError, Steps};
use crate::shell::{self, Word};

/// A worker that joins with a token.
#[derive(Clone, Debug)]
pub struct WorkerInstall {
    pub installation: Installation,
    pub join_token: SecretString,
}

impl WorkerInstall {
    /// Files: the join token, then the user's. Commands: the user's before, download, install, start, the user's
    /// after, sentinel. Every command may run again after a failure.
    pub fn steps(&self) -> Result<Steps, PlanError> {
        let Self {
            installation,
            join_token,
        } = self;
        installation.validate()?;

        let token_path = installation.token_path();
        let mut files = vec![File::new(&token_path, join_token.expose_secret(), "0600")];
        files.extend(installation.files.iter().cloned());

        let machine = &installation.machine_name;
        let merged = arguments::merge(
            &installation.args,
            &[],
            machine,
            true,
            installation.use_system_hostname,
            shell::split,
        );
        // Without --force a host whose first attempt failed later on could never be installed again.
        let fixed = ["install", "worker", "--force", "--token-file", &token_path];
        let install = installation.k0s(fixed.into_iter().map(Word::from).chain(merged));

        let commands = installation.commands(install, "k0sworker")?;
        Ok(Steps { files, commands })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::InstallPlan;

    fn plan(installation: Installation) -> InstallPlan {
        let installation = Installation {
            machine_name: "m1".into(),
            ..installation
        };
        WorkerInstall {
            installation,
            join_token: "join-token".into(),
        }
        .steps()
        .unwrap()
        .into()
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn default_worker() {
        insta::assert_yaml_snapshot!(plan(Installation {
            version: Some("v1.36.3+k0s.2".parse().unwrap()),
            ..Installation::default()
        }));
    }

    #[test]
    fn worker_with_everything() {
        insta::assert_yaml_snapshot!(plan(Installation {
            version: Some("v1.36.3+k0s.2".parse().unwrap()),
            download_url: "http://10.88.0.1:8080/k0s".into(),
            install_dir: "/opt/my bin/".into(),
            working_dir: "/var/k0s".into(),
            use_system_hostname: true,
            args: texts(&[
                "--debug",
                "--labels=zone=a",
                "--taints \"a=b:NoSchedule\"",
                "--kubelet-extra-args=\"--v=4 --x=y\""
            ]),
            pre_commands: texts(&["swapoff -a"]),
            post_commands: texts(&["echo done; echo really"]),
            files: vec![File::new("/etc/motd", "hello\n", "0644")],
            ..Installation::default()
        }));
    }

    #[test]
    fn preinstalled_k0s_is_not_fetched() {
        let plan = plan(Installation {
            preinstalled: true,
            ..Installation::default()
        });
        assert!(plan.commands.iter().all(|command| !command.contains("curl")));
        assert_eq!(
            plan.commands[0],
            "/usr/local/bin/k0s install worker --force --token-file /etc/k0s.token \
             --labels=k0smotron.io/machine-name=m1 --kubelet-extra-args=--hostname-override=m1"
        );
    }

    #[test]
    fn refuses_what_no_host_can_carry_out() {
        let refused = |installation| {
            WorkerInstall {
                installation,
                join_token: "t".into(),
            }
            .steps()
            .unwrap_err()
            .to_string()
        };
        let default = Installation::default;
        assert_eq!(
            refused(Installation {
                install_dir: "bin".into(),
                ..default()
            }),
            "k0sInstallDir \"bin\" is not an absolute path; start it with /"
        );
        assert_eq!(
            refused(Installation {
                files: vec![File::new("/a", "", "rwx")],
                ..default()
            }),
            "file \"/a\": permissions \"rwx\" are not an octal mode between 0 and 7777; write them such as \"0600\""
        );
        assert!(
            refused(Installation {
                download_url: "ftp://x/y".into(),
                ..default()
            })
            .contains("ftp://x/y")
        );
        assert!(
            refused(Installation {
                args: texts(&["a\0"]),
                ..default()
            })
            .contains("args contains a NUL")
        );
    }
}
