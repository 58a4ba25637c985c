//! K0sControlPlane and its template.

use super::{Field, Report, k0s_config, upgrade, values};

pub fn check(spec: &Field<'_>, report: &mut Report) {
    let version = spec.get("version");
    if let Some(parsed) = upgrade::check_version(&version, report) {
        upgrade::warn_of_suffix(&version, &parsed, report);
    }

    let config = spec.get("k0sConfigSpec");
    k0s_config::check(&config, report);
    check_replicas(&spec.get("replicas"), &config, report);

    let template = spec.get("machineTemplate");
    values::metadata(&template.get("metadata"), report);
    for reference in [
        template.get("infrastructureRef"),
        template.get("spec").get("infrastructureRef"),
    ] {
        values::reference(&reference.get("name"), report);
    }
    values::metadata(&spec.get("kubeconfigSecretMetadata"), report);
    check_naming(&spec.get("machineNaming").get("template"), report);
}

/// What a template of names may contain. The schema asks for `.random`.
const PLACEHOLDERS: [&str; 3] = [".cluster.name", ".controlPlane.name", ".random"];

fn check_naming(template: &Field<'_>, report: &mut Report) {
    let Some(text) = template.text() else { return };
    let mut name = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (placeholder, after) = after.split_once("}}").unwrap_or((after, ""));
        if !PLACEHOLDERS.contains(&placeholder.trim()) {
            report.error(
                template,
                format!(
                    "has the placeholder {:?}; use {}",
                    placeholder.trim(),
                    PLACEHOLDERS.join(", ")
                ),
            );
            return;
        }
        name.push_str(before);
        name.push('x');
        rest = after;
    }
    name.push_str(rest);
    report.check(template, values::names::object(&name));
}

fn check_replicas(replicas: &Field<'_>, config: &Field<'_>, report: &mut Report) {
    let Some(count) = replicas.integer() else { return };
    let single = config
        .get("args")
        .items()
        .any(|arg| matches!(arg.text(), Some("--single" | "--single=true")));
    if single && count > 1 {
        report.warn(
            replicas,
            format!("{count} controllers cannot work with argument --single; remove the argument"),
        );
    } else if count > 1 && count % 2 == 0 {
        report.warn(
            replicas,
            format!(
                "{count} controllers tolerate no more failures than {}; use an odd number",
                count - 1
            ),
        );
    }
}
