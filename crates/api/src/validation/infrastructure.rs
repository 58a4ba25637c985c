//! RemoteCluster, RemoteMachine, PooledRemoteMachine and their templates.

use std::collections::HashSet;

use super::{Field, Report, values};
use crate::names::annotations;

pub fn check_cluster(spec: &Field<'_>, report: &mut Report) {
    values::address(&spec.get("controlPlaneEndpoint").get("host"), report);
}

pub fn check_machine(spec: &Field<'_>, report: &mut Report) {
    let (pool, address) = (spec.get("pool"), spec.get("address"));
    if let (Some(pool), true) = (pool.text(), address.text().is_some()) {
        report.warn(
            &address,
            format!("the host is taken from pool {pool:?}, and this address is not used; remove one of them"),
        );
    }
    values::selector(&spec.get("poolSelector"), report);
    check_access(spec, report);
}

pub fn check_pooled_machine(spec: &Field<'_>, report: &mut Report) {
    check_access(&spec.get("machine"), report);
}

/// The way to a host, and what is brought there.
fn check_access(access: &Field<'_>, report: &mut Report) {
    values::address(&access.get("address"), report);
    check_key(&access.get("sshKeyRef"), report);
    for host in access.get("jumpHosts").items() {
        values::address(&host.get("address"), report);
        check_key(&host.get("sshKeyRef"), report);
    }
    let password = access.get("elevation").get("passwordRef");
    values::reference(&password.get("name"), report);
    values::data_key(&password.get("key"), report);

    let mut paths = HashSet::new();
    for upload in access.get("uploads").items() {
        let path = upload.get("path");
        if path.text().is_some_and(|text| !paths.insert(text)) {
            report.error(&path, "is the path of two uploads; give each one its own");
        }
    }
}

fn check_key(reference: &Field<'_>, report: &mut Report) {
    values::reference(&reference.get("name"), report);
    values::data_key(&reference.get("certificateKey"), report);
    values::data_key(&reference.get("passphraseKey"), report);
}

/// A machine keeps its host until it is deleted.
pub fn check_machine_update(object: &Field<'_>, old: &Field<'_>, report: &mut Report) {
    let has_host = old.get("spec").get("providerID").text().is_some()
        || old
            .get("metadata")
            .get("annotations")
            .key(annotations::POOLED_MACHINE)
            .is_set();
    for name in ["pool", "poolSelector"] {
        let (field, before) = (object.get("spec").get(name), old.get("spec").get(name));
        let empty = |field: &Field<'_>| !field.is_set() || field.value() == "";
        if has_host && field.value() != before.value() && !(empty(&field) && empty(&before)) {
            report.error(
                &field,
                "cannot change while the machine has a host; delete the machine and make a new one",
            );
        }
    }
}

/// Changes to a host reach the machine that has it only with its next reservation.
pub fn check_pooled_machine_update(object: &Field<'_>, old: &Field<'_>, report: &mut Report) {
    let holder = old
        .get("metadata")
        .get("annotations")
        .key(annotations::RESERVED_BY);
    let (address, before) = (
        object.get("spec").get("machine").get("address"),
        old.get("spec").get("machine").get("address"),
    );
    if let (Some(holder), true) = (holder.text(), address.text() != before.text()) {
        report.warn(
            &address,
            format!("RemoteMachine {holder:?} has this host and keeps its provider ID with the old address"),
        );
    }
}
