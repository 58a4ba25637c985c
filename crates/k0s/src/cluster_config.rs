//! The k0s ClusterConfig that a controller is started with, and the part of it that can change while it runs.
//!
//! The user's object is the base; what the cluster knows is added where the user said nothing. Fields are not
//! validated: k0s does that, and knows more of them than we do.

use serde_json::{Map, Value, json};

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
    let api = object(spec, "api", "k0s.spec.api")?;

    let mut sans = inputs.extra_sans.clone();
    sans.extend(inputs.tunneling_address.clone());
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
    let storage = spec.get("storage").cloned().unwrap_or_default();
    let kine = storage.get("type") == Some(&json!("kine"));
    let external = storage
        .pointer("/etcd/externalCluster")
        .is_some_and(|cluster| !cluster.is_null());
    if kine || external {
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
