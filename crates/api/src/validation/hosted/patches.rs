//! Patches of what a hosted control plane is made of.

use super::{Field, Report, values};

/// What can be patched: kind and component.
const TARGETS: [(&str, &str); 12] = [
    ("ConfigMap", "cluster-config"),
    ("ConfigMap", "control-plane"),
    ("ConfigMap", "entrypoint"),
    ("ConfigMap", "ingress"),
    ("ConfigMap", "monitoring"),
    ("ConfigMap", "telemetry"),
    ("CronJob", "etcd"),
    ("Ingress", "ingress"),
    ("Service", "control-plane"),
    ("Service", "etcd"),
    ("StatefulSet", "control-plane"),
    ("StatefulSet", "etcd"),
];

pub fn check(patches: &Field<'_>, report: &mut Report) {
    for entry in patches.items() {
        check_target(&entry.get("target"), report);
        let patch = entry.get("patch");
        let (kind, content) = (patch.get("type"), patch.get("content"));
        let Some(text) = content.text() else { continue };
        let Some(parsed) = report.check(&content, values::yaml::parse(text)) else {
            continue;
        };
        match kind.text() {
            Some("json") => {
                let operations = serde_json::from_value::<json_patch::Patch>(parsed)
                    .map_err(|error| format!("is not a JSON patch ({error}); write a list such as [{{\"op\": \"add\", \"path\": \"/metadata/labels/a\", \"value\": \"b\"}}]"));
                report.check(&content, operations);
            }
            Some("strategic" | "merge") if !parsed.is_object() => {
                report.error(
                    &content,
                    "is not an object; write the part of the object that is to change, such as {\"spec\": {…}}",
                );
            }
            Some("strategic" | "merge") => {}
            // An absent type is refused by the schema.
            None => {}
            Some(_) => report.error(&kind, "is not a type of patch; use json, strategic or merge"),
        }
    }
}

fn check_target(target: &Field<'_>, report: &mut Report) {
    let kind = target.get("kind").text().unwrap_or_default();
    let component = target.get("component").text().unwrap_or_default();
    if !TARGETS.contains(&(kind, component)) {
        let known: Vec<_> = TARGETS
            .iter()
            .map(|(kind, component)| format!("{kind}/{component}"))
            .collect();
        report.warn(
            target,
            format!(
                "there is no {kind}/{component} to patch; there are {}",
                known.join(", ")
            ),
        );
    }
}
