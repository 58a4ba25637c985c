//! A member of etcd that asks its clients for certificates, as the members of hosted control planes do.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Result;
use k0smotron_e2e_components::{Component, ensure};

use crate::ports;
use crate::tethered::Tethered;

/// A running member, gone when dropped. Its data stays in its directory, so that it can be started again.
pub struct EtcdMember {
    _process: Tethered,
}

/// Where a member is, whether it runs or not.
#[derive(Clone, Debug)]
pub struct EtcdPlace {
    pub name: String,
    /// Holds `ca.crt`, `etcd.crt` and `etcd.key`; the data goes below it.
    directory: PathBuf,
    client: u16,
    peer: u16,
}

impl EtcdPlace {
    /// On free ports of 127.0.0.1.
    ///
    /// # Errors
    /// No port is free.
    pub fn new(name: &str, directory: &Path) -> Result<Self> {
        Ok(Self {
            name: name.to_owned(),
            directory: directory.to_owned(),
            client: ports::free()?,
            peer: ports::free()?,
        })
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.client))
    }

    /// Where other members connect. Without TLS.
    #[must_use]
    pub fn peer_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.peer)
    }

    /// Starts the member, as one of `members`: the first of a new cluster when it is the only one. Does not wait for it.
    ///
    /// # Errors
    /// etcd cannot be built or started.
    pub async fn start(&self, members: &[&Self]) -> Result<EtcdMember> {
        let etcd = tokio::task::spawn_blocking(|| ensure(Component::Etcd)).await??;
        let initial: Vec<_> = members
            .iter()
            .map(|member| format!("{}={}", member.name, member.peer_url()))
            .collect();
        let state = if members.len() == 1 { "new" } else { "existing" };
        let file = |name: &str| self.directory.join(name).display().to_string();
        let args = [
            format!("--name={}", self.name),
            format!("--data-dir={}", file(&self.name)),
            format!("--listen-client-urls=https://127.0.0.1:{}", self.client),
            format!("--advertise-client-urls=https://127.0.0.1:{}", self.client),
            format!("--listen-peer-urls={}", self.peer_url()),
            format!("--initial-advertise-peer-urls={}", self.peer_url()),
            format!("--initial-cluster={}", initial.join(",")),
            format!("--initial-cluster-state={state}"),
            "--client-cert-auth".to_owned(),
            format!("--trusted-ca-file={}", file("ca.crt")),
            format!("--cert-file={}", file("etcd.crt")),
            format!("--key-file={}", file("etcd.key")),
            "--unsafe-no-fsync".to_owned(),
        ];
        let log = self.directory.join(format!("{}.log", self.name));
        Ok(EtcdMember {
            _process: Tethered::start("etcd", &etcd.join("etcd"), &args, log)?,
        })
    }
}
