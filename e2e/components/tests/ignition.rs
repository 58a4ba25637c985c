//! Ignition's own validator takes our configs, and Butane makes of users' Butane what we make of it.

// clippy.toml allows these in test functions; the functions that they call are meant too.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::read::GzDecoder;
use k0smotron_e2e_components::{Component, ensure};
use k0smotron_k0s::{
    ignition::render,
    plan::{File, InstallPlan},
};
use serde_json::{Map, Value};

const VERSIONS: [(&str, &[&str]); 5] = [
    (
        "fcos",
        &["1.0.0", "1.1.0", "1.2.0", "1.3.0", "1.4.0", "1.5.0", "1.6.0"],
    ),
    ("flatcar", &["1.0.0", "1.1.0"]),
    (
        "openshift",
        &[
            "4.8.0", "4.9.0", "4.10.0", "4.11.0", "4.12.0", "4.13.0", "4.14.0", "4.15.0", "4.16.0", "4.17.0",
            "4.18.0", "4.19.0",
        ],
    ),
    ("r4e", &["1.0.0", "1.1.0"]),
    ("fiot", &["1.0.0"]),
];

/// What a program answers to an input, and whether it is content.
fn run(program: &str, arguments: &[&str], input: &[u8]) -> (bool, String) {
    let directory: PathBuf = ensure(Component::Ignition).unwrap();
    let mut child = Command::new(directory.join(program))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

fn validate(config: &[u8]) {
    let (valid, said) = run("ignition-validate", &["-"], config);
    assert!(
        valid && said.trim().is_empty(),
        "{said}\n{}",
        String::from_utf8_lossy(config)
    );
}

fn butane(text: &str) -> Value {
    let (translated, said) = run("butane", &["--raw", "--strict"], text.as_bytes());
    assert!(translated, "{said}\n{text}");
    serde_json::from_str(&said).unwrap()
}

fn plan() -> InstallPlan {
    InstallPlan {
        files: vec![
            File::new("/etc/k0s.token", "it's a \"token\"\n", "0600"),
            File::new("/opt/é x", "0123456789\n".repeat(3000), ""),
            File {
                owner: Some("root:root".to_owned()),
                append: true,
                ..File::new("/etc/hosts", "10.0.0.1 api\n", "0644")
            },
        ],
        commands: vec!["echo 'a' \"$HOME\" 50% %h \\".to_owned(), "k0s start".to_owned()],
    }
}

/// What a resource says, whichever way it is written.
fn content(resource: &Map<String, Value>) -> Option<String> {
    let source = resource.get("source")?.as_str()?.strip_prefix("data:")?;
    let (kind, data) = source.split_once(',')?;
    let bytes = if kind.ends_with(";base64") {
        BASE64_STANDARD.decode(data).unwrap()
    } else {
        unescape(data)
    };
    if resource.get("compression").and_then(Value::as_str) != Some("gzip") {
        return Some(String::from_utf8(bytes).unwrap());
    }
    let mut text = String::new();
    GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
    Some(text)
}

/// `%41` as `A`.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = text.bytes();
    let mut unescaped = Vec::new();
    while let Some(byte) = bytes.next() {
        unescaped.push(match byte {
            b'%' => {
                let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            byte => byte,
        });
    }
    unescaped
}

/// The config with the content of resources instead of how it is written, and without what says nothing.
fn meaning(value: &Value) -> Value {
    match value {
        Value::Object(entries) => {
            if let Some(text) = content(entries) {
                return Value::String(text);
            }
            let entries = entries.iter().map(|(key, value)| (key.clone(), meaning(value)));
            let nothing = |value: &Value| {
                value.is_null() || value.as_object().is_some_and(Map::is_empty) || value.as_str() == Some("")
            };
            Value::Object(entries.filter(|(_, value)| !nothing(value)).collect())
        }
        Value::Array(items) => items.iter().map(meaning).collect(),
        value => value.clone(),
    }
}

/// The configs that a config merges.
fn merged(text: &str) -> Vec<String> {
    let all: Value = serde_json::from_str(text).unwrap();
    let merge = all
        .pointer("/ignition/config/merge")
        .and_then(Value::as_array)
        .unwrap();
    merge
        .iter()
        .map(|entry| content(entry.as_object().unwrap()).unwrap())
        .collect()
}

#[test]
fn every_version_is_the_one_that_butane_makes_and_valid() {
    for (variant, versions) in VERSIONS {
        for version in versions {
            let text = render(&plan(), variant, version, None).unwrap();
            validate(text.as_bytes());
            for config in merged(&text) {
                validate(config.as_bytes());
            }
            let metadata = match variant {
                "openshift" => {
                    "metadata: {name: a, labels: {machineconfiguration.openshift.io/role: worker}}\n"
                }
                _ => "",
            };
            let theirs = butane(&format!("variant: {variant}\nversion: {version}\n{metadata}"));
            let ours: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(
                ours["ignition"]["version"], theirs["ignition"]["version"],
                "{variant} {version}"
            );
        }
    }
}

#[test]
fn butane_agrees_on_what_users_wrote() {
    let table = [
        "
passwd:
  users:
  - name: core
    ssh_authorized_keys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHJpk2GbJ5Q5]
    groups: [sudo, wheel]
    home_dir: /home/core
    no_create_home: false
    uid: 1000
  groups: [{name: ops, gid: 2000, system: true}]
",
        "
storage:
  directories: [{path: /opt/bin, mode: 0755, overwrite: true, user: {name: root}, group: {id: 0}}]
  files:
  - path: /etc/hostname
    mode: 0644
    overwrite: true
    contents: {inline: \"it's 100% # \\u00e9\\n\"}
  - path: /etc/motd
    mode: 420
    append: [{inline: welcome}]
  - path: /etc/far
    contents:
      source: https://example.com/far
      compression: gzip
      http_headers: [{name: Authorization, value: Basic abc}]
  links: [{path: /etc/localtime, target: ../usr/share/zoneinfo/UTC, hard: false}]
",
        "
storage:
  disks:
  - device: /dev/vdb
    wipe_table: true
    partitions: [{label: data, number: 1, size_mib: 100, start_mib: 1, resize: false, wipe_partition_entry: true}]
  raid: [{name: md0, level: raid1, devices: [/dev/vdc, /dev/vdd], spares: 0}]
  filesystems:
  - device: /dev/disk/by-partlabel/data
    format: ext4
    path: /data
    label: data
    wipe_filesystem: true
    mount_options: [noatime]
    options: [-m, '0']
",
        "
systemd:
  units:
  - {name: k0s-bootstrap.service, dropins: [{name: after.conf, contents: \"[Unit]\\nAfter=other.service\\n\"}]}
  - {name: other.service, enabled: true, contents: \"[Service]\\nExecStart=/bin/true\\n[Install]\\nWantedBy=multi-user.target\\n\"}
  - {name: update-engine.service, mask: true}
kernel_arguments: {should_exist: [quiet], should_not_exist: [debug]}
ignition:
  timeouts: {http_total: 60}
  proxy: {https_proxy: https://proxy.example.com, no_proxy: [example.com]}
  security: {tls: {certificate_authorities: [{source: https://example.com/ca.pem}]}}
  config: {merge: [{source: https://example.com/more.ign}]}
",
    ];
    for (variant, version) in [
        ("flatcar", "1.1.0"),
        ("fcos", "1.5.0"),
        ("fcos", "1.6.0"),
        ("r4e", "1.1.0"),
    ] {
        for butane_yaml in table {
            // RHEL for Edge has neither, and Butane says so.
            if variant == "r4e"
                && (butane_yaml.contains("disks:") || butane_yaml.contains("kernel_arguments"))
            {
                continue;
            }
            let text = format!("variant: {variant}\nversion: {version}\n{butane_yaml}");
            let ours = render(&plan(), variant, version, Some(&text)).unwrap();
            let [_, additional] = <[String; 2]>::try_from(merged(&ours)).unwrap();
            validate(additional.as_bytes());
            let ours: Value = serde_json::from_str(&additional).unwrap();
            assert_eq!(meaning(&ours), meaning(&butane(&text)), "{text}");
        }
    }
}

#[test]
fn the_validator_is_no_yes_man() {
    let (valid, said) = run(
        "ignition-validate",
        &["-"],
        b"{\"ignition\":{\"version\":\"3.4.0\"},\"storage\":{\"files\":[{\"path\":\"a\"}]}}",
    );
    assert!(!valid && said.contains("path not absolute"), "{said}");
}
