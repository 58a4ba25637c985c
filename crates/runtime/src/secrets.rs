//! Contract Secrets (contract C13, C14): type and label that Cluster API asks for, looked up before they are made.

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::OwnerReference};
use kube::{Api, api::PostParams};

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

/// The Secret of that name, made if there is none. One that somebody else made is returned as it is.
///
/// # Errors
/// Whatever the API answers, and what `make` fails with.
pub async fn look_up_or_create<E>(
    api: &Api<Secret>,
    name: &str,
    make: impl FnOnce() -> Result<Secret, E>,
) -> Result<Secret, E>
where
    E: From<kube::Error>,
{
    if let Some(secret) = api.get_opt(name).await? {
        return Ok(secret);
    }
    match api.create(&PostParams::default(), &make()?).await {
        Ok(secret) => Ok(secret),
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(api.get(name).await?),
        Err(error) => Err(error.into()),
    }
}

/// A value of the Secret as text; `None` when it is missing or no UTF-8.
pub fn text(secret: &Secret, key: &str) -> Option<String> {
    let value = secret.data.as_ref()?.get(key)?;
    String::from_utf8(value.0.clone()).ok()
}
