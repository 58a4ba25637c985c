//! Objects of Kubernetes that users write inside ours, created for trial: the API server says what it would say to the
//! real object, and stores nothing.

use std::time::Duration;

use k0smotron_api::validation::DryRun;
use kube::{
    Api, Client,
    api::PostParams,
    core::{ApiResource, DynamicObject, GroupVersionKind},
};

use super::FIELD_MANAGER;

/// Well below what the API server waits for us.
const LIMIT: Duration = Duration::from_secs(5);

/// What came of a trial.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Accepted,
    /// In the API server's words.
    Refused(String),
    /// It could not be asked, or said nothing about the object itself: missing rights, a quota, no such namespace.
    Unknown(String),
}

pub(super) async fn create(client: &Client, trial: &DryRun) -> Outcome {
    let object: DynamicObject = match serde_json::from_value(trial.object.clone()) {
        Ok(object) => object,
        Err(error) => return Outcome::Refused(error.to_string()),
    };
    let Some(kind) = object
        .types
        .as_ref()
        .and_then(|types| GroupVersionKind::try_from(types).ok())
    else {
        return Outcome::Unknown("it has no kind".to_owned());
    };
    let resource = ApiResource::from_gvk(&kind);
    let namespace = object.metadata.namespace.as_deref().unwrap_or("default");
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    let parameters = PostParams {
        dry_run: true,
        field_manager: Some(FIELD_MANAGER.to_owned()),
    };
    match tokio::time::timeout(LIMIT, api.create(&parameters, &object)).await {
        Ok(Ok(_)) => Outcome::Accepted,
        Ok(Err(kube::Error::Api(status))) if matches!(status.code, 400 | 422) => {
            Outcome::Refused(status.message.clone())
        }
        Ok(Err(error)) => Outcome::Unknown(crate::controller::chain(&error)),
        Err(_) => Outcome::Unknown(format!("no answer within {LIMIT:?}")),
    }
}
