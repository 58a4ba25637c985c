//! From the YAML of a worker to what its host runs.

use std::sync::Arc;

use insta::{assert_snapshot, assert_yaml_snapshot};
use k0smotron_api::{
    bootstrap::v1beta2::K0sWorkerConfig,
    capi::{Cluster, Machine},
};
use k0smotron_k0s::{
    plan::File,
    token::{BootstrapToken, JoinToken, WORKER_USER},
};
use k0smotron_runtime::gates::FeatureGates;
use secrecy::ExposeSecret;

use super::{
    build::{Built, build},
    fetch::Inputs,
};
use crate::join_token;

fn yaml<T: serde::de::DeserializeOwned>(text: &str) -> T {
    serde_yaml::from_str(text).unwrap()
}

fn inputs(host: &str) -> Inputs {
    let config: K0sWorkerConfig = yaml(
        "
apiVersion: bootstrap.cluster.x-k8s.io/v1beta2
kind: K0sWorkerConfig
metadata: {name: demo-workers-abc, namespace: default, uid: config-uid}
spec:
  args: [--debug, '--kubelet-extra-args=\"--v=2\"']
  preK0sCommands: [modprobe br_netfilter]
  files: [{path: /etc/motd, contentFrom: {configMapRef: {name: motd, key: text}}}]
  secretMetadata: {labels: {backup: 'no'}, annotations: {note: n}}
",
    );
    let cluster = format!(
        "{{apiVersion: cluster.x-k8s.io/v1beta2, kind: Cluster, metadata: {{name: demo, namespace: default}}, \
         spec: {{controlPlaneEndpoint: {{host: '{host}', port: 6443}}}}}}"
    );
    let machine =
        "{apiVersion: cluster.x-k8s.io/v1beta2, kind: Machine, metadata: {name: demo-workers-abc}, spec: {}}";
    let token = BootstrapToken::parse("abcdef.0123456789abcdef").unwrap();
    Inputs {
        config: Arc::new(config),
        machine: Some(Arc::new(yaml::<Machine>(machine))),
        cluster: Some(Arc::new(yaml::<Cluster>(&cluster))),
        now: "2026-01-01T00:00:00Z".parse().unwrap(),
        version: Some("v1.36.3+k0s.2".parse().unwrap()),
        files: vec![File::new("/etc/motd", "welcome\n", "")],
        custom_user_data: None,
        gates: FeatureGates::default(),
        authority: Some("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n".to_owned()),
        workload: None,
        pool: false,
        issued: None,
        rotation: None,
        token: Some(join_token::Found::Usable(token)),
    }
}

/// The payload, with the join token taken out and read.
fn payload(built: &Built) -> (String, JoinToken) {
    let value = built.data.data.as_ref().unwrap()["value"].0.clone();
    let text = String::from_utf8(value).unwrap();
    let plan = k0smotron_k0s::cloud_config::parse(&text).unwrap();
    let token = plan
        .plan
        .files
        .iter()
        .find(|file| file.path == "/etc/k0s.token")
        .unwrap()
        .content
        .clone();
    (
        text.replace(token.trim(), "TOKEN"),
        JoinToken::parse(&token).unwrap(),
    )
}

#[test]
fn what_the_host_runs() {
    let built = build(&inputs("10.88.1.10")).unwrap();
    // The token that is there is used, and is good from now on.
    assert_eq!(
        built.token.metadata.name.as_deref(),
        Some("bootstrap-token-abcdef")
    );
    let (text, token) = payload(&built);
    assert_snapshot!("cloud_config", text);
    assert_eq!(token.server, "https://10.88.1.10:6443");
    assert_eq!(token.user, WORKER_USER);
    assert_eq!(token.token.value().expose_secret(), "abcdef.0123456789abcdef");
    let mut data = built.data;
    data.data.as_mut().unwrap().remove("value");
    assert_yaml_snapshot!("data_secret", data);
}

#[test]
fn addresses_of_ipv6_are_bracketed() {
    let (_, token) = payload(&build(&inputs("fd00::10")).unwrap());
    assert_eq!(token.server, "https://[fd00::10]:6443");
}

#[test]
fn a_new_token_is_made_under_the_id_that_was_found_free() {
    let mut inputs = inputs("10.88.1.10");
    inputs.token = Some(join_token::Found::Wanted {
        id: "zzz999".to_owned(),
    });
    let built = build(&inputs).unwrap();
    let secret = &built.token;
    assert_eq!(secret.metadata.name.as_deref(), Some("bootstrap-token-zzz999"));
    assert_eq!(
        secret.metadata.annotations.as_ref().unwrap()["k0smotron.io/bootstrap-config"],
        "default/demo-workers-abc"
    );
    let (_, token) = payload(&built);
    let half = secret.data.as_ref().unwrap()["token-secret"].0.clone();
    assert_eq!(token.token.id(), "zzz999");
    assert_eq!(
        token.token.secret().expose_secret(),
        String::from_utf8(half).unwrap()
    );
}

#[test]
fn the_machines_of_a_pool_share_a_token_and_no_name() {
    let pool = Inputs {
        pool: true,
        ..inputs("10.88.1.10")
    };
    let built = build(&pool).unwrap();
    let (text, _) = payload(&built);
    assert!(!text.contains("--hostname-override"), "{text}");
    let annotations = built.data.metadata.annotations.unwrap();
    assert_eq!(
        annotations["k0smotron.io/join-token-expires"],
        "2026-01-02T00:00:00Z"
    );
    let expiration = &built.token.data.unwrap()["expiration"].0;
    assert_eq!(expiration, b"2026-01-02T00:00:00Z");
}

#[test]
fn a_host_of_windows_runs_one_command() {
    let mut inputs = inputs("10.88.1.10");
    let mut config = K0sWorkerConfig::clone(&inputs.config);
    config.spec.provisioner = yaml("{type: cloud-config, platform: windows}");
    inputs.config = Arc::new(config);
    inputs.files = Vec::new();
    let data = build(&inputs).unwrap().data.data.unwrap();
    let text = String::from_utf8(data["value"].0.clone()).unwrap();
    let run = "powershell.exe -NoProfile -NonInteractive -File \"C:\\bootstrap\\k0s_install.ps1\"";
    assert!(text.ends_with(&format!("runcmd:\n  - |-\n    {run}\n")), "{text}");
}

#[test]
fn users_cloud_config_is_appended() {
    let mut inputs = inputs("10.88.1.10");
    inputs.custom_user_data = Some("packages: [nfs-common]\n".to_owned());
    let (text, _) = payload(&build(&inputs).unwrap());
    assert!(text.contains("packages: [nfs-common]"), "{text}");
}

#[test]
fn a_plan_that_cannot_be_made_is_an_error_and_no_payload() {
    let mut inputs = inputs("10.88.1.10");
    let mut config = K0sWorkerConfig::clone(&inputs.config);
    config.spec.download_url = Some("ftp://example.org/k0s".to_owned());
    inputs.config = Arc::new(config);
    let error = build(&inputs).err().unwrap();
    assert!(matches!(error, super::Error::Plan(_)), "{error}");
}
