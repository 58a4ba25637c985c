//! What taking over does to one object, told from itself. Pure.

use k0smotron_api::{
    conversion::{self, Version},
    unsupported, validation,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use serde_json::Value;

use super::{Effect, World, machines};
use crate::schema::Schemas;

/// What taking over does to one object, as a cluster serves it. What its machines are made from is looked up in `world`.
#[must_use]
pub fn of_object(object: &Value, schemas: &Schemas, world: &World) -> Vec<Effect> {
    let mut effects = Vec::new();
    if let Some(schema) = schemas.of(object) {
        let unknown = schema.unknown(object);
        effects.extend(unknown.into_iter().map(|problem| {
            Effect::Change(format!(
                "{} is not known to this version, and goes when the object is written",
                problem.field
            ))
        }));
        let defaulted = schema.defaulted(object.clone());
        let problems = schemas.check(schema, &defaulted, None);
        // The API server spares what it has stored already, as our rules do.
        let kept = |problem| {
            Effect::Note(format!(
                "{problem} (kept while nobody changes it: it was there before)"
            ))
        };
        effects.extend(problems.into_iter().map(kept));
        effects.extend(added(object, &defaulted));
    }
    effects.extend(owners(object));
    let current = match conversion::convert(object.clone(), Version::V1Beta2) {
        Ok(current) => current,
        Err(error) => {
            effects.push(Effect::Refuse(format!("it cannot be converted: {error}")));
            return effects;
        }
    };
    match unsupported::of(&current) {
        Ok(fields) => effects.extend(unsupported::message(&fields).map(Effect::Hold)),
        Err(error) => effects.push(Effect::Refuse(format!("the controllers cannot read it: {error}"))),
    }
    effects.extend(machines::of_object(&current, world));
    if current.pointer("/metadata/deletionTimestamp").is_some() {
        effects.push(Effect::Note(
            "it is being deleted; the new manager goes on with that".to_owned(),
        ));
    }
    // Rules spare what is stored already; what they would refuse of a new object are warnings here.
    effects.extend(
        validation::validate(&current, Some(&current))
            .warnings
            .into_iter()
            .map(Effect::Note),
    );
    effects
}

/// Fields that are not stored and that everybody reads from now on, with the default that this version gives them.
fn added(object: &Value, defaulted: &Value) -> Option<Effect> {
    let mut fields = Vec::new();
    additions(object, defaulted, "", &mut fields);
    (!fields.is_empty()).then(|| Effect::Rewrite(format!("gets defaults: {}", fields.join(", "))))
}

fn additions(before: &Value, after: &Value, path: &str, fields: &mut Vec<String>) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            for (key, value) in after {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                match before.get(key) {
                    Some(before) => additions(before, value, &path, fields),
                    None => fields.push(format!("{path}: {value}")),
                }
            }
        }
        (Value::Array(before), Value::Array(after)) => {
            for (index, (before, after)) in before.iter().zip(after).enumerate() {
                additions(before, after, &format!("{path}[{index}]"), fields);
            }
        }
        _ => {}
    }
}

/// Entries of `metadata.managedFields` that are moved to the stored version.
fn owners(object: &Value) -> Option<Effect> {
    let entries = object.pointer("/metadata/managedFields")?;
    let entries: Vec<ManagedFieldsEntry> = serde_json::from_value(entries.clone()).ok()?;
    let of_old = |entry: &&ManagedFieldsEntry| {
        let version = entry.api_version.as_deref().unwrap_or_default();
        version.ends_with(&format!("/{}", Version::V1Beta1.as_str()))
    };
    let mut old: Vec<_> = entries
        .iter()
        .filter(of_old)
        .map(|entry| entry.manager.as_deref().unwrap_or("nobody"))
        .collect();
    old.sort_unstable();
    old.dedup();
    (!old.is_empty()).then(|| {
        Effect::Rewrite(format!(
            "what {} own is noted at {}, and moved to {}; owners and fields stay",
            old.join(" and "),
            Version::V1Beta1.as_str(),
            Version::V1Beta2.as_str()
        ))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use serde_json::json;

    use super::*;

    /// Rules take long to compile.
    static SCHEMAS: LazyLock<Schemas> = LazyLock::new(|| Schemas::new().unwrap());

    fn effects(object: &Value) -> Vec<String> {
        let effects = of_object(object, &SCHEMAS, &World::default());
        effects.iter().map(ToString::to_string).collect()
    }

    /// As it is read: with what this version's defaults are.
    fn plane(spec: Value) -> Value {
        let mut plane = json!({
            "apiVersion": "controlplane.cluster.x-k8s.io/v1beta2", "kind": "K0sControlPlane",
            "metadata": {"name": "a", "namespace": "b", "uid": "c", "resourceVersion": "1"},
            "spec": {"version": "v1.36.3+k0s.2", "replicas": 1, "k0sConfigSpec": {}, "machineTemplate": {"infrastructureRef":
                {"apiGroup": "infrastructure.cluster.x-k8s.io", "kind": "RemoteMachineTemplate", "name": "a"}}},
        });
        let fields = plane["spec"].as_object_mut().unwrap();
        fields.extend(spec.as_object().unwrap().clone());
        SCHEMAS.of(&plane).unwrap().defaulted(plane)
    }

    #[test]
    fn what_is_fine_has_no_effect() {
        assert_eq!(effects(&plane(json!({}))), [""; 0]);
    }

    #[test]
    fn each_effect_is_named() {
        let table = [
            (
                plane(json!({"k0sConfigSpec": {"tunneling": {"enabled": true}}})),
                "hold: ",
                "spec.k0sConfigSpec.tunneling.enabled",
            ),
            (
                plane(json!({"invented": 1})),
                "change: ",
                "spec.invented is not known",
            ),
            (
                plane(json!({"replicas": 0})),
                "note: ",
                "spec.replicas: Invalid value: 0",
            ),
            (
                plane(json!({"version": 1})),
                "refuse: ",
                "the controllers cannot read it",
            ),
        ];
        for (object, verb, why) in table {
            let effects = effects(&object);
            let named = |effect: &String| effect.starts_with(verb) && effect.contains(why);
            assert!(effects.iter().any(named), "{verb}{why}: {effects:?}");
        }
        let mut going = plane(json!({}));
        going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert!(effects(&going)[0].starts_with("note: it is being deleted"));
    }

    #[test]
    fn what_is_written_anew_is_named() {
        let mut bare = plane(json!({}));
        bare["spec"].as_object_mut().unwrap().remove("updateStrategy");
        assert_eq!(
            effects(&bare),
            ["rewrite: gets defaults: spec.updateStrategy: \"InPlace\""]
        );
        let mut owned = plane(json!({}));
        let entry = |manager: &str, version: &str| json!({"manager": manager, "operation": "Apply", "apiVersion": format!("controlplane.cluster.x-k8s.io/{version}")});
        owned["metadata"]["managedFields"] = json!([entry("kubectl", "v1beta1"), entry("gitops", "v1beta2")]);
        assert_eq!(
            effects(&owned),
            ["rewrite: what kubectl own is noted at v1beta1, and moved to v1beta2; owners and fields stay"]
        );
    }
}
