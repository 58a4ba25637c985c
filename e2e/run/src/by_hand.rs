//! k0s as a person sets it up, over plain ssh: what everything else is compared with, and what is there before anybody takes it
//! over.

use std::{net::Ipv4Addr, time::Duration};

use anyhow::{Context, Result};
use kube::{Client, Config, config::Kubeconfig};

use crate::{progress::until, ssh, testbed::Testbed};

/// What a person types to get a host back that k0s ran on by hand.
pub const RESET: &str = "k0s stop; systemctl reset-failed; k0s reset; rm -f /etc/k0s.yaml /etc/k0s.token";
const CONFIG: &str = include_str!("by_hand.yaml");
const ARGUMENTS: &str = "--enable-dynamic-config \
    --disable-components=coredns,kube-proxy,metrics-server,konnectivity-server,helm --config /etc/k0s.yaml";
/// Longest that a step may take; far beyond what it takes, so that only a hang meets it.
pub const LIMIT: Duration = Duration::from_secs(240);
/// Between one question and the next.
pub const PAUSE: Duration = Duration::from_millis(100);

/// Sets up controllers behind the load balancer of the testbed, one after the other: a controller, a token, and the next one
/// once this one answers. `more` are further arguments for each.
///
/// # Errors
/// With the host that failed.
pub async fn controllers(
    testbed: &Testbed,
    hosts: &[Ipv4Addr],
    more: impl Fn(usize) -> String,
) -> Result<()> {
    let key = testbed.key.path();
    let config = CONFIG.replace("ENDPOINT", &testbed.network.host().to_string());
    let first = *hosts.first().context("no hosts")?;
    let mut join = String::new();
    for (index, host) in hosts.iter().enumerate() {
        let install = format!(
            "umask 077; cat >/etc/k0s.yaml <<'END'\n{config}\nEND\n{join}\n\
             k0s install controller --force {ARGUMENTS} {} {} && k0s start",
            if join.is_empty() {
                ""
            } else {
                "--token-file /etc/k0s.token"
            },
            more(index)
        );
        ssh::run(key, *host, &install).await?;
        until_ready(&client(testbed, *host).await?).await?;
        if join.is_empty() {
            let token = token(testbed, first, "controller").await?;
            join = format!("printf %s '{token}' >/etc/k0s.token");
        }
    }
    Ok(())
}

/// A token to join the cluster of this controller.
///
/// # Errors
/// When there is none after minutes.
pub async fn token(testbed: &Testbed, controller: Ipv4Addr, role: &str) -> Result<String> {
    let command = format!("k0s token create --role {role}");
    let token = until("join token", LIMIT, PAUSE, || async {
        Ok(Some(ssh::run(testbed.key.path(), controller, &command).await?))
    });
    Ok(token.await?.trim().to_owned())
}

/// The kubeconfig of the administrator.
///
/// # Errors
/// When there is none after minutes.
pub async fn kubeconfig(testbed: &Testbed, controller: Ipv4Addr) -> Result<String> {
    until("admin kubeconfig", LIMIT, PAUSE, || async {
        Ok(Some(
            ssh::run(testbed.key.path(), controller, "k0s kubeconfig admin").await?,
        ))
    })
    .await
}

/// Sets up a worker.
///
/// # Errors
/// When a command fails.
pub async fn worker(testbed: &Testbed, host: Ipv4Addr, token: &str, arguments: &str) -> Result<()> {
    let join = format!(
        "umask 077; printf %s '{token}' >/etc/k0s.token && \
         k0s install worker --force --token-file /etc/k0s.token {arguments} && k0s start"
    );
    ssh::run(testbed.key.path(), host, &join).await.map(drop)
}

/// A client of a host's own API server, as soon as it has a kubeconfig.
///
/// # Errors
/// When there is none after minutes.
pub async fn client(testbed: &Testbed, host: Ipv4Addr) -> Result<Client> {
    let kubeconfig = Kubeconfig::from_yaml(&kubeconfig(testbed, host).await?)?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await?;
    config.cluster_url = format!("https://{host}:6443").parse()?;
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}

/// Waits until the API server says that it is ready.
///
/// # Errors
/// When it does not after minutes.
pub async fn until_ready(client: &Client) -> Result<()> {
    until("API server", LIMIT, PAUSE, || async {
        let request = http::Request::get("/readyz").body(Vec::new())?;
        Ok(client.request_text(request).await.ok())
    })
    .await
    .map(drop)
}
