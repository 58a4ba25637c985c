//! From what users and bootstrap providers write to what is sent to a host.

use std::collections::BTreeMap;

use k0smotron_api::infrastructure::v1beta2::{PooledRemoteMachine, RemoteMachine, RemoteMachineSpec};
use secrecy::SecretString;
use serde_json::json;

use super::plan;

const DATA: &str = r##"## template: jinja
#cloud-config
write_files:
  - path: /etc/k0s.token
    content: H4sIAAAAAAAC-secret
    permissions: "0600"
  - path: /etc/motd
    content: |
      Welcome
    append: true
    owner: root:root
runcmd:
  - curl -sSfL https://get.k0s.sh | sh
  - [touch, "/a b"]
packages: [curl]
"##;

fn spec(yaml: &str) -> RemoteMachineSpec {
    serde_yaml::from_str(yaml).unwrap()
}

fn machine(yaml: &str) -> RemoteMachine {
    serde_yaml::from_str(&format!(
        "apiVersion: infrastructure.cluster.x-k8s.io/v1beta2\nkind: RemoteMachine\n{yaml}"
    ))
    .unwrap()
}

fn refused(data: &str, format: Option<&str>) -> String {
    let problem = plan::work(&SecretString::from(data), format, &spec("{address: a}"))
        .err()
        .unwrap();
    assert_eq!(problem.reason, "InvalidBootstrapData");
    assert!(problem.stuck);
    problem.message
}

#[test]
fn cloud_config_becomes_files_and_steps() {
    let work = plan::work(
        &SecretString::from(DATA),
        Some("cloud-config"),
        &spec("{address: a}"),
    )
    .unwrap();
    let files: Vec<_> = work
        .bootstrap
        .files
        .iter()
        .map(|file| {
            (
                file.path.as_str(),
                file.mode,
                file.owner.as_deref(),
                file.append,
                file.content.as_slice(),
            )
        })
        .collect();
    assert_eq!(
        files,
        [
            (
                "/etc/k0s.token",
                0o600,
                None,
                false,
                b"H4sIAAAAAAAC-secret".as_slice()
            ),
            ("/etc/motd", 0o644, Some("root:root"), true, b"Welcome\n"),
        ]
    );
    assert_eq!(
        work.bootstrap.commands,
        ["curl -sSfL https://get.k0s.sh | sh", "touch '/a b'"]
    );
    assert_eq!(work.ignored, ["packages"]);
    assert_eq!(
        work.secrets.redact("the token H4sIAAAAAAAC-secret is old"),
        "the token [redacted] is old"
    );
}

#[test]
fn commands_become_one_script_when_asked_to() {
    let spec = spec("{address: a, commandsAsScript: true, workingDir: /opt/k0s motron/}");
    let work = plan::work(&SecretString::from(DATA), None, &spec).unwrap();
    let script = work.bootstrap.files.last().unwrap();
    assert_eq!(
        (script.path.as_str(), script.mode),
        ("/opt/k0s motron/k0s_install.sh", 0o700)
    );
    assert_eq!(
        String::from_utf8_lossy(&script.content),
        "#!/bin/sh\nset -e\n\ncurl -sSfL https://get.k0s.sh | sh\ntouch '/a b'\n"
    );
    assert_eq!(
        work.bootstrap.commands,
        ["exec sh '/opt/k0s motron/k0s_install.sh'"]
    );
}

#[test]
fn what_cannot_be_carried_out_is_refused_with_a_remedy() {
    assert!(refused(DATA, Some("ignition")).contains("set provisioner.type"));
    assert!(refused("#!/bin/sh\n", None).contains("script"));
    assert!(refused("{{{", None).contains("YAML"));
    assert!(refused("write_files: []\n", None).contains("no runcmd"));
    assert!(refused("", None).contains("no runcmd"));
    let file = |fields: &str| format!("runcmd: ['true']\nwrite_files:\n  - {{{fields}, content: x}}\n");
    assert!(refused(&file("path: etc/a"), None).contains("absolute"));
    assert!(refused(&file("path: /a, permissions: rw"), None).contains("permissions"));
    assert!(refused(&file("path: '/a/'"), None).contains("ends like a directory"));
    assert!(refused(&file(r#"path: "/a\nb""#), None).contains("write_files"));
}

#[test]
fn a_claim_copies_the_way_to_the_host_and_its_labels() {
    let entry: PooledRemoteMachine = serde_yaml::from_str(
        "apiVersion: infrastructure.cluster.x-k8s.io/v1beta2\nkind: PooledRemoteMachine\nmetadata:\n  name: rack-1\n  \
         namespace: ns\n  labels: {zone: east, tier: gold, cluster.x-k8s.io/watch-filter: x}\n  annotations:\n    \
         example.org/serial: '7'\n    k0smotron.io/ssh-host-key: SHA256:x\n    k0smotron.io/reserved-by: m\n    \
         kubectl.kubernetes.io/last-applied-configuration: '{}'\nspec:\n  pool: p\n  machine:\n    address: 10.0.0.1\n    \
         port: 2222\n    user: debian\n    useSudo: true\n    sshKeyRef: {name: key}\n    cleanUpCommands: [reboot]\n",
    )
    .unwrap();
    let machine =
        machine("metadata: {name: m, resourceVersion: '5', labels: {tier: silver}}\nspec: {pool: p}\n");
    assert_eq!(
        plan::claim(&machine, Some(&entry), "id"),
        json!({
            "metadata": {
                "resourceVersion": "5",
                "labels": { "zone": "east" },
                "annotations": {
                    "example.org/serial": "7",
                    "k0smotron.io/install-id": "id",
                    "k0smotron.io/pooled-machine": "rack-1",
                },
            },
            // What is the same in both stays out of it.
            "spec": {
                "address": "10.0.0.1", "port": 2222, "user": "debian", "useSudo": true, "sshKeyRef": { "name": "key" },
                "cleanUpCommands": ["reboot"],
            },
        })
    );
}

#[test]
fn what_an_entry_says_of_its_host_replaces_what_the_template_says() {
    let of_template = "elevation: {method: sudo, passwordRef: {name: p, key: k}}, hostKeys: {knownHosts: x}, \
                       jumpHosts: [{address: a}, {address: b}], cleanUpCommands: [reboot]";
    let with = |of_entry: &str| {
        let host = format!("{{address: h, sshKeyRef: {{name: key}}, {of_entry}}}");
        plan::with_host(
            &spec(&format!("{{pool: p, {of_template}}}")),
            &serde_yaml::from_str(&host).unwrap(),
        )
    };
    let common = "pool: p, address: h, sshKeyRef: {name: key}";
    assert_eq!(with(""), spec(&format!("{{{common}, {of_template}}}")));
    let of_entry = "elevation: {method: none}, hostKeys: {authorities: [y]}, jumpHosts: [{address: c}]";
    assert_eq!(
        with(&format!("{of_entry}, cleanUpCommands: []")),
        spec(&format!("{{{common}, {of_entry}, cleanUpCommands: [reboot]}}"))
    );
    // The old field says how to become root as well.
    assert_eq!(
        (with("useSudo: true").use_sudo, with("useSudo: true").elevation),
        (true, None)
    );
}

#[test]
fn an_install_id_is_never_replaced_and_a_users_host_never_rewritten() {
    let mine = machine(
        "metadata: {name: m, annotations: {k0smotron.io/install-id: first}}\nspec: {address: 10.0.0.1, sshKeyRef: {name: k}}\n",
    );
    let claim = plan::claim(&mine, None, "second");
    assert_eq!(claim["metadata"]["annotations"], json!({}));
    assert_eq!(claim["spec"], json!({}));
}

#[test]
fn metadata_is_handed_on_where_there_is_none() {
    let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    };
    let from = map(&[
        ("zone", "east"),
        ("tier", "gold"),
        ("node-role.kubernetes.io/edge", ""),
        ("cluster.x-k8s.io/cluster-name", "c"),
        ("k0smotron.io/install-id", "i"),
    ]);
    let missing = plan::missing(&from, &map(&[("tier", "silver")]));
    assert_eq!(
        missing,
        map(&[("zone", "east"), ("node-role.kubernetes.io/edge", "")])
    );
}

#[test]
fn provider_ids_carry_the_port() {
    assert_eq!(
        plan::provider_id(&spec("{address: 10.0.0.1}")),
        "remote-machine://10.0.0.1:22"
    );
}
