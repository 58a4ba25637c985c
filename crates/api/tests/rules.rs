//! The rules on manifests as users write them.
//!
//! `manifests/` is also for a real API server with webhooks. Documents are applied in order, so one whose kind and name came before is
//! an update. The first line says what is to become of a document: `# refused: <text>` and `# warned: <text>` name a part of the message;
//! without it the document is accepted. In files called `rules-…` the webhooks refuse, elsewhere in `refuse` the schemas do. In
//! `manifests/status` the status of an accepted document is written too, as controllers would do.

// clippy.toml allows these in test functions; the functions that they call are meant too.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod files;

use std::{collections::HashMap, path::Path};

use k0smotron_api::validation::{apply_defaults, to_dry_run, validate};
use serde_json::{Value, json};

struct Document {
    name: String,
    refused: Option<String>,
    warned: Option<String>,
    content: Value,
}

/// The documents of the files in a directory, file by file: names are those of one cluster.
fn files(directory: &str) -> Vec<(String, Vec<Document>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/manifests")
        .join(directory);
    let files = files::files(&directory).into_iter().map(|(file, text)| {
        let documents = text.split("---\n").map(|document| {
            let first = document.lines().next().unwrap();
            let content: Value =
                serde_yaml::from_str(document).unwrap_or_else(|error| panic!("{file}: {error}\n{document}"));
            Document {
                name: format!("{file}: {} {}", content["kind"], content["metadata"]["name"]),
                refused: first.strip_prefix("# refused: ").map(str::to_owned),
                warned: first.strip_prefix("# warned: ").map(str::to_owned),
                content,
            }
        });
        let documents: Vec<_> = documents.collect();
        (file, documents)
    });
    files.collect()
}

/// Applies documents as an API server would, and says what did not become of them as it should.
fn apply(documents: Vec<Document>, schemas_refuse: bool) -> Vec<String> {
    let mut stored: HashMap<String, Value> = HashMap::new();
    let mut wrong = Vec::new();
    for Document {
        name,
        refused,
        warned,
        mut content,
    } in documents
    {
        let key = format!("{} {}", content["kind"], content["metadata"]["name"]);
        let status = content.as_object_mut().unwrap().remove("status");
        apply_defaults(&mut content);
        let old = stored.get(&key);
        let findings = validate(&content, old);
        let errors: Vec<_> = findings.errors.iter().map(ToString::to_string).collect();
        let warnings = findings.warnings;
        match (refused, errors.as_slice()) {
            (Some(_), _) if schemas_refuse => continue,
            (Some(text), []) => wrong.push(format!(
                "{name} is not refused with {text:?}; warnings: {warnings:?}"
            )),
            // One mistake, one message: more would be noise to whoever reads it.
            (Some(text), [error]) if error.contains(&text) => {}
            (Some(text), errors) => wrong.push(format!(
                "{name} is refused with {errors:?}, not with {text:?} alone"
            )),
            (None, []) => {
                let old = stored.remove(&key);
                content["status"] = status
                    .or_else(|| Some(old?["status"].clone()))
                    .unwrap_or_default();
                let again = validate(&content, Some(&content));
                assert_eq!(again.errors, vec![], "{name} is refused while it stays as it is");
                stored.insert(key, content);
                match (warned, warnings.as_slice()) {
                    (None, []) => {}
                    (Some(text), [warning]) if warning.contains(&text) => {}
                    (warned, warnings) => wrong.push(format!(
                        "{name} has the warnings {warnings:?}, not {warned:?} alone"
                    )),
                }
            }
            (None, errors) => wrong.push(format!("{name} is refused with {errors:?}")),
        }
    }
    wrong
}

#[test]
fn manifests_are_accepted_and_refused() {
    let mut wrong = Vec::new();
    let mut rules = 0;
    for directory in ["accept", "refuse", "status"] {
        for (file, documents) in files(directory) {
            let is_rules = file.starts_with("rules");
            rules += documents
                .iter()
                .filter(|document| is_rules && document.refused.is_some())
                .count();
            wrong.extend(apply(documents, directory == "refuse" && !is_rules));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(rules > 90, "only {rules} refusals by rules");
}

/// What is refused when it is new is a warning where it is stored: nobody has to repair it before changing something else.
#[test]
fn what_is_refused_is_only_warned_of_when_it_is_stored() {
    for (file, documents) in files("refuse")
        .into_iter()
        .filter(|(file, _)| file.starts_with("rules"))
    {
        for document in documents {
            let Document {
                name,
                refused: Some(_),
                mut content,
                ..
            } = document
            else {
                continue;
            };
            let old = content.clone();
            content["metadata"]["labels"] = json!({"touched": "yes"});
            let findings = validate(&content, Some(&old));
            assert_eq!(findings.errors, vec![], "{file}: {name}");
        }
    }
}

#[test]
fn embedded_objects_are_tried_until_they_are_stored() {
    let template = json!({
        "apiVersion": "infrastructure.cluster.x-k8s.io/v1beta2",
        "kind": "RemoteMachineTemplate",
        "metadata": {"name": "jobs", "namespace": "demo"},
        "spec": {"template": {"spec": {"pool": "a", "provisionJob": {"jobSpecTemplate": {
            "metadata": {"labels": {"a": "b"}},
            "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": []}}}
        }}}}}
    });
    let trials = to_dry_run(&template, None);
    assert_eq!(trials.len(), 1);
    assert_eq!(trials[0].field, "spec.template.spec.provisionJob.jobSpecTemplate");
    assert_eq!(
        trials[0].object,
        json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"generateName": "k0smotron-trial-", "namespace": "demo", "labels": {"a": "b"}},
            "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": []}}}
        })
    );
    assert_eq!(to_dry_run(&template, Some(&template)), vec![]);
}

#[test]
fn defaults_say_no_more_than_is_meant() {
    let defaulted = |mut object: Value| {
        apply_defaults(&mut object);
        object["spec"].take()
    };
    let cluster =
        |spec: Value| json!({"apiVersion": "k0smotron.io/v1beta2", "kind": "Cluster", "spec": spec});
    assert_eq!(defaulted(cluster(json!({}))), json!({"version": "v1.36.3-k0s.2"}));
    assert_eq!(
        defaulted(cluster(json!({
            "version": "v1.35.1", "replicas": 0, "service": {"type": ""}, "storage": {"etcd": {"image": ""}},
            "ingress": {"apiHost": "a"}
        }))),
        json!({
            "version": "v1.35.1", "replicas": 1,
            "service": {"type": "ClusterIP", "apiPort": 30443, "konnectivityPort": 30132},
            "storage": {"etcd": {"image": "quay.io/k0sproject/etcd:v3.7.1"}},
            "ingress": {"apiHost": "a", "deploy": true}
        })
    );
    let machines =
        json!({"apiVersion": "controlplane.cluster.x-k8s.io/v1beta2", "kind": "K0sControlPlane", "spec": {}});
    assert_eq!(defaulted(machines), json!({}));
}
