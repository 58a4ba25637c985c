//! The Secret that the replicas of a manager share, so that all serve what clients are told to trust.

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};

use super::{FIELD_MANAGER, certificates::Material};

/// The one Secret, by name.
pub(super) struct Store {
    api: Api<Secret>,
    name: String,
}

impl Store {
    pub(super) fn new(client: &Client, namespace: &str, name: &str) -> Self {
        Self {
            api: Api::namespaced(client.clone(), namespace),
            name: name.to_owned(),
        }
    }

    pub(super) async fn read(&self) -> Result<Option<Secret>, kube::Error> {
        self.api.get_opt(&self.name).await
    }

    /// Writes the material over what was read, or creates the Secret. False when another replica was faster: then its
    /// material is read and used.
    pub(super) async fn write(&self, read: Option<Secret>, material: &Material) -> Result<bool, kube::Error> {
        let parameters = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let written = match read {
            Some(mut secret) => {
                material.write(secret.data.get_or_insert_default());
                self.api.replace(&self.name, &parameters, &secret).await
            }
            None => {
                let mut secret = Secret {
                    metadata: ObjectMeta {
                        name: Some(self.name.clone()),
                        ..ObjectMeta::default()
                    },
                    type_: Some("kubernetes.io/tls".to_owned()),
                    ..Secret::default()
                };
                material.write(secret.data.get_or_insert_default());
                self.api.create(&parameters, &secret).await
            }
        };
        match written {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status))
                if status.is_conflict() || status.is_already_exists() || status.is_not_found() =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}
