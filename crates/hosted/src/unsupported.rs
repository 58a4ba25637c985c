//! How an object says that this version does not run it.
//!
//! For: conditions and observedGeneration, and nothing else. Not for: single fields of a kind that is run.

use std::fmt::Debug;

use k0smotron_api::names::{
    annotations,
    conditions::{reasons, types},
};
use k0smotron_runtime::{Context, Outcome, ReconcileError, conditions::Conditions, status};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Resource, ResourceExt, core::NamespaceResourceScope};
use serde::{Serialize, de::DeserializeOwned};

/// A kind of which this version may not run every object.
pub trait Hosted:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned
{
    /// Its status.
    type Status: Clone + Default + Serialize + Send + Sync;

    /// What is asked for and not done, by field.
    fn unsupported(&self) -> Vec<String>;
    fn status(&self) -> Option<&Self::Status>;
    /// Conditions and generation, where they stand in the status.
    fn report(status: &mut Self::Status) -> (&mut Vec<Condition>, &mut Option<i64>);
}

/// Says on the object that it is not run. `paused`: whether what it belongs to is.
///
/// # Errors
/// When the status cannot be written.
pub async fn reconcile<K: Hosted>(object: &K, paused: bool, context: &Context) -> Result<Outcome, Error> {
    if paused || object.annotations().contains_key(annotations::PAUSED) {
        return Ok(Outcome::Waiting);
    }
    let Some(after) = status(object) else {
        return Ok(Outcome::Done);
    };
    let api = context.api(&object.namespace().unwrap_or_default());
    status::patch_if_changed(&api, object, object.status(), &after).await?;
    Ok(Outcome::Done)
}

/// The status that says so; `None` when everything the object asks for is done.
fn status<K: Hosted>(object: &K) -> Option<K::Status> {
    let fields = object.unsupported();
    if fields.is_empty() {
        return None;
    }
    let mut status = object.status().cloned().unwrap_or_default();
    let generation = object.meta().generation;
    let (current, observed) = K::report(&mut status);
    let mut conditions = Conditions::of(current, generation);
    let message = format!(
        "this version does not run hosted control planes yet ({}); nothing else is written to this object or to what was made for it. \
         An earlier k0smotron can go on running it",
        fields.join(", ")
    );
    conditions.set_true(types::UNSUPPORTED, reasons::UNSUPPORTED, message.as_str());
    conditions.set_false(types::READY, reasons::UNSUPPORTED, message);
    *current = conditions.into_vec();
    *observed = generation;
    Some(status)
}

/// What a pass may fail with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    WriteStatus(#[from] status::Error),
}

impl ReconcileError for Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::WriteStatus(_) => "WriteStatusFailed",
        }
    }
}

#[cfg(test)]
mod tests {
    use k0smotron_api::k0smotron::v1beta2::Cluster;

    use super::*;

    /// As the original's controllers leave a plane that works.
    fn plane() -> Cluster {
        serde_yaml::from_str(
            "apiVersion: k0smotron.io/v1beta2
kind: Cluster
metadata: {name: basic, namespace: ns, generation: 3, finalizers: [k0smotron.io/finalizer]}
spec: {replicas: 1, version: v1.33.4-k0s.0}
status:
  replicas: 1
  readyReplicas: 1
  selector: cluster=basic
  conditions:
  - {type: Available, status: 'True', reason: InfoReported, message: '', lastTransitionTime: '2026-07-11T10:00:00Z'}
  deprecated: {v1beta1: {reconciliationStatus: Reconciliation successful, ready: true}}
",
        )
        .unwrap()
    }

    #[test]
    fn what_another_controller_says_stays() {
        let plane = plane();
        let before = Hosted::status(&plane).unwrap();
        let after = status(&plane).unwrap();
        let said: Vec<_> = after
            .conditions
            .iter()
            .map(|c| format!("{}={} {}", c.type_, c.status, c.reason))
            .collect();
        assert_eq!(
            said,
            [
                "Available=True InfoReported",
                "Unsupported=True Unsupported",
                "Ready=False Unsupported"
            ]
        );
        assert_eq!(after.conditions[0], before.conditions[0]);
        assert_eq!(after.observed_generation, Some(3));
        let mut other = after;
        other.conditions.clone_from(&before.conditions);
        other.observed_generation = None;
        assert_eq!(&other, before);
    }

    #[test]
    fn nothing_is_said_twice() {
        let mut plane = plane();
        plane.status = status(&plane);
        assert_eq!(status(&plane), plane.status);
        plane.metadata.generation = Some(4);
        let later = status(&plane).unwrap();
        assert_eq!(later.observed_generation, Some(4));
        assert_eq!(
            later.conditions[1].last_transition_time,
            plane.status.unwrap().conditions[1].last_transition_time
        );
    }
}
