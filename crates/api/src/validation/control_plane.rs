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
