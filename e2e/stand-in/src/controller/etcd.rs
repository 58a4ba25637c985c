//! etcd as k0s runs it: clients on loopback only, peers on the node's address.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt as _, time::Duration};

use anyhow::{Context as _, Result};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

use super::{
    certificates,
    etcd_client::EtcdClient,
    join_client::{EtcdJoined, JoinClient},
};
use crate::{
    config::NodeConfig,
    paths::{CIPHER_SUITES, Paths},
    pki,
    supervisor::{Program, Supervised},
};

/// Starts etcd. With a join client, and unless this host is a member already, it first becomes a learner of the
/// cluster behind it.
pub async fn start(paths: &Paths, node: &NodeConfig, join: Option<&JoinClient>) -> Result<Supervised> {
    let data = paths.etcd_data_dir();
    fs::create_dir_all(&data)
        .and_then(|()| fs::set_permissions(&data, fs::Permissions::from_mode(0o700)))
        .with_context(|| format!("{} cannot be made", data.display()))?;

    let mut initial_cluster = None;
    if paths.etcd_database().exists() {
        tracing::warn!("etcd has data already, not joining");
    } else if let Some(join) = join {
        let etcd = &node.spec.storage.etcd;
        let joined = join
            .join_etcd(&etcd.member_name()?, &etcd.peer_url())
            .await
            .context("failed to sync etcd config")?;
        write_authority(paths, &joined)?;
        initial_cluster = Some(joined.initial_cluster.join(","));
    }
    certificates::ensure_etcd(paths, node)?;
    let program = Program::find(paths, "etcd", arguments(paths, node, initial_cluster)?)?;
    Supervised::start(paths, program).await
}

/// Waits until etcd answers a linearizable read, which a learner does not: a joining controller waits here until
/// it has been promoted.
pub async fn wait_ready(client: &EtcdClient) -> Result<()> {
    super::wait_until("etcd", async || client.is_healthy().await).await
}

/// Removes this host's member from the cluster; afterwards etcd ends by itself.
pub async fn leave(client: &EtcdClient) -> Result<()> {
    let mut last = anyhow::anyhow!("not tried");
    for attempt in 0..10u32 {
        if attempt > 0 {
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
        match client.leave().await {
            Ok(()) => return Ok(()),
            Err(error) => {
                tracing::error!("failed to leave etcd: {error:#}");
                last = error;
            }
        }
    }
    Err(last).context("failed to leave the cluster")
}

fn write_authority(paths: &Paths, joined: &EtcdJoined) -> Result<()> {
    let (certificate, key) = (paths.pki("etcd/ca.crt"), paths.pki("etcd/ca.key"));
    if certificate.exists() && key.exists() {
        tracing::warn!("etcd's authority is there already and is not overwritten");
        return Ok(());
    }
    for (path, content) in [(key, &joined.ca.key), (certificate, &joined.ca.cert)] {
        let text = String::from_utf8(BASE64.decode(content)?)?;
        pki::write_atomically(&path, &text, 0o640)?;
    }
    Ok(())
}

fn arguments(paths: &Paths, node: &NodeConfig, initial_cluster: Option<String>) -> Result<Vec<String>> {
    let etcd = &node.spec.storage.etcd;
    let file = |name: &str| paths.pki(name).display().to_string();
    let peer = etcd.peer_url();
    let mut flags = BTreeMap::from([
        ("data-dir", paths.etcd_data_dir().display().to_string()),
        ("listen-client-urls", "https://127.0.0.1:2379".to_owned()),
        ("advertise-client-urls", "https://127.0.0.1:2379".to_owned()),
        ("client-cert-auth", "true".to_owned()),
        ("listen-peer-urls", peer.clone()),
        ("initial-advertise-peer-urls", peer),
        ("name", etcd.member_name()?),
        ("tls-min-version", "TLS1.2".to_owned()),
        ("trusted-ca-file", file("etcd/ca.crt")),
        ("cert-file", file("etcd/server.crt")),
        ("key-file", file("etcd/server.key")),
        ("peer-trusted-ca-file", file("etcd/ca.crt")),
        ("peer-cert-file", file("etcd/peer.crt")),
        ("peer-key-file", file("etcd/peer.key")),
        ("peer-client-cert-auth", "true".to_owned()),
        ("log-level", "info".to_owned()),
        ("enable-pprof", "false".to_owned()),
        ("cipher-suites", CIPHER_SUITES.join(",")),
    ]);
    if let Some(members) = initial_cluster {
        flags.insert("initial-cluster", members);
        flags.insert("initial-cluster-state", "existing".to_owned());
    }
    flags.extend(
        etcd.extra_args
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone())),
    );
    let mut arguments: Vec<String> = flags
        .into_iter()
        .map(|(name, value)| format!("--{name}={value}"))
        .collect();
    arguments.extend(etcd.raw_args.iter().cloned());
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_on_loopback_peers_on_the_node_address_and_the_users_flags_last() {
        let node = NodeConfig::parse(
            "spec: {api: {address: 10.0.0.5}, storage: {etcd: {peerAddress: 10.0.0.5, \
             extraArgs: {name: m1, quota-backend-bytes: '42'}}}}",
        )
        .unwrap();
        let paths = Paths::new(None, None, None, None).unwrap();
        let first = arguments(&paths, &node, None).unwrap();
        for expected in [
            "--name=m1",
            "--quota-backend-bytes=42",
            "--listen-client-urls=https://127.0.0.1:2379",
            "--listen-peer-urls=https://10.0.0.5:2380",
        ] {
            assert!(first.contains(&expected.to_owned()), "{expected} in {first:?}");
        }
        let joining = arguments(&paths, &node, Some("m0=https://10.0.0.4:2380".to_owned())).unwrap();
        assert!(joining.contains(&"--initial-cluster=m0=https://10.0.0.4:2380".to_owned()));
        assert!(joining.contains(&"--initial-cluster-state=existing".to_owned()));
    }
}
