//! The name of a Cluster: those of its pods, Services and volumes are made of it.

use super::{Field, Report, values};

/// Pods of a StatefulSet bear its name with 11 more characters in a label, which has room for 63.
const LONGEST_STATEFUL_SET: usize = 52;

pub fn check(object: &Field<'_>, report: &mut Report) {
    let name = object.get("metadata").get("name");
    let Some(text) = name.text() else { return };
    report.check(&name, values::names::label(text));
    let storage = object.get("spec").get("storage").get("type");
    let longest = match storage.text() {
        None | Some("etcd") => LONGEST_STATEFUL_SET - "kmc--etcd".len(),
        Some(_) => LONGEST_STATEFUL_SET - "kmc-".len(),
    };
    if text.len() > longest {
        report.error(
            &name,
            format!(
                "has {} characters, and names of pods are made of it; use at most {longest}",
                text.len()
            ),
        );
    }
}
