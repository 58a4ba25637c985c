//! Shapes of generated schemas that the derive macros cannot express.
//!
//! For: what is true of every schema we install. Not for: rules of a single field, which stand beside the field.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

/// Schema of an object whose fields are somebody else's: nothing in it is checked or pruned.
pub fn free_form_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

/// Makes a generated definition read like those of other Cluster API providers.
///
/// - No field is `nullable`: the derive marks every optional field, so that an explicit null would be kept and owned by whoever applied
///   it. Without the mark the API server drops nulls before it fills in defaults, which is what users of other providers know.
/// - No default stands on a required field: our types decode leniently by having one for everything, but a schema that fills a
///   required field in does not require it.
/// - No default is an object: the defaults of its fields say the same, and an absent object stays absent.
/// - Except for `spec`, where nothing in it is required: an object without one, which other providers accept, could not be decoded.
pub fn tidy(crd: &mut CustomResourceDefinition) {
    for version in &mut crd.spec.versions {
        if let Some(schema) = version
            .schema
            .as_mut()
            .and_then(|validation| validation.open_api_v3_schema.as_mut())
        {
            schema.title = None;
            tidy_schema(schema);
            default_spec(schema);
        }
    }
}

fn default_spec(schema: &mut JSONSchemaProps) {
    let spec = schema
        .properties
        .as_mut()
        .and_then(|properties| properties.get_mut("spec"));
    if let Some(spec) = spec
        && spec.required.as_ref().is_none_or(Vec::is_empty)
    {
        spec.default = Some(JSON(json!({})));
        if let Some(required) = schema.required.as_mut() {
            required.retain(|field| field != "spec");
        }
    }
}

fn tidy_schema(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    if let Some(values) = schema.enum_.as_mut() {
        values.retain(|value| !value.0.is_null());
    }
    if schema
        .default
        .as_ref()
        .is_some_and(|value| value.0.is_null() || value.0.is_object())
    {
        schema.default = None;
    }
    let required = schema.required.clone().unwrap_or_default();
    for (name, property) in schema.properties.iter_mut().flatten() {
        if required.contains(name) {
            property.default = None;
        }
        tidy_schema(property);
    }
    match schema.items.as_mut() {
        Some(JSONSchemaPropsOrArray::Schema(items)) => tidy_schema(items),
        Some(JSONSchemaPropsOrArray::Schemas(items)) => items.iter_mut().for_each(tidy_schema),
        None => {}
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = schema.additional_properties.as_mut() {
        tidy_schema(values);
    }
}

/// The schema of the field at `path`, through objects only.
pub(crate) fn at<'a>(schema: &'a mut JSONSchemaProps, path: &[&str]) -> Option<&'a mut JSONSchemaProps> {
    path.iter().try_fold(schema, |schema, field| {
        schema.properties.as_mut()?.get_mut(*field)
    })
}

/// The definition as one YAML document, as written to `config/crd`.
///
/// Whole numbers lose their fraction (`65535.0` becomes `65535`), as they are printed by every other tool.
///
/// # Errors
/// When the definition cannot be serialised, which would be a fault of this crate.
pub fn to_yaml(crd: &CustomResourceDefinition) -> Result<String, serde_yaml::Error> {
    let mut value = serde_yaml::from_str::<Value>(&serde_yaml::to_string(crd)?)?;
    whole_numbers(&mut value);
    serde_yaml::to_string(&value)
}

/// Name of the file of a definition: `<group>_<plural>.yaml`.
#[must_use]
pub fn file_name(crd: &CustomResourceDefinition) -> String {
    format!("{}_{}.yaml", crd.spec.group, crd.spec.names.plural)
}

fn whole_numbers(value: &mut Value) {
    match value {
        Value::Number(number) => {
            // Bounds in our schemas are far below 2^53, where f64 still holds every integer.
            if let Some(float) = number.as_f64()
                && float.fract() == 0.0
                && float.abs() < 9e15
            {
                *value = Value::from(float as i64);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(fields) => fields.values_mut().for_each(whole_numbers),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}
