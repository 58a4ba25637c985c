//! Contract Secrets (contract C13, C14): type and label that Cluster API asks for.

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::OwnerReference};

/// Type of the Secrets of the contract.
pub const CLUSTER_SECRET_TYPE: &str = "cluster.x-k8s.io/secret";
/// Label without which Cluster API core does not see a Secret.
pub const CLUSTER_NAME_LABEL: &str = "cluster.x-k8s.io/cluster-name";

/// A contract Secret of the cluster.
pub fn cluster_secret(
    namespace: &str,
    name: &str,
    cluster: &str,
    data: impl IntoIterator<Item = (&'static str, String)>,
    owner: Option<OwnerReference>,
) -> Secret {
    let mut secret = Secret {
        type_: Some(CLUSTER_SECRET_TYPE.to_owned()),
        data: Some(
            data.into_iter()
                .map(|(key, value)| (key.to_owned(), ByteString(value.into_bytes())))
                .collect(),
        ),
        ..Secret::default()
    };
    secret.metadata.namespace = Some(namespace.to_owned());
    secret.metadata.name = Some(name.to_owned());
    secret.metadata.labels = Some(BTreeMap::from([(
        CLUSTER_NAME_LABEL.to_owned(),
        cluster.to_owned(),
    )]));
    secret.metadata.owner_references = owner.map(|owner| vec![owner]);
    secret
}

/// A value of the Secret as text; `None` when it is missing or no UTF-8.
pub fn text(secret: &Secret, key: &str) -> Option<String> {
    let value = secret.data.as_ref()?.get(key)?;
    String::from_utf8(value.0.clone()).ok()
}
