//! An API server of a workload cluster that answers as it is told.

use std::convert::Infallible;

use http::{Method, Request, Response, StatusCode};
use kube::{Client, client::Body};

/// Code and body.
pub type Answer = (u16, &'static str);

/// What an API server says of a path that it does not serve.
pub const NO_PAGE: Answer = (404, "404 page not found\n");
/// The metadata of whatever was asked for.
pub const METADATA: Answer = (
    200,
    r#"{"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": {"name": "any"}}"#,
);

/// A client of an API server that answers so to a method and a path.
pub fn client(answer: impl Fn(&Method, &str) -> Answer + Clone + Send + 'static) -> Client {
    let service = tower::service_fn(move |request: Request<Body>| {
        let (code, body) = answer(request.method(), request.uri().path());
        async move {
            let mut response = Response::new(Body::from(body.as_bytes().to_vec()));
            *response.status_mut() = StatusCode::from_u16(code).unwrap();
            Ok::<_, Infallible>(response)
        }
    });
    Client::new(service, "default")
}

/// Whether a path is that of a definition of a kind.
pub fn is_definition(path: &str) -> bool {
    path.contains("/customresourcedefinitions/")
}
