//! The controller's certificates and kubeconfigs below `<data-dir>/pki`, with k0s' names and subjects.

use anyhow::{Context as _, Result};

use crate::{
    config::NodeConfig,
    kubeconfig::{LOCAL, certificate_user, render},
    net,
    paths::Paths,
    pki::{self, Leaf},
};

/// Makes everything but etcd's own certificates, which have to wait for the authority of an existing cluster.
/// `konnectivity` says whether its server gets credentials.
pub fn ensure(paths: &Paths, node: &NodeConfig, konnectivity: bool) -> Result<()> {
    let directory = paths.pki_dir();
    pki::ensure_authority(&directory, "ca", "kubernetes-ca")?;
    pki::ensure_authority(&directory, "front-proxy-ca", "kubernetes-front-proxy-ca")?;
    pki::ensure_service_account_keys(&directory)?;

    let client = |authority, name, common_name, organization| {
        let leaf = Leaf {
            name,
            common_name,
            organization,
            hosts: &[],
        };
        pki::issue(&directory, authority, &leaf)
    };
    client(
        "front-proxy-ca",
        "front-proxy-client",
        "front-proxy-client",
        "front-proxy-client",
    )?;
    client(
        "ca",
        "apiserver-kubelet-client",
        "apiserver-kubelet-client",
        "system:masters",
    )?;

    let ca_path = paths.pki("ca.crt");
    let ca = std::fs::read_to_string(&ca_path).with_context(|| format!("{}", ca_path.display()))?;
    let server = node.spec.api.local_url();
    for (name, common_name, organization) in [
        ("admin", "kubernetes-admin", "system:masters"),
        (
            "ccm",
            "system:kube-controller-manager",
            "system:kube-controller-manager",
        ),
        ("scheduler", "system:kube-scheduler", "system:kube-scheduler"),
        ("konnectivity", "kubernetes-konnectivity", "system:masters"),
    ] {
        if name == "konnectivity" && !konnectivity {
            continue;
        }
        let identity = client("ca", name, common_name, organization)?;
        let kubeconfig = render(&LOCAL, &server, &ca, &certificate_user(&identity))?;
        pki::write_atomically(&paths.pki(&format!("{name}.conf")), &kubeconfig, 0o600)?;
    }

    let hosts = server_names(node)?;
    for (name, common_name) in [("server", "kubernetes"), ("k0s-api", "k0s-api")] {
        let leaf = Leaf {
            name,
            common_name,
            organization: "kubernetes",
            hosts: &hosts,
        };
        pki::issue(&directory, "ca", &leaf)?;
    }
    Ok(())
}

/// Makes etcd's authority, unless it is there, and etcd's certificates.
pub fn ensure_etcd(paths: &Paths, node: &NodeConfig) -> Result<()> {
    let directory = paths.pki_dir();
    pki::ensure_authority(&directory, "etcd/ca", "etcd-ca")?;
    let local = ["127.0.0.1".to_owned(), "localhost".to_owned()];
    let peer = [node.spec.storage.etcd.peer_address.clone()];
    for (name, common_name, organization, hosts) in [
        (
            "apiserver-etcd-client",
            "apiserver-etcd-client",
            "apiserver-etcd-client",
            local.as_slice(),
        ),
        ("etcd/server", "etcd-server", "etcd-server", local.as_slice()),
        (
            "etcd/peer",
            node.spec.storage.etcd.peer_address.as_str(),
            "etcd-peer",
            peer.as_slice(),
        ),
    ] {
        pki::issue(
            &directory,
            "etcd/ca",
            &Leaf {
                name,
                common_name,
                organization,
                hosts,
            },
        )?;
    }
    Ok(())
}

/// Names and addresses that the API server and the join API answer to.
fn server_names(node: &NodeConfig) -> Result<Vec<String>> {
    let (api, network) = (&node.spec.api, &node.spec.network);
    let mut names = vec![
        "kubernetes".to_owned(),
        "kubernetes.default".to_owned(),
        "kubernetes.default.svc".to_owned(),
        format!("kubernetes.default.svc.{}", network.cluster_domain),
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        api.address.clone(),
        node.spec.service_ip(1)?,
    ];
    if !api.external_address.is_empty() {
        names.push(api.external_host().to_owned());
    }
    names.extend(api.sans.iter().cloned());
    names.extend(net::local_addresses());
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_answers_to_every_name_it_was_given() {
        let node = NodeConfig::parse(
            "spec: {api: {address: 10.0.0.5, externalAddress: 'lb.example:443', sans: [10.0.0.1, 10.0.0.5]}}",
        )
        .unwrap();
        let names = server_names(&node).unwrap();
        for expected in ["10.0.0.5", "lb.example", "10.0.0.1", "10.96.0.1", "localhost"] {
            assert_eq!(
                names.iter().filter(|name| *name == expected).count(),
                1,
                "{expected} in {names:?}"
            );
        }
    }
}
