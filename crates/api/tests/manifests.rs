//! Manifests as users write them: what the schemas accept, our types keep.
//!
//! How the documents are written is said in `rules.rs`.

// clippy.toml allows these in test functions; the functions that they call are meant too.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod files;
mod kinds;

use std::path::Path;

use k0smotron_api::conversion::{Version, convert};
use kinds::{assert_kept, through_type};
use serde_json::Value;

fn documents(directory: &str) -> Vec<(String, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/manifests")
        .join(directory);
    let documents = files::files(&directory).into_iter().flat_map(|(name, text)| {
        text.split("---\n")
            .map(|document| (name.clone(), document.to_owned()))
            .collect::<Vec<_>>()
    });
    documents.collect()
}

/// A document at the version of our types.
fn read(text: &str) -> Value {
    convert(serde_yaml::from_str(text).unwrap(), Version::V1Beta2).unwrap()
}

fn assert_no_nulls(value: &Value, path: &str) {
    match value {
        Value::Null => panic!("{path} is written as null, which server-side apply would own"),
        Value::Object(fields) => fields
            .iter()
            .for_each(|(key, value)| assert_no_nulls(value, &format!("{path}.{key}"))),
        Value::Array(items) => items.iter().for_each(|value| assert_no_nulls(value, path)),
        _ => {}
    }
}

#[test]
fn accepted_manifests_keep_every_field() {
    let documents = documents("accept");
    assert!(documents.len() > 15);
    for (file, text) in documents {
        let document = read(&text);
        let name = format!("{file}: {} {}", document["kind"], document["metadata"]["name"]);
        let kept = through_type(&document).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_kept(&document, &kept, &name);
        assert_no_nulls(&kept, &name);
        assert_eq!(
            through_type(&kept).unwrap(),
            kept,
            "{name} changes when it is read again"
        );
    }
}

/// A stored object that newer rules would refuse must not stop a watch, so it decodes; only foreign enum values cannot.
#[test]
fn refused_manifests_still_decode() {
    for (file, text) in documents("refuse") {
        let document = read(&text);
        let foreign_value = text.starts_with("# refused: Unsupported value");
        assert_eq!(through_type(&document).is_err(), foreign_value, "{file}: {text}");
    }
}
