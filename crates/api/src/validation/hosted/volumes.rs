//! What is mounted into the pods of a hosted control plane: manifests, mounts, certificates.

use std::collections::HashSet;

use super::{Field, Report, values};

pub fn check(spec: &Field<'_>, report: &mut Report) {
    check_manifests(&spec.get("manifests"), report);
    check_mounts(&spec.get("mounts"), report);
    check_certificates(&spec.get("certificateRefs"), report);
}

fn check_manifests(manifests: &Field<'_>, report: &mut Report) {
    for manifest in manifests.items() {
        let name = manifest.get("name");
        if let Some(text) = name.text() {
            report.check(&name, values::names::label(text));
        }
        check_source(&manifest, "name", report);
    }
}

fn check_mounts(mounts: &Field<'_>, report: &mut Report) {
    let mut paths = HashSet::new();
    for mount in mounts.items() {
        let path = mount.get("path");
        if let Some(text) = path.text() {
            if !text.starts_with('/') || text.contains(':') {
                report.error(
                    &path,
                    "is not an absolute path; write one such as /etc/kubernetes/extra",
                );
            }
            if !paths.insert(text.trim_end_matches('/')) {
                report.error(&path, "is the path of two mounts; give each one its own");
            }
        }
        check_source(&mount, "path", report);
    }
}

/// A volume has exactly one source, such as configMap or secret.
fn check_source(volume: &Field<'_>, own: &str, report: &mut Report) {
    let sources: Vec<_> = volume
        .value()
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, value)| key.as_str() != own && *key != "readOnly" && !value.is_null())
        .map(|(key, _)| key.as_str())
        .collect();
    match sources.as_slice() {
        [] if volume.value().is_object() => {
            report.error(volume, "has no source; add one such as configMap or secret");
        }
        [_, _, ..] => report.error(
            volume,
            format!("has {} sources ({}); keep one", sources.len(), sources.join(", ")),
        ),
        _ => {}
    }
}

fn check_certificates(certificates: &Field<'_>, report: &mut Report) {
    let mut types = HashSet::new();
    for certificate in certificates.items() {
        values::reference(&certificate.get("name"), report);
        let kind = certificate.get("type");
        if kind.text().is_some_and(|text| !types.insert(text)) {
            report.error(&kind, "is given twice; keep one Secret for each type");
        }
    }
}
