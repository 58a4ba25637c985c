//! What machines are set up with: shared by K0sControlPlane, K0sControllerConfig and K0sWorkerConfig.
//!
//! Arguments, commands and contents of files are the user's own: cloud-init expands jinja in them on the host, and nothing is said of
//! them here beyond warnings.

use std::collections::HashMap;

use super::{Field, Report, values};

/// Group and version of k0s' own configuration.
const CONFIG_API_VERSION: &str = "k0s.k0sproject.io/v1beta1";

/// Rules for controllers.
pub fn check(config: &Field<'_>, report: &mut Report) {
    check_host(config, report);
    check_cluster_config(&config.get("k0s"), report);
    check_tunneling(&config.get("tunneling"), report);
}

/// Rules for every machine.
pub fn check_host(config: &Field<'_>, report: &mut Report) {
    check_provisioner(&config.get("provisioner"), report);
    check_files(&config.get("files"), report);
    values::metadata(&config.get("secretMetadata"), report);
}

fn check_provisioner(provisioner: &Field<'_>, report: &mut Report) {
    let ignition = provisioner.get("ignition");
    let kind = provisioner.get("type");
    let windows = provisioner.get("platform").text() == Some("windows");
    match kind.text() {
        Some("ignition") if windows => report.error(
            &kind,
            "is for Linux only; use cloud-config, powershell or powershell-xml on Windows",
        ),
        Some("ignition") if !ignition.is_set() => report.error(
            &ignition,
            "is missing for type ignition; set variant and version, such as flatcar and 1.1.0",
        ),
        Some("ignition") => {}
        other => {
            if ignition.is_set() {
                report.warn(
                    &ignition,
                    format!(
                        "has no effect with type {}; set type to ignition",
                        other.unwrap_or("cloud-config")
                    ),
                );
            }
            if !windows && other.is_some_and(|other| other.starts_with("powershell")) {
                report.warn(&kind, "makes a script for Windows; set platform to windows");
            }
        }
    }
    check_source(&provisioner.get("customUserDataRef"), report);
}

fn check_files(files: &Field<'_>, report: &mut Report) {
    let mut paths: HashMap<String, String> = HashMap::new();
    for file in files.items() {
        check_source(&file.get("contentFrom"), report);
        let path = file.get("path");
        let Some(text) = path.text() else { continue };
        // A path may begin with jinja, and on Windows with a drive.
        let absolute =
            text.starts_with('/') || text.contains("{{") || text.contains(":\\") || text.contains(":/");
        if !absolute {
            report.warn(&path, format!("{text:?} is not an absolute path"));
        }
        let same = paths.insert(simplified(text), path.path().to_owned());
        if let Some(other) = same {
            report.warn(
                &path,
                format!("{text:?} is the same file as {other}; the last one wins"),
            );
        }
    }
}

/// A path without `//`, `/./` and a trailing slash.
fn simplified(path: &str) -> String {
    let parts: Vec<_> = path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    parts.join("/")
}

fn check_source(source: &Field<'_>, report: &mut Report) {
    for reference in [source.get("secretRef"), source.get("configMapRef")] {
        values::reference(&reference.get("name"), report);
        values::data_key(&reference.get("key"), report);
    }
}

fn check_tunneling(tunneling: &Field<'_>, report: &mut Report) {
    values::address(&tunneling.get("serverAddress"), report);
    let (server, tunneled) = (
        tunneling.get("serverNodePort"),
        tunneling.get("tunnelingNodePort"),
    );
    if let (Some(port), Some(other)) = (server.integer(), tunneled.integer())
        && port == other
    {
        report.error(
            &tunneled,
            "is also the port of serverNodePort; use different node ports, such as 31700 and 31443",
        );
    }
}

/// Rules about k0s' own ClusterConfig: what can only be a mistake. Everything else is for k0s to judge.
pub fn check_cluster_config(config: &Field<'_>, report: &mut Report) {
    let (api_version, kind) = (config.get("apiVersion"), config.get("kind"));
    if api_version.text().is_some_and(|text| text != CONFIG_API_VERSION) {
        report.error(
            &api_version,
            format!("is not that of k0s' configuration; use {CONFIG_API_VERSION}"),
        );
    }
    if kind.text().is_some_and(|text| text != "ClusterConfig") {
        report.error(&kind, "is not that of k0s' configuration; use ClusterConfig");
    }
    let spec = config.get("spec");
    values::port(&spec.get("api").get("port"), report);
    values::port(&spec.get("api").get("k0sApiPort"), report);
    values::address(&spec.get("api").get("externalAddress"), report);
    for name in ["podCIDR", "serviceCIDR"] {
        let networks = spec.get("network").get(name);
        // Two of them, separated by a comma, are how Cluster API's networks arrive here.
        for text in networks.text().into_iter().flat_map(|text| text.split(',')) {
            report.check(&networks, values::network(text.trim()));
        }
    }
}
