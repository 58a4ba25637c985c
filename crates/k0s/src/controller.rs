//! Makes a Linux host a k0s controller, the first of its cluster or one that joins.

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::arguments;
use crate::installation::Installation;
use crate::pki::{CertificateAuthority, ServiceAccountKeys};
use crate::plan::{File, PlanError, Steps, absolute};
use crate::shell::{self, Word};

const DEFAULT_DATA_DIR: &str = "/var/lib/k0s";

/// A controller of a cluster.
#[derive(Clone, Debug)]
pub struct ControllerInstall {
    pub installation: Installation,
    pub role: ControllerRole,
    /// The k0s ClusterConfig for this host, see [`crate::cluster_config::effective`]. Without one k0s runs on its
    /// defaults.
    pub k0s_config: Option<Value>,
    /// Files that come from the control plane rather than from the user, such as tunnel manifests.
    pub extra_files: Vec<File>,
}

/// How a controller comes into its cluster.
#[derive(Clone, Debug)]
pub enum ControllerRole {
    /// Starts a new cluster (and a new etcd) on this PKI. At most one host of a cluster may ever get this.
    Initial(Box<ControlPlanePki>),
    /// Joins through the join API of a running controller.
    Joining { join_token: SecretString },
}

/// Everything that the controllers of a cluster share. All of it is needed: k0s makes up what it does not find, and
/// then disagrees with the kubeconfigs and tokens that were issued from the rest.
#[derive(Clone, Debug)]
pub struct ControlPlanePki {
    pub ca: CertificateAuthority,
    pub etcd_ca: CertificateAuthority,
    pub front_proxy_ca: CertificateAuthority,
    pub service_account: ServiceAccountKeys,
}

impl ControllerInstall {
    /// Files: configuration, PKI or join token, extra files, the user's. Commands: the user's before, download,
    /// install, start, the user's after, sentinel. Every command may run again after a failure.
    pub fn steps(&self) -> Result<Steps, PlanError> {
        let Self {
            installation,
            role,
            k0s_config,
            extra_files,
        } = self;
        installation.validate()?;
        extra_files.iter().try_for_each(File::validate)?;

        let mut files = Vec::new();
        let config_path = self.config_path();
        let mut config_args = Vec::new();
        if let Some(config) = k0s_config {
            // JSON is YAML, and written with sorted keys: the same configuration gives the same bytes.
            files.push(File::new(&config_path, format!("{config}\n"), "0644"));
            config_args.extend(["--config", &config_path]);
        }
        let token_path = installation.token_path();
        match role {
            ControllerRole::Initial(pki) => files.extend(pki.files(&self.pki_dir()?)),
            ControllerRole::Joining { join_token } => {
                files.push(File::new(&token_path, join_token.expose_secret(), "0600"));
            }
        }
        files.extend(extra_files.iter().cloned());
        files.extend(installation.files.iter().cloned());

        let Installation {
            args,
            machine_name: machine,
            use_system_hostname,
            ..
        } = installation;
        let worker = arguments::worker_enabled(args);
        let merged = arguments::merge(
            args,
            &config_args,
            machine,
            worker,
            *use_system_hostname,
            shell::split,
        );
        // AUTOPILOT_HOSTNAME gives the ControlNode the Machine's name, by which it is found again.
        let autopilot = format!("AUTOPILOT_HOSTNAME={machine}");
        let fixed = [
            "install",
            "controller",
            "--force",
            "--enable-dynamic-config",
            "--env",
            &autopilot,
        ];
        let mut words: Vec<_> = fixed.into_iter().map(Word::from).chain(merged).collect();
        if let ControllerRole::Joining { .. } = role {
            words.extend(["--token-file", &token_path].map(Word::from));
        }
        let install = installation.k0s(words);

        let commands = installation.commands(install, "k0scontroller")?;
        Ok(Steps { files, commands })
    }

    /// Where the k0s configuration is written.
    pub fn config_path(&self) -> String {
        format!("{}/k0s.yaml", self.installation.working_dir())
    }

    fn pki_dir(&self) -> Result<String, PlanError> {
        let data_dir = arguments::flag_value(&self.installation.args, "--data-dir");
        let data_dir = data_dir.as_deref().unwrap_or(DEFAULT_DATA_DIR);
        absolute("--data-dir", data_dir)?;
        Ok(format!("{}/pki", data_dir.trim_end_matches('/')))
    }
}

impl ControlPlanePki {
    fn files(&self, dir: &str) -> Vec<File> {
        let public = |name: &str, pem: &str| File::new(format!("{dir}/{name}"), pem, "0644");
        // Owner only; k0s hands the keys to the users of its components when it starts.
        let private =
            |name: &str, pem: &SecretString| File::new(format!("{dir}/{name}"), pem.expose_secret(), "0600");
        vec![
            public("ca.crt", &self.ca.cert_pem),
            private("ca.key", &self.ca.key_pem),
            public("etcd/ca.crt", &self.etcd_ca.cert_pem),
            private("etcd/ca.key", &self.etcd_ca.key_pem),
            public("front-proxy-ca.crt", &self.front_proxy_ca.cert_pem),
            private("front-proxy-ca.key", &self.front_proxy_ca.key_pem),
            public("sa.pub", &self.service_account.public_pem),
            private("sa.key", &self.service_account.private_pem),
        ]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::InstallPlan;

    fn plan(controller: &ControllerInstall) -> InstallPlan {
        controller.steps().unwrap().into()
    }

    fn authority(name: &str) -> CertificateAuthority {
        CertificateAuthority {
            cert_pem: format!("{name} certificate\n"),
            key_pem: format!("{name} key\n").into(),
        }
    }

    fn initial() -> ControllerRole {
        ControllerRole::Initial(Box::new(ControlPlanePki {
            ca: authority("ca"),
            etcd_ca: authority("etcd"),
            front_proxy_ca: authority("front proxy"),
            service_account: ServiceAccountKeys {
                public_pem: "sa public key\n".into(),
                private_pem: "sa private key\n".to_owned().into(),
            },
        }))
    }

    fn controller(role: ControllerRole, args: &[&str]) -> ControllerInstall {
        let installation = Installation {
            version: Some("v1.36.3+k0s.2".parse().unwrap()),
            machine_name: "m1".into(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            ..Installation::default()
        };
        let k0s_config = Some(json!({ "kind": "ClusterConfig", "apiVersion": "k0s.k0sproject.io/v1beta1" }));
        ControllerInstall {
            installation,
            role,
            k0s_config,
            extra_files: Vec::new(),
        }
    }

    #[test]
    fn initial_controller() {
        insta::assert_yaml_snapshot!(plan(&controller(initial(), &[])));
    }

    #[test]
    fn joining_controller_with_worker() {
        let role = ControllerRole::Joining {
            join_token: "join-token".to_owned().into(),
        };
        let mut controller = controller(role, &["--enable-worker", "--no-taints"]);
        controller.extra_files = vec![File::new("/var/lib/k0s/manifests/x/x.yaml", "{}", "0644")];
        controller.installation.files = vec![File::new("/etc/motd", "hello\n", "")];
        controller.installation.pre_commands = vec!["swapoff -a".into()];
        controller.installation.post_commands = vec!["echo done".into()];
        insta::assert_yaml_snapshot!(plan(&controller));
    }

    #[test]
    fn pki_follows_the_data_directory() {
        for args in [&["--data-dir=/data/k0s/"][..], &["--data-dir", "/data/k0s"]] {
            let plan = plan(&controller(initial(), args));
            assert!(
                plan.files
                    .iter()
                    .any(|file| file.path == "/data/k0s/pki/etcd/ca.key"),
                "{args:?}"
            );
            assert!(
                plan.files
                    .iter()
                    .all(|file| !file.path.starts_with("/var/lib/k0s")),
                "{args:?}"
            );
        }
        assert_eq!(
            controller(initial(), &["--data-dir=data"])
                .steps()
                .unwrap_err()
                .to_string(),
            "--data-dir \"data\" is not an absolute path; start it with /"
        );
    }

    #[test]
    fn private_keys_are_readable_by_root_only() {
        let plan = plan(&controller(initial(), &[]));
        for file in &plan.files {
            let private = file.content.contains("key\n") && !file.content.contains("public");
            assert_eq!(
                file.mode().unwrap(),
                if private { 0o600 } else { 0o644 },
                "{}",
                file.path
            );
        }
    }

    #[test]
    fn the_configuration_is_left_out_when_there_is_none() {
        let mut controller = controller(initial(), &["--config", "/my.yaml"]);
        controller.k0s_config = None;
        let plan = plan(&controller);
        assert!(plan.files.iter().all(|file| file.path != "/etc/k0s.yaml"));
        assert!(
            plan.commands
                .iter()
                .any(|command| command.ends_with("--config /my.yaml"))
        );
    }

    #[test]
    fn debug_output_shows_no_secret() {
        let controller = controller(initial(), &[]);
        assert!(!format!("{controller:?}").contains(" key\n"));
    }
}
