//! Names, labels and keys, as the API server accepts them in the objects that they are used for.

use super::super::{field::Field, report::Report};

/// Checks the name of an object such as a Secret: a DNS subdomain (RFC 1123).
///
/// # Errors
/// What is wrong with it, with what to write instead.
pub fn object(text: &str) -> Result<(), String> {
    let well_formed = text.len() <= 253 && text.split('.').all(is_label);
    well_formed.then_some(()).ok_or_else(|| {
        "cannot be the name of an object; use lower-case letters, digits, '-' and '.', up to 253 of them"
            .to_owned()
    })
}

/// Checks the name of a namespace, a Service or a volume: a DNS label (RFC 1123).
///
/// # Errors
/// What is wrong with it, with what to write instead.
pub fn label(text: &str) -> Result<(), String> {
    let well_formed = text.len() <= 63 && is_label(text);
    well_formed.then_some(()).ok_or_else(|| {
        "is not a DNS label; use lower-case letters, digits and '-', up to 63 of them".to_owned()
    })
}

/// Checks a key of a Secret's or ConfigMap's data.
///
/// # Errors
/// What is wrong with it, with what to write instead.
pub fn data_key(text: &str) -> Result<(), String> {
    let well_formed = (1..=253).contains(&text.len())
        && text != "."
        && !text.starts_with("..")
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    well_formed
        .then_some(())
        .ok_or_else(|| "cannot be a key of data; use letters, digits, '-', '_' and '.'".to_owned())
}

/// Checks labels and annotations that are to be set on objects made by a controller: the API server would refuse those objects.
pub(in super::super) fn metadata(metadata: &Field<'_>, report: &mut Report) {
    labels(&metadata.get("labels"), report);
    for (key, value) in metadata.get("annotations").keys() {
        report.check(&value, qualified(&key.to_ascii_lowercase()));
    }
}

/// Checks labels, and selectors that are written as labels.
pub(in super::super) fn labels(labels: &Field<'_>, report: &mut Report) {
    for (key, value) in labels.keys() {
        report.check(&value, qualified(key));
        check_label_value(&value, report);
    }
}

fn check_label_value(value: &Field<'_>, report: &mut Report) {
    if let Some(text) = value.text()
        && !(text.len() <= 63 && is_qualified_name(text))
    {
        report.error(
            value,
            "is not the value of a label; use up to 63 letters, digits, '-', '_' and '.', with a letter or digit at both ends",
        );
    }
}

/// Checks a label selector: the API server would refuse to list by a wrong one.
pub(in super::super) fn selector(selector: &Field<'_>, report: &mut Report) {
    labels(&selector.get("matchLabels"), report);
    for expression in selector.get("matchExpressions").items() {
        let (key, operator, values) = (
            expression.get("key"),
            expression.get("operator"),
            expression.get("values"),
        );
        report.check(&key, qualified(key.text().unwrap_or_default()));
        let given = values.items().next().is_some();
        match operator.text() {
            Some("In" | "NotIn") if !given => {
                report.error(
                    &values,
                    "is missing for operators In and NotIn; name at least one value",
                );
            }
            Some("Exists" | "DoesNotExist") if given => {
                report.error(
                    &values,
                    "has no meaning for operators Exists and DoesNotExist; remove it",
                );
            }
            Some("In" | "NotIn" | "Exists" | "DoesNotExist") => {}
            _ => report.error(
                &operator,
                "is not an operator; use In, NotIn, Exists or DoesNotExist",
            ),
        }
        for value in values.items() {
            check_label_value(&value, report);
        }
    }
}

/// Checks the key of a label or annotation: an optional DNS subdomain and a slash, and a name.
fn qualified(key: &str) -> Result<(), String> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    let well_formed = prefix.is_none_or(|prefix| object(prefix).is_ok())
        && (1..=63).contains(&name.len())
        && is_qualified_name(name);
    well_formed.then_some(()).ok_or_else(|| {
        "has a key that no label or annotation can have; write one such as example.com/name".to_owned()
    })
}

fn is_label(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn is_qualified_name(text: &str) -> bool {
    let ends = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    ends(text.bytes().next())
        && ends(text.bytes().last())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names() {
        for text in ["a", "a-b.c", "1a"] {
            assert_eq!(object(text), Ok(()), "{text}");
        }
        for text in ["", "A", "a_b", "a..b", "-a", "a-", &"a".repeat(254)] {
            assert!(object(text).is_err(), "{text}");
        }
        assert!(label("a-b").is_ok() && label("a.b").is_err() && label(&"a".repeat(64)).is_err());
        assert!(data_key("tls.crt").is_ok() && data_key("a/b").is_err() && data_key("..").is_err());
    }

    #[test]
    fn labels_and_annotations() {
        let found = |metadata| {
            let mut report = Report::default();
            super::metadata(&Field::root(&metadata), &mut report);
            report.into_findings().errors.len()
        };
        assert_eq!(
            found(
                json!({"labels": {"a": "", "example.com/b": "c_d"}, "annotations": {"Example.com/x": "any thing"}})
            ),
            0
        );
        assert_eq!(found(json!({"labels": {"a b": "c"}})), 1);
        assert_eq!(found(json!({"labels": {"a": "b c"}})), 1);
        assert_eq!(found(json!({"labels": {"a": "x".repeat(64)}})), 1);
        assert_eq!(found(json!({"annotations": {"a/b/c": ""}})), 1);
    }
}
