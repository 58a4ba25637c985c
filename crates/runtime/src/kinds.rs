//! Which API serves a kind of another provider. The contract names objects by group and kind only.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use kube::{Client, core::ApiResource, discovery};

use crate::absence::is_missing;

/// APIs found so far.
#[derive(Default)]
pub struct Kinds(Mutex<HashMap<(String, String), ApiResource>>);

impl Kinds {
    /// The API of a kind, at the most stable of its versions; `None` when nothing serves it. Every provider has versions of its
    /// own in a group that all of them share: the one that is preferred for the group may not have the kind.
    ///
    /// # Errors
    /// Whatever the API answers.
    pub async fn api_of(
        &self,
        client: &Client,
        group: &str,
        kind: &str,
    ) -> Result<Option<ApiResource>, kube::Error> {
        let key = (group.to_owned(), kind.to_owned());
        let known = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
            .cloned();
        if known.is_some() {
            return Ok(known);
        }
        let found = match discovery::group(client, group).await {
            Ok(group) => group.versions().find_map(|version| {
                let resources = group.versioned_resources(version).into_iter();
                resources
                    .map(|(resource, _)| resource)
                    .find(|resource| resource.kind == kind)
            }),
            Err(error) if is_missing(&error) => None,
            Err(kube::Error::Discovery(_)) => None,
            Err(error) => return Err(error),
        };
        if let Some(resource) = &found {
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(key, resource.clone());
        }
        Ok(found)
    }
}
