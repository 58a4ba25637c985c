//! Metadata of an object, as the API server checks that of every kind: no schema of a definition says anything about it.

use k0smotron_api::validation::values::names;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use crate::schema::Problem;

/// Fields of `ObjectMeta`.
const FIELDS: [&str; 15] = [
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// What is wrong with the metadata of an object that is written.
pub fn check(object: &Value) -> Vec<Problem> {
    let problem = |field: &str, message: String| Problem {
        field: field.to_owned(),
        message,
    };
    let nothing = json!({});
    let metadata = object.get("metadata").unwrap_or(&nothing);
    let read: ObjectMeta = match serde_json::from_value(metadata.clone()) {
        Ok(read) => read,
        Err(error) => return vec![problem("metadata", format!("Invalid value: {error}"))],
    };
    let mut problems = Vec::new();
    for field in metadata.as_object().into_iter().flatten().map(|(field, _)| field) {
        if !FIELDS.contains(&field.as_str()) {
            problems.push(problem(&format!("metadata.{field}"), "unknown field".to_owned()));
        }
    }
    match (read.name, read.generate_name) {
        (None, None) => problems.push(problem(
            "metadata.name",
            "Required value: name or generateName is required".to_owned(),
        )),
        (Some(name), _) => {
            if let Err(why) = names::object(&name) {
                problems.push(problem(
                    "metadata.name",
                    format!("Invalid value: {name:?}: {why}"),
                ));
            }
        }
        (None, Some(_)) => {}
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(metadata: Value) -> Vec<String> {
        let problems = check(&json!({"metadata": metadata}));
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_are_needed_and_checked() {
        assert_eq!(messages(json!({"name": "a.b-c", "labels": {"a": "b"}})), [""; 0]);
        assert_eq!(messages(json!({"generateName": "a-"})), [""; 0]);
        assert_eq!(
            messages(json!({})),
            ["metadata.name: Required value: name or generateName is required"]
        );
        assert!(messages(json!({"name": "A_b"}))[0].contains("lower-case letters"));
    }

    #[test]
    fn metadata_has_a_shape() {
        assert_eq!(
            messages(json!({"name": "a", "lables": {}})),
            ["metadata.lables: unknown field"]
        );
        assert!(messages(json!({"name": "a", "labels": {"a": 1}}))[0].starts_with("metadata: Invalid value"));
    }
}
