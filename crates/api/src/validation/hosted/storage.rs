//! Where a hosted control plane keeps its data: etcd, kine or NATS, and the directory of k0s.

use super::{Field, Report, values};
use crate::k0smotron::DEFAULT_VOLUME_SIZE;

/// What the original stores for a data source that is read from a Secret.
const DATA_SOURCE_PLACEHOLDER: &str = "__K0SMOTRON_KINE_DATASOURCE_URL_PLACEHOLDER__";

pub fn check(spec: &Field<'_>, report: &mut Report) {
    let storage = spec.get("storage");
    match kind(&storage) {
        "kine" => check_kine(spec, &storage.get("kine"), report),
        "etcd" => check_etcd(&storage, report),
        _ => warn_of_other(&storage, report),
    }
    check_persistence(&spec.get("persistence"), report);
}

/// etcd, kine or nats: the first where nothing is said.
fn kind<'a>(storage: &Field<'a>) -> &'a str {
    storage.get("type").text().unwrap_or("etcd")
}

fn check_kine(spec: &Field<'_>, kine: &Field<'_>, report: &mut Report) {
    let (url, secret) = (kine.get("dataSourceURL"), kine.get("dataSourceSecretName"));
    values::reference(&secret, report);
    if let (Some(text), true) = (url.text(), secret.text().is_some())
        && text != DATA_SOURCE_PLACEHOLDER
    {
        // The URL may hold a password: it is not shown.
        report.warn(
            &url,
            "has no effect beside dataSourceSecretName; remove one of them",
        );
    }
    let in_config = spec
        .get("k0sConfig")
        .get("spec")
        .get("storage")
        .get("kine")
        .get("dataSource");
    let has_source = [&url, &secret, &in_config]
        .iter()
        .any(|field| field.text().is_some());
    let replicas = spec.get("replicas");
    if !has_source && replicas.integer().is_some_and(|count| count > 1) {
        report.error(
            &replicas,
            "is more than one with kine and no data source, so that every pod would have a database of its own; \
             set storage.kine.dataSourceURL or dataSourceSecretName",
        );
    } else if !has_source {
        report.warn(
            kine,
            "names no data source, so that the data is a file in the pod; set dataSourceURL or dataSourceSecretName",
        );
    }
    warn_of_other(&spec.get("storage"), report);
}

fn check_etcd(storage: &Field<'_>, report: &mut Report) {
    let defrag = storage.get("etcd").get("defragJob");
    let schedule = defrag.get("schedule");
    if let Some(text) = schedule.text() {
        report.check(&schedule, values::cron::check(text));
    }
    warn_of_other(storage, report);
}

/// A data source for a storage that is not in use may be a mistake. Of etcd and NATS nothing is said: their defaults are stored with
/// everything.
fn warn_of_other(storage: &Field<'_>, report: &mut Report) {
    let kind = kind(storage);
    let kine = storage.get("kine");
    let source = ["dataSourceURL", "dataSourceSecretName"].map(|name| kine.get(name).text());
    if kind != "kine" && source.iter().any(Option::is_some) {
        report.warn(&kine, format!("has no effect with storage type {kind}"));
    }
}

fn check_persistence(persistence: &Field<'_>, report: &mut Report) {
    let kind = persistence.get("type");
    let (path, claim) = (
        persistence.get("hostPath"),
        persistence.get("persistentVolumeClaim"),
    );
    match kind.text() {
        None | Some("emptyDir") => {}
        Some("hostPath") => match path.text() {
            None => report.error(
                &path,
                "is missing for type hostPath; write a directory such as /var/lib/k0smotron",
            ),
            Some(text) if !text.starts_with('/') => {
                report.error(
                    &path,
                    "is not an absolute path; write one such as /var/lib/k0smotron",
                );
            }
            Some(_) => {}
        },
        Some("pvc") => {
            if !claim.is_set() {
                report.error(
                    &claim,
                    "is missing for type pvc; give the claim, with spec.accessModes and spec.resources.requests.storage",
                );
            }
        }
        Some(_) => report.error(
            &kind,
            "is not a type of persistence; use emptyDir, hostPath or pvc",
        ),
    }
    if claim.is_set() && kind.text() != Some("pvc") {
        report.warn(&claim, "has no effect without type pvc");
    }
}

pub fn check_update(spec: &Field<'_>, old: &Field<'_>, report: &mut Report) {
    let (storage, before) = (spec.get("storage"), old.get("storage"));
    let (new_kind, old_kind) = (kind(&storage), kind(&before));
    if new_kind != old_kind {
        report.error(
            &storage.get("type"),
            format!("cannot change from {old_kind} to {new_kind}, because the data would be lost; make a new cluster"),
        );
    }
    for storage_kind in ["etcd", "nats"] {
        if storage_kind == new_kind {
            check_size(
                &size(&storage, storage_kind),
                &size(&before, storage_kind),
                report,
            );
        }
    }
    if old.get("persistence").get("type").text() == Some("pvc") && claimed(spec).is_set() {
        check_size(&claimed(spec), &claimed(old), report);
    }
}

/// Size of the volumes of etcd or NATS.
fn size<'a>(storage: &Field<'a>, kind: &str) -> Field<'a> {
    storage.get(kind).get("persistence").get("size")
}

/// Size of the volumes of k0s itself.
fn claimed<'a>(spec: &Field<'a>) -> Field<'a> {
    let claim = spec.get("persistence").get("persistentVolumeClaim");
    claim.get("spec").get("resources").get("requests").get("storage")
}

/// Volumes grow and do not shrink.
fn check_size(size: &Field<'_>, before: &Field<'_>, report: &mut Report) {
    let bytes = |field: &Field<'_>| {
        let number = match field.value() {
            serde_json::Value::Number(number) => number.as_f64(),
            _ => values::quantity::parse(field.text().unwrap_or(DEFAULT_VOLUME_SIZE)),
        }?;
        Some(if number == 0.0 {
            values::quantity::parse(DEFAULT_VOLUME_SIZE)?
        } else {
            number
        })
    };
    if let (Some(new), Some(old)) = (bytes(size), bytes(before))
        && new < old
    {
        report.error(
            size,
            format!(
                "is less than {}, and volumes do not shrink; keep at least that",
                before.text().unwrap_or(DEFAULT_VOLUME_SIZE)
            ),
        );
    }
}
