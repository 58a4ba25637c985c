//! JoinTokenRequest.

use super::{Field, Report, values};

pub fn check(spec: &Field<'_>, report: &mut Report) {
    values::reference(&spec.get("clusterName"), report);
    let expiry = spec.get("expiry");
    if let Some(text) = expiry.text() {
        report.check(&expiry, values::duration::parse(text));
    }
}

/// The name becomes the value of a label.
pub fn check_name(object: &Field<'_>, report: &mut Report) {
    let name = object.get("metadata").get("name");
    if name.text().is_some_and(|text| text.len() > 63) {
        report.error(
            &name,
            "is too long for the value of a label; use at most 63 characters",
        );
    }
}

/// The tokens that were made are those of one cluster.
pub fn check_update(object: &Field<'_>, old: &Field<'_>, report: &mut Report) {
    if old.get("status").get("tokenID").text().is_none() {
        return;
    }
    let name = "clusterName";
    let (field, before) = (object.get("spec").get(name), old.get("spec").get(name));
    if field.value() != before.value() {
        report.error(
            &field,
            "cannot change once a token was made; make a new JoinTokenRequest",
        );
    }
}
