//! The address under which a cluster finds its own API server: what k0s writes into the Endpoints `default/kubernetes`.

use std::net::{IpAddr, SocketAddr};

use serde_json::Value;

use crate::arguments;

/// k0s' component that writes the Endpoints, as `--disable-components` names it.
const COMPONENT: &str = "endpoint-reconciler";
/// The API server's port, `spec.api.port` of the configuration, when it is not set.
const PORT: u16 = 6443;

/// The address that controllers with this ClusterConfig and these arguments write. None where they write none and
/// leave it to the API server, and none for an external address that is a name: from here it may lead elsewhere.
///
/// Source: k0s v1.36, `cmd/controller/controller.go` and `pkg/component/controller/apiendpointreconciler.go`.
pub fn written(config: &Value, args: &[String]) -> Option<SocketAddr> {
    let balanced = config.pointer("/spec/network/controlPlaneLoadBalancing/enabled");
    if balanced == Some(&Value::Bool(true)) || arguments::disables_component(args, COMPONENT) {
        return None;
    }
    let external = config.pointer("/spec/api/externalAddress")?.as_str()?;
    if let Ok(address) = external.parse::<SocketAddr>() {
        return Some(address);
    }
    let port = config.pointer("/spec/api/port").and_then(Value::as_u64);
    let port = port.and_then(|port| u16::try_from(port).ok());
    let ip = external.parse::<IpAddr>().ok()?;
    Some(SocketAddr::new(ip, port.filter(|port| *port > 0).unwrap_or(PORT)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(spec: &str, args: &[&str]) -> Option<String> {
        let config = serde_yaml::from_str::<Value>(&format!("spec: {{{spec}}}")).unwrap();
        let args: Vec<_> = args.iter().map(|arg| (*arg).to_owned()).collect();
        written(&config, &args).map(|address| address.to_string())
    }

    #[test]
    fn an_external_address_is_written_with_its_port_or_that_of_the_api() {
        let found = |spec| of(spec, &["--disable-components=coredns,helm"]).unwrap_or_default();
        assert_eq!(found("api: {externalAddress: 10.0.0.1}"), "10.0.0.1:6443");
        assert_eq!(
            found("api: {externalAddress: 10.0.0.1, port: 443}"),
            "10.0.0.1:443"
        );
        assert_eq!(
            found("api: {externalAddress: '10.0.0.1:8443', port: 443}"),
            "10.0.0.1:8443"
        );
        assert_eq!(found("api: {externalAddress: 'fd00::1'}"), "[fd00::1]:6443");
        assert_eq!(
            found("api: {externalAddress: '[fd00::1]:8443'}"),
            "[fd00::1]:8443"
        );
    }

    #[test]
    fn nothing_is_written_where_the_api_server_does_it_or_a_name_has_to_be_looked_up() {
        assert_eq!(of("", &[]), None);
        assert_eq!(of("api: {sans: [10.0.0.1]}", &[]), None);
        assert_eq!(of("api: {externalAddress: ''}", &[]), None);
        assert_eq!(of("api: {externalAddress: api.example.org}", &[]), None);
        const EXTERNAL: &str = "api: {externalAddress: 10.0.0.1}";
        let balanced = format!("{EXTERNAL}, network: {{controlPlaneLoadBalancing: {{enabled: true}}}}");
        assert_eq!(of(&balanced, &[]), None);
        for args in [
            &["--disable-components=endpoint-reconciler"][..],
            &["--disable-components", "helm,endpoint-reconciler"],
            &[
                "--disable-components=endpoint-reconciler",
                "--disable-components=helm",
            ],
        ] {
            assert_eq!(of(EXTERNAL, args), None, "{args:?}");
        }
    }
}
