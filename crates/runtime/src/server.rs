//! The HTTP endpoints of the process: health for the kubelet, metrics for Prometheus.

use std::{
    future::Future,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, header::AUTHORIZATION},
    middleware::{self, Next},
    response::Response,
    routing::get,
};
use axum_server::{Handle, tls_rustls::RustlsConfig};
use k8s_openapi::api::{
    authentication::v1::{TokenReview, TokenReviewSpec, UserInfo},
    authorization::v1::{NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
};
use kube::{Api, Client, api::PostParams};
use rustls::{pki_types::PrivatePkcs8KeyDer, sign::CertifiedKey};
use tokio::net::TcpListener;

use crate::{
    metrics::Metrics,
    tls::{Certificate, Policy},
};

/// Whether the process is able to do its work. Cheap to clone.
#[derive(Clone, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Relaxed);
    }
}

/// Routes `/healthz` and `/readyz`. Health is that the process answers: an API server that is away is no reason to
/// restart it.
pub fn health(readiness: Readiness) -> Router {
    let ready = move || {
        let ready = readiness.0.load(Ordering::Relaxed);
        async move {
            if ready {
                (StatusCode::OK, "ok")
            } else {
                (StatusCode::SERVICE_UNAVAILABLE, "starting")
            }
        }
    };
    Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(ready))
}

/// Route `/metrics`.
pub fn metrics(metrics: Metrics) -> Router {
    Router::new().route(
        "/metrics",
        get(move || async move { metrics.render().map_err(|_| StatusCode::INTERNAL_SERVER_ERROR) }),
    )
}

/// Serves plain HTTP until `stop` resolves.
///
/// # Errors
/// When the address cannot be bound.
pub async fn serve(
    address: SocketAddr,
    routes: Router,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    axum::serve(listener, routes).with_graceful_shutdown(stop).await
}

/// Serves over TLS, with a certificate made at start, to whom the API server lets `get` the path: the caller's bearer
/// token is checked by TokenReview and SubjectAccessReview.
///
/// # Errors
/// When the address cannot be bound or no certificate can be made.
pub async fn serve_to_authorized(
    address: SocketAddr,
    routes: Router,
    client: Client,
    policy: Policy,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let certified =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).map_err(std::io::Error::other)?;
    let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    let key = CertifiedKey::from_der(vec![certified.cert.der().clone()], key.into(), policy.provider())
        .map_err(std::io::Error::other)?;
    let certificate = Certificate::default();
    certificate.set(Arc::new(key));
    let tls = policy
        .server_config(&certificate)
        .map_err(std::io::Error::other)?;
    let tls = RustlsConfig::from_config(tls);
    let handle = Handle::new();
    let ender = handle.clone();
    tokio::spawn(async move {
        stop.await;
        ender.graceful_shutdown(None);
    });
    let routes = routes.layer(middleware::from_fn_with_state(client, authorize));
    axum_server::bind_rustls(address, tls)
        .handle(handle)
        .serve(routes.into_make_service())
        .await
}

async fn authorize(
    State(client): State<Client>,
    request: Request,
    next: Next,
) -> Result<Response, StatusCode> {
    let token = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "))
        .ok_or(StatusCode::UNAUTHORIZED)?;
    let unavailable = |error: kube::Error| {
        tracing::warn!(%error, "cannot ask the API server who may read metrics");
        StatusCode::INTERNAL_SERVER_ERROR
    };
    let user = authenticated(&client, token)
        .await
        .map_err(unavailable)?
        .ok_or(StatusCode::UNAUTHORIZED)?;
    let allowed = may_get(&client, user, request.uri().path())
        .await
        .map_err(unavailable)?;
    if allowed {
        Ok(next.run(request).await)
    } else {
        Err(StatusCode::FORBIDDEN)
    }
}

async fn authenticated(client: &Client, token: &str) -> Result<Option<UserInfo>, kube::Error> {
    let review = TokenReview {
        spec: TokenReviewSpec {
            token: Some(token.to_owned()),
            audiences: None,
        },
        ..TokenReview::default()
    };
    let answer = Api::all(client.clone())
        .create(&PostParams::default(), &review)
        .await?;
    Ok(answer
        .status
        .filter(|status| status.authenticated == Some(true))
        .and_then(|status| status.user))
}

async fn may_get(client: &Client, user: UserInfo, path: &str) -> Result<bool, kube::Error> {
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: user.username,
            uid: user.uid,
            groups: user.groups,
            extra: user.extra,
            non_resource_attributes: Some(NonResourceAttributes {
                path: Some(path.to_owned()),
                verb: Some("get".to_owned()),
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let answer = Api::all(client.clone())
        .create(&PostParams::default(), &review)
        .await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}
