//! Makes the token's Secret for the cluster that is joined, and the Secret that is published. Pure but for the random of
//! a new token.

use std::collections::BTreeMap;

use k0smotron_api::names::labels;
use k0smotron_k0s::token::{self, BootstrapToken, Role};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{Resource, ResourceExt};
use secrecy::ExposeSecret;

use super::{
    Error,
    fetch::Inputs,
    tokens::{self, Token},
};

/// What was built and is not written yet.
pub struct Built {
    /// The public half of the token.
    pub id: String,
    /// The token's Secret for the cluster that is joined, if it is a new one.
    pub token: Option<Secret>,
    /// The Secret with the join token.
    pub published: Secret,
}

/// Makes the Secrets for this token, or for a new one.
pub fn build(inputs: &Inputs, token: Option<Token>) -> Result<Built, Error> {
    let (value, secret) = match token {
        Some(token) => (token.token, None),
        None => {
            let value = BootstrapToken::generate();
            let secret = token_secret(&value, inputs);
            (value, Some(secret))
        }
    };
    Ok(Built {
        id: value.id().to_owned(),
        token: secret,
        published: published(&value, inputs)?,
    })
}

fn token_secret(value: &BootstrapToken, inputs: &Inputs) -> Secret {
    let expires = tokens::expiry(inputs.life, inputs.now);
    let mut secret = Secret {
        type_: Some(token::SECRET_TYPE.to_owned()),
        data: Some(bytes(token::secret_data(value, Role::Worker, expires))),
        ..Secret::default()
    };
    secret.metadata.name = Some(token::secret_name(value.id()));
    secret.metadata.namespace = Some(token::SECRET_NAMESPACE.to_owned());
    let marks = tokens::marks(&inputs.request);
    secret.metadata.labels = Some(marks.map(|(key, value)| (key.to_owned(), value)).into());
    secret
}

fn published(value: &BootstrapToken, inputs: &Inputs) -> Result<Secret, Error> {
    let request = &inputs.request;
    let (Some(cluster), Some(kubeconfig)) = (&inputs.cluster, &inputs.kubeconfig) else {
        return Err(Error::Incomplete);
    };
    let ca = kubeconfig.ca_pem.as_ref().ok_or(Error::Incomplete)?;
    let join = token::join_token(&kubeconfig.server, ca, Role::Worker.user(), value).map_err(Error::Join)?;
    // As they always were. The request's own come along, and never win.
    let mut labels = request.labels().clone();
    let ours = [
        (labels::HOSTED_CLUSTER, cluster.name_any()),
        (labels::TOKEN_ROLE, "worker".to_owned()),
        (labels::TOKEN_REQUEST, request.name_any()),
        (labels::COMPONENT, labels::COMPONENT_JOIN_TOKEN.to_owned()),
    ];
    labels.extend(ours.map(|(key, value)| (key.to_owned(), value)));
    let mut annotations = request.annotations().clone();
    // Not of the request itself, but of what was done with it.
    annotations.retain(|key, _| !key.starts_with("kubectl.kubernetes.io/"));
    let mut secret = Secret {
        type_: Some("Opaque".to_owned()),
        data: Some(bytes([("token", join.expose_secret().to_owned())])),
        ..Secret::default()
    };
    secret.metadata.name = request.metadata.name.clone();
    secret.metadata.namespace = request.namespace();
    secret.metadata.labels = Some(labels);
    secret.metadata.annotations = (!annotations.is_empty()).then_some(annotations);
    secret.metadata.owner_references = request.controller_owner_ref(&()).map(|owner| vec![owner]);
    Ok(secret)
}

fn bytes(data: impl IntoIterator<Item = (&'static str, String)>) -> BTreeMap<String, ByteString> {
    data.into_iter()
        .map(|(key, value)| (key.to_owned(), ByteString(value.into_bytes())))
        .collect()
}
