//! Objects that the schema of a definition accepts, for property tests.
//!
//! Every field the schema has comes up, also ones that are added later. Rules in CEL are not looked at.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use proptest::{collection, option, prelude::*, sample, string::string_regex};
use serde_json::{Map, Value, json};

/// Objects of one version of a kind.
pub fn objects(definition: &CustomResourceDefinition, version: &str) -> BoxedStrategy<Value> {
    let api_version = format!("{}/{version}", definition.spec.group);
    let kind = definition.spec.names.kind.clone();
    let schema = definition
        .spec
        .versions
        .iter()
        .find(|candidate| candidate.name == version)
        .unwrap_or_else(|| panic!("{kind} has no {version}"))
        .schema
        .clone()
        .unwrap()
        .open_api_v3_schema
        .unwrap();
    (metadata(), value(&schema))
        .prop_map(move |(metadata, mut object)| {
            object["apiVersion"] = json!(api_version);
            object["kind"] = json!(kind);
            object["metadata"] = metadata;
            object
        })
        .boxed()
}

fn metadata() -> impl Strategy<Value = Value> {
    let keys = || {
        sample::select(vec![
            "a",
            "example.org/b",
            "kubectl.kubernetes.io/last-applied-configuration",
        ])
    };
    let map = move || option::of(collection::btree_map(keys(), text(), 1..3));
    (map(), map()).prop_map(|(labels, annotations)| {
        let mut metadata = json!({"name": "it", "namespace": "there", "uid": "u", "generation": 3});
        if let Some(labels) = labels {
            metadata["labels"] = json!(labels);
        }
        if let Some(annotations) = annotations {
            metadata["annotations"] = json!(annotations);
        }
        metadata
    })
}

/// Values that a schema accepts.
pub fn value(schema: &JSONSchemaProps) -> BoxedStrategy<Value> {
    if let Some(values) = &schema.enum_ {
        let values: Vec<Value> = values.iter().map(|value| value.0.clone()).collect();
        return sample::select(values).boxed();
    }
    if schema.x_kubernetes_int_or_string == Some(true) {
        return prop_oneof![
            (0..100_i64).prop_map(Value::from),
            sample::select(vec!["1Gi", "500m", "2"]).prop_map(Value::from)
        ]
        .boxed();
    }
    match schema.type_.as_deref() {
        Some("object") => object(schema),
        Some("array") => array(schema),
        Some("string") => string(schema),
        Some("boolean") => any::<bool>().prop_map(Value::from).boxed(),
        Some("integer") => integer(schema),
        Some("number") => (0..1000_i32)
            .prop_map(|number| Value::from(f64::from(number) / 8.0))
            .boxed(),
        _ => free_form(),
    }
}

fn object(schema: &JSONSchemaProps) -> BoxedStrategy<Value> {
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &schema.additional_properties {
        return collection::btree_map(key(), value(values), 0..3)
            .prop_map(|entries| json!(entries))
            .boxed();
    }
    let required: BTreeSet<_> = schema.required.iter().flatten().cloned().collect();
    let type_and_metadata = ["apiVersion", "kind", "metadata"];
    let properties = schema
        .properties
        .iter()
        .flatten()
        // Those of the object itself are given by who asks for it.
        .filter(|(name, property)| {
            !type_and_metadata.contains(&name.as_str()) || property.properties.is_some()
        });
    let fields: Vec<BoxedStrategy<Option<(String, Value)>>> = properties
        .map(|(name, property)| {
            let name = name.clone();
            let at_least_one = property.min_properties.unwrap_or(0) > 0;
            let value = value(property).prop_map(move |value| {
                let empty = value.as_object().is_some_and(Map::is_empty);
                (!(at_least_one && empty)).then(|| (name.clone(), value))
            });
            if required.contains(name_of(schema, property)) {
                value.boxed()
            } else {
                option::of(value).prop_map(Option::flatten).boxed()
            }
        })
        .collect();
    let fields = fields.prop_map(|fields| fields.into_iter().flatten().collect::<Map<_, _>>());
    if schema.x_kubernetes_preserve_unknown_fields == Some(true) {
        return (fields, collection::btree_map(key(), free_form(), 0..3))
            .prop_map(|(fields, more)| {
                let mut object: Map<_, _> = more.into_iter().collect();
                object.extend(fields);
                Value::Object(object)
            })
            .boxed();
    }
    fields.prop_map(Value::Object).boxed()
}

/// The name of a property, by its place in memory.
fn name_of<'a>(schema: &'a JSONSchemaProps, property: &JSONSchemaProps) -> &'a str {
    schema
        .properties
        .iter()
        .flatten()
        .find(|(_, candidate)| std::ptr::eq(*candidate, property))
        .map_or("", |(name, _)| name)
}

fn array(schema: &JSONSchemaProps) -> BoxedStrategy<Value> {
    let items = match &schema.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => value(items),
        _ => free_form(),
    };
    let at_least = usize::try_from(schema.min_items.unwrap_or(0)).unwrap();
    let list_type = schema.x_kubernetes_list_type.clone();
    let keys = schema.x_kubernetes_list_map_keys.clone().unwrap_or_default();
    collection::vec(items, at_least..at_least + 4)
        .prop_map(move |items| match list_type.as_deref() {
            Some("set") => unique(items, Value::clone),
            Some("map") => unique(items, |item| keys.iter().map(|key| item[key].clone()).collect()),
            _ => Value::Array(items),
        })
        .boxed()
}

fn unique(items: Vec<Value>, key: impl Fn(&Value) -> Value) -> Value {
    let mut seen = BTreeMap::new();
    let kept = items
        .into_iter()
        .filter(|item| seen.insert(key(item).to_string(), ()).is_none());
    Value::Array(kept.collect())
}

fn string(schema: &JSONSchemaProps) -> BoxedStrategy<Value> {
    let pattern = schema.pattern.as_deref();
    // Generators know no anchors.
    let pattern = pattern.map(|pattern| pattern.trim_start_matches('^').trim_end_matches('$'));
    let at_least = usize::try_from(schema.min_length.unwrap_or(0)).unwrap();
    let at_most = usize::try_from(schema.max_length.unwrap_or(4096)).unwrap();
    match pattern.and_then(|pattern| string_regex(pattern).ok()) {
        Some(strings) => strings.prop_map(Value::from).boxed(),
        None if schema.format.as_deref() == Some("date-time") => {
            Just(Value::from("2026-01-02T03:04:05Z")).boxed()
        }
        None => text()
            .prop_map(move |text| {
                let text: String = text.chars().take(at_most).collect();
                let missing = at_least.saturating_sub(text.chars().count());
                Value::from(text + &"x".repeat(missing))
            })
            .boxed(),
    }
}

fn integer(schema: &JSONSchemaProps) -> BoxedStrategy<Value> {
    let bound = |bound: Option<f64>, otherwise: i64| bound.map_or(otherwise, |bound| bound as i64);
    let least = bound(schema.minimum, -2);
    let most = bound(schema.maximum, 100_000).max(least);
    // Small numbers meet each other more often.
    prop_oneof![least..=(least.saturating_add(3)).min(most), least..=most]
        .prop_map(Value::from)
        .boxed()
}

fn key() -> impl Strategy<Value = String> {
    sample::select(vec![
        "a",
        "b",
        "name",
        "f:x",
        "with.dot",
        "with/slash~0",
        "ключ",
        "spec",
    ])
    .prop_map(str::to_owned)
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => sample::select(vec!["", "x", "other", "etcd", "kine", "ignition", "__proto__"]).prop_map(str::to_owned),
        1 => "\\PC{0,12}",
        1 => ("[a-z]{1,8}", 70..90_usize).prop_map(|(text, times)| text.repeat(times)),
    ]
}

/// Anything at all, within reason.
pub fn free_form() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            collection::btree_map(key(), inner, 0..3).prop_map(|entries| json!(entries)),
        ]
    })
    .boxed()
}
