//! Where the API server keeps its objects: etcd, here or elsewhere, or kine over a database.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use anyhow::{Context as _, Result};
use tokio::net::UnixStream;

use super::{etcd, etcd_client::EtcdClient, join_client::JoinClient};
use crate::{
    config::NodeConfig,
    paths::Paths,
    supervisor::{Program, Supervised},
};

/// The running store.
pub enum Datastore {
    Etcd {
        process: Supervised,
        client: EtcdClient,
    },
    Kine {
        process: Supervised,
    },
    /// An etcd that somebody else runs.
    External,
}

impl Datastore {
    /// Starts the configured store; an etcd that has no data first becomes a learner of the cluster that `join`
    /// leads to.
    pub async fn start(paths: &Paths, node: &NodeConfig, join: Option<&JoinClient>) -> Result<Self> {
        if node.spec.storage.is_kine() {
            let process = start_kine(paths, node).await?;
            return Ok(Self::Kine { process });
        }
        if node.spec.storage.external_etcd().is_some() {
            return Ok(Self::External);
        }
        let process = etcd::start(paths, node, join).await?;
        let client = EtcdClient::new(paths).await?;
        Ok(Self::Etcd { process, client })
    }

    /// Waits until it answers; of one elsewhere, the API server itself finds out.
    pub async fn wait_ready(&self, paths: &Paths) -> Result<()> {
        match self {
            Self::Etcd { client, .. } => etcd::wait_ready(client).await,
            Self::Kine { .. } => {
                super::wait_until("kine", async || {
                    UnixStream::connect(paths.kine_socket()).await?;
                    Ok(())
                })
                .await
            }
            Self::External => Ok(()),
        }
    }

    /// The client of the etcd on this host, when there is one.
    pub fn etcd(&self) -> Option<&EtcdClient> {
        match self {
            Self::Etcd { client, .. } => Some(client),
            Self::Kine { .. } | Self::External => None,
        }
    }

    /// Stops it; an etcd that is to leave its cluster does that first, and then ends by itself.
    pub async fn stop(self, leave: bool) {
        match self {
            Self::Etcd { process, client } if leave => match etcd::leave(&client).await {
                Ok(()) => process.stop_after(Duration::from_secs(30)).await,
                Err(error) => {
                    tracing::error!("{error:#}");
                    process.stop().await;
                }
            },
            Self::Etcd { process, .. } | Self::Kine { process } => process.stop().await,
            Self::External => {}
        }
    }
}

async fn start_kine(paths: &Paths, node: &NodeConfig) -> Result<Supervised> {
    let kine = node.spec.storage.kine();
    let socket = paths.kine_socket();
    make_directory(socket.parent(), 0o755)?;
    if let Some(database) = kine.sqlite_file() {
        make_directory(Path::new(database).parent(), 0o750)?;
    }
    // What a kine that was killed leaves behind keeps the next one from listening.
    let _ = fs::remove_file(&socket);
    let mut flags = std::collections::BTreeMap::from([
        ("compact-interval".to_owned(), "0".to_owned()),
        ("endpoint".to_owned(), kine.data_source),
        (
            "listen-address".to_owned(),
            format!("unix://{}", socket.display()),
        ),
        ("metrics-bind-address".to_owned(), ":2380".to_owned()),
    ]);
    flags.extend(kine.extra_args);
    let arguments = flags
        .into_iter()
        .map(|(name, value)| format!("--{name}={value}"))
        .chain(kine.raw_args)
        .collect();
    Supervised::start(paths, Program::find(paths, "kine", arguments)?).await
}

fn make_directory(directory: Option<&Path>, mode: u32) -> Result<()> {
    let Some(directory) = directory else { return Ok(()) };
    fs::create_dir_all(directory)
        .and_then(|()| fs::set_permissions(directory, fs::Permissions::from_mode(mode)))
        .with_context(|| format!("{} cannot be made", directory.display()))
}
