//! RemoteCluster, RemoteMachine, PooledRemoteMachine and their templates.

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
    check_access(spec, report);
}

pub fn check_pooled_machine(spec: &Field<'_>, report: &mut Report) {
    check_access(&spec.get("machine"), report);
}

fn check_access(access: &Field<'_>, report: &mut Report) {
    values::address(&access.get("address"), report);
    values::reference(&access.get("sshKeyRef").get("name"), report);
}

/// A machine keeps its host until it is deleted.
pub fn check_machine_update(object: &Field<'_>, old: &Field<'_>, report: &mut Report) {
    let has_host = old.get("spec").get("providerID").text().is_some()
        || old
            .get("metadata")
            .get("annotations")
            .key(annotations::POOLED_MACHINE)
            .is_set();
    let (pool, before) = (object.get("spec").get("pool"), old.get("spec").get("pool"));
    if has_host && pool.text() != before.text() {
        report.error(
            &pool,
            "cannot change while the machine has a host; delete the machine and make a new one",
        );
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
