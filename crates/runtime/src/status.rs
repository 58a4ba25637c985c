//! Status, written by one merge patch of what changed, or not at all.

use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use std::fmt::Debug;

/// A status that could not be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("failed to serialise the status of {name}")]
    Serialise { name: String, source: serde_json::Error },
    #[error("failed to write the status of {name}")]
    Write { name: String, source: kube::Error },
}

/// Writes the differences between `before` and `after` to the status of `object`. Returns whether there were any.
///
/// A kind's status has one writer, so the patch carries no resource version: it must not fail because somebody
/// changed a label meanwhile.
pub async fn patch_if_changed<K, S>(
    api: &Api<K>,
    object: &K,
    before: Option<&S>,
    after: &S,
) -> Result<bool, Error>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
    S: Serialize,
{
    let name = object.name_any();
    let to_json = |status: &S| {
        serde_json::to_value(status).map_err(|source| Error::Serialise {
            name: name.clone(),
            source,
        })
    };
    let before = before.map(to_json).transpose()?.unwrap_or(Value::Null);
    let Some(changes) = merge_patch(&before, &to_json(after)?) else {
        return Ok(false);
    };
    let patch = Patch::Merge(json!({ "status": changes }));
    match api.patch_status(&name, &PatchParams::default(), &patch).await {
        Ok(_) => Ok(true),
        // Gone meanwhile: there is nobody left to tell.
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(false),
        Err(source) => Err(Error::Write { name, source }),
    }
}

/// The JSON merge patch (RFC 7386) that makes `after` of `before`; `None` if they are equal.
pub fn merge_patch(before: &Value, after: &Value) -> Option<Value> {
    if before == after {
        return None;
    }
    let (Value::Object(before), Value::Object(after)) = (before, after) else {
        return Some(after.clone());
    };
    let mut patch = Map::new();
    for key in before.keys().filter(|key| !after.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, value) in after {
        let change = match before.get(key) {
            Some(old) => merge_patch(old, value),
            None => Some(value.clone()),
        };
        if let Some(change) = change {
            patch.insert(key.clone(), change);
        }
    }
    Some(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn documents() -> impl Strategy<Value = Value> {
        // No nulls: a merge patch cannot say them, and no status of ours holds one.
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a-c]{0,3}".prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-d]", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn patch_makes_after_of_before(before in documents(), after in documents()) {
            let (before, after) = (json!({ "s": before }), json!({ "s": after }));
            let mut patched = before.clone();
            if let Some(patch) = merge_patch(&before, &after) {
                json_patch::merge(&mut patched, &patch);
            }
            // An empty object within a patch adds nothing, so it cannot be told from its absence.
            prop_assert_eq!(without_empty(patched), without_empty(after));
        }
    }

    fn without_empty(value: Value) -> Value {
        match value {
            Value::Object(map) => Value::Object(
                map.into_iter()
                    .map(|(k, v)| (k, without_empty(v)))
                    .filter(|(_, v)| v != &json!({}))
                    .collect(),
            ),
            Value::Array(items) => Value::Array(items.into_iter().map(without_empty).collect()),
            other => other,
        }
    }
}
