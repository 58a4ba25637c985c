//! What an API server checks by the schemas of our kinds, without an API server.
//!
//! For: strict decoding (unknown fields), defaults, types, bounds and CEL rules, in the API server's terms. Not for: the rules of the
//! webhooks, which are the API crate's own, nor metadata.

mod structure;

use std::{collections::HashMap, fmt, sync::OnceLock};

use anyhow::{Context as _, Result};
use kube_cel::{CompiledSchema, Validator, compile_schema};
use serde_json::Value;

pub(crate) use structure::unknown;

/// A field and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// From the object's top, such as `spec.files[0].path`.
    pub field: String,
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// A kind in one version.
#[derive(Debug)]
pub struct Schema {
    schema: Value,
    /// Compiled when they are asked for: few commands need all kinds.
    rules: OnceLock<CompiledSchema>,
}

/// The schemas of all kinds and versions that k0smotron serves.
#[derive(Debug)]
pub struct Schemas {
    /// By `apiVersion` and kind.
    schemas: HashMap<(String, String), Schema>,
    validator: Validator,
}

impl Schemas {
    /// # Errors
    /// A schema cannot be written as JSON: a fault of this program.
    pub fn new() -> Result<Self> {
        let mut schemas = HashMap::new();
        for crd in k0smotron_api::crds() {
            let kind = crd.spec.names.kind;
            for version in crd.spec.versions {
                let schema = version.schema.and_then(|schema| schema.open_api_v3_schema);
                let schema = schema.with_context(|| format!("{kind} has no schema"))?;
                let schema = serde_json::to_value(schema)?;
                let rules = OnceLock::new();
                let api_version = format!("{}/{}", crd.spec.group, version.name);
                schemas.insert((api_version, kind.clone()), Schema { schema, rules });
            }
        }
        let validator = Validator::new();
        Ok(Self { schemas, validator })
    }

    /// The schema of an object's kind and version, if it is ours.
    #[must_use]
    pub fn of(&self, object: &Value) -> Option<&Schema> {
        let text = |key: &str| object.get(key).and_then(Value::as_str).map(str::to_owned);
        self.schemas.get(&(text("apiVersion")?, text("kind")?))
    }

    /// Whether an object is of one of our kinds, in whatever version.
    #[must_use]
    pub fn serve(&self, object: &Value) -> bool {
        let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
        let group = |api_version: &str| api_version.split('/').next().map(str::to_owned);
        self.schemas.keys().any(|(api_version, kind)| {
            kind == text("kind") && group(api_version) == group(text("apiVersion"))
        })
    }

    /// What the schema refuses of an object that has its defaults. With `old`, the object as it was, rules about changes are checked too.
    #[must_use]
    pub fn check(&self, schema: &Schema, object: &Value, old: Option<&Value>) -> Vec<Problem> {
        let mut problems = structure::check(&schema.schema, object);
        // Rules are written for values of the right type.
        if problems.is_empty() {
            let broken = self
                .validator
                .validate_compiled(schema.rules(), object, old)
                .err();
            let broken = broken.into_iter().flat_map(|errors| errors.into_vec());
            problems.extend(broken.map(|error| {
                // A rule at the top names its field with a dot in front.
                let field = error.field_path.trim_start_matches('.').to_owned();
                let value = structure::scalar_at(object, &field);
                let value = value.map(|value| format!("{value}: ")).unwrap_or_default();
                let message = format!("Invalid value: {value}{}", error.message);
                Problem { field, message }
            }));
        }
        problems
    }
}

impl Schema {
    fn rules(&self) -> &CompiledSchema {
        self.rules.get_or_init(|| compile_schema(&self.schema))
    }

    /// The fields of an object that the schema does not have.
    #[must_use]
    pub fn unknown(&self, object: &Value) -> Vec<Problem> {
        unknown(&self.schema, object)
    }

    /// The object with the schema's defaults. As the API server does it, nulls of fields that may not be null count as not there.
    #[must_use]
    pub fn defaulted(&self, mut object: Value) -> Value {
        structure::drop_nulls(&self.schema, &mut object);
        kube_cel::apply_defaults(&self.schema, &object)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn schemas_are_found_by_version_and_kind() {
        let schemas = Schemas::new().unwrap();
        let object = |api_version: &str, kind: &str| json!({"apiVersion": api_version, "kind": kind});
        assert!(schemas.of(&object("k0smotron.io/v1beta1", "Cluster")).is_some());
        assert!(schemas.of(&object("k0smotron.io/v1alpha1", "Cluster")).is_none());
        assert!(schemas.serve(&object("k0smotron.io/v1alpha1", "Cluster")));
        assert!(!schemas.serve(&object("cluster.x-k8s.io/v1beta2", "Cluster")));
    }

    #[test]
    fn every_rule_is_understood() {
        for (kind, schema) in Schemas::new().unwrap().schemas {
            let errors = schema.rules().compilation_errors();
            assert!(errors.is_empty(), "{kind:?}: {errors:?}");
        }
    }

    #[test]
    fn rules_name_fields_as_the_api_server_does() {
        let schemas = Schemas::new().unwrap();
        let machine = json!({"apiVersion": "infrastructure.cluster.x-k8s.io/v1beta2", "kind": "RemoteMachine", "spec": {}});
        let schema = schemas.of(&machine).unwrap();
        let problems = schemas.check(schema, &schema.defaulted(machine.clone()), None);
        let messages: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            messages,
            ["spec: Invalid value: name a pool to take a host from, or give the address of a host"]
        );
    }

    #[test]
    fn rules_about_changes_need_the_object_as_it_was() {
        let schemas = Schemas::new().unwrap();
        let plane = |version: &str| {
            json!({
                "apiVersion": "controlplane.cluster.x-k8s.io/v1beta2", "kind": "K0sControlPlane", "metadata": {"name": "a"},
                "spec": {"version": version, "k0sConfigSpec": {}, "machineTemplate": {"infrastructureRef":
                    {"apiGroup": "infrastructure.cluster.x-k8s.io", "kind": "RemoteMachineTemplate", "name": "a"}}}
            })
        };
        let schema = schemas.of(&plane("")).unwrap();
        let check = |new: Value, old: Option<Value>| {
            let old = old.map(|old| schema.defaulted(old));
            schemas.check(schema, &schema.defaulted(new), old.as_ref())
        };
        assert_eq!(check(plane("v1.36.1"), None), []);
        assert_eq!(check(plane("v1.36.1"), Some(plane("v1.35.1"))), []);
        let problems = check(plane("v1.36.1"), Some(plane("v1.34.1")));
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].field, "spec.version");
        assert!(
            problems[0].message.starts_with("Invalid value: \"v1.36.1\": "),
            "{problems:?}"
        );
    }
}
