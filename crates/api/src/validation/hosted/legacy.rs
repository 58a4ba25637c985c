//! Settings of the Service that objects stored by the original carry in annotations, and which have fields now.

use serde_json::Value;

use super::super::report::shown;
use super::{Field, Report};

const PREFIX: &str = "k0smotron.io/conversion-dropped-service.";

/// A value in both of its homes must be the same there.
pub fn check(object: &Field<'_>, spec: &Field<'_>, report: &mut Report) {
    let annotations = object.get("metadata").get("annotations");
    for name in [
        "labels",
        "annotations",
        "loadBalancerClass",
        "externalTrafficPolicy",
    ] {
        let annotation = annotations.key(&format!("{PREFIX}{name}"));
        let Some(text) = annotation.text() else { continue };
        let field = spec.get("service").get(name);
        match serde_json::from_str::<Value>(text) {
            Err(_) => report.warn(&annotation, "is not JSON and has no effect; remove it"),
            Ok(value) if field.is_set() && *field.value() != value => report.error(
                &annotation,
                format!(
                    "{} says {}, and a value can have one home only; remove the annotation",
                    field.path(),
                    shown(field.value())
                ),
            ),
            Ok(_) => {}
        }
    }
}
