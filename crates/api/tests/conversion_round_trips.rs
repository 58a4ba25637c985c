//! Conversion keeps everything, whatever the object: properties of generated objects of every kind.

// clippy.toml allows these in test functions; the functions that they call are meant too.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use k0smotron_api::conversion::{ANNOTATION, Version, convert};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use proptest::{
    prelude::*,
    test_runner::{Config, TestCaseResult, TestRunner},
};
use serde_json::{Map, Value, json};
use support::{
    generate,
    json::{Step, at, at_mut, changed, leaves},
};

const VERSIONS: [Version; 2] = [Version::V1Beta1, Version::V1Beta2];

/// Definitions with two versions.
fn kinds() -> Vec<CustomResourceDefinition> {
    let crds = k0smotron_api::crds();
    let kinds: Vec<_> = crds
        .into_iter()
        .filter(|crd| crd.spec.versions.len() == 2)
        .collect();
    assert!(!kinds.is_empty());
    kinds
}

fn other(version: Version) -> Version {
    match version {
        Version::V1Beta1 => Version::V1Beta2,
        Version::V1Beta2 => Version::V1Beta1,
    }
}

/// Runs a property for generated objects of every kind and both versions.
fn for_every_object(property: impl Fn(Value, Version, usize) -> TestCaseResult) {
    for crd in kinds() {
        for version in VERSIONS {
            let config = Config {
                cases: Config::default().cases.min(24).max(cases_asked_for()),
                failure_persistence: None,
                ..Config::default()
            };
            let objects = generate::objects(&crd, version.as_str());
            let outcome = TestRunner::new(config).run(&(objects, any::<usize>()), |(object, seed)| {
                property(object, version, seed)
            });
            outcome.unwrap_or_else(|error| panic!("{} {version:?}: {error}", crd.spec.names.kind));
        }
    }
}

/// `PROPTEST_CASES`, for long runs.
fn cases_asked_for() -> u32 {
    std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(0)
}

fn to(object: &Value, version: Version) -> Value {
    convert(object.clone(), version).unwrap()
}

/// Without what conversion keeps there.
fn stripped(mut object: Value) -> Value {
    let metadata = object["metadata"].as_object_mut().unwrap();
    if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
        annotations.remove(ANNOTATION);
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
    }
    object
}

#[test]
fn round_trips_are_identity() {
    for_every_object(|object, version, _| {
        let there = to(&object, other(version));
        prop_assert_eq!(&there["metadata"]["name"], &object["metadata"]["name"]);
        prop_assert_eq!(to(&there, version), object);
        // Nor does anything gather there and back.
        prop_assert_eq!(to(&to(&there, version), other(version)), there);
        Ok(())
    });
}

/// What the other version cannot say is all that the annotation holds: without it, plain conversion loses something.
#[test]
fn objects_that_lose_nothing_get_no_annotation() {
    for_every_object(|object, version, _| {
        let there = to(&object, other(version));
        let kept = there["metadata"]["annotations"].get(ANNOTATION).is_some();
        let alone = stripped(to(&stripped(there), version));
        prop_assert_eq!(kept, stripped(object) != alone);
        Ok(())
    });
}

/// An edit through the other version shows in the result wherever it shows without the annotation, and what the edit does not concern is
/// still there.
#[test]
fn an_edit_through_the_other_version_wins() {
    for_every_object(|object, version, seed| {
        let before = to(&object, other(version));
        let Some((edited, _)) = edit(&before, seed) else {
            return Ok(());
        };
        let result = stripped(to(&edited, version));
        let plain_before = stripped(to(&stripped(before), version));
        let plain_after = stripped(to(&stripped(edited), version));
        for (path, value) in leaves(&plain_after) {
            if at(&plain_before, &path) != Some(&value) {
                prop_assert_eq!(at(&result, &path), Some(&value), "edited: {:?}", path);
            }
        }
        for (path, value) in leaves(&object) {
            // A status is a whole: v1beta1 parts of an old one are dropped with it, on purpose.
            let stale = version == Version::V1Beta1 && path[0] == Step::Field("status".to_owned());
            let above = &path[..path.len() - 1];
            let lost = at(&plain_before, &path).is_none();
            let lies_where_it_lay = at(&plain_before, above).is_some_and(Value::is_object)
                && at(&plain_before, above) == at(&plain_after, above);
            if lost && lies_where_it_lay && !stale {
                prop_assert_eq!(at(&result, &path), Some(&value), "untouched: {:?}", path);
            }
        }
        Ok(())
    });
}

/// Changes one value of the spec.
fn edit(object: &Value, seed: usize) -> Option<(Value, Vec<Step>)> {
    let spec = Step::Field("spec".to_owned());
    let candidates: Vec<_> = leaves(object)
        .into_iter()
        .filter(|(path, value)| path[0] == spec && !value.is_object() && !value.is_array())
        .collect();
    let (path, value) = candidates.get(seed.checked_rem(candidates.len())?)?;
    let mut edited = object.clone();
    *at_mut(&mut edited, path)? = changed(value);
    Some((edited, path.clone()))
}

/// A new field needs no change of the conversion: what a version has is found in its schema, and nothing else is written to it.
#[test]
fn results_have_the_fields_of_their_schema() {
    let crds = kinds();
    for_every_object(|object, version, _| {
        let there = to(&object, other(version));
        let crd = crds
            .iter()
            .find(|crd| crd.spec.names.kind == object["kind"])
            .unwrap();
        let mut versions = crd.spec.versions.iter();
        let version = versions
            .find(|candidate| candidate.name == other(version).as_str())
            .unwrap();
        let schema = version.schema.clone().unwrap().open_api_v3_schema.unwrap();
        for name in ["spec", "status"] {
            if let Some(value) = there.get(name) {
                let unknown = schema
                    .properties
                    .as_ref()
                    .unwrap()
                    .get(name)
                    .map_or_else(|| vec![name.to_owned()], |schema| unknown_fields(schema, value));
                prop_assert!(
                    unknown.is_empty(),
                    "{:?} are not fields of {}",
                    unknown,
                    version.name
                );
            }
        }
        Ok(())
    });
}

fn unknown_fields(schema: &JSONSchemaProps, value: &Value) -> Vec<String> {
    match (value, &schema.items, &schema.additional_properties) {
        (Value::Object(object), _, Some(JSONSchemaPropsOrBool::Schema(values))) => object
            .values()
            .flat_map(|value| unknown_fields(values, value))
            .collect(),
        (Value::Object(object), ..) => object
            .iter()
            .flat_map(
                |(name, value)| match schema.properties.as_ref().and_then(|all| all.get(name)) {
                    Some(property) => unknown_fields(property, value),
                    None if schema.x_kubernetes_preserve_unknown_fields == Some(true) => Vec::new(),
                    None => vec![name.clone()],
                },
            )
            .collect(),
        (Value::Array(items), Some(JSONSchemaPropsOrArray::Schema(schema)), _) => items
            .iter()
            .flat_map(|item| unknown_fields(schema, item))
            .collect(),
        _ => Vec::new(),
    }
}

/// Whatever the annotation holds, conversion goes on, and what it changes can be told: identity stays.
#[test]
fn no_annotation_stops_a_conversion() {
    let operations = json!({"operations": [
        {"path": ["metadata", "name"], "was": "it", "value": "stolen"},
        {"path": ["metadata"], "value": {}},
        {"path": ["kind"], "was": null, "value": "Secret"},
        {"path": [{"index": 0, "is": 1}], "value": 1},
        {"path": [], "value": 1},
        {"path": ["spec", {"index": 99_999, "is": {}, "key": ["name", "x"]}, "a"], "value": 1},
    ], "homes": {"": 1, "spec spec": 2}, "status": null})
    .to_string();
    let annotations = [
        "",
        "null",
        "[]",
        "{\"operations\":7}",
        "{\"operations\":[{}]}",
        &operations,
    ];
    for_every_object(|mut object, version, seed| {
        object["metadata"]["annotations"] = json!({ANNOTATION: annotations[seed % annotations.len()]});
        let there = to(&object, other(version));
        prop_assert_eq!(&there["kind"], &object["kind"]);
        prop_assert_eq!(&there["metadata"]["name"], &object["metadata"]["name"]);
        Ok(())
    });
}

/// A value of any type at any place.
#[test]
fn odd_types_are_carried() {
    for_every_object(|mut object, version, seed| {
        let places: Vec<_> = every_place(&object);
        let place = &places[seed % places.len()];
        *at_mut(&mut object, place).unwrap() = match seed % 4 {
            0 => json!("odd"),
            1 => json!(["odd", {"name": 1}]),
            2 => json!({"name": {"odd": true}}),
            _ => json!(null),
        };
        let there = to(&object, other(version));
        let back = to(&there, version);
        prop_assert_eq!(back, object);
        Ok(())
    });
}

/// Places in spec and status, also of objects and lists.
fn every_place(object: &Value) -> Vec<Vec<Step>> {
    let mut places: Vec<_> = leaves(object)
        .into_iter()
        .flat_map(|(path, _)| (1..=path.len()).map(move |length| path[..length].to_vec()))
        .filter(|path| {
            ["spec", "status"]
                .iter()
                .any(|name| path[0] == Step::Field((*name).to_owned()))
        })
        .collect();
    if places.is_empty() {
        // Nothing generated but metadata; labels are in nobody's way.
        places.push(vec![
            Step::Field("metadata".to_owned()),
            Step::Field("uid".to_owned()),
        ]);
    }
    places.sort();
    places.dedup();
    places
}

/// The API server refuses more than 256 KiB of annotations. Then the object can be read through v1beta1, but not be written back.
#[test]
fn what_does_not_fit_into_annotations_is_not_lost() {
    let crd = kinds()
        .into_iter()
        .find(|crd| crd.spec.names.kind == "K0sWorkerConfig")
        .unwrap();
    let ignition = json!({"variant": "fcos", "version": "1.5.0", "additionalConfig": "x".repeat(300 * 1024)});
    let object = json!({
        "apiVersion": format!("{}/v1beta2", crd.spec.group), "kind": "K0sWorkerConfig", "metadata": {"name": "n"},
        // Not in use, so that v1beta1 cannot say it.
        "spec": {"provisioner": {"type": "cloud-config", "ignition": ignition}},
    });
    let there = to(&object, Version::V1Beta1);
    let size: usize = there["metadata"]["annotations"]
        .as_object()
        .map_or(0, |all: &Map<String, Value>| {
            all.iter()
                .map(|(key, value)| key.len() + value.as_str().unwrap().len())
                .sum()
        });
    assert!(size < 256 * 1024);
    let error = convert(there, Version::V1Beta2).unwrap_err().to_string();
    assert!(error.contains("through v1beta2"), "{error}");
}
