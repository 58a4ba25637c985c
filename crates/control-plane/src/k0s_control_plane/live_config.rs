//! Brings changes of the k0s configuration into the running cluster, which takes them over without anything being replaced.
//!
//! Compared once by each process and for each change of the spec, not in every pass: what users change in the cluster
//! itself and the spec does not change stays.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use k0smotron_api::{k0s_objects::ClusterConfig, names::annotations};
use k0smotron_k0s::live_config;
use k0smotron_runtime::Context;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use super::{
    Error,
    fetch::Inputs,
    observe,
    observed::{Answer, Observed},
};

const NAMESPACE: &str = "kube-system";
const NAME: &str = "k0s";

/// What is known to be in the clusters, by UID of the control plane.
#[derive(Default)]
pub struct LiveConfigs(Mutex<HashMap<String, Value>>);

impl LiveConfigs {
    /// Brings in what is not there yet.
    ///
    /// # Errors
    /// Whatever the cluster's API server answers, also that k0s there takes no configuration.
    pub async fn bring_in(
        &self,
        inputs: &Inputs,
        observed: &Observed,
        context: &Context,
    ) -> Result<(), Error> {
        let may_write = matches!(observed.answer, Answer::Yes { .. })
            && observed.exists
            && observed.unsupported().is_none();
        let (true, Some(cluster)) = (may_write, inputs.workload()) else {
            return Ok(());
        };
        let config = observe::config_for(inputs, None).map_err(Error::Config)?;
        let wanted = live_config::cluster_wide(config.get("k0s").unwrap_or(&Value::Null));
        let uid = inputs.plane.uid().unwrap_or_default();
        if self.known().get(&uid) == Some(&wanted) {
            return Ok(());
        }
        let client = context.workloads.client(&cluster).await.map_err(Error::Dial)?;
        let api: Api<ClusterConfig> = Api::namespaced(client, NAMESPACE);
        let made_with = || observe::made_with(inputs).map(|config| live_config::cluster_wide(&config));
        // None also while, for the first moments of a cluster, its API does not serve the kind.
        match api.get_opt(NAME).await.map_err(Error::ClusterConfig)? {
            Some(live) => {
                let before = brought_in(&live)
                    .or_else(made_with)
                    .unwrap_or_else(|| wanted.clone());
                if let Some(change) = live_config::patch(&before, &wanted, &Value::Object(live.spec.0)) {
                    let patch = Patch::Merge(json!({
                        "metadata": { "annotations": { annotations::CONFIGURATION: wanted.to_string() } },
                        "spec": change,
                    }));
                    let patched = api.patch(NAME, &PatchParams::default(), &patch).await;
                    patched.map_err(Error::ClusterConfig)?;
                    let note = "the changed k0s configuration was brought into the cluster";
                    context
                        .events
                        .normal(inputs.plane.as_ref(), "ConfigurationChanged", note)
                        .await;
                }
            }
            // k0s makes it a moment after its API server answers; without dynamic configuration there never is one.
            None if made_with().is_none_or(|before| before == wanted) => {}
            None => return Err(Error::NoClusterConfig),
        }
        self.known().insert(uid, wanted);
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Value>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets a control plane that is gone.
    pub fn forget(&self, uid: &str) {
        self.known().remove(uid);
    }
}

/// The configuration that was brought in last.
fn brought_in(live: &ClusterConfig) -> Option<Value> {
    serde_json::from_str(live.annotations().get(annotations::CONFIGURATION)?).ok()
}
