//! A client that lets so many writes through and then is cut off for good, as if the process had died: the last write
//! has reached the API server, its answer nobody.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use http::{Method, Request, Response};
use kube::client::Body;
use tokio::sync::watch;
use tower::{Layer, Service};

/// Counts writes and ends the client after the last one that it may do. Events and leases are not counted: nothing
/// depends on them.
#[derive(Clone)]
pub struct CrashAfter {
    writes: Arc<AtomicUsize>,
    limit: usize,
    crashed: watch::Sender<bool>,
    last: Arc<Mutex<String>>,
}

impl CrashAfter {
    /// `limit` 0 never crashes.
    pub fn new(limit: usize) -> Self {
        Self {
            writes: Arc::default(),
            limit,
            crashed: watch::Sender::new(false),
            last: Arc::default(),
        }
    }

    /// Writes done so far.
    pub fn writes(&self) -> usize {
        self.writes.load(Ordering::SeqCst)
    }

    /// Resolves once the client is cut off, with the write that was its last.
    pub async fn crashed(&self) -> String {
        let mut crashed = self.crashed.subscribe();
        // The sender is in `self`.
        let _ = crashed.wait_for(|crashed| *crashed).await;
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl<S> Layer<S> for CrashAfter {
    type Service = Crashing<S>;

    fn layer(&self, inner: S) -> Crashing<S> {
        Crashing {
            inner,
            crash: self.clone(),
        }
    }
}

/// See [`CrashAfter`].
#[derive(Clone)]
pub struct Crashing<S> {
    inner: S,
    crash: CrashAfter,
}

impl<S, B> Service<Request<Body>> for Crashing<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Send,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let crash = self.crash.clone();
        if *crash.crashed.borrow() {
            return Box::pin(std::future::pending());
        }
        let path = request.uri().path();
        let counted =
            request.method() != Method::GET && !path.contains("/events") && !path.contains("/leases/");
        let number = if counted {
            crash.writes.fetch_add(1, Ordering::SeqCst) + 1
        } else {
            0
        };
        let what = format!("{} {path}", request.method());
        if crash.limit != 0 && number > crash.limit {
            return Box::pin(std::future::pending());
        }
        let answer = self.inner.call(request);
        if number == 0 || number != crash.limit {
            return Box::pin(answer);
        }
        Box::pin(async move {
            let _ = answer.await;
            *crash.last.lock().unwrap_or_else(PoisonError::into_inner) = what;
            crash.crashed.send_replace(true);
            std::future::pending().await
        })
    }
}
