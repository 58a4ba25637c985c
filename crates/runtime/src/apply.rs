//! Server-side apply that sends nothing when nothing would change.
//!
//! An apply of an unchanged object changes nothing on the server, but costs a write request there and a read of
//! etcd; a fleet at rest must cost neither.

use std::fmt::Debug;

use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

/// An object that could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("failed to serialise {kind} {name}")]
    Serialise {
        kind: String,
        name: String,
        source: serde_json::Error,
    },
    #[error("failed to read {kind} {name}")]
    Read {
        kind: String,
        name: String,
        source: kube::Error,
    },
    #[error("failed to apply {kind} {name}")]
    Apply {
        kind: String,
        name: String,
        source: kube::Error,
    },
}

impl Error {
    /// Whether another writer was faster and a retry is all that is needed.
    pub fn is_conflict(&self) -> bool {
        match self {
            Self::Read {
                source: kube::Error::Api(status),
                ..
            }
            | Self::Apply {
                source: kube::Error::Api(status),
                ..
            } => status.is_conflict(),
            _ => false,
        }
    }
}

/// The object as it is after [`apply_if_changed`], and whether that took a write.
#[derive(Clone, Debug)]
pub struct Applied<K> {
    pub object: K,
    pub changed: bool,
}

/// Makes the fields of `desired` be so, as `manager`, unless they are. Fields that `manager` set earlier and does not
/// set any more are removed. Ownership is forced: what we set is ours.
///
/// `desired` must carry apiVersion, kind and name.
pub async fn apply_if_changed<K>(api: &Api<K>, desired: &K, manager: &str) -> Result<Applied<K>, Error>
where
    K: Resource + Clone + Debug + Serialize + DeserializeOwned,
{
    let name = desired.name_any();
    let wanted = to_json(desired, "object", &name)?;
    let kind = wanted
        .get("kind")
        .and_then(Value::as_str)
        .unwrap_or("object")
        .to_owned();
    let current = api.get_opt(&name).await.map_err(|source| Error::Read {
        kind: kind.clone(),
        name: name.clone(),
        source,
    })?;
    if let Some(current) = current
        && is_applied(&to_json(&current, &kind, &name)?, &wanted, manager)
    {
        return Ok(Applied {
            object: current,
            changed: false,
        });
    }
    let object = api
        .patch(
            &name,
            &PatchParams::apply(manager).force(),
            &Patch::Apply(desired),
        )
        .await
        .map_err(|source| Error::Apply { kind, name, source })?;
    Ok(Applied {
        object,
        changed: true,
    })
}

fn to_json<K: Serialize>(object: &K, kind: &str, name: &str) -> Result<Value, Error> {
    serde_json::to_value(object).map_err(|source| Error::Serialise {
        kind: kind.to_owned(),
        name: name.to_owned(),
        source,
    })
}

/// Whether an apply of `desired` by `manager` would leave `current` as it is.
pub fn is_applied(current: &Value, desired: &Value, manager: &str) -> bool {
    contains(current, desired) && owned_by(current, manager).is_none_or(|owned| within(owned, desired))
}

/// Whether every value of `desired` is in `current`. Items of lists of objects are looked for by their key fields.
fn contains(current: &Value, desired: &Value) -> bool {
    match (current, desired) {
        (Value::Object(current), Value::Object(desired)) => desired
            .iter()
            .all(|(key, value)| value.is_null() || current.get(key).is_some_and(|now| contains(now, value))),
        (Value::Array(current), Value::Array(desired)) => desired
            .iter()
            .all(|item| current.iter().any(|now| contains(now, item))),
        (current, desired) => current == desired,
    }
}

/// The fields that the manager applied, as managedFields say (`fieldsV1`).
fn owned_by<'a>(current: &'a Value, manager: &str) -> Option<&'a Map<String, Value>> {
    current
        .pointer("/metadata/managedFields")?
        .as_array()?
        .iter()
        .find_map(|entry| {
            let ours = entry.get("manager")?.as_str()? == manager
                && entry.get("operation")?.as_str()? == "Apply"
                && entry.get("subresource").is_none();
            if ours {
                entry.get("fieldsV1")?.as_object()
            } else {
                None
            }
        })
}

/// Whether every owned field is still in `desired`. Only fields of maps are followed (`f:`): list items (`k:`, `v:`)
/// that leave are seen when the list is compared the other way round, by length.
fn within(owned: &Map<String, Value>, desired: &Value) -> bool {
    owned.iter().all(|(key, below)| {
        let Some(field) = key.strip_prefix("f:") else {
            return true;
        };
        let Some(value) = desired.get(field).filter(|value| !value.is_null()) else {
            return false;
        };
        let Some(below) = below.as_object() else {
            return true;
        };
        let items = below
            .keys()
            .filter(|key| key.starts_with("k:") || key.starts_with("v:"))
            .count();
        value.as_array().is_none_or(|list| items <= list.len()) && within(below, value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(labels: Value, owned: Value) -> Value {
        json!({
            "metadata": {
                "name": "a", "uid": "1", "labels": labels,
                "managedFields": [{ "manager": "us", "operation": "Apply", "fieldsV1": { "f:metadata": { "f:labels": owned } } }],
            },
            "spec": { "replicas": 1, "ports": [{ "port": 1, "protocol": "TCP" }] },
        })
    }

    #[test]
    fn equal_fields_need_no_write() {
        let current = object(json!({ "x": "1", "theirs": "2" }), json!({ "f:x": {} }));
        let desired = json!({ "metadata": { "name": "a", "labels": { "x": "1" } }, "spec": { "ports": [{ "port": 1 }] } });
        assert!(is_applied(&current, &desired, "us"));
    }

    #[test]
    fn changed_missing_and_withdrawn_fields_need_one() {
        let current = object(json!({ "x": "1" }), json!({ "f:x": {} }));
        for desired in [
            json!({ "metadata": { "labels": { "x": "2" } } }),
            json!({ "metadata": { "labels": { "x": "1", "y": "1" } } }),
            json!({ "metadata": { "labels": {} } }),
            json!({ "metadata": { "labels": { "x": "1" } }, "spec": { "ports": [{ "port": 2 }] } }),
        ] {
            assert!(!is_applied(&current, &desired, "us"), "{desired}");
        }
    }
}
