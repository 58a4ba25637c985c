//! The page of all rules. Those of the schemas are read from the definitions; those of the webhooks are what the manifests of the tests are
//! refused and warned with, of which there is one for each rule.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    error::Error,
    fs,
    path::Path,
};

use k0smotron_api::{
    conversion::Version,
    validation::{apply_defaults, validate},
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use serde_json::Value;

const BEGINNING: &str = "\
# Validation

Written by `make manifests`; do not edit.

An object is refused by the first of these that finds something wrong:

1. **Fields**: one that its version does not have (kubectl's `--validate=strict`, the default).
2. **Schemas**: types, bounds, enums and what is required: `kubectl explain` says them.
3. **Rules of the schemas**, below. The API server checks them itself, also while the manager is down.
4. **Rules of the webhooks**, below: what needs two versions compared, a text parsed or several fields weighed.

`k0smotronctl validate` asks all of them without a cluster, in the same words. Rules speak of v1beta2; objects of v1beta1
are converted first. A rule of the webhooks holds wherever its field stands, in templates too; it is listed where a test
breaks it, with the values of that test. What is stored already is never refused while it stays as it is: then it is only warned of. Arguments,
flags, commands and contents of files are yours: what looks odd there is a warning at most. Deleting is never checked.
";

/// Field and message of every rule, by kind.
type Rules = BTreeMap<String, BTreeSet<(String, String)>>;

/// The page.
pub fn write() -> Result<String, Box<dyn Error>> {
    let mut page = BEGINNING.to_owned();
    let (mut refusals, mut warnings) = (Rules::new(), Rules::new());
    for directory in ["accept", "refuse", "status"] {
        of_webhooks(directory, &mut refusals, &mut warnings)?;
    }
    let sections = [
        ("Rules of the schemas", of_schemas()),
        ("Rules of the webhooks", refusals),
        ("Warnings of the webhooks", warnings),
    ];
    for (title, rules) in sections {
        page.push_str(&format!("\n## {title}\n"));
        for (kind, rules) in rules {
            page.push_str(&format!("\n### {kind}\n\n| field | message |\n|---|---|\n"));
            for (field, message) in rules {
                page.push_str(&format!("| `{field}` | {} |\n", escaped(&message)));
            }
        }
    }
    Ok(page)
}

/// Text in a cell of a table.
fn escaped(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;").replace('*', "\\*")
}

fn of_schemas() -> Rules {
    let mut rules = Rules::new();
    for crd in k0smotron_api::crds() {
        let versions = crd.spec.versions.into_iter();
        let stored = versions.filter(|version| version.name == Version::V1Beta2.as_str());
        for schema in stored.filter_map(|version| version.schema?.open_api_v3_schema) {
            let mut found = BTreeSet::new();
            below(&schema, "", &mut found);
            if !found.is_empty() {
                rules.insert(crd.spec.names.kind.clone(), found);
            }
        }
    }
    rules
}

fn below(schema: &JSONSchemaProps, path: &str, found: &mut BTreeSet<(String, String)>) {
    for rule in schema.x_kubernetes_validations.iter().flatten() {
        let message = rule.message.clone().unwrap_or_else(|| rule.rule.clone());
        let field = format!("{path}{}", rule.field_path.as_deref().unwrap_or_default());
        found.insert((field.trim_start_matches('.').to_owned(), message));
    }
    for (name, property) in schema.properties.iter().flatten() {
        below(property, &format!("{path}.{name}"), found);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &schema.items {
        below(items, &format!("{path}[]"), found);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &schema.additional_properties {
        below(values, &format!("{path}.*"), found);
    }
}

/// What the webhooks say to the documents of a directory. Documents of a file are applied in order, as `tests/rules.rs` says.
fn of_webhooks(directory: &str, refusals: &mut Rules, warnings: &mut Rules) -> Result<(), Box<dyn Error>> {
    let manifests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/manifests");
    for file in fs::read_dir(manifests.join(directory))? {
        let mut stored: HashMap<String, Value> = HashMap::new();
        for document in fs::read_to_string(file?.path())?.split("---\n") {
            let mut object: Value = serde_yaml::from_str(document)?;
            let text = |pointer: &str| {
                object
                    .pointer(pointer)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
            };
            let (kind, key) = (
                text("/kind").to_owned(),
                format!("{} {}", text("/kind"), text("/metadata/name")),
            );
            let status = object.as_object_mut().and_then(|object| object.remove("status"));
            apply_defaults(&mut object);
            let findings = validate(&object, stored.get(&key));
            let of_kind = |rules: &mut Rules, field: &str, message: &str| {
                let rule = (without_indices(field), message.to_owned());
                rules.entry(kind.clone()).or_default().insert(rule);
            };
            for finding in &findings.errors {
                of_kind(refusals, &finding.field, &finding.message);
            }
            for warning in &findings.warnings {
                let (field, message) = warning.split_once(": ").unwrap_or(("", warning));
                of_kind(warnings, field, message);
            }
            if findings.errors.is_empty() && !document.starts_with("# refused") {
                let old = stored.remove(&key);
                let status = status.or_else(|| old?.get("status").cloned());
                if let (Some(status), Some(object)) = (status, object.as_object_mut()) {
                    object.insert("status".to_owned(), status);
                }
                stored.insert(key, object);
            }
        }
    }
    Ok(())
}

/// `files[3].path` as `files[].path`.
fn without_indices(path: &str) -> String {
    let mut pieces = path.split('[');
    let mut result = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        result.push('[');
        result.push_str(piece.trim_start_matches(|character: char| character.is_ascii_digit()));
    }
    result
}
