//! Moves what an older version has stored to the version that is stored now.
//!
//! Two things keep an old version alive in a cluster, each in a way that is not seen until it hurts:
//!
//! | what | while it is there | module |
//! |---|---|---|
//! | objects stored as the old version, named by `status.storedVersions` | the version can never be removed, and `clusterctl upgrade` says so | [`storage`] |
//! | entries of `metadata.managedFields` of the old version | every write of the object is converted, so nobody can write it while no manager answers | [`managed_fields`] |
//!
//! Contract CT29. Done by the leader only, for the definitions that its deployment installs. Needs the webhooks: reading
//! an object that is stored as the old version is a conversion.

mod managed_fields;
mod storage;

use std::str::FromStr;

use k0smotron_api::webhooks::{Kind, VERSION};
use kube::{
    Api, Client,
    core::{ApiResource, DynamicObject, GroupVersionKind, PartialObjectMeta},
};
use tokio::sync::watch;

use crate::{definitions::Definitions, events::Events};

const FIELD_MANAGER: &str = "k0smotron-migration";

/// A migration to be run.
#[derive(Clone)]
pub struct Migration {
    pub client: Client,
    /// The kinds of this deployment.
    pub kinds: Vec<&'static Kind>,
    pub definitions: Definitions,
    pub events: Events,
    pub skipped: Skipped,
    /// True once conversion works.
    pub convertible: watch::Receiver<bool>,
}

impl Migration {
    /// Runs until dropped.
    pub async fn run(mut self) {
        if self
            .convertible
            .wait_for(|convertible| *convertible)
            .await
            .is_err()
        {
            // The webhook server has ended, and the process with it.
            return std::future::pending().await;
        }
        tokio::join!(storage::run(&self), managed_fields::run(&self));
    }
}

/// Phases that are left out, as Cluster API names them: `StorageVersionMigration`, `CleanupManagedFields` or `All`, separated
/// by commas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    pub storage: bool,
    pub managed_fields: bool,
}

impl FromStr for Skipped {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut skipped = Self::default();
        for phase in text.split(',').map(str::trim).filter(|phase| !phase.is_empty()) {
            match phase {
                "All" => {
                    skipped.storage = true;
                    skipped.managed_fields = true;
                }
                "StorageVersionMigration" => skipped.storage = true,
                "CleanupManagedFields" => skipped.managed_fields = true,
                _ => {
                    return Err(format!(
                        "phase {phase:?} is not known; known are All, StorageVersionMigration, CleanupManagedFields"
                    ));
                }
            }
        }
        Ok(skipped)
    }
}

/// Metadata of the objects of a kind, in the stored version.
fn resource(kind: &Kind) -> ApiResource {
    let gvk = GroupVersionKind::gvk(kind.group, VERSION, kind.kind);
    ApiResource::from_gvk_with_plural(&gvk, kind.plural)
}

/// The API of one object.
fn api_of(client: &Client, kind: &Kind, namespace: &str) -> Api<PartialObjectMeta<DynamicObject>> {
    Api::namespaced_with(client.clone(), namespace, &resource(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_cluster_apis() {
        assert_eq!("".parse(), Ok(Skipped::default()));
        let both = Skipped {
            storage: true,
            managed_fields: true,
        };
        assert_eq!("All".parse(), Ok(both));
        assert_eq!("StorageVersionMigration, CleanupManagedFields".parse(), Ok(both));
        assert!("Storage".parse::<Skipped>().is_err());
    }
}
