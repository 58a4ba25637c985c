//! Which fields a version has, taken from its generated schema.
//!
//! Conversion compares what a version can say with what it is given. Were the fields listed by hand, every new field would have to be
//! listed as well, or would be lost; the schemas of the definitions know them already. This is the part of a schema that pruning looks
//! at, in the way of the API server: <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/>.

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use serde_json::Value;

use super::rules::Object;

/// The fields below one place of a version.
#[derive(Debug, Default)]
pub(super) struct Known {
    fields: BTreeMap<Box<str>, Known>,
    /// What a map with free keys holds.
    values: Option<Box<Known>>,
    items: Option<Box<Known>>,
    /// Fields that the schema does not name are kept.
    open: bool,
}

impl Known {
    pub(super) fn from_schema(schema: &JSONSchemaProps) -> Self {
        let fields = schema
            .properties
            .iter()
            .flatten()
            .map(|(name, property)| (name.as_str().into(), Self::from_schema(property)))
            .collect();
        let (values, any) = match &schema.additional_properties {
            Some(JSONSchemaPropsOrBool::Schema(values)) => (Some(Box::new(Self::from_schema(values))), false),
            Some(JSONSchemaPropsOrBool::Bool(any)) => (None, *any),
            None => (None, false),
        };
        let items = match &schema.items {
            Some(JSONSchemaPropsOrArray::Schema(items)) => Some(Box::new(Self::from_schema(items))),
            Some(JSONSchemaPropsOrArray::Schemas(_)) | None => None,
        };
        let mut known = Self {
            fields,
            values,
            items,
            open: any || schema.x_kubernetes_preserve_unknown_fields == Some(true),
        };
        if schema.x_kubernetes_embedded_resource == Some(true) {
            known.keep_type_and_metadata();
        }
        known
    }

    /// An object of the API has these whether its schema names them or not.
    pub(super) fn keep_type_and_metadata(&mut self) {
        for name in ["apiVersion", "kind", "metadata"] {
            let field = self.fields.entry(name.into()).or_default();
            field.open = true;
            field.fields.clear();
        }
    }

    /// What is known of a field; `None` when it would be pruned.
    pub(super) fn field(&self, name: &str) -> Option<&Self> {
        match self.fields.get(name).or(self.values.as_deref()) {
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
static ANYTHING: Known = Known {
    fields: BTreeMap::new(),
    values: None,
    items: None,
    open: true,
};

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn known(schema: Value) -> Known {
        Known::from_schema(&serde_json::from_value(schema).unwrap())
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
