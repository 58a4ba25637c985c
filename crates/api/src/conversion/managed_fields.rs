//! Who owns which field, moved from v1beta1 to v1beta2.
//!
//! While one entry of `metadata.managedFields` says v1beta1, the API server converts the object on every write, and v1beta2 clients
//! cannot write while nobody answers. The stored objects are converted when they are written; these entries never are.
//! For server-side apply an owner is the same in all versions, so whoever applies at v1beta1 goes on as before.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry};
use serde_json::Value;

use super::Version;
use super::known::Known;
use super::registry::{self, Kind};
use super::rules::{Object, get, set, take};

/// Rewrites the entries of v1beta1 to v1beta2: moved fields at their new places, fields that v1beta2 does not have left out, and what
/// one manager owned in both versions united. True if anything changed.
///
/// An entry whose fields are not a tree is only renamed: the API server, not knowing what to make of it, ignores it as before.
pub fn managed_fields(group: &str, kind: &str, entries: &mut Vec<ManagedFieldsEntry>) -> bool {
    let old = format!("{group}/{}", Version::V1Beta1.as_str());
    let new = format!("{group}/{}", Version::V1Beta2.as_str());
    let is_old = |entry: &ManagedFieldsEntry| entry.api_version.as_deref() == Some(&old);
    if !entries.iter().any(is_old) {
        return false;
    }
    let Some(kind) = registry::kind(group, kind) else {
        return false;
    };
    let mut kept: Vec<ManagedFieldsEntry> = Vec::with_capacity(entries.len());
    for mut entry in entries.drain(..) {
        if is_old(&entry) {
            entry.api_version = Some(new.clone());
            if let Some(FieldsV1(Value::Object(fields))) = &mut entry.fields_v1 {
                kind.move_fields(fields);
            }
        }
        match kept.iter_mut().find(|other| same_owner(other, &entry)) {
            Some(other) => unite(other, entry),
            None => kept.push(entry),
        }
    }
    *entries = kept;
    true
}

/// What the API server tells owners apart by.
fn same_owner(one: &ManagedFieldsEntry, other: &ManagedFieldsEntry) -> bool {
    one.manager == other.manager
        && one.operation == other.operation
        && one.subresource == other.subresource
        && one.api_version == other.api_version
}

fn unite(into: &mut ManagedFieldsEntry, other: ManagedFieldsEntry) {
    into.time = other.time.max(into.time.take());
    match (&mut into.fields_v1, other.fields_v1) {
        (Some(FieldsV1(Value::Object(into))), Some(FieldsV1(Value::Object(other)))) => {
            unite_trees(into, other);
        }
        (Some(FieldsV1(Value::Object(_))), _) => {}
        (into, other) => *into = other,
    }
}

/// An empty tree says that the field itself is owned; with something beside it, `.` says so.
fn unite_trees(into: &mut Object, other: Object) {
    let itself = |tree: &Object| tree.is_empty() || tree.contains_key(".");
    let owned = itself(into) || itself(&other);
    for (name, tree) in other {
        match (into.get_mut(&name), tree) {
            (Some(Value::Object(into)), Value::Object(tree)) => unite_trees(into, tree),
            (_, tree) => {
                into.insert(name, tree);
            }
        }
    }
    if owned && !into.is_empty() {
        into.entry(".").or_insert_with(|| Value::Object(Object::new()));
    }
}

impl Kind {
    fn move_fields(&self, fields: &mut Object) {
        for (root, rules) in self.rules.parts {
            for (v1beta1, v1beta2) in rules.computed {
                if get(fields, &owned(root, v1beta1)).is_some() {
                    own(fields, &owned(root, v1beta2), Value::Object(Object::new()));
                }
            }
            for rule in rules.moves {
                if let Some(tree) = take(fields, &owned(root, rule.v1beta1)) {
                    own(fields, &owned(root, rule.v1beta2), tree);
                }
            }
        }
        prune(fields, self.known(Version::V1Beta2));
    }
}

/// A path in a tree of owned fields: `a.b` is `f:a` in it, and in that `f:b`.
fn owned(root: &str, path: &str) -> String {
    let steps = root.split('.').chain(path.split('.'));
    steps
        .map(|name| format!("f:{name}"))
        .collect::<Vec<_>>()
        .join(".")
}

fn own(fields: &mut Object, path: &str, tree: Value) {
    match (take(fields, path), tree) {
        (Some(Value::Object(mut there)), Value::Object(tree)) => {
            unite_trees(&mut there, tree);
            let _ = set(fields, path, there.into());
        }
        (_, tree) => {
            let _ = set(fields, path, tree);
        }
    }
}

/// Leaves out fields that are not known, and objects in which nothing is left: an empty tree would claim the whole object.
fn prune(fields: &mut Object, known: &Known) {
    fields.retain(|name, tree| {
        let below = match name.split_once(':') {
            Some(("f", field)) => known.field(field),
            Some(("k" | "v" | "i", _)) => Some(known.element()),
            _ => return true,
        };
        let Some(below) = below else { return false };
        match tree {
            Value::Object(tree) if !tree.is_empty() => {
                prune(tree, below);
                !tree.is_empty()
            }
            _ => true,
        }
    });
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn united(into: Value, other: Value) -> Value {
        let mut into: Object = serde_json::from_value(into).unwrap();
        unite_trees(&mut into, serde_json::from_value(other).unwrap());
        into.into()
    }

    #[test]
    fn trees_unite() {
        let one =
            json!({"f:spec": {"f:a": {}, "f:b": {"f:c": {}}, "f:list": {"k:{\"name\":\"x\"}": {"f:y": {}}}}});
        let other = json!({"f:spec": {"f:b": {"f:d": {}}, "f:a": {"f:e": {}}, "f:list": {}}});
        let expected = json!({"f:spec": {
            "f:a": {".": {}, "f:e": {}},
            "f:b": {"f:c": {}, "f:d": {}},
            "f:list": {".": {}, "k:{\"name\":\"x\"}": {"f:y": {}}},
        }});
        assert_eq!(united(one.clone(), other.clone()), expected);
        assert_eq!(united(other, one), expected);
    }
}
