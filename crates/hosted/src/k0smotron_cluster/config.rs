//! The k0s configuration of a control plane in pods: the user's, and over it what hosting needs. Pure.

use std::collections::BTreeSet;

use k0smotron_k0s::live_config;
use serde_json::{Map, Value, json};

/// Where a pod finds the client certificate for etcd.
#[derive(Clone, Copy, Debug)]
pub struct EtcdFiles {
    pub ca: &'static str,
    pub certificate: &'static str,
    pub key: &'static str,
}

/// In pods of this release: files that follow their Secret, so that a renewed certificate is used without a restart.
pub const FILES: EtcdFiles = EtcdFiles {
    ca: "/etc/k0smotron/etcd/ca.crt",
    certificate: "/etc/k0smotron/etcd/client.crt",
    key: "/etc/k0smotron/etcd/client.key",
};

/// In pods of earlier releases, which take them there when they start.
pub const EARLIER_FILES: EtcdFiles = EtcdFiles {
    ca: "/var/lib/k0s/pki/etcd-ca.crt",
    certificate: "/var/lib/k0s/pki/apiserver-etcd-client.crt",
    key: "/var/lib/k0s/pki/apiserver-etcd-client.key",
};

/// What hosting needs.
#[derive(Clone, Debug)]
pub struct Hosting {
    pub cluster: String,
    pub api_port: i64,
    pub konnectivity_port: i64,
    /// Address by which the API server is reached from outside.
    pub external_address: Option<String>,
    /// Further names and addresses of the API server's certificate.
    pub sans: BTreeSet<String>,
    /// Service of etcd.
    pub etcd_service: String,
    /// kube-apiserver knows `--shutdown-watch-termination-grace-period`.
    pub drains_watches: bool,
}

/// A part of the user's configuration is not what it has to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("spec.k0sConfig: {0} is not an object; write it as `k0s config create` does")]
pub struct ConfigError(&'static str);

/// The configuration that controllers are started with.
///
/// # Errors
/// The user's is no object where it has to be one.
pub fn effective(user: Option<&Value>, hosting: &Hosting, files: EtcdFiles) -> Result<Value, ConfigError> {
    let mut config = match user {
        Some(Value::Object(config)) => config.clone(),
        None | Some(Value::Null) => Map::new(),
        Some(_) => return Err(ConfigError("it")),
    };
    config.insert("apiVersion".to_owned(), json!("k0s.k0sproject.io/v1beta1"));
    config.insert("kind".to_owned(), json!("ClusterConfig"));
    let metadata = object(&mut config, "metadata", "metadata")?;
    metadata.insert("name".to_owned(), json!("k0s"));
    let spec = object(&mut config, "spec", "spec")?;
    let node_local = spec
        .get("network")
        .and_then(|network| network.pointer("/nodeLocalLoadBalancing/enabled"))
        == Some(&Value::Bool(true));

    let api = object(spec, "api", "spec.api")?;
    api.insert("port".to_owned(), json!(hosting.api_port));
    let users = api.get("sans").and_then(Value::as_array).into_iter().flatten();
    let mut sans: BTreeSet<_> = users.filter_map(Value::as_str).map(str::to_owned).collect();
    sans.extend(hosting.sans.iter().cloned());
    if let Some(address) = &hosting.external_address {
        sans.insert(address.clone());
        // k0s refuses node-local load balancing together with an external address.
        if !node_local {
            api.insert("externalAddress".to_owned(), json!(address));
        }
    }
    api.insert("sans".to_owned(), json!(sans));
    if hosting.drains_watches {
        // Else an API server that ends waits 18 s for clients that watch, and k0s with it.
        let arguments = object(api, "extraArgs", "spec.api.extraArgs")?;
        arguments
            .entry("shutdown-watch-termination-grace-period")
            .or_insert_with(|| json!("2s"));
    }

    let konnectivity = object(spec, "konnectivity", "spec.konnectivity")?;
    konnectivity.insert("agentPort".to_owned(), json!(hosting.konnectivity_port));

    let storage = object(spec, "storage", "spec.storage")?;
    storage.insert("type".to_owned(), json!("etcd"));
    let etcd = object(storage, "etcd", "spec.storage.etcd")?;
    let external = object(etcd, "externalCluster", "spec.storage.etcd.externalCluster")?;
    for (key, value) in [
        (
            "endpoints",
            json!([format!("https://{}:2379", hosting.etcd_service)]),
        ),
        ("etcdPrefix", json!(hosting.cluster)),
        ("caFile", json!(files.ca)),
        ("clientCertFile", json!(files.certificate)),
        ("clientKeyFile", json!(files.key)),
    ] {
        external.insert(key.to_owned(), value);
    }
    Ok(Value::Object(config))
}

/// The part that pods must be started anew for; the rest is brought into the running cluster.
#[must_use]
pub fn node_local(config: &Value) -> Value {
    live_config::node_local(config)
        .map(|(path, value)| (path.to_owned(), value.clone()))
        .collect::<Map<_, _>>()
        .into()
}

/// The object under `key`, made when it is missing or null.
fn object<'a>(
    parent: &'a mut Map<String, Value>,
    key: &str,
    path: &'static str,
) -> Result<&'a mut Map<String, Value>, ConfigError> {
    let child = parent.entry(key).or_insert(Value::Null);
    if child.is_null() {
        *child = Value::Object(Map::new());
    }
    child.as_object_mut().ok_or(ConfigError(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosting() -> Hosting {
        Hosting {
            cluster: "basic".to_owned(),
            api_port: 30443,
            konnectivity_port: 30132,
            external_address: Some("10.0.0.1".to_owned()),
            sans: BTreeSet::from(["kmc-basic-nodeport.ns.svc".to_owned()]),
            etcd_service: "kmc-basic-etcd-client".to_owned(),
            drains_watches: true,
        }
    }

    fn of(user: &str, hosting: &Hosting) -> Value {
        effective(Some(&serde_yaml::from_str(user).unwrap()), hosting, FILES).unwrap()
    }

    #[test]
    fn without_a_users_configuration_the_least_that_works() {
        let config = effective(None, &hosting(), FILES).unwrap();
        insta::assert_snapshot!(serde_yaml::to_string(&config).unwrap());
    }

    #[test]
    fn what_hosting_needs_goes_over_what_the_user_wrote() {
        let config = of(
            "
metadata: {labels: {team: a}}
spec:
  api: {sans: [b.example.com], extraArgs: {shutdown-watch-termination-grace-period: 9s, v: '1'}, port: 6443}
  network: {provider: calico}
  storage: {type: kine, etcd: {extraArgs: {a: b}}}
",
            &hosting(),
        );
        insta::assert_snapshot!(serde_yaml::to_string(&config).unwrap());
        assert_eq!(of(&serde_yaml::to_string(&config).unwrap(), &hosting()), config);
    }

    #[test]
    fn node_local_load_balancing_has_the_address_as_a_name_only() {
        let config = of(
            "spec: {network: {nodeLocalLoadBalancing: {enabled: true}}}",
            &hosting(),
        );
        assert_eq!(config.pointer("/spec/api/externalAddress"), None);
        let inside = Hosting {
            external_address: None,
            ..hosting()
        };
        let users = of("spec: {api: {externalAddress: api.example.com}}", &inside);
        assert_eq!(
            users.pointer("/spec/api/externalAddress"),
            Some(&json!("api.example.com"))
        );
    }

    #[test]
    fn pods_start_anew_for_their_own_part_only() {
        let local = |user: &str| node_local(&of(user, &hosting()));
        assert_eq!(local("spec: {network: {provider: calico}}"), local("{}"));
        assert_ne!(local("spec: {api: {sans: [a]}}"), local("{}"));
        assert_ne!(local("spec: {network: {serviceCIDR: 10.0.0.0/16}}"), local("{}"));
    }
}
