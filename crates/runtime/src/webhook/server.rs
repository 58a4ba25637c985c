//! The endpoints. What comes in is bounded: in bytes, in time, and in how much is worked on at once; API servers are
//! the clients, but nothing keeps others in the cluster from connecting.

use std::{
    collections::BTreeSet,
    future::Future,
    net::TcpListener,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Request, State},
    http::{StatusCode, header::CONTENT_TYPE},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::post,
};
use axum_server::{Handle, tls_rustls::RustlsConfig};
use k0smotron_api::{
    conversion, validation,
    webhooks::{CONVERT, KINDS, Kind},
};
use kube::{
    Client,
    core::{DynamicObject, Status, admission::AdmissionReview},
};
use rustls::ServerConfig;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::sync::Semaphore;

use super::trial::{self, Outcome};
use crate::metrics::Metrics;

/// Two objects of the largest size that etcd takes, with room to spare.
const MOST_ADMITTED: usize = 8 << 20;
/// Thousands of objects in one review.
const MOST_CONVERTED: usize = 64 << 20;
/// What API servers wait for at most: for admission as our configurations say, for conversion by themselves.
const LIMIT: Duration = Duration::from_secs(10);
const CONVERSION_LIMIT: Duration = Duration::from_secs(30);
/// Requests that are worked on at once; others wait within their time.
const AT_ONCE: usize = 32;
/// From a connection's beginning to its first request.
const FIRST_REQUEST: Duration = Duration::from_secs(10);
/// A connection without requests. API servers give theirs up after 90 s, and ours must not be the first.
const IDLE: Duration = Duration::from_secs(150);
/// For requests that are under way when the process is asked to end.
const GRACE: Duration = Duration::from_secs(5);

#[derive(Clone)]
struct Answering {
    client: Client,
    metrics: Metrics,
    slots: Arc<Semaphore>,
}

/// All endpoints.
pub(super) fn routes(client: Client, metrics: Metrics) -> Router {
    let state = Answering {
        client,
        metrics,
        slots: Arc::new(Semaphore::new(AT_ONCE)),
    };
    let mut routes = Router::new().route(
        CONVERT,
        post(convert).layer(DefaultBodyLimit::max(MOST_CONVERTED)),
    );
    let paths = |path: fn(&Kind) -> String| KINDS.iter().map(path).collect::<BTreeSet<_>>();
    for path in paths(Kind::validating_path) {
        routes = routes.route(&path, post(validate).layer(DefaultBodyLimit::max(MOST_ADMITTED)));
    }
    for path in paths(Kind::mutating_path) {
        routes = routes.route(&path, post(mutate).layer(DefaultBodyLimit::max(MOST_ADMITTED)));
    }
    routes
        .layer(middleware::from_fn_with_state(state.clone(), bounded))
        .with_state(state)
}

/// Serves until `stop` resolves, and finishes what is under way.
pub(super) async fn serve(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    routes: Router,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let handle = Handle::new();
    let ender = handle.clone();
    tokio::spawn(async move {
        stop.await;
        ender.graceful_shutdown(Some(GRACE));
    });
    let mut server = axum_server::from_tcp_rustls(listener, RustlsConfig::from_config(tls))?
        .handle(handle)
        .first_request_timeout(FIRST_REQUEST);
    server.http_builder().http1().header_read_timeout(IDLE);
    server.serve(routes.into_make_service()).await
}

/// Bounds and counts every request.
async fn bounded(State(state): State<Answering>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let path = request.uri().path();
    let (webhook, limit) = match path {
        CONVERT => ("convert", CONVERSION_LIMIT),
        path if path.starts_with("/mutate-") => ("mutate", LIMIT),
        path if path.starts_with("/validate-") => ("validate", LIMIT),
        _ => ("unknown", LIMIT),
    };
    let answer = async {
        // Never closed.
        let _slot = state.slots.acquire().await;
        next.run(request).await
    };
    let response = tokio::time::timeout(limit, answer)
        .await
        .unwrap_or_else(|_| (StatusCode::SERVICE_UNAVAILABLE, "no answer in time").into_response());
    state
        .metrics
        .answered(webhook, response.status().as_u16(), begun.elapsed());
    response
}

/// An answer that is none: to what is no review, or from a webhook that panicked.
type Failure = (StatusCode, String);

async fn convert(body: Bytes) -> Result<Response, Failure> {
    // Thousands of objects take a second: not on a thread that others wait for.
    let answer = blocking(move || {
        conversion::answer(&body).map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))
    });
    Ok(json(answer.await?))
}

async fn mutate(body: Bytes) -> Result<Response, Failure> {
    let review = blocking(move || Ok(validation::defaulting(decode(&body)?))).await?;
    encode(&review)
}

async fn validate(State(state): State<Answering>, body: Bytes) -> Result<Response, Failure> {
    let (mut review, trials) = blocking(move || {
        let review: AdmissionReview<DynamicObject> = decode(&body)?;
        let trials = trials(&review);
        Ok((validation::admission(review), trials))
    })
    .await?;
    if review.response.as_ref().is_some_and(|response| response.allowed) {
        for trial in trials {
            let outcome = trial::create(&state.client, &trial).await;
            judge(&mut review, &trial.field, outcome);
        }
    }
    encode(&review)
}

/// What has to be created for trial before the object is accepted.
fn trials(review: &AdmissionReview<DynamicObject>) -> Vec<validation::DryRun> {
    let json = |object: &Option<DynamicObject>| {
        object
            .as_ref()
            .and_then(|object| serde_json::to_value(object).ok())
    };
    let Some(request) = &review.request else {
        return Vec::new();
    };
    let old: Option<Value> = json(&request.old_object);
    json(&request.object)
        .map(|object| validation::to_dry_run(&object, old.as_ref()))
        .unwrap_or_default()
}

fn judge(review: &mut AdmissionReview<DynamicObject>, field: &str, outcome: Outcome) {
    let Some(response) = review.response.as_mut() else {
        return;
    };
    match outcome {
        Outcome::Accepted => {}
        Outcome::Refused(message) => {
            response.allowed = false;
            let text = format!("{field}: the API server refuses what is written here: {message}");
            response.result = Status::failure(&text, "Invalid").with_code(422);
        }
        Outcome::Unknown(reason) => {
            let text = format!("{field}: not checked, because it could not be created for trial: {reason}");
            response.warnings.get_or_insert_default().push(text);
        }
    }
}

fn decode<Review: DeserializeOwned>(body: &Bytes) -> Result<Review, Failure> {
    serde_json::from_slice(body).map_err(|error| (StatusCode::BAD_REQUEST, format!("not a review: {error}")))
}

fn encode(review: &impl Serialize) -> Result<Response, Failure> {
    serde_json::to_vec(review)
        .map(json)
        .map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

fn json(body: Vec<u8>) -> Response {
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

/// A panic is answered like any other failure.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| {
        tracing::error!("a webhook panicked; this is a defect");
        Err((
            StatusCode::INTERNAL_SERVER_ERROR,
            "the webhook panicked".to_owned(),
        ))
    })
}
