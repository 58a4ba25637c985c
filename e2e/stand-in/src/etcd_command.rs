//! `k0s etcd member-list|leave`, asked of the etcd on this host.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value, json};
use tokio::time::sleep;

use crate::{
    cli::EtcdCommand,
    config::NodeConfig,
    controller::etcd_client::{EtcdClient, Member},
    net,
    paths::Paths,
    runtime_config::effective_paths,
};

pub async fn run(command: &EtcdCommand) -> Result<()> {
    let (EtcdCommand::MemberList { instance, .. } | EtcdCommand::Leave { instance, .. }) = command;
    let storage = NodeConfig::load(&effective_paths(instance.paths(None)?)?)?
        .spec
        .storage;
    if storage.is_kine() {
        bail!("wrong storage type: {}", storage.kind);
    }
    match command {
        EtcdCommand::MemberList { instance, .. } => {
            let paths = effective_paths(instance.paths(None)?)?;
            let members: Map<String, Value> = members(&EtcdClient::new(&paths).await?)
                .await?
                .into_iter()
                .map(|member| (member.name, json!(member.peer_url)))
                .collect();
            println!("{}", json!({"members": members}));
        }
        EtcdCommand::Leave {
            instance,
            peer_address,
            ..
        } => {
            leave(&effective_paths(instance.paths(None)?)?, peer_address.as_deref()).await?;
        }
    }
    Ok(())
}

async fn leave(paths: &Paths, peer_address: Option<&str>) -> Result<()> {
    let own = NodeConfig::load(paths)?.spec.storage.etcd.peer_address;
    let peer_url = format!("https://{}", net::host_port(peer_address.unwrap_or(&own), 2380));
    let client = EtcdClient::new(paths)
        .await
        .context("can't connect to the etcd")?;
    let member = members(&client)
        .await?
        .into_iter()
        .find(|member| member.peer_url == peer_url);
    let member = member.with_context(|| format!("peer not found: {peer_url}"))?;
    client
        .remove(member.id)
        .await
        .context("Failed to delete node from cluster")?;
    tracing::info!("Successfully deleted");
    Ok(())
}

/// The members. As with k0s there is no deadline: without an etcd on this host this waits for ever, which is what
/// the callers of `k0s etcd leave` have to be able to live with.
async fn members(client: &EtcdClient) -> Result<Vec<Member>> {
    loop {
        match client.members().await {
            Ok(members) => return Ok(members),
            Err(error) => tracing::debug!("etcd does not answer: {error:#}"),
        }
        sleep(Duration::from_millis(500)).await;
    }
}
