//! What is written, and what of Butane is read. That Ignition and Butane themselves agree is tested where they are built.

use super::*;

fn plan() -> InstallPlan {
    InstallPlan {
        files: vec![
            File::new("/etc/k0s.token", "token", "0600"),
            File {
                owner: Some("etcd:etcd".to_owned()),
                append: true,
                ..File::new("/etc/hosts", "10.0.0.1 api\n", "")
            },
        ],
        commands: vec!["echo 'a' \"$HOME\" 50%".to_owned(), "k0s start".to_owned()],
    }
}

/// The merged configs, read.
fn merged(text: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(text).unwrap();
    let merge = all.pointer("/ignition/config/merge").unwrap().as_array().unwrap();
    merge
        .iter()
        .map(|entry| serde_json::from_slice(&content(entry)).unwrap())
        .collect()
}

fn content(resource: &Value) -> Vec<u8> {
    let source = resource["source"].as_str().unwrap();
    let bytes = BASE64_STANDARD
        .decode(source.split_once("base64,").unwrap().1)
        .unwrap();
    if resource["compression"] == "gzip" {
        let mut text = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&bytes[..]), &mut text).unwrap();
        return text;
    }
    bytes
}

#[test]
fn what_a_host_gets() {
    let text = render(&plan(), "fcos", "1.5.0", None).unwrap();
    assert!(
        text.starts_with("{\"ignition\":{\"config\":{\"merge\":[{\"source\":\"data:application/json;base64,")
    );
    let all: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(all["ignition"]["version"], "3.4.0");
    let configs = merged(&text);
    assert_eq!(configs.len(), 1);
    let script = &configs[0]["storage"]["files"][2];
    assert_eq!(script["path"], SCRIPT);
    insta::assert_snapshot!("script", String::from_utf8(content(&script["contents"])).unwrap());
    insta::assert_yaml_snapshot!("config", configs[0], {".storage.files[2].contents.source" => "[script]"});
    let (_, warnings) = ignition_config::Config::parse_str(&configs[0].to_string()).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[test]
fn users_butane_is_merged_after_ours() {
    let additional = "
variant: flatcar
version: 1.1.0
passwd:
  users:
  - {name: core, ssh_authorized_keys: [ssh-ed25519 AAAA], groups: [sudo]}
storage:
  directories: [{path: /opt/bin, mode: 0755}]
  files:
  - path: /etc/hostname
    mode: 0o644
    contents: {inline: 'node'}
  - {path: /etc/far, contents: {source: 'https://example.com/far', verification: {hash: sha512-00}}}
  links: [{path: /etc/localtime, target: ../usr/share/zoneinfo/UTC}]
  disks: [{device: /dev/vdb, wipe_table: true, partitions: [{label: data, number: 1, size_mib: 100}]}]
  filesystems: [{device: /dev/vdb1, format: ext4, path: /data}]
systemd:
  units:
  - name: k0s-bootstrap.service
    dropins: [{name: after.conf, contents: \"[Unit]\\nAfter=other.service\\n\"}]
kernel_arguments: {should_exist: [quiet]}
";
    let configs = merged(&render(&plan(), "flatcar", "1.1.0", Some(additional)).unwrap());
    assert_eq!(configs.len(), 2);
    insta::assert_yaml_snapshot!(configs[1]);
}

#[test]
fn what_is_not_translated_is_refused_by_name() {
    let refused = |butane: &str| {
        let text = format!("variant: fcos\nversion: 1.5.0\n{butane}");
        render(&plan(), "fcos", "1.5.0", Some(&text))
            .unwrap_err()
            .to_string()
    };
    for (butane, expected) in [
        (
            "storage: {trees: [{local: a}]}",
            "additionalConfig: storage.trees is not translated",
        ),
        ("storage: {luks: []}", "storage.luks is not translated"),
        (
            "storage: {filesystems: [{with_mount_unit: true}]}",
            "storage.filesystems[0].with_mount_unit is not translated",
        ),
        (
            "storage: {files: [{path: /a, contents: {local: a}}]}",
            "storage.files[0].contents.local is not translated",
        ),
        (
            "systemd: {units: [{name: a, contents_local: a}]}",
            "systemd.units[0].contents_local is not translated",
        ),
        ("boot_device: {}", "boot_device is not translated"),
        (
            "storage: {files: [{path: /a, contents: {inline: a, source: b}}]}",
            "exclude each other",
        ),
        (
            "storage: {files: [{path: /a, mode: rw}]}",
            "storage.files[0].mode must be an octal number",
        ),
        (
            "storage: {files: [{path: 1}]}",
            "the result is not a config of Ignition 3.4.0",
        ),
        ("storage: 5", "storage must be a mapping"),
        ("storage: [", "not valid YAML"),
    ] {
        assert!(
            refused(butane).contains(expected),
            "{butane}: {}",
            refused(butane)
        );
    }
    let error = |version: &str, additional: &str| {
        render(&plan(), "fcos", version, Some(additional))
            .unwrap_err()
            .to_string()
    };
    assert!(
        error("1.5.0", "variant: fcos\nversion: 1.4.0\n")
            .contains("becomes Ignition 3.3.0 and the rest 3.4.0")
    );
    assert!(error("1.5.0", "storage: {}\n").contains("not a mapping with variant and version"));
    assert!(error("1.5.0", "variant: rhcos\nversion: 1.5.0\n").contains("\"rhcos\" is not known"));
    assert!(error("9.9.9", "").contains("known are 1.0.0, 1.1.0"));
    let arguments = "variant: fcos\nversion: 1.3.0\nkernel_arguments: {should_exist: [quiet]}\n";
    assert!(
        error("1.3.0", arguments).contains("it has no $.kernelArguments"),
        "{}",
        error("1.3.0", arguments)
    );
}

#[test]
fn what_not_every_cloud_takes_is_gzipped_where_the_version_allows_it() {
    let mut large = plan();
    large
        .files
        .push(File::new("/large", "0123456789\n".repeat(4000), ""));
    let sizes = ["1.0.0", "1.1.0"].map(|version| {
        let text = render(&large, "fcos", version, None).unwrap();
        assert_eq!(merged(&text)[0]["storage"]["files"][2]["path"], "/large");
        text.len()
    });
    assert!(sizes[0] > 40_000 && sizes[1] < TAKEN_BY_ALL, "{sizes:?}");
}
