//! Which fields a version has, taken from its generated schema.
//!
//! Conversion compares what a version can say with what it is given. Were the fields listed by hand, every new field would have to be
//! listed as well, or would be lost; the schemas of the definitions know them already. This is the part of a schema that pruning looks
//! at, in the way of the API server: <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/>.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock},
};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use serde_json::Value;

use super::rules::Object;

/// The fields below one place of a version.
///
/// Versions and kinds have large parts in common (a pod's volumes, its affinity), and every manager that converts keeps them for good: what is
/// the same is there once, and fields are a sorted list.
#[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Known {
    fields: Box<[(Arc<str>, Arc<Known>)]>,
    /// What a map with free keys holds.
    values: Option<Arc<Known>>,
    items: Option<Arc<Known>>,
    /// Fields that the schema does not name are kept.
    open: bool,
}

/// What was seen of schemas so far.
#[derive(Default)]
pub(super) struct Shared {
    places: BTreeSet<Arc<Known>>,
    names: BTreeSet<Arc<str>>,
}

impl Shared {
    fn place(&mut self, known: Known) -> Arc<Known> {
        if let Some(same) = self.places.get(&known) {
            return same.clone();
        }
        let new = Arc::new(known);
        self.places.insert(new.clone());
        new
    }

    fn name(&mut self, name: &str) -> Arc<str> {
        if let Some(same) = self.names.get(name) {
            return same.clone();
        }
        let new: Arc<str> = name.into();
        self.names.insert(new.clone());
        new
    }
}

impl Known {
    /// Of a whole object.
    pub(super) fn root(schema: &JSONSchemaProps, shared: &mut Shared) -> Self {
        let mut known = Self::from_schema(schema, shared);
        known.keep_type_and_metadata(shared);
        known
    }

    fn from_schema(schema: &JSONSchemaProps, shared: &mut Shared) -> Self {
        let below = |schema: &JSONSchemaProps, shared: &mut Shared| {
            let known = Self::from_schema(schema, shared);
            shared.place(known)
        };
        // A map of the schema is sorted.
        let fields = schema
            .properties
            .iter()
            .flatten()
            .map(|(name, property)| (shared.name(name), below(property, shared)))
            .collect();
        let (values, any) = match &schema.additional_properties {
            Some(JSONSchemaPropsOrBool::Schema(values)) => (Some(below(values, shared)), false),
            Some(JSONSchemaPropsOrBool::Bool(any)) => (None, *any),
            None => (None, false),
        };
        let items = match &schema.items {
            Some(JSONSchemaPropsOrArray::Schema(items)) => Some(below(items, shared)),
            Some(JSONSchemaPropsOrArray::Schemas(_)) | None => None,
        };
        let mut known = Self {
            fields,
            values,
            items,
            open: any || schema.x_kubernetes_preserve_unknown_fields == Some(true),
        };
        if schema.x_kubernetes_embedded_resource == Some(true) {
            known.keep_type_and_metadata(shared);
        }
        known
    }

    /// An object of the API has these whether its schema names them or not.
    fn keep_type_and_metadata(&mut self, shared: &mut Shared) {
        let anything = shared.place(Self {
            open: true,
            ..Self::default()
        });
        let mut fields: BTreeMap<_, _> = std::mem::take(&mut self.fields).into_iter().collect();
        for name in ["apiVersion", "kind", "metadata"] {
            fields.insert(shared.name(name), anything.clone());
        }
        self.fields = fields.into_iter().collect();
    }

    /// What is known of a field; `None` when it would be pruned.
    pub(super) fn field(&self, name: &str) -> Option<&Self> {
        let named = self.fields.binary_search_by(|(known, _)| (**known).cmp(name));
        let named = named.ok().and_then(|index| self.fields.get(index));
        match named.map(|(_, known)| known).or(self.values.as_ref()) {
            Some(known) => Some(known),
            None if self.open => Some(&ANYTHING),
            None => None,
        }
    }

    /// What is known of the elements of a list.
    pub(super) fn element(&self) -> &Self {
        self.items.as_deref().unwrap_or(&ANYTHING)
    }

    /// Removes every field that this version does not have, as the API server does.
    pub(super) fn prune_object(&self, object: &mut Object) {
        object.retain(|name, value| match self.field(name) {
            Some(known) => {
                known.prune(value);
                true
            }
            None => false,
        });
    }

    fn prune(&self, value: &mut Value) {
        match value {
            Value::Object(object) => self.prune_object(object),
            Value::Array(items) => {
                let known = self.element();
                items.iter_mut().for_each(|item| known.prune(item));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

/// Below a place that keeps unknown fields everything is kept.
static ANYTHING: LazyLock<Known> = LazyLock::new(|| Known {
    open: true,
    ..Known::default()
});

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn known(schema: Value) -> Known {
        Known::from_schema(&serde_json::from_value(schema).unwrap(), &mut Shared::default())
    }

    fn pruned(schema: Value, mut value: Value) -> Value {
        known(schema).prune(&mut value);
        value
    }

    #[test]
    fn unknown_fields_go_at_every_depth() {
        let schema = json!({"type": "object", "properties": {
            "a": {"type": "object", "properties": {"b": {"type": "string"}}},
            "list": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}}}},
            "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"x": {"type": "string"}}}},
        }});
        let value = json!({"a": {"b": 1, "c": 2}, "list": [{"name": "n", "y": 1}, "odd"], "map": {"k": {"x": 1, "y": 2}}, "z": 1});
        let expected = json!({"a": {"b": 1}, "list": [{"name": "n"}, "odd"], "map": {"k": {"x": 1}}});
        assert_eq!(pruned(schema, value), expected);
    }

    #[test]
    fn open_objects_keep_what_they_do_not_name_and_prune_what_they_do() {
        let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {
            "named": {"type": "object", "properties": {"x": {"type": "string"}}},
        }});
        let value = json!({"named": {"x": 1, "y": 2}, "free": {"deep": [{"er": 1}]}});
        let expected = json!({"named": {"x": 1}, "free": {"deep": [{"er": 1}]}});
        assert_eq!(pruned(schema, value), expected);
    }

    #[test]
    fn embedded_objects_keep_type_and_metadata() {
        let schema = json!({"type": "object", "x-kubernetes-embedded-resource": true, "properties": {"spec": {"type": "object"}}});
        let value = json!({"apiVersion": "v1", "kind": "K", "metadata": {"name": "n"}, "spec": {"x": 1}, "status": {}});
        let expected = json!({"apiVersion": "v1", "kind": "K", "metadata": {"name": "n"}, "spec": {}});
        assert_eq!(pruned(schema, value), expected);
    }
}
