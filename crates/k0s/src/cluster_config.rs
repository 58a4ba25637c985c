//! The k0s ClusterConfig that a controller is started with, and the part of it that can change while it runs.
//!
//! The user's object is the base; what the cluster knows is added where the user said nothing. Fields are not
//! validated: k0s does that, and knows more of them than we do.

use serde_json::{Map, Value, json};

use crate::storage::{Storage, storage};

const API_VERSION: &str = "k0s.k0sproject.io/v1beta1";
const KIND: &str = "ClusterConfig";
/// Name and namespace of the one ClusterConfig of a workload cluster.
pub const NAME: &str = "k0s";
pub const NAMESPACE: &str = "kube-system";

/// What the cluster knows and a controller's configuration must agree with.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// Host of the control plane endpoint, brackets around IPv6 allowed. Empty when there is none yet.
    pub endpoint_host: String,
    /// The Cluster's pod CIDRs: one, or one of each family.
    pub pod_cidrs: Vec<String>,
    /// The Cluster's service CIDRs: one, or one of each family.
    pub service_cidrs: Vec<String>,
    /// The Cluster's service domain; empty for k0s' default.
    pub service_domain: String,
    /// Address by which nodes reach the tunnel in front of the API server.
    pub tunneling_address: Option<String>,
    /// The Machine's name, given where k0s takes it
    /// ([`names_etcd_members`](crate::version::Version::names_etcd_members)): EtcdMembers are found by it.
    pub etcd_member_name: Option<String>,
    /// Further names and addresses that the API server's certificate shall cover.
    pub extra_sans: Vec<String>,
}

/// Why the user's object cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("{0} is not an object; write it as `k0s config create` does")]
    NotAnObject(&'static str),
    #[error("k0s.kind is {0:?}; it must be ClusterConfig, or left out")]
    Kind(String),
    #[error("k0s.apiVersion is {0:?}; it must be {API_VERSION}, or left out")]
    ApiVersion(String),
    #[error("k0s.spec.api.sans is not a list of texts; write one name or address per item")]
    Sans,
}

/// The configuration for one controller: the user's `k0s` object (or nothing) completed by what the cluster knows.
///
/// Values that the user set stay, with one exception: the etcd member name, without which the member could not be
/// found again. An `externalAddress` of the user stays too, and the endpoint becomes one more SAN then.
pub fn effective(user: Option<&Value>, inputs: &Inputs) -> Result<Value, ConfigError> {
    let mut config = match user {
        Some(Value::Object(config)) => config.clone(),
        None | Some(Value::Null) => Map::new(),
        Some(_) => return Err(ConfigError::NotAnObject("k0s")),
    };
    identify(&mut config)?;
    let spec = object(&mut config, "spec", "k0s.spec")?;
    complete_api(spec, inputs)?;
    complete_network(spec, inputs)?;
    name_etcd_member(spec, inputs)?;
    Ok(Value::Object(config))
}

/// What of a configuration is pushed live to `kube-system/k0s` of the workload cluster, as a merge patch: all but the
/// storage and the control plane load balancing, which each host takes from its own file when it starts.
pub fn dynamic(config: &Value) -> Value {
    let mut spec = config.get("spec").cloned().unwrap_or_else(|| json!({}));
    if let Some(spec) = spec.as_object_mut() {
        spec.remove("storage");
        if let Some(network) = spec.get_mut("network").and_then(Value::as_object_mut) {
            network.remove("controlPlaneLoadBalancing");
        }
    }
    json!({
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": { "name": NAME, "namespace": NAMESPACE },
        "spec": spec,
    })
}

/// The k0s join API's port, `spec.api.k0sApiPort`; 9443 by default.
pub fn join_port(config: Option<&Value>) -> u16 {
    let port = config
        .and_then(|config| config.pointer("/spec/api/k0sApiPort"))
        .and_then(Value::as_u64);
    port.and_then(|port| u16::try_from(port).ok())
        .filter(|port| *port > 0)
        .unwrap_or(9443)
}

fn identify(config: &mut Map<String, Value>) -> Result<(), ConfigError> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match config.get("kind").filter(|kind| !is_unset(kind)) {
        Some(kind) if kind != KIND => return Err(ConfigError::Kind(text(kind))),
        _ => config.insert("kind".to_owned(), json!(KIND)),
    };
    match config.get("apiVersion").filter(|version| !is_unset(version)) {
        Some(version) if version != API_VERSION => return Err(ConfigError::ApiVersion(text(version))),
        _ => config.insert("apiVersion".to_owned(), json!(API_VERSION)),
    };
    object(config, "metadata", "k0s.metadata")?.insert("name".to_owned(), json!(NAME));
    Ok(())
}

fn complete_api(spec: &mut Map<String, Value>, inputs: &Inputs) -> Result<(), ConfigError> {
    let node_local = spec
        .get("network")
        .and_then(|network| network.pointer("/nodeLocalLoadBalancing/enabled"))
        == Some(&Value::Bool(true));
    let host = inputs.endpoint_host.trim_start_matches('[').trim_end_matches(']');
    let mut sans = inputs.extra_sans.clone();
    sans.extend(inputs.tunneling_address.clone());
    if host.is_empty() && sans.is_empty() {
        return Ok(());
    }
    let api = object(spec, "api", "k0s.spec.api")?;
    if !host.is_empty() {
        // k0s refuses node-local load balancing together with an external address.
        if !node_local {
            fill(api, "externalAddress", json!(host));
        }
        if api.get("externalAddress") != Some(&json!(host)) {
            sans.push(host.to_owned());
        }
    }
    sans.retain(|san| !san.is_empty());
    if sans.is_empty() {
        return Ok(());
    }
    let mut all = match api.get("sans") {
        Some(Value::Array(existing)) => {
            let texts = existing
                .iter()
                .map(|san| san.as_str().map(str::to_owned).ok_or(ConfigError::Sans));
            texts.collect::<Result<Vec<_>, _>>()?
        }
        None | Some(Value::Null) => Vec::new(),
        Some(_) => return Err(ConfigError::Sans),
    };
    all.extend(sans);
    all.sort();
    all.dedup();
    api.insert("sans".to_owned(), json!(all));
    Ok(())
}

fn complete_network(spec: &mut Map<String, Value>, inputs: &Inputs) -> Result<(), ConfigError> {
    let Inputs {
        pod_cidrs,
        service_cidrs,
        service_domain,
        ..
    } = inputs;
    if pod_cidrs.is_empty() && service_cidrs.is_empty() && service_domain.is_empty() {
        return Ok(());
    }
    let network = object(spec, "network", "k0s.spec.network")?;
    let users_own = ["podCIDR", "serviceCIDR", "dualStack"]
        .iter()
        .any(|key| !is_unset_in(network, key));

    let (pods, more_pods) = families(pod_cidrs);
    let (services, more_services) = families(service_cidrs);
    if let Some(pods) = pods {
        fill(network, "podCIDR", json!(pods));
    }
    if let Some(services) = services {
        fill(network, "serviceCIDR", json!(services));
    }
    // k0s takes one CIDR per field, and the IPv6 ones of a dual-stack cluster in a place of their own.
    if let (Some(pods), Some(services), false) = (more_pods, more_services, users_own) {
        let dual = json!({ "enabled": true, "IPv6podCIDR": pods, "IPv6serviceCIDR": services });
        network.insert("dualStack".to_owned(), dual);
    }
    if !service_domain.is_empty() {
        fill(network, "clusterDomain", json!(service_domain));
    }
    Ok(())
}

/// The CIDR for the main field (IPv4 if there is one), and the IPv6 one beside an IPv4 one.
fn families(cidrs: &[String]) -> (Option<&String>, Option<&String>) {
    let ipv4 = cidrs.iter().find(|cidr| !cidr.contains(':'));
    let ipv6 = cidrs.iter().find(|cidr| cidr.contains(':'));
    match ipv4 {
        Some(_) => (ipv4, ipv6),
        None => (ipv6, None),
    }
}

fn name_etcd_member(spec: &mut Map<String, Value>, inputs: &Inputs) -> Result<(), ConfigError> {
    let Some(name) = &inputs.etcd_member_name else {
        return Ok(());
    };
    if storage(spec.get("storage")) != Storage::Etcd {
        return Ok(());
    }
    let storage = object(spec, "storage", "k0s.spec.storage")?;
    let etcd = object(storage, "etcd", "k0s.spec.storage.etcd")?;
    let extra_args = object(etcd, "extraArgs", "k0s.spec.storage.etcd.extraArgs")?;
    extra_args.insert("name".to_owned(), json!(name));
    Ok(())
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
    child.as_object_mut().ok_or(ConfigError::NotAnObject(path))
}

fn fill(parent: &mut Map<String, Value>, key: &str, value: Value) {
    if is_unset_in(parent, key) {
        parent.insert(key.to_owned(), value);
    }
}

fn is_unset_in(parent: &Map<String, Value>, key: &str) -> bool {
    parent.get(key).is_none_or(is_unset)
}

fn is_unset(value: &Value) -> bool {
    value.is_null() || value == ""
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The `k0s` object as a user writes it.
    fn user(yaml: &str) -> Value {
        serde_yaml::from_str(yaml).unwrap()
    }

    fn inputs() -> Inputs {
        Inputs {
            endpoint_host: "10.88.0.10".into(),
            pod_cidrs: vec!["10.1.0.0/16".into()],
            service_cidrs: vec!["10.2.0.0/16".into()],
            service_domain: "demo.local".into(),
            etcd_member_name: Some("m1".into()),
            ..Inputs::default()
        }
    }

    fn yaml(value: &Value) -> String {
        serde_yaml::to_string(value).unwrap()
    }

    #[test]
    fn without_a_user_object_the_least_that_works() {
        insta::assert_snapshot!(yaml(&effective(None, &inputs()).unwrap()));
        assert_eq!(
            effective(Some(&Value::Null), &inputs()),
            effective(None, &inputs())
        );
        assert_eq!(
            effective(None, &Inputs::default()).unwrap(),
            json!({ "apiVersion": API_VERSION, "kind": KIND, "metadata": { "name": "k0s" }, "spec": {} })
        );
    }

    #[test]
    fn the_users_values_stay() {
        let user = user(
            "
metadata: {labels: {team: a}}
spec:
  api:
    externalAddress: api.example.com:443
    extraArgs: {anonymous-auth: 'true'}
    sans: [b.example.com, a.example.com]
  network:
    provider: calico
    podCIDR: 192.168.0.0/16
    serviceCIDR: ''
    clusterDomain: users.local
  storage:
    etcd:
      peerAddress: 10.0.0.1
      extraArgs: {quota-backend-bytes: '8589934592'}
  telemetry: {enabled: false}
",
        );
        let inputs = Inputs {
            tunneling_address: Some("tunnel.example.com".into()),
            ..inputs()
        };
        insta::assert_snapshot!(yaml(&effective(Some(&user), &inputs).unwrap()));
    }

    #[test]
    fn is_stable_when_applied_twice() {
        let once = effective(None, &inputs()).unwrap();
        assert_eq!(effective(Some(&once), &inputs()).unwrap(), once);
    }

    #[test]
    fn node_local_load_balancing_takes_the_endpoint_as_san() {
        let user = user("spec: {network: {nodeLocalLoadBalancing: {enabled: true}}}");
        let config = effective(Some(&user), &inputs()).unwrap();
        assert_eq!(
            config.pointer("/spec/api"),
            Some(&json!({ "sans": ["10.88.0.10"] }))
        );
    }

    #[test]
    fn two_families_make_a_dual_stack_cluster() {
        let dual = Inputs {
            endpoint_host: "[fd00::1]".into(),
            pod_cidrs: vec!["fd01::/108".into(), "10.1.0.0/16".into()],
            service_cidrs: vec!["10.2.0.0/16".into(), "fd02::/108".into()],
            ..Inputs::default()
        };
        let config = effective(None, &dual).unwrap();
        assert_eq!(
            config.pointer("/spec/network"),
            Some(&json!({
                "podCIDR": "10.1.0.0/16",
                "serviceCIDR": "10.2.0.0/16",
                "dualStack": { "enabled": true, "IPv6podCIDR": "fd01::/108", "IPv6serviceCIDR": "fd02::/108" },
            }))
        );
        assert_eq!(
            config.pointer("/spec/api/externalAddress"),
            Some(&json!("fd00::1"))
        );

        let own = user("spec: {network: {dualStack: {enabled: false}}}");
        let config = effective(Some(&own), &dual).unwrap();
        assert_eq!(
            config.pointer("/spec/network/dualStack"),
            Some(&json!({ "enabled": false }))
        );

        let single = Inputs {
            pod_cidrs: vec!["fd01::/64".into()],
            ..Inputs::default()
        };
        let config = effective(None, &single).unwrap();
        assert_eq!(
            config.pointer("/spec/network"),
            Some(&json!({ "podCIDR": "fd01::/64" }))
        );
    }

    #[test]
    fn names_only_members_of_k0s_own_etcd() {
        let name = |yaml: &str| {
            let config = effective(Some(&user(yaml)), &inputs()).unwrap();
            config.pointer("/spec/storage/etcd/extraArgs/name").cloned()
        };
        assert_eq!(name("spec: {storage: {type: etcd}}"), Some(json!("m1")));
        assert_eq!(
            name("spec: {storage: {etcd: {extraArgs: {name: other}}}}"),
            Some(json!("m1"))
        );
        assert_eq!(
            name("spec: {storage: {type: kine, kine: {dataSource: 'mysql://x'}}}"),
            None
        );
        assert_eq!(
            name("spec: {storage: {etcd: {externalCluster: {endpoints: [a]}}}}"),
            None
        );
    }

    #[test]
    fn refuses_what_is_no_cluster_config() {
        for (yaml, expected) in [
            ("[]", "k0s is not an object"),
            ("kind: Deployment", "k0s.kind is \"Deployment\""),
            ("apiVersion: v1", "k0s.apiVersion is \"v1\""),
            ("spec: 1", "k0s.spec is not an object"),
            ("spec: {api: []}", "k0s.spec.api is not an object"),
            (
                "spec: {api: {externalAddress: x, sans: y}}",
                "k0s.spec.api.sans is not a list",
            ),
            (
                "spec: {storage: {etcd: {extraArgs: []}}}",
                "k0s.spec.storage.etcd.extraArgs is not an object",
            ),
        ] {
            let error = effective(Some(&user(yaml)), &inputs()).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn what_hosts_take_from_their_own_file_is_not_pushed() {
        let config = user(
            "
metadata: {name: other, labels: {a: b}}
spec:
  api: {sans: [a]}
  storage: {type: etcd}
  network: {provider: calico, controlPlaneLoadBalancing: {enabled: true}}
",
        );
        assert_eq!(
            dynamic(&config),
            json!({
                "apiVersion": API_VERSION,
                "kind": KIND,
                "metadata": { "name": "k0s", "namespace": "kube-system" },
                "spec": { "api": { "sans": ["a"] }, "network": { "provider": "calico" } },
            })
        );
        assert_eq!(dynamic(&json!({})).pointer("/spec"), Some(&json!({})));
    }

    #[test]
    fn knows_the_join_port() {
        assert_eq!(join_port(None), 9443);
        assert_eq!(join_port(Some(&user("spec: {api: {k0sApiPort: 9999}}"))), 9999);
        assert_eq!(join_port(Some(&user("spec: {api: {k0sApiPort: 0}}"))), 9443);
        assert_eq!(join_port(Some(&user("spec: {api: {k0sApiPort: 99999}}"))), 9443);
    }
}
