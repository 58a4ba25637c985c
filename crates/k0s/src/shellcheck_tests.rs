//! Every script that is made here, as shellcheck sees it. Debian's package of that name is needed: a test that passes
//! without it would say nothing.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::controller::{ControlPlanePki, ControllerInstall, ControllerRole};
use crate::ignition;
use crate::installation::Installation;
use crate::pki::{CertificateAuthority, ServiceAccountKeys};
use crate::plan::{InstallPlan, Steps};
use crate::worker::WorkerInstall;

fn check(name: &str, script: &str) {
    let shellcheck = Command::new("shellcheck")
        // SC2016: that nothing expands in single quotes is what they are there for.
        .args(["--shell=sh", "--format=gcc", "--exclude=SC2016", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut shellcheck = shellcheck.expect("shellcheck is needed: apt-get install shellcheck");
    shellcheck
        .stdin
        .take()
        .unwrap()
        .write_all(script.as_bytes())
        .unwrap();
    let output = shellcheck.wait_with_output().unwrap();
    let remarks = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{name}: {remarks}\n{script}");
}

/// The commands as cloud-init runs them: one script.
fn check_steps(name: &str, steps: Steps) {
    let plan = InstallPlan::from(steps);
    check(name, &format!("#!/bin/sh\n{}\n", plan.commands.join("\n")));
    for command in &plan.commands {
        check(name, &format!("#!/bin/sh\n{command}\n"));
    }
    check(name, &ignition::script(&plan.commands));
}

fn installations() -> Vec<(&'static str, Installation)> {
    let installation = |download_url: &str| Installation {
        version: Some("v1.36.3+k0s.2".parse().unwrap()),
        download_url: download_url.to_owned(),
        machine_name: "m1".to_owned(),
        ..Installation::default()
    };
    vec![
        ("default", installation("")),
        (
            "latest",
            Installation {
                version: None,
                ..installation("")
            },
        ),
        ("http", installation("https://example.com/k0s?a=b&c=d")),
        ("oci", installation("oci://registry.example.com/k0s@sha256:abc")),
        (
            "odd values",
            Installation {
                preinstalled: true,
                install_dir: "/opt/$(here) & there".to_owned(),
                working_dir: "/var/my k0s".to_owned(),
                machine_name: "{{ v1.local_hostname }}".to_owned(),
                args: ["--labels=a=b c", "--kubelet-extra-args='--v=4 --x=y'"]
                    .map(str::to_owned)
                    .to_vec(),
                ..installation("")
            },
        ),
    ]
}

#[test]
fn scripts_of_workers() {
    for (name, installation) in installations() {
        let worker = WorkerInstall {
            installation,
            join_token: "token".into(),
        };
        check_steps(name, worker.steps().unwrap());
    }
}

#[test]
fn scripts_of_controllers() {
    let authority = || CertificateAuthority {
        cert_pem: "certificate".to_owned(),
        key_pem: "key".into(),
    };
    for (name, installation) in installations() {
        let founder = ControllerRole::Initial(Box::new(ControlPlanePki {
            ca: authority(),
            etcd_ca: authority(),
            front_proxy_ca: authority(),
            service_account: ServiceAccountKeys {
                public_pem: "public".to_owned(),
                private_pem: "private".into(),
            },
        }));
        let joining = ControllerRole::Joining {
            join_token: "token".into(),
        };
        for role in [founder, joining] {
            let controller = ControllerInstall {
                installation: installation.clone(),
                role,
                k0s_config: Some(serde_json::json!({ "kind": "ClusterConfig" })),
                extra_files: Vec::new(),
            };
            check_steps(name, controller.steps().unwrap());
        }
    }
}

#[test]
fn shellcheck_does_remark() {
    let remarked = std::panic::catch_unwind(|| check("unquoted", "#!/bin/sh\nrm $1\n"));
    assert!(remarked.is_err());
}
