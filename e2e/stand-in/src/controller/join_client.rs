//! The joining side of the join API: asks an existing controller for the cluster's authorities and for a place in
//! its etcd.

use std::time::Duration;

use anyhow::{Context as _, Result};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use kube::Client;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::{api, paths::Paths, pki, token};

/// The cluster's authority and service account keys; every value is base64 of PEM.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Authorities {
    pub key: String,
    pub cert: String,
    #[serde(rename = "saKey", default)]
    pub service_account_key: String,
    #[serde(rename = "saPub", default)]
    pub service_account_public: String,
}

/// The answer to a request for a place in etcd.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EtcdJoined {
    /// etcd's authority; the service account fields are empty.
    pub ca: Authorities,
    pub initial_cluster: Vec<String>,
}

/// A client of an existing controller's join API.
pub struct JoinClient(Client);

impl JoinClient {
    /// A client from a controller's join token.
    pub async fn from_token(token: &str) -> Result<Self> {
        let kubeconfig = token::decode(token, token::CONTROLLER_USER)?;
        Ok(Self(
            api::client_for(&kubeconfig)
                .await
                .context("failed to create join client")?,
        ))
    }

    /// Fetches the cluster's authorities and writes them below the PKI directory.
    pub async fn write_authorities(&self, paths: &Paths) -> Result<()> {
        let authorities: Authorities = retry(async || {
            let request = http::Request::get("/v1beta1/ca").body(Vec::new())?;
            Ok(self.0.request(request).await?)
        })
        .await
        .context("failed to join existing cluster")?;
        for (name, content, mode) in [
            ("ca.key", &authorities.key, 0o640),
            ("ca.crt", &authorities.cert, 0o644),
            ("sa.key", &authorities.service_account_key, 0o640),
            ("sa.pub", &authorities.service_account_public, 0o644),
        ] {
            let text = String::from_utf8(BASE64.decode(content)?)?;
            pki::write_atomically(&paths.pki(name), &text, mode)?;
        }
        Ok(())
    }

    /// Adds this host to etcd as a learner.
    pub async fn join_etcd(&self, name: &str, peer_url: &str) -> Result<EtcdJoined> {
        let body = json!({"node": name, "peerAddress": peer_url}).to_string();
        retry(async || {
            let request = http::Request::post("/v1beta1/etcd/members")
                .header(http::header::CONTENT_TYPE, "application/json")
                .body(body.clone().into_bytes())?;
            Ok(self.0.request(request).await?)
        })
        .await
    }
}

/// Ten attempts with growing pauses of up to a minute: joins in parallel make etcd lose its leader for a while.
async fn retry<T>(operation: impl AsyncFn() -> Result<T>) -> Result<T> {
    let mut pause = Duration::from_secs(1);
    let mut attempt = 1;
    loop {
        let error = match timeout(Duration::from_secs(10), operation()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => error,
            Err(_) => anyhow::anyhow!("no answer within 10 s"),
        };
        if attempt == 10 {
            return Err(error);
        }
        tracing::warn!(attempt, "joining failed, trying again: {error:#}");
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(60));
        attempt += 1;
    }
}
