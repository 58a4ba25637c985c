//! The Secret that carries bootstrap data to the infrastructure provider (contract B2).

use std::collections::BTreeMap;

use jiff::Timestamp;
use k0smotron_api::{
    capi::Machine,
    infrastructure::v1beta2::RemoteMachine,
    meta::LabelsAndAnnotations,
    names::{annotations, field_managers, labels, secrets},
};
use k0smotron_k0s::token::BootstrapToken;
use k0smotron_runtime::{Context, apply};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{Resource, ResourceExt};
use secrecy::ExposeSecret;

use crate::{
    join_token::{Issued, POOL_LIFETIME},
    payload::{self, Payload},
};

/// The Secret of `config`, named like it, with this payload and the token in it.
pub fn build<K: Resource<DynamicType = ()>>(
    config: &K,
    cluster: &str,
    payload: &Payload,
    token: Option<&Issued>,
    metadata: Option<&LabelsAndAnnotations>,
) -> Secret {
    let metadata = metadata.cloned().unwrap_or_default();
    let mut all_labels = BTreeMap::from([(
        labels::COMPONENT.to_owned(),
        labels::COMPONENT_BOOTSTRAP.to_owned(),
    )]);
    all_labels.extend(metadata.labels);
    // Last: Cluster API does not see the Secret under another value.
    all_labels.insert(labels::CLUSTER_NAME.to_owned(), cluster.to_owned());
    let mut secret = Secret {
        type_: Some(secrets::TYPE.to_owned()),
        data: Some(BTreeMap::from([
            (
                secrets::VALUE.to_owned(),
                ByteString(payload.text.as_bytes().to_vec()),
            ),
            (
                secrets::FORMAT.to_owned(),
                ByteString(payload.format.as_str().as_bytes().to_vec()),
            ),
        ])),
        ..Secret::default()
    };
    let mut annotations = metadata.annotations;
    if let Some(token) = token {
        let data = secret.data.get_or_insert_default();
        let value = token.token.value().expose_secret().as_bytes().to_vec();
        data.insert(secrets::BOOTSTRAP_TOKEN.to_owned(), ByteString(value));
        annotations.extend(token.pool_expires.map(|expires| {
            (
                annotations::JOIN_TOKEN_EXPIRES.to_owned(),
                format!("{expires:.0}"),
            )
        }));
    }
    secret.metadata.name = Some(config.name_any());
    secret.metadata.namespace.clone_from(&config.meta().namespace);
    secret.metadata.labels = Some(all_labels);
    secret.metadata.annotations = Some(annotations).filter(|annotations| !annotations.is_empty());
    secret.metadata.owner_references = config.controller_owner_ref(&()).map(|mut owner| {
        owner.block_owner_deletion = None;
        vec![owner]
    });
    secret
}

/// The token in the bootstrap data. Data that was made by an earlier release does not tell it.
pub fn token(secret: &Secret) -> Option<BootstrapToken> {
    let text = k0smotron_runtime::secrets::text(secret, secrets::BOOTSTRAP_TOKEN)?;
    BootstrapToken::parse(&text).ok()
}

/// When the data of a pool is due to get another token: at once where it does not say how long its own is good.
pub fn rotation(secret: &Secret) -> Timestamp {
    let expires = secret.annotations().get(annotations::JOIN_TOKEN_EXPIRES);
    let expires = expires.and_then(|text| text.parse::<Timestamp>().ok());
    expires
        .and_then(|expires| expires.checked_sub(POOL_LIFETIME / 2).ok())
        .unwrap_or(Timestamp::MIN)
}

/// Writes it, and says where it may be too large: over SSH there is no limit.
///
/// # Errors
/// Whatever the API answers.
pub async fn apply<K>(
    context: &Context,
    config: &K,
    machine: Option<&Machine>,
    secret: &Secret,
) -> Result<(), apply::Error>
where
    K: Resource<DynamicType = ()> + Sync,
{
    let api = context.api::<Secret>(&secret.namespace().unwrap_or_default());
    apply::apply_if_changed(&api, secret, field_managers::BOOTSTRAP).await?;
    let value = secret.data.as_ref().and_then(|data| data.get(secrets::VALUE));
    let infrastructure = machine.and_then(|machine| machine.spec.infrastructure_ref.as_ref());
    let over_ssh = infrastructure
        .is_some_and(|reference| reference.is(&RemoteMachine::group(&()), &RemoteMachine::kind(&())));
    if let Some(note) = value.and_then(|value| payload::too_large_for(value.0.len()))
        && !over_ssh
    {
        context.events.warning(config, "LargeBootstrapData", &note).await;
    }
    Ok(())
}
