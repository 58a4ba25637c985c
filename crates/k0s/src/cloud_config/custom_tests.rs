//! What users bring along: merged, or the whole document, and how large it may become.

use proptest::prelude::*;

use super::*;
use crate::plan::{Commands, File, InstallPlan, Steps};

fn ours() -> InstallPlan {
    InstallPlan {
        files: vec![File::new("/ours", "1", "0600")],
        commands: vec!["touch /ours".to_owned()],
    }
}

fn refused(custom: &str) -> String {
    render(&ours(), Some(custom)).unwrap_err().to_string()
}

#[test]
fn other_keys_are_appended_as_they_stand() {
    let custom =
        "## template: jinja\n#cloud-config\n---\npackages:  # for NFS\n  - nfs-common\npackage_update: yes\n";
    let text = render(&ours(), Some(custom)).unwrap();
    insta::assert_snapshot!(text);
    let parsed = parse(&text).unwrap();
    assert_eq!(parsed.plan, ours());
    assert_eq!(parsed.ignored, ["packages", "package_update"]);
    assert_eq!(
        render(&ours(), Some(" \n")).unwrap(),
        render(&ours(), None).unwrap()
    );
}

#[test]
fn keys_of_both_are_merged() {
    let custom = "\
#cloud-config
# who may log in
users: [default]
runcmd:
- [echo, a b]
- echo {{ v1.region }}
write_files:
- path: /theirs
  content: |
    zone={{ v1['availability_zone'] }}
  owner: root:root
  defer: true
- {path: /bin, content: !!binary aGVsbG8=, permissions: 0755}
- {path: /far, source: {uri: 'https://example.com/far', headers: {a: b}}}
mounts:
- [sdb, /data]
";
    let text = render(&ours(), Some(custom)).unwrap();
    insta::assert_snapshot!(text);
    let without_source = custom.replace(
        "- {path: /far, source: {uri: 'https://example.com/far', headers: {a: b}}}\n",
        "",
    );
    let parsed = parse(&render(&ours(), Some(&without_source)).unwrap()).unwrap();
    assert_eq!(
        parsed.plan.commands,
        ["touch /ours", "echo 'a b'", "echo {{ v1.region }}"]
    );
    let paths: Vec<_> = parsed.plan.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["/ours", "/theirs", "/bin"]);
    assert_eq!(parsed.plan.files[2].content, "hello");
    assert_eq!(parsed.ignored, ["users", "mounts"]);
}

#[test]
fn what_is_no_text_for_below_ours_is_written_anew() {
    for custom in [
        "{packages: [jq], runcmd: [a]}",
        "  packages: [jq]\n  runcmd: [a]\n",
        "runcmd: &all [a]\npackages: *all\n",
    ] {
        let text = render(&ours(), Some(custom)).unwrap();
        let parsed = parse(&text).unwrap();
        assert_eq!(parsed.plan.commands, ["touch /ours", "a"], "{text}");
        assert_eq!(parsed.ignored, ["packages"], "{text}");
    }
    let indented = render(&ours(), Some("  packages: [jq]\n")).unwrap();
    assert_eq!(parse(&indented).unwrap().ignored, ["packages"], "{indented}");
}

#[test]
fn templates_around_keys_are_left_to_cloud_init() {
    let custom = "{% if v1.region == 'a' %}\npackages: [jq]\n{% endif %}";
    let text = render(&ours(), Some(custom)).unwrap();
    assert!(text.ends_with(&format!("\n#cloud-config\n{custom}\n")), "{text}");
    let custom = custom.replace("packages: [jq]", "runcmd: [a]");
    assert!(
        refused(&custom).contains("before its templates are expanded"),
        "{}",
        refused(&custom)
    );
}

#[test]
fn what_is_no_cloud_config_is_refused_by_name() {
    for (custom, expected) in [
        ("#!/bin/sh\nid\n", "bootstrap data is a script, not cloud-config"),
        (
            "Content-Type: multipart/mixed\n",
            "bootstrap data is a MIME archive",
        ),
        ("- a\n", "is not a mapping of keys"),
        ("a: [\n", "not valid YAML"),
        ("a: 1\n---\nb: 2\n", "not valid YAML"),
        ("runcmd: echo\n", "runcmd: must be a list"),
        ("write_files: [a]\n", "write_files[0]: must be a mapping"),
    ] {
        assert!(
            refused(custom).contains(expected),
            "{custom}: {}",
            refused(custom)
        );
    }
}

#[test]
fn what_not_every_cloud_takes_is_gzipped() {
    let large = "0123456789abcdef\n".repeat(2000);
    let templated = format!("{{{{ v1.region }}}} {large}");
    let plan = InstallPlan {
        files: vec![
            File::new("/large", large.as_str(), "0644"),
            File::new("/templated", templated, "0600"),
            File::new("/small", "1", ""),
        ],
        commands: vec!["true".to_owned()],
    };
    let text = render(&plan, None).unwrap();
    assert_eq!(text.matches("encoding: gz+b64").count(), 1);
    assert!(text.contains("{{ v1.region }}"));
    assert_eq!(parse(&text).unwrap().plan, plan);
    assert_eq!(render(&plan, None).unwrap(), text, "the same bytes every time");
}

fn steps(files: Vec<File>, install: &str) -> Steps {
    Steps {
        files,
        commands: Commands {
            before: vec!["swapoff -a".to_owned()],
            download: None,
            install: install.to_owned(),
            start: "if true; then k0s start; fi".to_owned(),
            after: Vec::new(),
            done: "touch /done".to_owned(),
        },
    }
}

/// The document as cloud-init sees it once its templates are expanded.
fn expanded(text: &str) -> String {
    let mut environment = minijinja::Environment::new();
    let syntax = minijinja::syntax::SyntaxConfig::builder()
        .trim_blocks(true)
        .build();
    environment.set_syntax(syntax.unwrap());
    environment.render_str(text, ()).unwrap()
}

#[test]
fn variables_are_what_users_of_the_gate_know() {
    let custom = "\
runcmd:
  - {{ k0smotron_k0sDownloadCommands }}
  - {{ k0smotron_k0sInstallCommand }}
  - {{ k0smotron_k0sStartCommand }}
write_files:
{% for file in k0smotron_files %}
  - path: {{ file.path }}
    content: {{ file.content }}
    permissions: '{{ file.permissions }}'
{% endfor %}
";
    let steps = steps(
        vec![File::new("/etc/k0s.token", "H4sI+/=", "0600")],
        "k0s install worker '--x=a b'",
    );
    let text = render_variables(&steps, custom);
    insta::assert_snapshot!(text);
    let plan = parse(&expanded(&text)).unwrap().plan;
    assert_eq!(
        plan.commands,
        [
            "test -e /",
            "k0s install worker '--x=a b'",
            "if true; then k0s start; fi && touch /done"
        ]
    );
    assert_eq!(plan.files, steps.files);
}

proptest! {
    #[test]
    fn variables_hold_any_text(content in "([\\n\\r\\t'\"\\\\{}%#\u{85}\u{2028}]|.){0,40}") {
        let steps = steps(vec![File::new("/a", content.as_str(), "")], &content);
        let text = render_variables(&steps, "{{ k0smotron_files[0].content }}|{{ k0smotron_commands[1] }}|");
        let expected = format!("{HEAD}{content}|{content}|");
        // An empty command is none.
        prop_assume!(!content.is_empty());
        prop_assert_eq!(expanded(&text), expected, "{}", text);
    }

    #[test]
    fn merging_never_panics_and_never_loses_what_is_ours(custom in "([-a-z:#&*{}\\[\\]'\"% \n]|runcmd:|write_files:|\na: ){0,40}") {
        prop_assume!(!has_template(&custom));
        if let Ok(text) = render(&ours(), Some(&custom)) {
            match parse(&text) {
                Ok(parsed) => {
                    prop_assert!(parsed.plan.commands.starts_with(&ours().commands), "{}", text);
                    prop_assert!(parsed.plan.files.starts_with(&ours().files), "{}", text);
                }
                // An item of the user's that nobody can carry out.
                Err(ParseError::Item { .. }) => {}
                Err(error) => prop_assert!(false, "{}: {}", error, text),
            }
        }
    }
}
