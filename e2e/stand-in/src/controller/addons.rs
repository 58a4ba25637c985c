//! What k0s deploys into the cluster itself: CoreDNS, kube-proxy and the konnectivity agents, as stacks below
//! `<data-dir>/manifests`, which the applier then applies. A directory of the same name that a user mounts there takes
//! the place of k0s' own.

use std::{fs, time::Duration};

use anyhow::Result;
use k8s_openapi::api::core::v1::Node;
use kube::{Api, Client, api::ListParams};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::{sync::watch, time::sleep};

use crate::{cli::ControllerFlags, config::Spec, net, paths::Paths, pki};

const CORE_DNS: &str = include_str!("objects/coredns.yaml");
const KUBE_PROXY: &str = include_str!("objects/kube-proxy.yaml");
const KONNECTIVITY_AGENT: &str = include_str!("objects/konnectivity-agent.yaml");

/// How often nodes are counted for the number of CoreDNS replicas.
const PERIOD: Duration = Duration::from_secs(10);

/// Which of them this controller deploys.
#[derive(Clone, Copy, Debug)]
pub struct Addons {
    core_dns: bool,
    kube_proxy: bool,
    konnectivity: bool,
}

impl Addons {
    pub fn new(flags: &ControllerFlags, konnectivity: bool) -> Self {
        Self {
            core_dns: !flags.disables("coredns"),
            kube_proxy: !flags.disables("kube-proxy"),
            konnectivity,
        }
    }

    /// Writes the stacks, and again whenever the cluster-wide configuration or the number of nodes asks for others; for
    /// ever. `node` decides what cannot change while the cluster lives.
    pub async fn run(self, paths: Paths, client: Client, node: Spec, mut wanted: watch::Receiver<Spec>) {
        let nodes: Api<Node> = Api::all(client);
        loop {
            let spec = wanted.borrow_and_update().clone();
            let written = match nodes.list_metadata(&ListParams::default()).await {
                Ok(nodes) => self.write(&paths, &node, &spec, nodes.items.len()),
                Err(error) => Err(error.into()),
            };
            if let Err(error) = written {
                tracing::warn!("failed to write the manifests of k0s' own stacks: {error:#}");
            }
            tokio::select! {
                changed = wanted.changed() => if changed.is_err() { return },
                () = sleep(PERIOD) => {}
            }
        }
    }

    fn write(self, paths: &Paths, node: &Spec, spec: &Spec, nodes: usize) -> Result<()> {
        if self.core_dns {
            write(paths, "coredns/coredns.yaml", &core_dns(node, spec, nodes)?)?;
        }
        if self.kube_proxy && !spec.network.kube_proxy.disabled {
            write(paths, "kubeproxy/kube-proxy.yaml", &kube_proxy(node, spec)?)?;
        } else if self.kube_proxy {
            let _ = fs::remove_dir_all(paths.manifests_dir().join("kubeproxy"));
        }
        if self.konnectivity {
            let text = konnectivity_agent(node, spec);
            write(paths, "konnectivity/konnectivity-agent.yaml", &text)?;
        }
        Ok(())
    }
}

/// Only what differs: every write makes the applier look at the stack.
fn write(paths: &Paths, file: &str, content: &str) -> Result<()> {
    let path = paths.manifests_dir().join(file);
    if fs::read_to_string(&path).is_ok_and(|present| present == content) {
        return Ok(());
    }
    pki::write_atomically(&path, content, 0o644)
}

fn core_dns(node: &Spec, spec: &Spec, nodes: usize) -> Result<String> {
    let replicas = match nodes {
        0 | 1 => 1,
        more => 1 + more.div_ceil(10),
    };
    Ok(CORE_DNS
        .replace("CLUSTER_DOMAIN", &node.network.cluster_domain)
        .replace("CLUSTER_DNS", &node.service_ip(10)?)
        .replace("REPLICAS", &replicas.to_string())
        .replace("PULL_POLICY", spec.images.pull_policy())
        .replace("IMAGE", &spec.images.core_dns()))
}

fn kube_proxy(node: &Spec, spec: &Spec) -> Result<String> {
    let proxy = &spec.network.kube_proxy;
    let kubeconfig = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "local", "cluster": {
            "server": node.api.server_url(),
            "certificate-authority": "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt",
        }}],
        "contexts": [{"name": "default", "context": {"cluster": "local", "user": "user"}}],
        "current-context": "default",
        "users": [{"name": "user", "user": {
            "tokenFile": "/var/run/secrets/kubernetes.io/serviceaccount/token",
        }}],
    });
    let config = json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": "/var/lib/kube-proxy/kubeconfig.conf"},
        "clusterCIDR": spec.network.pod_cidr,
        "conntrack": {"maxPerCore": 0},
        "mode": proxy.mode,
        "metricsBindAddress": proxy.metrics_bind_address,
        "healthzBindAddress": proxy.healthz_bind_address,
    });
    let config_map = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "kube-proxy", "namespace": "kube-system", "labels": {"k8s-app": "kube-proxy"}},
        "data": {"kubeconfig.conf": kubeconfig.to_string(), "config.conf": config.to_string()},
    });
    let config_map = serde_yaml::to_string(&config_map)?;
    let hash: String = Sha256::digest(&config_map)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let mut flags = std::collections::BTreeMap::from([
        ("config", "/var/lib/kube-proxy/config.conf".to_owned()),
        ("hostname-override", "$(NODE_NAME)".to_owned()),
    ]);
    flags.extend(
        proxy
            .extra_args
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone())),
    );
    let arguments: Vec<String> = flags
        .into_iter()
        .map(|(name, value)| format!("--{name}={value}"))
        .chain(proxy.raw_args.iter().cloned())
        .collect();
    let objects = KUBE_PROXY
        .replace("CONFIG_HASH", &hash)
        .replace("ARGUMENTS", &json!(arguments).to_string())
        .replace("PULL_POLICY", spec.images.pull_policy())
        .replace("IMAGE", &spec.images.kube_proxy());
    Ok(format!("{config_map}---\n{objects}"))
}

fn konnectivity_agent(node: &Spec, spec: &Spec) -> String {
    let konnectivity = &spec.konnectivity;
    let default_host = match node.api.external_host() {
        "" => node.api.address.as_str(),
        host => host,
    };
    let (host, port) = match konnectivity.external_address.as_str() {
        "" => (default_host, konnectivity.agent_port),
        given => net::split_host_port(given, konnectivity.agent_port),
    };
    KONNECTIVITY_AGENT
        .replace("SERVER_HOST", host)
        .replace("SERVER_PORT", &port.to_string())
        .replace("PULL_POLICY", spec.images.pull_policy())
        .replace("IMAGE", &spec.images.konnectivity_agent())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize as _;
    use serde_json::Value;

    use super::*;
    use crate::config::NodeConfig;

    fn objects(text: &str) -> Vec<Value> {
        serde_yaml::Deserializer::from_str(text)
            .map(|document| Value::deserialize(document).unwrap())
            .collect()
    }

    fn of_kind<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
        objects.iter().find(|object| object["kind"] == kind).unwrap()
    }

    #[test]
    fn stacks_say_what_the_configuration_says() {
        let spec = NodeConfig::parse(
            "spec: {api: {address: 10.0.0.5, externalAddress: lb.example}, images: {default_pull_policy: Never}, \
             konnectivity: {agentPort: 30132}, network: {serviceCIDR: 10.128.0.0/16}}",
        )
        .unwrap()
        .spec;
        let dns = objects(&core_dns(&spec, &spec, 3).unwrap());
        assert_eq!(of_kind(&dns, "Service")["spec"]["clusterIP"], "10.128.0.10");
        let deployment = of_kind(&dns, "Deployment");
        assert_eq!(deployment["spec"]["replicas"], 2);
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["image"], "quay.io/k0sproject/coredns:1.14.6-k0s.0");
        assert_eq!(container["imagePullPolicy"], "Never");

        let proxy = objects(&kube_proxy(&spec, &spec).unwrap());
        let kubeconfig = of_kind(&proxy, "ConfigMap")["data"]["kubeconfig.conf"]
            .as_str()
            .unwrap();
        assert!(kubeconfig.contains("https://lb.example:6443"), "{kubeconfig}");
        assert_eq!(of_kind(&proxy, "DaemonSet")["metadata"]["name"], "kube-proxy");

        let agent = konnectivity_agent(&spec, &spec);
        assert!(agent.contains("--proxy-server-host=lb.example"), "{agent}");
        assert!(agent.contains("--proxy-server-port=30132"), "{agent}");
        assert_eq!(objects(&agent).len(), 3);
    }
}
