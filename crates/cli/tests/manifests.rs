//! `validate` says of the API's manifests what an API server with our webhooks says of them.
//!
//! How the documents are written is said in `crates/api/tests/rules.rs`.

// clippy.toml allows these in test functions; the functions that they call are meant too.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../../api/tests/files/mod.rs"]
mod files;

use std::path::Path;

use k0smotron_api::validation;
use k0smotron_cli::{
    schema::Schemas,
    validate::{Known, findings},
};
use serde_json::Value;

/// Documents of a directory, file by file: names are those of one cluster.
fn files(directory: &str) -> Vec<(String, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../api/tests/manifests")
        .join(directory);
    files::files(&directory)
}

#[test]
fn manifests_are_judged_as_by_an_api_server() {
    let schemas = Schemas::new().unwrap();
    let mut wrong = Vec::new();
    let mut refusals = 0;
    for (file, text) in ["accept", "refuse", "status"].into_iter().flat_map(files) {
        let mut cluster = Known::default();
        for document in text.split("---\n") {
            let first = document.lines().next().unwrap();
            let (refused, warned) = (
                first.strip_prefix("# refused: "),
                first.strip_prefix("# warned: "),
            );
            let mut object: Value = serde_yaml::from_str(document).unwrap();
            let name = format!("{file}: {} {}", object["kind"], object["metadata"]["name"]);
            let findings = findings(&object, cluster.get(&object), &schemas);
            match (refused, findings.errors.as_slice()) {
                (Some(text), errors) => {
                    refusals += 1;
                    if !errors.iter().any(|error| error.contains(text)) {
                        wrong.push(format!("{name} is refused with {errors:?}, not with {text:?}"));
                    }
                    continue;
                }
                (None, []) => {}
                (None, errors) => wrong.push(format!("{name} is refused with {errors:?}")),
            }
            let said = findings
                .warnings
                .iter()
                .any(|warning| warned.is_some_and(|text| warning.contains(text)));
            if said != warned.is_some() || findings.warnings.len() > 1 {
                wrong.push(format!(
                    "{name} has the warnings {:?}, not {warned:?}",
                    findings.warnings
                ));
            }
            // As it is stored: with defaults, and the status that it had unless the document writes another one.
            validation::apply_defaults(&mut object);
            if object.get("status").is_none()
                && let Some(status) = cluster.get(&object).and_then(|old| old.get("status")).cloned()
            {
                object["status"] = status;
            }
            cluster.add(object);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(refusals > 150, "only {refusals} refusals");
}
