//! K0sControllerConfig, K0sWorkerConfig and their templates.

use super::{Field, Report, k0s_config, upgrade};

pub fn check_controller(spec: &Field<'_>, report: &mut Report) {
    upgrade::check_version(&spec.get("version"), report);
    k0s_config::check(spec, report);
}

pub fn check_worker(spec: &Field<'_>, report: &mut Report) {
    upgrade::check_version(&spec.get("version"), report);
    k0s_config::check_host(spec, report);
}
