//! What an answer of 404 says: that there is no such object, or that whoever answered does not serve its kind.
//!
//! For kinds with a CustomResourceDefinition, where something follows from an object's not being there. An API server that
//! serves the kind answers with a Status that names the object. One that does not, because the kind is not defined or
//! because it has not got to serving it (behind the endpoint of a cluster are several, and one may just have come up), says
//! in plain text that there is no such page. kube makes a Status of that too, for which `is_not_found` does not hold (up to
//! 5.0 at least), so that `get_opt` fails where there is no such kind.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client, Error, Resource, core::Status};

const NOT_FOUND: u16 = 404;

/// What is missing for certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// The kind is served, and has no such object.
    Object,
    /// There is no such kind in the cluster.
    Kind,
}

/// Whether an API server has answered that something is not there, be it the object or its kind.
#[must_use]
pub fn is_missing(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.code == NOT_FOUND)
}

/// What follows from an answer to a request for objects of a kind.
///
/// # Errors
/// The answer, where it says something else, or where it comes from an API server that does not serve a kind which the
/// cluster has: then [`is_missing`] holds for it, and another moment or another server knows better. Also what the API server
/// answers to the question whether it has the kind.
pub async fn of<K>(client: &Client, answer: Error) -> Result<Absence, Error>
where
    K: Resource<DynamicType = ()>,
{
    match &answer {
        Error::Api(status) if status.code == NOT_FOUND => match names_something(status) {
            true => Ok(Absence::Object),
            false if is_defined::<K>(client).await? => Err(answer),
            false => Ok(Absence::Kind),
        },
        _ => Err(answer),
    }
}

/// Whether it is the answer of somebody who knows the kind.
fn names_something(status: &Status) -> bool {
    let details = status.details.as_ref();
    details.is_some_and(|details| !details.name.is_empty())
}

/// Whether the cluster has the kind, which every API server knows from the beginning.
async fn is_defined<K: Resource<DynamicType = ()>>(client: &Client) -> Result<bool, Error> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let name = format!("{}.{}", K::plural(&()), K::group(&()));
    match definitions.get_metadata(&name).await {
        Ok(_) => Ok(true),
        Err(error) if is_missing(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::{Request, Response, StatusCode};
    use k0smotron_api::k0s_objects::Plan;
    use kube::client::Body;

    use super::*;

    const NO_PAGE: (u16, &str) = (404, "404 page not found\n");
    const NO_PLAN: (u16, &str) = (
        404,
        r#"{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404,
            "message": "not found", "details": {"name": "autopilot", "kind": "plans"}}"#,
    );
    const REFUSED: (u16, &str) = (
        403,
        r#"{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403,
            "message": "no"}"#,
    );
    const DEFINED: (u16, &str) = (
        200,
        r#"{"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": {"name": "any"}}"#,
    );

    /// An API server that answers so for Plans, and so for their definition.
    fn client(plan: (u16, &'static str), definition: (u16, &'static str)) -> Client {
        let service = tower::service_fn(move |request: Request<Body>| async move {
            let defines = request
                .uri()
                .path()
                .ends_with("/customresourcedefinitions/plans.autopilot.k0sproject.io");
            let (code, body) = if defines { definition } else { plan };
            let mut response = Response::new(Body::from(body.as_bytes().to_vec()));
            *response.status_mut() = StatusCode::from_u16(code).unwrap();
            Ok::<_, Infallible>(response)
        });
        Client::new(service, "default")
    }

    async fn found(plan: (u16, &'static str), definition: (u16, &'static str)) -> Result<Absence, Error> {
        let client = client(plan, definition);
        let answer = Api::<Plan>::all(client.clone())
            .get("autopilot")
            .await
            .unwrap_err();
        of::<Plan>(&client, answer).await
    }

    #[tokio::test]
    async fn what_is_missing_is_told_from_what_is_not_served() {
        assert_eq!(found(NO_PLAN, DEFINED).await.unwrap(), Absence::Object);
        assert_eq!(found(NO_PAGE, NO_PAGE).await.unwrap(), Absence::Kind);
        let early = found(NO_PAGE, DEFINED).await.unwrap_err();
        assert!(is_missing(&early), "{early}");
        for (plan, definition) in [(REFUSED, DEFINED), (NO_PAGE, REFUSED)] {
            let error = found(plan, definition).await.unwrap_err();
            assert!(!is_missing(&error), "{error}");
        }
    }
}
