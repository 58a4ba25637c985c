//! Both directions: what is written, what is read, and that the two agree.

use std::io::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;

use super::*;
use crate::plan::{File, InstallPlan};

fn plan(files: &[File], commands: &[&str]) -> InstallPlan {
    InstallPlan {
        files: files.to_vec(),
        commands: commands.iter().map(|command| (*command).to_owned()).collect(),
    }
}

fn problem(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn writes_the_shape_users_know() {
    let plan = plan(
        &[File::new("/opt/demo/a.conf", "x=1", "0640")],
        &["touch /opt/demo/done"],
    );
    insta::assert_snapshot!(render(&plan, None).unwrap());
    assert_eq!(
        render(&InstallPlan::default(), None).unwrap(),
        "## template: jinja\n#cloud-config\nwrite_files: []\nruncmd: []\n"
    );
}

#[test]
fn keeps_template_expressions_as_they_stand() {
    let plan = plan(
        &[File::new("/etc/node", "name: {{ ds.meta_data[\"name\"] }}\n", "")],
        &[
            "hostnamectl set-hostname {{ v1['local_hostname'] }}",
            "{% if x %}echo \"a\"{% endif %}",
        ],
    );
    let text = render(&plan, None).unwrap();
    insta::assert_snapshot!(text);
    assert_eq!(parse(&text).unwrap().plan, plan);
}

#[test]
fn never_writes_a_text_that_reads_as_something_else() {
    let words = [
        "yes",
        "0640",
        "1:30",
        "null",
        "~",
        "1e3",
        "2020-01-01",
        "- a",
        "a: b",
        "a #b",
        "*a",
        "&a",
        "!a",
        "%a",
    ];
    let plan = plan(&[File::new("/a", "on", "0644")], &words);
    let text = render(&plan, None).unwrap();
    for word in words {
        assert!(text.contains(&format!("  - \"{word}\"\n")), "{word}: {text}");
    }
    assert_eq!(parse(&text).unwrap().plan, plan);
}

#[test]
fn reads_what_cloud_init_reads() {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(b"zipped").unwrap();
    let zipped = BASE64_STANDARD.encode(gzip.finish().unwrap());
    let coded = BASE64_STANDARD.encode("coded");
    let text = format!(
        "## template: jinja
#cloud-config
write_files:
- {{path: /a, content: {coded}, encoding: b64, permissions: '0600'}}
- {{path: /b, content: {zipped}, encoding: gz+b64, permissions: 384}}
- {{path: /c, content: !!binary {zipped}, encoding: gzip, permissions: 0600}}
- {{path: /d, content: 12, owner: 'etcd:etcd', append: true, defer: true, unknown: 1}}
- path: /e
  content: |
    a: !!binary YQ==
runcmd:
- echo a
- [echo, a b, 3]
hostname: x
"
    );
    let parsed = parse(&text).unwrap();
    assert_eq!(
        parsed.plan,
        plan(
            &[
                File::new("/a", "coded", "0600"),
                File::new("/b", "zipped", "0600"),
                File::new("/c", "zipped", "0600"),
                File {
                    owner: Some("etcd:etcd".into()),
                    append: true,
                    ..File::new("/d", "12", "")
                },
                File::new("/e", "a: !!binary YQ==\n", ""),
            ],
            &["echo a", "echo 'a b' 3"]
        )
    );
    assert_eq!(parsed.ignored, ["write_files[3].unknown", "hostname"]);
    assert_eq!(parse("#cloud-config\n").unwrap(), Parsed::default());
    assert_eq!(parse("write_files:\nruncmd:\n").unwrap(), Parsed::default());
}

#[test]
fn names_the_item_and_the_remedy() {
    for (text, expected) in [
        (
            "#!/bin/sh\nk0s",
            "bootstrap data is a script, not cloud-config; set provisioner.type to cloud-config",
        ),
        (
            "MIME-Version: 1.0\n",
            "bootstrap data is a MIME archive, not cloud-config; set provisioner.type to cloud-config",
        ),
        (
            "{ \"ignition\": {} }",
            "bootstrap data is an Ignition config, not cloud-config; set provisioner.type to cloud-config",
        ),
        (
            "just text",
            "cloud-config is not a mapping of keys such as write_files and runcmd",
        ),
        ("write_files: a", "write_files: must be a list"),
        (
            "write_files: [a]",
            "write_files[0]: must be a mapping with path and content",
        ),
        (
            "write_files: [{path: a}]",
            "write_files[0].path: must be an absolute path",
        ),
        (
            "write_files: [{content: a}]",
            "write_files[0].path: must be an absolute path",
        ),
        (
            "write_files: [{path: /a}, {path: /b, content: '*', encoding: b64}]",
            "write_files[1].content: is not valid base64",
        ),
        (
            "write_files: [{path: /a, content: YQ==, encoding: gz+b64}]",
            "write_files[0].content: is not valid gzip",
        ),
        (
            "write_files: [{path: /a, encoding: rot13}]",
            "write_files[0].content: has an unknown encoding; use b64, gzip or gz+b64",
        ),
        (
            "write_files: [{path: /a, content: /w==, encoding: b64}]",
            "write_files[0].content: is not UTF-8 text; put binary files in place with a command",
        ),
        (
            "write_files: [{path: /a, permissions: rw}]",
            "write_files[0].permissions: permissions \"rw\" are not an octal mode between 0 and 7777; write them such as \"0600\"",
        ),
        (
            "write_files: [{path: /a, source: {uri: x}}]",
            "write_files[0].source: is not supported; write the content, or fetch it in a command",
        ),
        (
            "runcmd: [{a: b}]",
            "runcmd[0]: must be a text or a list of words; quote it if it contains a colon",
        ),
        ("runcmd: [a, [[b]]]", "runcmd[1]: must be a text"),
        (
            "runcmd: [\"a\\0\"]",
            "runcmd[0]: contains a NUL character, which no command line can carry; remove it",
        ),
    ] {
        assert_eq!(problem(text), expected);
    }
    assert!(problem("a: [").starts_with("cloud-config is not valid YAML: "));
    assert!(problem("runcmd: [a]\nruncmd: [b]").contains("duplicate"));
    assert_eq!(parse(&"a".repeat(MAX_DOCUMENT + 1)), Err(ParseError::TooLarge));
}

#[test]
fn unpacks_no_bomb() {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    for _ in 0..9 {
        gzip.write_all(&[b'a'; 1024 * 1024]).unwrap();
    }
    let bomb = BASE64_STANDARD.encode(gzip.finish().unwrap());
    let text = format!("write_files: [{{path: /a, content: {bomb}, encoding: gz+b64}}]");
    assert_eq!(
        problem(&text),
        format!("write_files[0].content: is larger than {MAX_FILE} bytes when unpacked")
    );
}

/// Text as nasty as can be: any character, and many of those that mean something to YAML.
fn nasty() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("\n".to_owned()),
        Just("\r\n".to_owned()),
        Just("\t".to_owned()),
        Just("  ".to_owned()),
        Just("{{ a[\"b\"] }}".to_owned()),
        Just("---".to_owned()),
        Just("...".to_owned()),
        "[-:#?!&*%@`'\"|>\\\\{}\\[\\], ]{1,3}",
        "[a-z0-9/]{1,4}",
        any::<char>().prop_map(String::from),
    ];
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

fn any_plan() -> impl Strategy<Value = InstallPlan> {
    let file = (
        nasty(),
        nasty(),
        "0?[0-7]{3}|",
        proptest::option::of("[a-z]{1,4}(:[a-z]{1,4})?"),
        any::<bool>(),
    );
    let file = file.prop_map(|(path, content, permissions, owner, append)| File {
        path: format!("/{}", path.replace('\0', "")),
        content,
        permissions,
        owner,
        append,
    });
    let command = nasty().prop_map(|command| command.replace('\0', ""));
    (
        proptest::collection::vec(file, 0..4),
        proptest::collection::vec(command, 0..4),
    )
        .prop_map(|(files, commands)| InstallPlan { files, commands })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_is_written_is_read(plan in any_plan()) {
        let text = render(&plan, None).unwrap();
        prop_assert!(text.starts_with("## template: jinja\n#cloud-config\nwrite_files:"));
        let parsed = parse(&text);
        prop_assert_eq!(parsed.map(|parsed| parsed.plan), Ok(plan), "{}", text);
    }

    #[test]
    fn reading_never_panics(text in nasty()) {
        let _ = parse(&text);
        let _ = parse(&format!("write_files: [{{path: /a, content: {text}, encoding: gz+b64}}]\nruncmd: [{text}]"));
        let _ = render(&InstallPlan::default(), Some(&text));
    }
}
