//! The program itself: files, standard input, what is printed where, and exit codes.

// clippy.toml allows these in test functions; the functions that they call are meant too.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    fs,
    io::Write as _,
    process::{Command, Stdio},
};

const OLD: &str = include_str!("convert/v1beta1.yaml");
const NEW: &str = include_str!("convert/v1beta2.yaml");
const POOLED: &str = "\
apiVersion: infrastructure.cluster.x-k8s.io/v1beta2
kind: PooledRemoteMachine
metadata: {name: a}
spec: {pool: a, machine: {address: 192.0.2.1, sshKeyRef: {name: key}}}
";

/// Exit code, standard output and standard error.
fn run(arguments: &[&str], stdin: &str) -> (i32, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_k0smotronctl"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn convert_reads_standard_input() {
    assert_eq!(run(&["convert"], OLD), (0, NEW.to_owned(), String::new()));
    assert_eq!(
        run(&["convert", "--to=v1beta1", "-"], NEW),
        (0, OLD.to_owned(), String::new())
    );
}

#[test]
fn convert_changes_files_in_place_or_none() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (good, bad) = (path("good.yaml"), path("bad.yaml"));
    fs::write(&good, OLD).unwrap();
    fs::write(&bad, "a: [\n").unwrap();
    let (code, _, error) = run(&["convert", "--in-place", &good, &bad], "");
    assert_eq!(code, 2);
    assert!(error.contains("bad.yaml") && error.contains("line 1"), "{error}");
    assert_eq!(fs::read_to_string(&good).unwrap(), OLD);

    assert_eq!(run(&["convert", "--in-place", &good], "").0, 0);
    assert_eq!(fs::read_to_string(&good).unwrap(), NEW);
}

#[test]
fn convert_makes_one_stream_of_several_files() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.yaml").to_str().unwrap().to_owned();
    fs::write(&file, POOLED).unwrap();
    let (_, output, _) = run(&["convert", &file, &file], "");
    assert_eq!(output, format!("{POOLED}---\n{POOLED}"));
}

#[test]
fn validate_says_what_is_wrong_and_where() {
    assert_eq!(
        run(&["validate"], POOLED),
        (0, String::new(), "1 objects, 0 errors, 0 warnings\n".to_owned())
    );
    let wrong = format!(
        "kind: Other\n---\n{}",
        POOLED.replace("address: 192.0.2.1", "adress: 192.0.2.1")
    );
    let (code, output, _) = run(&["validate", "-"], &wrong);
    assert_eq!(code, 1);
    assert_eq!(
        output,
        "<stdin>:3: PooledRemoteMachine/a: error: spec.machine.adress: unknown field\n"
    );
}

#[test]
fn validate_knows_objects_as_they_were() {
    let plane = |version: &str| {
        format!(
            "apiVersion: controlplane.cluster.x-k8s.io/v1beta2\nkind: K0sControlPlane\nmetadata: {{name: a}}\nspec: {{version: {version}, \
             k0sConfigSpec: {{}}, machineTemplate: {{infrastructureRef: {{apiGroup: infrastructure.cluster.x-k8s.io, kind: \
             RemoteMachineTemplate, name: a}}}}}}\n"
        )
    };
    let directory = tempfile::tempdir().unwrap();
    let old = directory.path().join("old.yaml").to_str().unwrap().to_owned();
    fs::write(&old, plane("v1.33.1")).unwrap();
    assert_eq!(run(&["validate"], &plane("v1.36.1")).0, 0);
    let (code, output, _) = run(&["validate", "--old", &old], &plane("v1.36.1"));
    assert_eq!(code, 1);
    assert!(output.contains("one minor version at a time"), "{output}");
}

#[test]
fn warnings_count_when_asked() {
    let warned = "\
apiVersion: infrastructure.cluster.x-k8s.io/v1beta1
kind: RemoteMachine
metadata: {name: a}
spec: {address: 192.0.2.1, provisionJob: {sshCommand: ssh, scpCommand: scp}}
";
    let (code, output, _) = run(&["validate"], warned);
    assert_eq!(code, 0, "{output}");
    assert!(!output.contains("error"), "{output}");
}

#[test]
fn completions_are_printed() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, output, _) = run(&["completion", shell], "");
        assert_eq!(code, 0);
        assert!(
            output.contains("k0smotronctl") && output.contains("in-place"),
            "{shell}"
        );
    }
}

#[test]
fn a_cluster_that_is_not_there_is_an_error() {
    let (code, _, error) = run(&["migrate", "check", "--kubeconfig", "/nowhere"], "");
    assert_eq!(code, 2);
    assert!(error.contains("/nowhere"), "{error}");
}
