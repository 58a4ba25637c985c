//! From which version of k0s to which a control plane may go, and with which it may begin.

use k0smotron_k0s::version::Version;

use super::{Field, Report};
use crate::names::annotations;

/// Oldest k0s that a control plane can be created with: earlier ones cannot remove members from etcd in order.
const OLDEST_CREATED: Version = Version::new(1, 31, 6);

/// The version that a field says, with a finding when it is none. `-k0s.` and `+k0s.` are the same.
pub fn check_version(version: &Field<'_>, report: &mut Report) -> Option<Version> {
    let parsed = Version::parse_lenient(version.text()?);
    report.check(version, parsed)
}

/// Says which build a version without one stands for.
pub fn warn_of_suffix(version: &Field<'_>, parsed: &Version, report: &mut Report) {
    if !parsed.has_k0s_suffix() {
        report.warn(
            version,
            format!(
                "{parsed} does not say which k0s build; {} is used",
                parsed.with_default_suffix()
            ),
        );
    }
}

/// An old k0s is taken over and not begun with.
pub fn check_creation(object: &Field<'_>, report: &mut Report) {
    let version = object.get("spec").get("version");
    let Some(parsed) = version.text().and_then(|text| Version::parse_lenient(text).ok()) else {
        return;
    };
    if parsed.with_default_suffix() >= OLDEST_CREATED {
        return;
    }
    let message = format!("k0s before {OLDEST_CREATED} can be taken over and cannot be created");
    if exists_already(object) {
        report.warn(
            &version,
            format!("{message}; upgrade it one minor version at a time"),
        );
    } else {
        report.error(
            &version,
            format!("{message}; use {}", OLDEST_CREATED.with_default_suffix()),
        );
    }
}

/// Whether the control plane is older than this object: `clusterctl move` and restores from backups create objects anew, and their
/// metadata tells. So do objects that a controller makes of one that was accepted.
fn exists_already(object: &Field<'_>) -> bool {
    let metadata = object.get("metadata");
    let made_by_control_plane = metadata
        .get("ownerReferences")
        .items()
        .any(|owner| owner.get("kind").text() == Some("K0smotronControlPlane"));
    let initialized = metadata
        .get("annotations")
        .key(annotations::CLUSTER_INITIALIZED)
        .is_set();
    let has_finalizers = metadata.get("finalizers").items().next().is_some();
    made_by_control_plane || initialized || has_finalizers
}

/// One minor version up at a time, and never below what still runs: so a failed upgrade can be taken back.
pub fn check_update(object: &Field<'_>, old: &Field<'_>, report: &mut Report) {
    let (field, before) = (object.get("spec").get("version"), old.get("spec").get("version"));
    let parsed = |field: &Field<'_>| {
        let version = Version::parse_lenient(field.text()?).ok()?;
        Some(version.with_default_suffix())
    };
    let Some(new) = parsed(&field) else { return };
    let old_version = parsed(&before);
    if new < OLDEST_CREATED {
        report.warn(
            &field,
            format!(
                "k0s before {OLDEST_CREATED} is taken over as it is; upgrade it one minor version at a time"
            ),
        );
    }
    if old_version.as_ref() == Some(&new) {
        return;
    }

    let running = lowest_running(old);
    if let Some(lowest) = running.as_ref().filter(|lowest| new < **lowest) {
        report.error(
            &field,
            format!("{new} is below {lowest}, the lowest version that runs, and k0s cannot go back; use {lowest} or later"),
        );
    }
    // The way up is counted from what runs: a second step must not begin before the first has ended.
    let Some(from) = running.into_iter().chain(old_version).min() else {
        return;
    };
    let ((from_major, from_minor, _), (major, minor, _)) = (from.kubernetes(), new.kubernetes());
    if major != from_major {
        report.error(
            &field,
            format!("{new} is another major version than {from}; use a version of v{from_major}"),
        );
    } else if minor > from_minor.saturating_add(1) {
        report.error(
            &field,
            format!(
                "{new} is {} minor versions above {from}, and upgrades go one minor version at a time; use v{from_major}.{} first",
                minor - from_minor,
                from_minor + 1
            ),
        );
    }
}

/// The lowest version that still runs: by what the status counts, or, where the status has been lost, the one that was asked for.
fn lowest_running(object: &Field<'_>) -> Option<Version> {
    let status = object.get("status");
    let read = |field: Field<'_>| {
        let version = Version::parse_lenient(field.text()?).ok()?;
        Some(version.with_default_suffix())
    };
    let counted = status
        .get("versions")
        .items()
        .filter(|entry| entry.get("replicas").integer() != Some(0))
        .filter_map(|entry| read(entry.get("version")))
        .min();
    counted.or_else(|| read(status.get("version"))).or_else(|| {
        let initialized = status
            .get("initialization")
            .get("controlPlaneInitialized")
            .is_true();
        (initialized || exists_already(object) && !status.is_set())
            .then(|| read(object.get("spec").get("version")))
            .flatten()
    })
}
