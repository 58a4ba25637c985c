//! Fields of a hosted Cluster that the original wrote from the control plane, and which are written from it by us now. As
//! long as the original's entry names them too, taking one out of the control plane would not take it out here.
//!
//! What the original wrote besides (an address that it found, Secrets that it made) stays its own, and stays. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use serde_json::{Map, Value};

/// Field manager of the original: the name of its program.
const ORIGINAL: &str = "manager";

/// The entries in which the original's does not name what `manager` applied; `None` if it does not anyway.
pub fn taken_over(entries: &[ManagedFieldsEntry], manager: &str) -> Option<Vec<ManagedFieldsEntry>> {
    let of = |entry: &&ManagedFieldsEntry, name: &str, operation: &str| {
        entry.manager.as_deref() == Some(name)
            && entry.operation.as_deref() == Some(operation)
            && entry.subresource.is_none()
    };
    let applied = entries.iter().find(|entry| of(entry, manager, "Apply"))?;
    let ours = applied.fields_v1.as_ref()?.0.get("f:spec")?.as_object()?;
    let mut changed = false;
    let mut after = Vec::new();
    for entry in entries {
        let mut entry = entry.clone();
        let is_original = of(&&entry, ORIGINAL, "Update");
        let theirs = entry
            .fields_v1
            .as_mut()
            .filter(|_| is_original)
            .and_then(|fields| fields.0.get_mut("f:spec"))
            .and_then(Value::as_object_mut);
        if let Some(theirs) = theirs {
            changed |= subtract(theirs, ours);
        }
        after.push(entry);
    }
    changed.then_some(after)
}

/// Takes the fields of `ours` out of `theirs`; whether there were any.
fn subtract(theirs: &mut Map<String, Value>, ours: &Map<String, Value>) -> bool {
    let mut changed = false;
    for (key, ours) in ours {
        let Some(below) = theirs.get_mut(key).and_then(Value::as_object_mut) else {
            continue;
        };
        let empty = Map::new();
        let ours = ours.as_object().unwrap_or(&empty);
        // A field without fields below it is a value.
        let is_value = below.is_empty();
        if !is_value && !ours.is_empty() {
            changed |= subtract(below, ours);
        }
        if is_value || below.is_empty() {
            theirs.remove(key);
            changed = true;
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(theirs: &str) -> Vec<ManagedFieldsEntry> {
        serde_yaml::from_str(&format!(
            "- {{manager: manager, operation: Update, fieldsV1: {{'f:metadata': {{'f:annotations': {{'f:a': {{}}}}}}, 'f:spec': {theirs}}}}}
- {{manager: manager, operation: Update, subresource: status, fieldsV1: {{'f:status': {{}}}}}}
- {{manager: k0smotron-operator, operation: Apply, fieldsV1: {{'f:spec': {{'f:version': {{}}, 'f:service': {{'f:type': {{}}}}, 'f:k0sConfig': {{'f:spec': {{'f:api': {{'f:port': {{}}}}}}}}}}}}}}
"
        ))
        .unwrap()
    }

    #[test]
    fn what_is_ours_is_ours_alone_and_the_rest_stays_theirs() {
        let before = entries(
            "{'f:version': {}, 'f:externalAddress': {}, 'f:service': {'.': {}, 'f:type': {}, 'f:apiPort': {}}, \
             'f:k0sConfig': {'f:spec': {'f:api': {'f:port': {}}}}}",
        );
        let after = taken_over(&before, "k0smotron-operator").unwrap();
        let expected = entries("{'f:externalAddress': {}, 'f:service': {'.': {}, 'f:apiPort': {}}}");
        assert_eq!(after, expected);
        assert_eq!(
            taken_over(&after, "k0smotron-operator"),
            None,
            "nothing is written twice"
        );
    }

    #[test]
    fn other_writers_keep_what_they_wrote() {
        let mut entries = entries("{'f:version': {}}");
        entries[0].manager = Some("kubectl-edit".to_owned());
        assert_eq!(taken_over(&entries, "k0smotron-operator"), None);
    }
}
