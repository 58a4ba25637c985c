//! Brings changes of the k0s configuration into the running cluster, which takes them over without a pod being replaced.
//!
//! What was brought in last is noted there, so that what the spec does not say any more is removed, and what somebody
//! changed in the cluster itself stays. Compared once by each process and for each change of the spec.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use k0smotron_api::{k0s_objects::ClusterConfig, names::annotations};
use k0smotron_k0s::{
    cluster_config::{NAME, NAMESPACE},
    live_config,
};
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use super::Error;

/// What is known to be in the clusters, by UID of the control plane.
#[derive(Default)]
pub struct LiveConfigs(Mutex<HashMap<String, Value>>);

/// What became of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brought {
    /// It was there.
    Same,
    Changed,
    /// The cluster does not take one yet.
    Early,
}

impl LiveConfigs {
    /// Brings in what of `configuration` holds for the whole cluster, unless it is there.
    ///
    /// # Errors
    /// Whatever the cluster's API server answers.
    pub async fn bring_in(&self, uid: &str, configuration: &Value, client: Client) -> Result<Brought, Error> {
        let wanted = live_config::cluster_wide(configuration);
        if self.known().get(uid) == Some(&wanted) {
            return Ok(Brought::Same);
        }
        let api: Api<ClusterConfig> = Api::namespaced(client, NAMESPACE);
        // k0s makes it a moment after its API server answers.
        let Some(live) = api.get_opt(NAME).await.map_err(Error::ClusterConfig)? else {
            return Ok(Brought::Early);
        };
        let noted = live.annotations().get(annotations::CONFIGURATION);
        let before = noted.and_then(|text| serde_json::from_str(text).ok());
        let first = before.is_none();
        let before = before.unwrap_or_else(|| json!({}));
        let change = live_config::patch(&before, &wanted, &Value::Object(live.spec.0.clone()));
        if change.is_some() || first {
            // A patch without changes of the spec only notes what is there.
            let patch = json!({
                "metadata": {"annotations": {annotations::CONFIGURATION: wanted.to_string()}},
                "spec": change.clone().unwrap_or_else(|| json!({})),
            });
            let patched = api
                .patch(NAME, &PatchParams::default(), &Patch::Merge(patch))
                .await;
            patched.map_err(Error::ClusterConfig)?;
        }
        self.known().insert(uid.to_owned(), wanted);
        // k0s writes a new one itself; that it is noted is no change.
        Ok(match change {
            Some(_) if !first => Brought::Changed,
            _ => Brought::Same,
        })
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Value>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets a control plane that is gone.
    pub fn forget(&self, uid: &str) {
        self.known().remove(uid);
    }
}
