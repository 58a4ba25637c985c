//! The join API on port 9443: hands the cluster's authorities, and a place in etcd, to who has a live controller
//! token. Any other answer to a token is 401 with k0s' own words.

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context as _, Result};
use axum::{
    Json, Router,
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use axum_server::tls_rustls::RustlsConfig;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use kube::Client;
use serde::Deserialize;
use tokio::task::JoinHandle;

use super::{
    etcd_client::EtcdClient,
    join_client::{Authorities, EtcdJoined},
};
use crate::{config::NodeConfig, paths::Paths, token};

struct JoinApi {
    paths: Paths,
    client: Client,
    /// Absent with other storage, which has no members.
    etcd: Option<EtcdClient>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EtcdRequest {
    #[serde(default)]
    node: String,
    #[serde(default)]
    peer_address: String,
}

/// An error as plain text with status 500.
struct Failure(anyhow::Error);

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        tracing::error!("join API: {:#}", self.0);
        (StatusCode::INTERNAL_SERVER_ERROR, format!("{:#}", self.0)).into_response()
    }
}

/// Serves until the returned task is aborted.
pub async fn serve(
    paths: &Paths,
    node: &NodeConfig,
    client: Client,
    etcd: Option<EtcdClient>,
) -> Result<JoinHandle<()>> {
    let port = node.spec.api.k0s_api_port;
    let bind = node.spec.api.extra_args.get("bind-address").cloned();
    let bind = bind.or_else(|| {
        node.spec
            .api
            .only_bind_to_address
            .then(|| node.spec.api.address.clone())
    });
    let listener = match bind {
        Some(address) => std::net::TcpListener::bind(SocketAddr::new(address.parse()?, port)),
        // One socket for both families where there is IPv6.
        None => std::net::TcpListener::bind(("::", port))
            .or_else(|_| std::net::TcpListener::bind(("0.0.0.0", port))),
    }
    .with_context(|| format!("the join API cannot listen on port {port}"))?;
    listener.set_nonblocking(true)?;
    let tls = RustlsConfig::from_pem_file(paths.pki("k0s-api.crt"), paths.pki("k0s-api.key"))
        .await
        .context("the join API's certificate cannot be used")?;
    let state = Arc::new(JoinApi {
        paths: paths.clone(),
        client,
        etcd,
    });
    let mut router = Router::new().route("/v1beta1/ca", get(authorities));
    if state.etcd.is_some() {
        router = router.route("/v1beta1/etcd/members", post(join_etcd));
    }
    let router = router
        .layer(middleware::from_fn_with_state(state.clone(), authenticate))
        .with_state(state);
    let server = axum_server::from_tcp_rustls(listener, tls)?;
    Ok(tokio::spawn(async move {
        if let Err(error) = server.serve(router.into_make_service()).await {
            tracing::error!("the join API failed: {error}");
        }
    }))
}

async fn authenticate(State(api): State<Arc<JoinApi>>, request: Request, next: Next) -> Response {
    let bearer = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "))
        .map(str::to_owned);
    match bearer {
        Some(bearer) if token::is_valid(&api.client, &bearer, "controller-join").await => {
            next.run(request).await
        }
        _ => (StatusCode::UNAUTHORIZED, "go away").into_response(),
    }
}

async fn authorities(State(api): State<Arc<JoinApi>>) -> Result<Json<Authorities>, Failure> {
    Ok(Json(Authorities {
        key: api.file("ca.key")?,
        cert: api.file("ca.crt")?,
        service_account_key: api.file("sa.key")?,
        service_account_public: api.file("sa.pub")?,
    }))
}

async fn join_etcd(State(api): State<Arc<JoinApi>>, body: String) -> Result<Json<EtcdJoined>, Failure> {
    let request: EtcdRequest = serde_json::from_str(&body)?;
    if request.node.is_empty() {
        return Err(anyhow::anyhow!("node cannot be empty").into());
    }
    if request.peer_address.is_empty() {
        return Err(anyhow::anyhow!("peerAddress cannot be empty").into());
    }
    tracing::info!(
        node = request.node,
        peer = request.peer_address,
        "adding an etcd learner"
    );
    let etcd = api.etcd.as_ref().context("there is no etcd")?;
    let initial_cluster = etcd.add_learner(&request.node, &request.peer_address).await?;
    let ca = Authorities {
        key: api.file("etcd/ca.key")?,
        cert: api.file("etcd/ca.crt")?,
        ..Authorities::default()
    };
    Ok(Json(EtcdJoined { ca, initial_cluster }))
}

impl JoinApi {
    fn file(&self, name: &str) -> Result<String> {
        let path = self.paths.pki(name);
        let content = std::fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        Ok(BASE64.encode(content))
    }
}
