//! Structural schemas: what they know, and which values they allow. Messages are in the words of the API server, for people search the web
//! for them.

use std::collections::HashSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use regex::Regex;
use serde_json::Value;

use super::Problem;

/// The API server drops nulls of fields that may not be null before it fills in defaults.
pub fn drop_nulls(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|key, value| !value.is_null() || field_schema(schema, key).is_none());
            for (key, value) in fields {
                if let Some(schema) = field_schema(schema, key) {
                    drop_nulls(schema, value);
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                items.iter_mut().for_each(|item| drop_nulls(schema, item));
            }
        }
        _ => {}
    }
}

/// The fields that a schema does not have.
pub fn unknown(schema: &Value, object: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    unknown_below(schema, object, "", &mut problems);
    problems
}

fn unknown_below(schema: &Value, value: &Value, path: &str, problems: &mut Vec<Problem>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match field_schema(schema, key) {
                    Some(schema) => unknown_below(schema, value, &join(path, key), problems),
                    // Every object has these, and the API server knows them without a schema.
                    None if path.is_empty() && ["apiVersion", "kind", "metadata"].contains(&key.as_str()) => {
                    }
                    None if is_open(schema) => {}
                    None => problems.push(problem(&join(path, key), "unknown field".to_owned())),
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                for (index, item) in items.iter().enumerate() {
                    unknown_below(schema, item, &format!("{path}[{index}]"), problems);
                }
            }
        }
        _ => {}
    }
}

/// What of an object the schema does not allow, CEL rules and unknown fields aside.
pub fn check(schema: &Value, object: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    walk(schema, object, "", &mut problems);
    problems
}

fn walk(schema: &Value, value: &Value, path: &str, problems: &mut Vec<Problem>) {
    let mut invalid = |rule: String| {
        problems.push(problem(
            path,
            format!("Invalid value: {}: {path} in body {rule}", shown(value)),
        ));
    };
    if flag(schema, "x-kubernetes-int-or-string") {
        if !(value.is_i64() || value.is_string()) {
            return invalid("must be of type integer or string".to_owned());
        }
    } else if let Some(wanted) = text(schema, "type")
        && !is_of_type(value, wanted)
    {
        return invalid(format!("must be of type {wanted}"));
    }
    bounds(schema, value, &mut invalid);
    if let Some(allowed) = schema.get("enum").and_then(Value::as_array)
        && !allowed.contains(value)
    {
        let allowed: Vec<_> = allowed.iter().map(Value::to_string).collect();
        let message = format!(
            "Unsupported value: {}: supported values: {}",
            shown(value),
            allowed.join(", ")
        );
        problems.push(problem(path, message));
    }
    match value {
        Value::Object(fields) => {
            for name in strings(schema.get("required")) {
                if !fields.contains_key(name) {
                    problems.push(problem(&join(path, name), "Required value".to_owned()));
                }
            }
            for (key, value) in fields {
                if let Some(schema) = field_schema(schema, key) {
                    walk(schema, value, &join(path, key), problems);
                }
            }
        }
        Value::Array(items) => {
            duplicates(schema, items, path, problems);
            if let Some(schema) = schema.get("items") {
                for (index, item) in items.iter().enumerate() {
                    walk(schema, item, &format!("{path}[{index}]"), problems);
                }
            }
        }
        _ => {}
    }
}

fn is_of_type(value: &Value, wanted: &str) -> bool {
    match wanted {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        // JSON does not tell 1.0 from 1.
        "integer" => {
            value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0)
        }
        "number" => value.is_number(),
        _ => true,
    }
}

fn bounds(schema: &Value, value: &Value, invalid: &mut impl FnMut(String)) {
    match value {
        Value::String(content) => {
            sized(
                schema,
                content.chars().count(),
                ["minLength", "maxLength"],
                |bound| format!("be {bound} chars long"),
                invalid,
            );
            let pattern = text(schema, "pattern");
            if let Some(pattern) = pattern
                && Regex::new(pattern).is_ok_and(|pattern| !pattern.is_match(content))
            {
                invalid(format!("should match '{pattern}'"));
            }
            if text(schema, "format") == Some("date-time")
                && serde_json::from_value::<Time>(value.clone()).is_err()
            {
                invalid("must be of type date-time, such as 2030-01-31T12:00:00Z".to_owned());
            }
        }
        Value::Number(number) => {
            let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
            let size = number.as_f64().unwrap_or_default();
            if let Some(least) = bound("minimum").filter(|least| size < *least) {
                invalid(format!("should be greater than or equal to {least}"));
            }
            if let Some(most) = bound("maximum").filter(|most| size > *most) {
                invalid(format!("should be less than or equal to {most}"));
            }
            if text(schema, "format") == Some("int32")
                && !(f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&size)
            {
                invalid("must be an integer of 32 bits".to_owned());
            }
        }
        Value::Array(items) => {
            sized(
                schema,
                items.len(),
                ["minItems", "maxItems"],
                |bound| format!("have {bound} items"),
                invalid,
            );
        }
        Value::Object(fields) => {
            let size = fields.len();
            sized(
                schema,
                size,
                ["minProperties", "maxProperties"],
                |bound| format!("have {bound} properties"),
                invalid,
            );
        }
        _ => {}
    }
}

fn sized(
    schema: &Value,
    size: usize,
    [least, most]: [&str; 2],
    should: impl FnOnce(String) -> String,
    invalid: &mut impl FnMut(String),
) {
    let bound = |key: &str| schema.get(key).and_then(Value::as_u64);
    let size = size as u64;
    let least = bound(least)
        .filter(|least| size < *least)
        .map(|least| format!("at least {least}"));
    let most = bound(most)
        .filter(|most| size > *most)
        .map(|most| format!("at most {most}"));
    if let Some(bound) = least.or(most) {
        invalid(format!("should {}", should(bound)));
    }
}

/// Lists that are sets or maps name each thing once.
fn duplicates(schema: &Value, items: &[Value], path: &str, problems: &mut Vec<Problem>) {
    let keys = strings(schema.get("x-kubernetes-list-map-keys"));
    let identity = |item: &Value| match text(schema, "x-kubernetes-list-type") {
        Some("set") => Some(item.to_string()),
        Some("map") => {
            let keys = keys
                .iter()
                .map(|key| format!("{key:?}:{}", item.get(key).unwrap_or(&Value::Null)));
            Some(format!("{{{}}}", keys.collect::<Vec<_>>().join(",")))
        }
        _ => None,
    };
    let mut seen = HashSet::new();
    for (index, item) in items.iter().enumerate() {
        if let Some(identity) = identity(item)
            && !seen.insert(identity.clone())
        {
            problems.push(problem(
                &format!("{path}[{index}]"),
                format!("Duplicate value: {identity}"),
            ));
        }
    }
}

fn field_schema<'a>(schema: &'a Value, key: &str) -> Option<&'a Value> {
    let property = schema
        .get("properties")
        .and_then(|properties| properties.get(key));
    property.or_else(|| {
        schema
            .get("additionalProperties")
            .filter(|schema| schema.is_object())
    })
}

/// Whether an object of the schema may have any field.
fn is_open(schema: &Value) -> bool {
    flag(schema, "x-kubernetes-preserve-unknown-fields") || flag(schema, "additionalProperties")
}

fn problem(field: &str, message: String) -> Problem {
    Problem {
        field: field.to_owned(),
        message,
    }
}

fn flag(schema: &Value, key: &str) -> bool {
    schema.get(key).and_then(Value::as_bool) == Some(true)
}

fn text<'a>(schema: &'a Value, key: &str) -> Option<&'a str> {
    schema.get(key).and_then(Value::as_str)
}

fn strings(list: Option<&Value>) -> Vec<&str> {
    let items = list.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).collect()
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// The value at a path such as `spec.files[0].path`, as it is shown in messages: the API server shows scalars only.
pub fn scalar_at(object: &Value, path: &str) -> Option<String> {
    let mut steps = path.split(['.', '[', ']']).filter(|step| !step.is_empty());
    let value = steps.try_fold(object, |value, step| match value {
        Value::Array(items) => items.get(step.parse::<usize>().ok()?),
        _ => value.get(step),
    })?;
    (!value.is_object() && !value.is_array()).then(|| shown(value))
}

/// A value in a message: short, whatever somebody put there.
fn shown(value: &Value) -> String {
    const LIMIT: usize = 64;
    let text = match value {
        Value::Object(_) => return "\"object\"".to_owned(),
        Value::Array(_) => return "\"array\"".to_owned(),
        scalar => scalar.to_string(),
    };
    match text.char_indices().nth(LIMIT) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn messages(schema: &Value, value: Value) -> Vec<String> {
        let schema = json!({"type": "object", "properties": {"f": schema}});
        let object = json!({"f": value});
        let problems = unknown(&schema, &object)
            .into_iter()
            .chain(check(&schema, &object));
        problems.map(|problem| problem.to_string()).collect()
    }

    #[test]
    fn values_are_checked_in_the_words_of_the_api_server() {
        let table = [
            (
                json!({"type": "integer"}),
                json!("1"),
                "f: Invalid value: \"1\": f in body must be of type integer",
            ),
            (
                json!({"type": "integer", "maximum": 3}),
                json!(4),
                "f: Invalid value: 4: f in body should be less than or equal to 3",
            ),
            (
                json!({"type": "integer", "format": "int32"}),
                json!(3_000_000_000_u64),
                "f: Invalid value: 3000000000: f in body must be an integer of 32 bits",
            ),
            (
                json!({"type": "string", "minLength": 1}),
                json!(""),
                "f: Invalid value: \"\": f in body should be at least 1 chars long",
            ),
            (
                json!({"type": "string", "pattern": "^a$"}),
                json!("b"),
                "f: Invalid value: \"b\": f in body should match '^a$'",
            ),
            (
                json!({"type": "string", "enum": ["a", "b"]}),
                json!("c"),
                "f: Unsupported value: \"c\": supported values: \"a\", \"b\"",
            ),
            (
                json!({"type": "object", "required": ["g"], "properties": {"g": {}}}),
                json!({}),
                "f.g: Required value",
            ),
            (
                json!({"type": "object", "minProperties": 1}),
                json!({}),
                "f: Invalid value: \"object\": f in body should have at least 1 properties",
            ),
            (json!({"type": "object"}), json!({"g": 1}), "f.g: unknown field"),
            (
                json!({"type": "array", "items": {}, "maxItems": 1}),
                json!([1, 2]),
                "f: Invalid value: \"array\": f in body should have at most 1 items",
            ),
            (
                json!({"type": "array", "x-kubernetes-list-type": "set", "items": {}}),
                json!(["a", "a"]),
                "f[1]: Duplicate value: \"a\"",
            ),
            (
                json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items":
                    {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}),
                json!([{"k": "a", "v": 1}, {"k": "b"}, {"k": "a"}]),
                "f[2]: Duplicate value: {\"k\":\"a\"}",
            ),
            (
                json!({"x-kubernetes-int-or-string": true, "pattern": "%$"}),
                json!("1"),
                "f: Invalid value: \"1\": f in body should match '%$'",
            ),
        ];
        for (schema, value, message) in table {
            assert_eq!(messages(&schema, value), [message], "{schema}");
        }
        assert!(
            messages(&json!({"type": "string", "format": "date-time"}), json!("soon"))[0]
                .contains("date-time")
        );
    }

    #[test]
    fn what_is_allowed_is_not_spoken_of() {
        let table = [
            (
                json!({"type": "integer", "format": "int32", "minimum": 1}),
                json!(1),
            ),
            (
                json!({"x-kubernetes-int-or-string": true, "pattern": "%$"}),
                json!(1),
            ),
            (
                json!({"type": "string", "format": "date-time"}),
                json!("2030-01-31T12:00:00Z"),
            ),
            (
                json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
                json!({"g": {"h": 1}}),
            ),
            (
                json!({"type": "object", "additionalProperties": {"type": "string"}}),
                json!({"g": "h"}),
            ),
        ];
        for (schema, value) in table {
            assert_eq!(messages(&schema, value), [""; 0], "{schema}");
        }
    }

    #[test]
    fn nulls_count_as_unset() {
        let schema =
            json!({"properties": {"a": {"type": "string"}, "b": {"items": {"properties": {"c": {}}}}}});
        let mut object = json!({"a": null, "b": [{"c": null, "d": null}], "e": null});
        drop_nulls(&schema, &mut object);
        assert_eq!(object, json!({"b": [{"d": null}], "e": null}));
    }
}
