//! kube-apiserver with k0s' flags.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Result;
use kube::Client;

use super::konnectivity;
use crate::{
    config::NodeConfig,
    paths::{CIPHER_SUITES, Paths},
    supervisor::{Program, Supervised},
};

/// k0s gives the API server this long to stop, unless told otherwise.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
/// So much of it does not count for draining watches.
const STOP_RESERVE: Duration = Duration::from_secs(2);

/// What the command line and the network decide for the API server.
pub struct Settings {
    /// It publishes its address as the `kubernetes` endpoint itself.
    pub own_endpoints: bool,
    /// It reaches nodes through konnectivity, not by itself.
    pub konnectivity: bool,
    pub stop_timeout: Duration,
}

impl Settings {
    pub fn new(own_endpoints: bool, konnectivity: bool, stop_timeout: Option<Duration>) -> Self {
        Self {
            own_endpoints,
            konnectivity,
            stop_timeout: stop_timeout.unwrap_or(STOP_TIMEOUT),
        }
    }
}

/// Starts the API server.
pub async fn start(paths: &Paths, node: &NodeConfig, settings: &Settings) -> Result<Supervised> {
    let mut program = Program::find(paths, "kube-apiserver", arguments(paths, node, settings))?;
    program.stop_timeout = settings.stop_timeout;
    Supervised::start(paths, program).await
}

/// Waits until `/readyz` answers 200.
pub async fn wait_ready(client: &Client) -> Result<()> {
    super::wait_until("kube-apiserver", async || {
        let request = http::Request::get("/readyz").body(Vec::new())?;
        tokio::time::timeout(Duration::from_secs(2), client.request_text(request)).await??;
        Ok(())
    })
    .await
}

fn arguments(paths: &Paths, node: &NodeConfig, settings: &Settings) -> Vec<String> {
    let api = &node.spec.api;
    let file = |name: &str| paths.pki(name).display().to_string();
    let mut flags = BTreeMap::from([
        ("advertise-address", api.address.clone()),
        ("secure-port", api.port.to_string()),
        ("authorization-mode", "Node,RBAC".to_owned()),
        ("client-ca-file", file("ca.crt")),
        ("enable-bootstrap-token-auth", "true".to_owned()),
        ("kubelet-client-certificate", file("apiserver-kubelet-client.crt")),
        ("kubelet-client-key", file("apiserver-kubelet-client.key")),
        ("kubelet-certificate-authority", file("ca.crt")),
        (
            "kubelet-preferred-address-types",
            "InternalIP,ExternalIP,Hostname".to_owned(),
        ),
        ("proxy-client-cert-file", file("front-proxy-client.crt")),
        ("proxy-client-key-file", file("front-proxy-client.key")),
        ("requestheader-allowed-names", "front-proxy-client".to_owned()),
        ("requestheader-client-ca-file", file("front-proxy-ca.crt")),
        ("requestheader-extra-headers-prefix", "X-Remote-Extra-".to_owned()),
        ("requestheader-group-headers", "X-Remote-Group".to_owned()),
        ("requestheader-username-headers", "X-Remote-User".to_owned()),
        ("service-account-key-file", file("sa.pub")),
        ("service-account-signing-key-file", file("sa.key")),
        (
            "service-account-issuer",
            "https://kubernetes.default.svc".to_owned(),
        ),
        (
            "service-account-jwks-uri",
            "https://kubernetes.default.svc/openid/v1/jwks".to_owned(),
        ),
        ("api-audiences", "https://kubernetes.default.svc".to_owned()),
        ("service-cluster-ip-range", node.spec.network.service_cidr.clone()),
        ("tls-min-version", "VersionTLS12".to_owned()),
        ("tls-cipher-suites", CIPHER_SUITES.join(",")),
        ("tls-cert-file", file("server.crt")),
        ("tls-private-key-file", file("server.key")),
        ("enable-admission-plugins", "NodeRestriction".to_owned()),
        ("allow-privileged", "true".to_owned()),
        ("anonymous-auth", "false".to_owned()),
        ("profiling", "false".to_owned()),
        ("v", "1".to_owned()),
    ]);
    if settings.konnectivity {
        let audiences = format!("https://kubernetes.default.svc,{}", konnectivity::AUDIENCE);
        flags.insert("api-audiences", audiences);
        let config = paths.egress_config().display().to_string();
        flags.insert("egress-selector-config-file", config);
    }
    if let Some(external) = node.spec.storage.external_etcd() {
        flags.insert("etcd-servers", external.endpoints.join(","));
        flags.insert("etcd-prefix", external.etcd_prefix.clone());
        if external.has_tls() {
            flags.extend([
                ("etcd-cafile", external.ca_file.clone()),
                ("etcd-certfile", external.client_cert_file.clone()),
                ("etcd-keyfile", external.client_key_file.clone()),
            ]);
        }
    } else if node.spec.storage.is_kine() {
        flags.insert("etcd-servers", format!("unix:{}", paths.kine_socket().display()));
    } else {
        flags.extend([
            ("etcd-servers", "https://127.0.0.1:2379".to_owned()),
            ("etcd-cafile", file("etcd/ca.crt")),
            ("etcd-certfile", file("apiserver-etcd-client.crt")),
            ("etcd-keyfile", file("apiserver-etcd-client.key")),
        ]);
    }
    let grace = settings.stop_timeout.saturating_sub(STOP_RESERVE);
    if !grace.is_zero() {
        let grace = match grace.subsec_millis() {
            0 => format!("{}s", grace.as_secs()),
            _ => format!("{}ms", grace.as_millis()),
        };
        flags.insert("shutdown-watch-termination-grace-period", grace);
    }
    if api.only_bind_to_address {
        flags.insert("bind-address", api.address.clone());
    }
    if !settings.own_endpoints {
        flags.insert("endpoint-reconciler-type", "none".to_owned());
    }
    let gates = node.spec.feature_gates_of("kube-apiserver");
    if !gates.is_empty() {
        flags.insert("feature-gates", gates);
    }
    flags.extend(
        api.extra_args
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone())),
    );
    let mut arguments: Vec<String> = flags
        .into_iter()
        .map(|(name, value)| format!("--{name}={value}"))
        .collect();
    arguments.extend(api.raw_args.iter().cloned());
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_arguments_win() {
        let node = NodeConfig::parse(
            "spec: {api: {address: 10.0.0.5, port: 7443, extraArgs: {anonymous-auth: 'true'}, rawArgs: [--x]}}",
        )
        .unwrap();
        let paths = Paths::new(None, None, None, None).unwrap();
        let settings = Settings::new(false, true, None);
        let arguments = arguments(&paths, &node, &settings);
        for expected in [
            "--anonymous-auth=true",
            "--secure-port=7443",
            "--endpoint-reconciler-type=none",
            "--x",
            "--etcd-servers=https://127.0.0.1:2379",
            "--shutdown-watch-termination-grace-period=18s",
            "--egress-selector-config-file=/var/lib/k0s/konnectivity.conf",
            "--api-audiences=https://kubernetes.default.svc,system:konnectivity-server",
        ] {
            assert!(
                arguments.contains(&expected.to_owned()),
                "{expected} in {arguments:?}"
            );
        }
    }

    #[test]
    fn an_etcd_elsewhere_is_reached_with_its_own_files_and_prefix() {
        let node = NodeConfig::parse(
            "spec: {api: {address: 10.0.0.5}, storage: {etcd: {externalCluster: {endpoints: ['https://a:2379', \
             'https://b:2379'], etcdPrefix: demo, caFile: /ca, clientCertFile: /crt, clientKeyFile: /key}}}}",
        )
        .unwrap();
        let paths = Paths::new(None, None, None, None).unwrap();
        let arguments = arguments(&paths, &node, &Settings::new(true, false, None));
        for expected in [
            "--etcd-servers=https://a:2379,https://b:2379",
            "--etcd-prefix=demo",
            "--etcd-cafile=/ca",
            "--etcd-certfile=/crt",
            "--etcd-keyfile=/key",
        ] {
            assert!(
                arguments.contains(&expected.to_owned()),
                "{expected} in {arguments:?}"
            );
        }
    }

    #[test]
    fn kine_is_reached_through_its_socket() {
        let node = NodeConfig::parse("spec: {api: {address: 10.0.0.5}, storage: {type: kine}}").unwrap();
        let paths = Paths::new(None, None, None, None).unwrap();
        let arguments = arguments(
            &paths,
            &node,
            &Settings::new(true, false, Some(Duration::from_secs(1))),
        );
        assert!(arguments.contains(&"--etcd-servers=unix:/run/k0s/kine/kine.sock:2379".to_owned()));
        for absent in ["--etcd-cafile", "--shutdown-watch", "--endpoint-reconciler-type"] {
            assert!(
                !arguments.iter().any(|argument| argument.starts_with(absent)),
                "{absent}"
            );
        }
    }
}
