//! How the API of a hosted control plane is reached: address, Service, Ingress.

use k0smotron_k0s::version::Version;

use super::{Field, Report, values};

/// Where API servers hand out node ports unless told otherwise.
const NODE_PORTS: std::ops::RangeInclusive<i64> = 30000..=32767;

pub fn check(spec: &Field<'_>, version: Option<&Version>, report: &mut Report) {
    values::address(&spec.get("externalAddress"), report);
    check_service(&spec.get("service"), report);
    let (ingress, gateway) = (spec.get("ingress"), spec.get("gateway"));
    for exposure in [&ingress, &gateway] {
        if exposure.is_set() {
            check_hosts(exposure, report);
            check_exposed_version(&spec.get("version"), version, report);
        }
    }
    let deployed = ingress.is_set() && ingress.get("deploy").value() != false;
    let annotations = ingress.get("annotations");
    if deployed && annotations.keys().next().is_none() {
        report.warn(
            &annotations,
            "most ingress controllers need an annotation to pass TLS through to the API server; add the one of yours",
        );
    }
    for parent in gateway.get("parentRefs").items() {
        values::reference(&parent.get("name"), report);
        values::namespace(&parent.get("namespace"), report);
    }
}

fn check_service(service: &Field<'_>, report: &mut Report) {
    let (api, konnectivity) = (service.get("apiPort"), service.get("konnectivityPort"));
    for port in [&api, &konnectivity] {
        values::port(port, report);
        if service.get("type").text() == Some("NodePort")
            && port
                .integer()
                .is_some_and(|port| (1..=65535).contains(&port) && !NODE_PORTS.contains(&port))
        {
            report.warn(
                port,
                "is outside the usual range of node ports, 30000 to 32767; the API server must be set up for it",
            );
        }
    }
    if let (Some(port), Some(other)) = (api.integer(), konnectivity.integer())
        && port == other
        && port != 0
    {
        report.error(
            &konnectivity,
            "is also the port of apiPort; use different ports, such as 30443 and 30132",
        );
    }
    values::metadata(service, report);
}

/// The host names that an Ingress or a Gateway gives to the API server and to konnectivity.
fn check_hosts(exposure: &Field<'_>, report: &mut Report) {
    let (api, konnectivity) = (exposure.get("apiHost"), exposure.get("konnectivityHost"));
    for host in [&api, &konnectivity] {
        match host.text() {
            None => report.error(
                host,
                "is missing; write a DNS name that leads to the control plane",
            ),
            Some(text) if text.parse::<std::net::IpAddr>().is_ok() => {
                report.error(
                    host,
                    "is an IP address, and hosts are told apart by their names; write a DNS name",
                );
            }
            Some(text) => {
                report.check(host, values::host(text));
            }
        }
    }
    if api.text().is_some() && api.text() == konnectivity.text() {
        report.error(
            &konnectivity,
            "is also the apiHost, and the two are told apart by their names; use another DNS name",
        );
    }
    values::port(&exposure.get("port"), report);
    values::metadata(exposure, report);
}

fn check_exposed_version(field: &Field<'_>, version: Option<&Version>, report: &mut Report) {
    // What is there and does not parse has its finding already.
    match version {
        None if field.text().is_none() => {
            report.error(
                field,
                "is missing, and how the API is reached depends on it; write one such as v1.36.3+k0s.2",
            );
        }
        Some(version) if version.kubernetes() == (1, 34, 0) => {
            report.error(
                field,
                "cannot be reached through an Ingress or a Gateway; use v1.34.1+k0s.0 or later",
            );
        }
        _ => {}
    }
}
