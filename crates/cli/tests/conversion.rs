//! `convert` changes the version and nothing else: values, comments and foreign documents come through, there and back.

// clippy.toml allows these in test functions; the functions that they call are meant too.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::{fs, path::PathBuf};

use k0smotron_api::conversion::{Version, version_of};
use k0smotron_cli::{convert, document};

const OLD: &str = include_str!("convert/v1beta1.yaml");
const NEW: &str = include_str!("convert/v1beta2.yaml");

fn converted(text: &str, to: Version) -> String {
    convert::stream(text, to)
        .unwrap_or_else(|error| panic!("{error:#}\n{text}"))
        .text
}

#[test]
fn comments_order_and_foreign_documents_stay() {
    assert_eq!(converted(OLD, Version::V1Beta2), NEW);
    assert_eq!(converted(NEW, Version::V1Beta1), OLD);
}

#[test]
fn what_has_the_version_stays_to_the_byte() {
    assert_eq!(converted(OLD, Version::V1Beta1), OLD);
    assert_eq!(converted(NEW, Version::V1Beta2), NEW);
}

#[test]
fn items_of_lists_are_converted() {
    let list = "\
kind: List
apiVersion: v1
items:
- kind: ConfigMap
  apiVersion: v1
# ours
- kind: K0sWorkerConfig
  apiVersion: bootstrap.cluster.x-k8s.io/v1beta1
  spec:
    # first
    preStartCommands: # these
    - a
";
    let expected = list
        .replace("v1beta1", "v1beta2")
        .replace("preStartCommands", "preK0sCommands");
    let written = converted(list, Version::V1Beta2);
    assert!(written.starts_with(&expected), "{written}");
}

#[test]
fn what_a_version_cannot_say_is_spoken_of() {
    let text = "\
apiVersion: infrastructure.cluster.x-k8s.io/v1beta2
kind: RemoteMachine
metadata:
  name: a
spec:
  address: 192.0.2.1
  jumpHosts:
  # the way in
  - address: bastion
";
    let there = convert::stream(text, Version::V1Beta1).unwrap();
    assert_eq!(there.notes.len(), 1, "{:?}", there.notes);
    assert!(
        there.notes[0].starts_with("RemoteMachine/a: v1beta1 cannot say all of it"),
        "{:?}",
        there.notes
    );
    assert!(there.text.contains("# the way in"), "{}", there.text);
    let back = convert::stream(&there.text, Version::V1Beta2).unwrap();
    assert_eq!(back.notes, [""; 0]);
    assert_eq!(
        document::objects(&back.text).unwrap(),
        document::objects(text).unwrap()
    );
}

/// The manifests and stored objects that the API is tested with.
fn texts() -> Vec<(PathBuf, String)> {
    let tests = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../api/tests");
    let directories = [
        "manifests/accept",
        "manifests/refuse",
        "manifests/status",
        "conversion",
        "golden/1.10",
        "golden/2.0",
        "golden/2.1",
    ];
    let mut files: Vec<_> = directories
        .into_iter()
        .flat_map(|directory| {
            fs::read_dir(tests.join(directory))
                .unwrap()
                .map(|entry| entry.unwrap().path())
        })
        .collect();
    files.sort();
    files
        .into_iter()
        .map(|path| (path.clone(), fs::read_to_string(path).unwrap()))
        .collect()
}

/// Lines that are comments, and those of scripts that look like it.
fn comments(text: &str) -> Vec<&str> {
    let mut comments: Vec<_> = text
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with('#'))
        .collect();
    comments.sort_unstable();
    comments
}

#[test]
fn there_and_back_nothing_is_lost() {
    let (mut objects, mut seen) = (0, 0);
    for (path, text) in texts() {
        for via in [Version::V1Beta1, Version::V1Beta2] {
            let other = if via == Version::V1Beta1 {
                Version::V1Beta2
            } else {
                Version::V1Beta1
            };
            let start = converted(&text, via);
            let there = converted(&start, other);
            let back = converted(&there, via);
            let read = |text: &str| {
                document::objects(text)
                    .unwrap()
                    .into_iter()
                    .map(|(_, object)| object)
                    .collect::<Vec<_>>()
            };
            assert!(
                read(&there)
                    .iter()
                    .all(|object| version_of(object).is_none_or(|version| version == other))
            );
            let name = format!("{}: through {}", path.display(), other.as_str());
            // What releases of the original left in annotations is taken over into fields.
            if !text.contains("conversion-dropped-service") {
                assert_eq!(read(&start), read(&back), "{name}");
            }
            assert_eq!(read(&there), read(&converted(&back, other)), "{name}");
            for text in [&start, &there, &back] {
                assert_eq!(
                    comments(text),
                    comments(&text_of(&path)),
                    "{}:\n{text}",
                    path.display()
                );
            }
            objects += read(&back).len();
            seen += comments(&back).len();
        }
    }
    assert!(objects > 400 && seen > 200, "{objects} objects, {seen} comments");
}

fn text_of(path: &PathBuf) -> String {
    fs::read_to_string(path).unwrap()
}
