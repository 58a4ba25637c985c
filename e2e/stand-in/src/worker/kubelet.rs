//! kubelet with the profile's configuration and k0s' flags.

use std::{collections::BTreeMap, fs, net::IpAddr};

use anyhow::{Context as _, Result, bail};
use kube::config::Kubeconfig;
use serde_json::{Map, Value, json};

use super::{bootstrap::cluster_of, profile::Profile};
use crate::{
    cli::WorkerFlags,
    paths::Paths,
    pki,
    supervisor::{Program, Supervised},
};

/// Starts kubelet. With `local_server` it uses the API server of this host instead of the cluster's endpoint.
pub async fn start(
    paths: &Paths,
    flags: &WorkerFlags,
    node: &str,
    profile: &Profile,
    local_server: Option<&str>,
) -> Result<Supervised> {
    let mut kubeconfig = paths.kubelet_kubeconfig();
    let text = fs::read_to_string(&kubeconfig)?;
    let (_, ca) = cluster_of(&text)?;
    if let Some(server) = local_server {
        kubeconfig = paths.run_dir.join("kubelet-direct.conf");
        pki::write_atomically(&kubeconfig, &with_server(&text, server)?, 0o640)?;
    }
    let directory = paths.run_dir.join("kubelet");
    let ca_file = directory.join("ca.crt");
    pki::write_atomically(&ca_file, &ca, 0o644)?;
    fs::create_dir_all(&paths.kubelet_root_dir)?;

    let mut config = profile.kubelet()?;
    complete(&mut config, paths, &ca_file.display().to_string(), &flags.taints)?;
    let config_file = directory.join("config.yaml");
    pki::write_atomically(&config_file, &serde_yaml::to_string(&config)?, 0o600)?;

    let mut arguments = BTreeMap::from([
        (
            "--root-dir".to_owned(),
            paths.kubelet_root_dir.display().to_string(),
        ),
        ("--config".to_owned(), config_file.display().to_string()),
        ("--kubeconfig".to_owned(), kubeconfig.display().to_string()),
        ("--v".to_owned(), "1".to_owned()),
        (
            "--cert-dir".to_owned(),
            paths.kubelet_root_dir.join("pki").display().to_string(),
        ),
        (
            "--runtime-cgroups".to_owned(),
            "/system.slice/containerd.service".to_owned(),
        ),
        (
            "--containerd".to_owned(),
            paths.containerd_socket().display().to_string(),
        ),
    ]);
    if !flags.labels.is_empty() {
        arguments.insert("--node-labels".to_owned(), labels(&flags.labels)?);
    }
    if flags.enable_cloud_provider == Some(true) {
        arguments.insert("--cloud-provider".to_owned(), "external".to_owned());
    }
    arguments.extend(flags.kubelet_flags());
    arguments.insert("--hostname-override".to_owned(), node.to_owned());
    let arguments = arguments
        .into_iter()
        .map(|(name, value)| {
            if value.is_empty() {
                name
            } else {
                format!("{name}={value}")
            }
        })
        .collect();
    Supervised::start(paths, Program::find(paths, "kubelet", arguments)?).await
}

/// Adds what only the host knows to the profile's configuration.
fn complete(config: &mut Map<String, Value>, paths: &Paths, ca_file: &str, taints: &[String]) -> Result<()> {
    let mut authentication = config.remove("authentication").unwrap_or_else(|| json!({}));
    if let Some(authentication) = authentication.as_object_mut() {
        authentication.insert("x509".to_owned(), json!({"clientCAFile": ca_file}));
    }
    config.insert("authentication".to_owned(), authentication);
    config.insert(
        "containerRuntimeEndpoint".to_owned(),
        json!(format!("unix://{}", paths.containerd_socket().display())),
    );
    if !config.contains_key("resolvConf") {
        config.insert(
            "resolvConf".to_owned(),
            json!(resolver_file(fs::read_to_string("/etc/resolv.conf").ok())),
        );
    }
    if !taints.is_empty() {
        let taints = taints
            .iter()
            .map(|taint| parse_taint(taint))
            .collect::<Result<Vec<_>>>()?;
        config.insert("registerWithTaints".to_owned(), Value::Array(taints));
    }
    Ok(())
}

/// The resolver file for pods: not the one whose only server is systemd-resolved on the host's loopback.
fn resolver_file(resolv_conf: Option<String>) -> &'static str {
    let resolv_conf = resolv_conf.unwrap_or_default();
    let mut servers = resolv_conf.lines().filter_map(|line| {
        line.strip_prefix("nameserver")?
            .split_whitespace()
            .next()?
            .parse::<IpAddr>()
            .ok()
    });
    let resolved = IpAddr::from([127, 0, 0, 53]);
    match (servers.next(), servers.next()) {
        (Some(only), None) if only == resolved => "/run/systemd/resolve/resolv.conf",
        _ => "/etc/resolv.conf",
    }
}

/// `key=value` pairs, the last of equal keys, sorted, as one flag value.
fn labels(given: &[String]) -> Result<String> {
    let mut all = BTreeMap::new();
    for label in given {
        let Some((key, value)) = label.split_once('=') else {
            bail!("malformed label {label:?}")
        };
        all.insert(key.trim(), value.trim());
    }
    Ok(all
        .into_iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect::<Vec<_>>()
        .join(","))
}

/// `key[=value]:effect`, or a key alone.
fn parse_taint(text: &str) -> Result<Value> {
    let Some((key, effect)) = text.split_once(':') else {
        return Ok(json!({"key": text}));
    };
    if !["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&effect) {
        bail!("invalid taint effect: {effect}, unsupported taint effect");
    }
    let (key, value) = key.split_once('=').unwrap_or((key, ""));
    let mut taint = json!({"key": key, "effect": effect});
    if let Some(taint) = taint.as_object_mut().filter(|_| !value.is_empty()) {
        taint.insert("value".to_owned(), json!(value));
    }
    Ok(taint)
}

fn with_server(kubeconfig: &str, server: &str) -> Result<String> {
    let mut parsed = Kubeconfig::from_yaml(kubeconfig)?;
    for cluster in &mut parsed.clusters {
        if let Some(cluster) = &mut cluster.cluster {
            cluster.server = Some(server.to_owned());
        }
    }
    serde_yaml::to_string(&parsed).context("the kubeconfig cannot be written")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taints_are_those_of_kubernetes() {
        assert_eq!(
            parse_taint("a=b:NoSchedule").unwrap(),
            json!({"key": "a", "value": "b", "effect": "NoSchedule"})
        );
        assert_eq!(
            parse_taint("node-role.kubernetes.io/control-plane:NoSchedule").unwrap(),
            json!({"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"})
        );
        assert!(parse_taint("a=b:Never").is_err());
    }

    #[test]
    fn labels_are_one_flag() {
        let given = ["b=2".to_owned(), "a=1".to_owned(), "b=3".to_owned()];
        assert_eq!(labels(&given).unwrap(), "a=1,b=3");
        assert!(labels(&["a".to_owned()]).is_err());
    }

    #[test]
    fn pods_do_not_ask_the_resolver_on_the_hosts_loopback() {
        let file = |text: &str| resolver_file(Some(text.to_owned()));
        assert_eq!(
            file("nameserver 127.0.0.53\n"),
            "/run/systemd/resolve/resolv.conf"
        );
        assert_eq!(
            file("nameserver 127.0.0.53\nnameserver 10.0.0.1\n"),
            "/etc/resolv.conf"
        );
        assert_eq!(file("nameserver 127.0.0.1\n"), "/etc/resolv.conf");
    }

    #[test]
    fn the_host_completes_the_profile() {
        let paths = Paths::new(None, None, None, None).unwrap();
        let mut config = json!({"authentication": {"webhook": {"enabled": true}}})
            .as_object()
            .cloned()
            .unwrap();
        complete(&mut config, &paths, "/ca.crt", &["a:NoExecute".to_owned()]).unwrap();
        assert_eq!(config["authentication"]["x509"]["clientCAFile"], "/ca.crt");
        assert_eq!(config["authentication"]["webhook"]["enabled"], true);
        assert_eq!(
            config["containerRuntimeEndpoint"],
            "unix:///run/k0s/containerd.sock"
        );
        assert_eq!(config["registerWithTaints"][0]["key"], "a");
    }
}
