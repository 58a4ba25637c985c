//! How the API of a hosted control plane is reached: address, Service, Ingress.

use k0smotron_k0s::version::Version;

use super::{Field, Report, values};

/// Where API servers hand out node ports unless told otherwise.
const NODE_PORTS: std::ops::RangeInclusive<i64> = 30000..=32767;

pub fn check(spec: &Field<'_>, version: Option<&Version>, report: &mut Report) {
    values::address(&spec.get("externalAddress"), report);
    check_service(&spec.get("service"), report);
    let ingress = spec.get("ingress");
    if ingress.is_set() {
        check_ingress(&ingress, report);
        check_ingress_version(&spec.get("version"), version, report);
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

fn check_ingress(ingress: &Field<'_>, report: &mut Report) {
    let (api, konnectivity) = (ingress.get("apiHost"), ingress.get("konnectivityHost"));
    for host in [&api, &konnectivity] {
        match host.text() {
            None => report.error(
                host,
                "is missing; write a DNS name that leads to the ingress controller",
            ),
            Some(text) if text.parse::<std::net::IpAddr>().is_ok() => {
                report.error(
                    host,
                    "is an IP address, and an Ingress tells hosts apart by name; write a DNS name",
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
            "is also the apiHost, and the Ingress tells the two apart by name; use another DNS name",
        );
    }
    values::port(&ingress.get("port"), report);
    let annotations = ingress.get("annotations");
    values::metadata(ingress, report);
    let deployed = ingress.get("deploy").value() != false;
    if deployed && annotations.keys().next().is_none() {
        report.warn(
            &annotations,
            "most ingress controllers need an annotation to pass TLS through to the API server; add the one of yours",
        );
    }
}

fn check_ingress_version(field: &Field<'_>, version: Option<&Version>, report: &mut Report) {
    // What is there and does not parse has its finding already.
    match version {
        None if field.text().is_none() => {
            report.error(
                field,
                "is missing, and spec.ingress needs to know it; write one such as v1.36.3+k0s.2",
            );
        }
        Some(version) if version.kubernetes() == (1, 34, 0) => {
            report.error(
                field,
                "cannot be reached through an Ingress; use v1.34.1 or later",
            );
        }
        _ => {}
    }
}
