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
use k0smotron_runtime::{
    Context,
    absence::{self, is_missing},
};
use kube::{
    Api, Client, ResourceExt,
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

/// What came of bringing a configuration in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Brought {
    /// It was there, or will be with what k0s is about to make.
    Nothing,
    Changes,
    /// The API server that answered does not serve the kind yet.
    Later,
}

impl LiveConfigs {
    /// Brings in what is not there yet. Returns whether it has to be tried again soon.
    ///
    /// # Errors
    /// Whatever the cluster's API server answers, also that k0s there takes no configuration.
    pub async fn bring_in(
        &self,
        inputs: &Inputs,
        observed: &Observed,
        context: &Context,
    ) -> Result<bool, Error> {
        let (true, Some(cluster)) = (may_write(observed), inputs.workload()) else {
            return Ok(false);
        };
        let config = observe::config_for(inputs, None).map_err(Error::Config)?;
        let wanted = live_config::cluster_wide(config.get("k0s").unwrap_or(&Value::Null));
        let uid = inputs.plane.uid().unwrap_or_default();
        if self.known().get(&uid) == Some(&wanted) {
            return Ok(false);
        }
        let made_with = observe::made_with(inputs).map(|config| live_config::cluster_wide(&config));
        let client = context.workloads.client(&cluster).await.map_err(Error::Dial)?;
        match bring(&client, &wanted, made_with).await? {
            Brought::Later => return Ok(true),
            Brought::Nothing => {}
            Brought::Changes => {
                let note = "the changed k0s configuration was brought into the cluster";
                let plane = inputs.plane.as_ref();
                context.events.normal(plane, "ConfigurationChanged", note).await;
            }
        }
        self.known().insert(uid, wanted);
        Ok(false)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Value>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets a control plane that is gone.
    pub fn forget(&self, uid: &str) {
        self.known().remove(uid);
    }
}

/// Whether the cluster is one to write to: it is there, is to stay, and answers.
fn may_write(observed: &Observed) -> bool {
    matches!(observed.answer, Answer::Yes { .. })
        && observed.exists
        && !observed.goes
        && observed.unsupported().is_none()
}

async fn bring(client: &Client, wanted: &Value, made_with: Option<Value>) -> Result<Brought, Error> {
    let api: Api<ClusterConfig> = Api::namespaced(client.clone(), NAMESPACE);
    let live = match api.get(NAME).await {
        Ok(live) => live,
        // k0s makes it from this a moment after its API server answers.
        Err(error) if is_missing(&error) && made_with.as_ref().is_none_or(|before| before == wanted) => {
            return Ok(Brought::Nothing);
        }
        // k0s defines the kind for dynamic configuration only.
        Err(error) => match absence::of::<ClusterConfig>(client, error).await {
            Ok(_) => return Err(Error::NoClusterConfig),
            Err(error) if is_missing(&error) => return Ok(Brought::Later),
            Err(error) => return Err(Error::ClusterConfig(error)),
        },
    };
    let Some(before) = brought_in(&live).or(made_with) else {
        return begin_with(&api, wanted).await;
    };
    let Some(change) = live_config::patch(&before, wanted, &Value::Object(live.spec.0)) else {
        return Ok(Brought::Nothing);
    };
    let patch = Patch::Merge(json!({
        "metadata": { "annotations": { annotations::CONFIGURATION: wanted.to_string() } },
        "spec": change,
    }));
    match api.patch(NAME, &PatchParams::default(), &patch).await {
        Ok(_) => Ok(Brought::Changes),
        // Behind one endpoint are several API servers, and the one that has answered now may just have come up.
        Err(error) if is_missing(&error) => Ok(Brought::Later),
        Err(error) => Err(Error::ClusterConfig(error)),
    }
}

/// Of a cluster that somebody else has set up: what is there stays, and from now on what changes in the spec is brought in.
async fn begin_with(api: &Api<ClusterConfig>, wanted: &Value) -> Result<Brought, Error> {
    let mark = Patch::Merge(
        json!({ "metadata": { "annotations": { annotations::CONFIGURATION: wanted.to_string() } } }),
    );
    match api.patch_metadata(NAME, &PatchParams::default(), &mark).await {
        Ok(_) => Ok(Brought::Nothing),
        Err(error) if is_missing(&error) => Ok(Brought::Later),
        Err(error) => Err(Error::ClusterConfig(error)),
    }
}

/// The configuration that was brought in last.
fn brought_in(live: &ClusterConfig) -> Option<Value> {
    serde_json::from_str(live.annotations().get(annotations::CONFIGURATION)?).ok()
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::{
        super::{
            decide_tests,
            test_api::{self, METADATA, NO_PAGE, client},
        },
        *,
    };

    /// What the API server answers: to a look for the configuration, to the look for its kind, to a change.
    #[derive(Clone, Copy)]
    struct Answers {
        config: test_api::Answer,
        kind: test_api::Answer,
        change: test_api::Answer,
    }

    const ALL_WELL: Answers = Answers {
        config: (
            200,
            r#"{"apiVersion": "k0s.k0sproject.io/v1beta1", "kind": "ClusterConfig", "metadata": {"name": "k0s"},
                "spec": {"telemetry": {"enabled": true}}}"#,
        ),
        kind: METADATA,
        change: (
            200,
            r#"{"apiVersion": "k0s.k0sproject.io/v1beta1", "kind": "ClusterConfig", "metadata": {"name": "k0s"},
                "spec": {}}"#,
        ),
    };
    const NO_OBJECT: (u16, &str) = (
        404,
        r#"{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404,
            "message": "not found", "details": {"name": "k0s", "kind": "clusterconfigs"}}"#,
    );
    const REFUSED: (u16, &str) = (
        403,
        r#"{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403,
            "message": "no"}"#,
    );

    async fn brought(answers: Answers) -> Result<Brought, Error> {
        let client = client(move |method, path| match method {
            &Method::PATCH => answers.change,
            _ if test_api::is_definition(path) => answers.kind,
            _ => answers.config,
        });
        let wanted = json!({"telemetry": {"enabled": false}});
        let made_with = json!({"telemetry": {"enabled": true}});
        bring(&client, &wanted, Some(made_with)).await
    }

    #[tokio::test]
    async fn an_api_server_that_does_not_serve_the_kind_yet_is_waited_for() {
        assert_eq!(brought(ALL_WELL).await.unwrap(), Brought::Changes);
        let change = NO_PAGE;
        let gone = brought(Answers { change, ..ALL_WELL }).await;
        assert_eq!(gone.unwrap(), Brought::Later);
        let config = NO_PAGE;
        let early = brought(Answers { config, ..ALL_WELL }).await;
        assert_eq!(early.unwrap(), Brought::Later);
    }

    #[tokio::test]
    async fn a_cluster_that_takes_no_configuration_is_told_of() {
        let kind = (
            404,
            r#"{"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404}"#,
        );
        let without = brought(Answers {
            config: NO_PAGE,
            kind,
            ..ALL_WELL
        });
        assert!(matches!(without.await, Err(Error::NoClusterConfig)));
        let config = NO_OBJECT;
        let removed = brought(Answers { config, ..ALL_WELL }).await;
        assert!(matches!(removed, Err(Error::NoClusterConfig)));
        let change = REFUSED;
        let refused = brought(Answers { change, ..ALL_WELL }).await;
        assert!(matches!(refused, Err(Error::ClusterConfig(_))));
    }

    #[tokio::test]
    async fn a_cluster_that_was_set_up_by_hand_keeps_what_it_has_and_takes_changes() {
        const MARKED: test_api::Answer = (
            200,
            r#"{"apiVersion": "k0s.k0sproject.io/v1beta1", "kind": "ClusterConfig", "metadata": {"name": "k0s",
                "annotations": {"k0smotron.io/configuration": "{\"telemetry\": {\"enabled\": true}}"}},
                "spec": {"telemetry": {"enabled": true}}}"#,
        );
        let wanted = json!({"telemetry": {"enabled": false}});
        for (config, brought) in [(ALL_WELL.config, Brought::Nothing), (MARKED, Brought::Changes)] {
            let client = client(move |method, _| match method {
                &Method::PATCH => MARKED,
                _ => config,
            });
            assert_eq!(bring(&client, &wanted, None).await.unwrap(), brought);
        }
    }

    #[test]
    fn nothing_is_brought_into_a_cluster_that_goes() {
        let stays = decide_tests::running();
        assert!(may_write(&stays));
        assert!(!may_write(&Observed { goes: true, ..stays }));
    }
}
