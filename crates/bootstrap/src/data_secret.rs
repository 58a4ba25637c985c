//! The Secret that carries bootstrap data to the infrastructure provider (contract B2).

use std::collections::BTreeMap;

use k0smotron_api::{
    bootstrap::v1beta2::ProvisionerType,
    meta::LabelsAndAnnotations,
    names::{field_managers, labels, secrets},
};
use k0smotron_runtime::{Context, apply};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{Resource, ResourceExt};

/// The Secret of `config`, named like it, with this payload in cloud-config format.
pub fn build<K: Resource<DynamicType = ()>>(
    config: &K,
    cluster: &str,
    payload: &str,
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
            (secrets::VALUE.to_owned(), ByteString(payload.as_bytes().to_vec())),
            (
                secrets::FORMAT.to_owned(),
                ByteString(ProvisionerType::CloudConfig.as_str().as_bytes().to_vec()),
            ),
        ])),
        ..Secret::default()
    };
    secret.metadata.name = Some(config.name_any());
    secret.metadata.namespace.clone_from(&config.meta().namespace);
    secret.metadata.labels = Some(all_labels);
    secret.metadata.annotations = Some(metadata.annotations).filter(|annotations| !annotations.is_empty());
    secret.metadata.owner_references = config.controller_owner_ref(&()).map(|mut owner| {
        owner.block_owner_deletion = None;
        vec![owner]
    });
    secret
}

/// Writes it.
///
/// # Errors
/// Whatever the API answers.
pub async fn apply(context: &Context, secret: &Secret) -> Result<(), apply::Error> {
    let api = context.api::<Secret>(&secret.namespace().unwrap_or_default());
    apply::apply_if_changed(&api, secret, field_managers::BOOTSTRAP)
        .await
        .map(drop)
}
