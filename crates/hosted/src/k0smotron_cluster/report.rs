//! What is true of a control plane now, as status and conditions. Pure but for the one write at the end.

use std::collections::BTreeMap;

use k0smotron_api::{
    k0smotron::v1beta2::{
        Cluster, ClusterStatus, DeprecatedClusterStatus, DeprecatedClusterV1Beta1, ServiceType, VersionCount,
    },
    names::{
        conditions::{reasons, types},
        hosted::{annotations, reasons as hosted_reasons, types as hosted_types},
    },
};
use k0smotron_k0s::version::Version;
use k0smotron_runtime::{
    Context, Outcome,
    conditions::{ConditionStatus, Conditions},
    controller::chain,
    status as write,
};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::{
    Error, LOOK_AGAIN,
    apply::Applied,
    build,
    decide::{Leave, Live, Pods, Step, Waits},
    etcd_health,
    fetch::Inputs,
    hindrances::hindrances,
    observed::{Kubeconfig, Observed, is_ready},
    probe::Answer,
};

/// Says what was observed and done.
///
/// # Errors
/// The status cannot be written.
pub async fn report(
    inputs: &Inputs,
    observed: &Observed,
    step: &Step,
    applied: &Applied,
    context: &Context,
) -> Result<Outcome, Error> {
    let plane = inputs.plane.as_ref();
    for (reason, note) in &applied.events {
        context.events.normal(plane, reason, note).await;
    }
    if *step == Step::Delete && !applied.look_again {
        return Ok(Outcome::Done);
    }
    let after = status(inputs, observed, step);
    let api = context.api::<Cluster>(&inputs.names.namespace);
    let changed = write::patch_if_changed(&api, plane, plane.status.as_ref(), &after)
        .await
        .map_err(Error::Report)?;
    let stalled = after
        .conditions
        .iter()
        .find(|condition| condition.type_ == types::STALLED);
    if let (true, Some(stalled)) = (changed, stalled.filter(|condition| condition.status == "True")) {
        context
            .events
            .warning(plane, &stalled.reason, &stalled.message)
            .await;
    }
    Ok(match applied.look_again {
        true => Outcome::After(LOOK_AGAIN),
        false => Outcome::Waiting,
    })
}

/// Says what a pass failed with, which is returned to the controller besides.
pub async fn failed(inputs: &Inputs, observed: &Observed, step: &Step, error: &Error, context: &Context) {
    if !k0smotron_runtime::ReconcileError::is_noteworthy(error) {
        return;
    }
    let plane = inputs.plane.as_ref();
    let mut after = status(inputs, observed, step);
    let message = chain(error);
    let mut conditions = Conditions::of(&after.conditions, plane.metadata.generation);
    let reason = k0smotron_runtime::ReconcileError::reason(error);
    conditions.set_false(types::READY, reason, message.as_str());
    after.conditions = conditions.into_vec();
    deprecated(&mut after).reconciliation_status = message;
    let api = context.api::<Cluster>(&inputs.names.namespace);
    if let Err(error) = write::patch_if_changed(&api, plane, plane.status.as_ref(), &after).await {
        tracing::info!(error = %chain(&error), "a failure cannot be reported");
    }
}

fn deprecated(status: &mut ClusterStatus) -> &mut DeprecatedClusterV1Beta1 {
    let deprecated = status
        .deprecated
        .get_or_insert_with(DeprecatedClusterStatus::default);
    deprecated
        .v1beta1
        .get_or_insert_with(DeprecatedClusterV1Beta1::default)
}

/// The status after a pass.
pub fn status(inputs: &Inputs, observed: &Observed, step: &Step) -> ClusterStatus {
    let plane = inputs.plane.as_ref();
    let mut after = plane.status.clone().unwrap_or_default();
    let generation = plane.metadata.generation;
    let mut conditions = Conditions::of(&after.conditions, generation);
    after.observed_generation = generation;
    let live = match step {
        Step::Live(live) => live,
        Step::Delete => {
            let message = "its pods, and join token requests of other namespaces, go first";
            conditions.set_true(types::DELETING, reasons::DELETING, message);
            after.conditions = conditions.into_vec();
            return after;
        }
        Step::Leave(leave) => {
            // What else is said was true when work stopped, and stays.
            match leave {
                Leave::Paused => conditions.set_true(types::PAUSED, reasons::PAUSED, ""),
                Leave::Unsupported(message) => {
                    conditions.set_true(types::UNSUPPORTED, reasons::UNSUPPORTED, message.as_str());
                    conditions.set_false(types::READY, reasons::UNSUPPORTED, message.as_str());
                }
            }
            after.conditions = conditions.into_vec();
            return after;
        }
    };
    conditions.remove(types::UNSUPPORTED);
    conditions.set_false(types::PAUSED, reasons::NOT_PAUSED, "");
    conditions.set_false(types::DELETING, reasons::NOT_DELETING, "");
    let view = View {
        inputs,
        observed,
        live,
    };
    view.count(&mut after);
    view.say(&mut conditions);
    let ready = after.ready_replicas.unwrap_or(0) >= build::replicas(plane);
    let deprecated = deprecated(&mut after);
    deprecated.ready = ready;
    deprecated.reconciliation_status = "Reconciliation successful".to_owned();
    after.conditions = conditions.into_vec();
    after
}

/// What the status is computed from.
struct View<'a> {
    inputs: &'a Inputs,
    observed: &'a Observed,
    live: &'a Live,
}

impl View<'_> {
    fn wanted(&self) -> i32 {
        build::replicas(&self.inputs.plane)
    }

    fn count(&self, after: &mut ClusterStatus) {
        let set = self.inputs.k0s();
        let counts = set
            .as_ref()
            .and_then(|set| set.status.clone())
            .unwrap_or_default();
        after.replicas = Some(counts.replicas);
        after.ready_replicas = Some(self.observed.k0s.ready);
        after.updated_replicas = Some(self.updated());
        let selector = set.and_then(|set| set.spec?.selector.match_labels);
        after.selector = selector.map(|labels| {
            let pairs: Vec<_> = labels
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            pairs.join(",")
        });
        after
            .external_address
            .clone_from(&self.observed.facts.external_address);
        after.versions = versions(&self.inputs.plane, &self.inputs.k0s_pods());
        after.version = after.versions.first().map(|lowest| lowest.version.clone());
    }

    /// Pods of k0s that are as the spec asks for.
    fn updated(&self) -> i32 {
        match self.live.k0s {
            // They are about to change.
            Pods::Make if self.observed.k0s.exists => 0,
            Pods::Make | Pods::Wait(_) => 0,
            Pods::Adopt | Pods::Keep => self.observed.k0s.updated,
        }
    }

    fn say(&self, conditions: &mut Conditions) {
        self.say_certificates(conditions);
        self.say_exposed(conditions);
        self.say_kubeconfig(conditions);
        self.say_functional(conditions);
        etcd_health::say(self.inputs, self.observed, self.live.plan.as_ref(), conditions);
        self.say_replicas(conditions);
        self.say_converged(conditions);
        self.sum_up(conditions);
    }

    fn say_certificates(&self, conditions: &mut Conditions) {
        let wanted = &self.observed.certificates;
        let type_ = types::CERTIFICATES_AVAILABLE;
        if !wanted.problems.is_empty() {
            let lines: Vec<_> = wanted
                .problems
                .iter()
                .map(|problem| format!("* {problem}"))
                .collect();
            conditions.set_false(type_, hosted_reasons::CERTIFICATES, lines.join("\n"));
        } else if wanted.authorities.is_empty() {
            conditions.set_true(type_, hosted_reasons::CREATED, "");
        } else {
            conditions.set_false(type_, hosted_reasons::NOT_FOUND, "they are being made");
        }
    }

    fn say_exposed(&self, conditions: &mut Conditions) {
        let spec = &self.inputs.plane.spec;
        let (status, reason, message) = match (&self.observed.facts.external_address, spec.service.r#type) {
            (Some(_), _) => (ConditionStatus::True, hosted_reasons::EXTERNAL_ADDRESS, ""),
            (None, ServiceType::ClusterIp) => (ConditionStatus::True, hosted_reasons::WITHIN_CLUSTER, ""),
            (None, ServiceType::NodePort) => (
                ConditionStatus::False,
                hosted_reasons::EXTERNAL_ADDRESS,
                "no node has an address; set spec.externalAddress",
            ),
            (None, ServiceType::LoadBalancer) => (
                ConditionStatus::False,
                hosted_reasons::EXTERNAL_ADDRESS,
                "the load balancer has no address yet; without one in this cluster, set spec.externalAddress",
            ),
        };
        conditions.set(hosted_types::EXPOSED, status, reason, message);
    }

    fn say_kubeconfig(&self, conditions: &mut Conditions) {
        let type_ = hosted_types::KUBECONFIG;
        match self.observed.kubeconfig {
            Kubeconfig::Fine | Kubeconfig::Stale(_) => {
                conditions.set_true(type_, hosted_reasons::CREATED, "");
            }
            Kubeconfig::Early | Kubeconfig::Missing => {
                let message = "it waits for the address and the certificates of the control plane";
                conditions.set_false(type_, hosted_reasons::NO_READY_REPLICAS, message);
            }
        }
    }

    fn say_functional(&self, conditions: &mut Conditions) {
        let type_ = hosted_types::FUNCTIONAL;
        match (&self.observed.answer, &self.live.k0s) {
            (Answer::Yes { .. }, _) => conditions.set_true(type_, hosted_reasons::NAMESPACE_FOUND, ""),
            (_, Pods::Wait(waits)) => {
                conditions.set_false(type_, hosted_reasons::NOT_FOUND, self.waits(*waits));
            }
            (Answer::NotAsked, _) => {
                let message = "the API server was not asked yet";
                conditions.set_unknown(type_, reasons::AVAILABLE_UNKNOWN, message);
            }
            (Answer::No(reason), _) => {
                let lines = std::iter::once(format!("the API server does not answer: {reason}"));
                let lines: Vec<_> = lines.chain(hindrances(self.inputs)).collect();
                conditions.set_false(type_, reasons::CONNECTION_DOWN, lines.join("\n"));
            }
        }
    }

    fn waits(&self, waits: Waits) -> String {
        match waits {
            Waits::Certificates => "pods wait for the certificates".to_owned(),
            Waits::Spec => self.observed.invalid.clone().unwrap_or_default(),
            Waits::Services => "pods wait for the Services".to_owned(),
            Waits::Address => "pods wait for the address of the load balancer".to_owned(),
        }
    }

    fn say_replicas(&self, conditions: &mut Conditions) {
        let (set, wanted) = (&self.observed.k0s, self.wanted());
        if !set.exists {
            let message = "there are no pods yet";
            conditions.set_false(hosted_types::SCALING, hosted_reasons::NOT_FOUND, message);
            conditions.set_false(hosted_types::UP_TO_DATE, hosted_reasons::NOT_FOUND, message);
            return;
        }
        let have = i32::try_from(self.inputs.k0s_pods().len()).unwrap_or(i32::MAX);
        let (status, reason) = match have.cmp(&wanted) {
            std::cmp::Ordering::Less => (ConditionStatus::True, hosted_reasons::SCALING_UP),
            std::cmp::Ordering::Greater => (ConditionStatus::True, hosted_reasons::SCALING_DOWN),
            std::cmp::Ordering::Equal => (ConditionStatus::False, hosted_reasons::WITH_DESIRED_REPLICAS),
        };
        conditions.set(
            hosted_types::SCALING,
            status,
            reason,
            format!("{have} of {wanted} pods"),
        );
        let updated = self.updated();
        let message = format!("{updated} of {wanted} pods are as the spec asks for");
        match updated >= wanted {
            true => conditions.set_true(hosted_types::UP_TO_DATE, hosted_reasons::ALL_UP_TO_DATE, message),
            false => conditions.set_false(
                hosted_types::UP_TO_DATE,
                hosted_reasons::NOT_ALL_UP_TO_DATE,
                message,
            ),
        }
    }

    fn say_converged(&self, conditions: &mut Conditions) {
        let names = &self.inputs.names;
        let sets = [
            (&self.live.k0s, &self.observed.k0s, names.k0s()),
            (&self.live.etcd, &self.observed.etcd, names.etcd()),
        ];
        let older = sets.iter().filter(|(_, set, _)| set.exists && !set.current);
        let older: Vec<_> = older
            .map(|(_, _, name)| format!("* StatefulSet {name}"))
            .collect();
        // Those of its StatefulSet that are not replaced yet.
        let pods = self.inputs.pods.iter();
        let pods = pods.filter(|pod| !pod.annotations().contains_key(annotations::INPUTS));
        let pods: Vec<_> = pods.map(|pod| format!("* Pod {}", pod.name_any())).collect();
        let left = if older.is_empty() { pods } else { older };
        if left.is_empty() {
            conditions.set_true(hosted_types::CONVERGED, hosted_reasons::CONVERGED, "");
            return;
        }
        let stays = sets
            .iter()
            .any(|(pods, set, _)| set.exists && !set.current && **pods != Pods::Make);
        let head = match stays {
            true => format!(
                "pods of an earlier release run until the spec changes, or until annotation {} is set:",
                annotations::CONVERGE
            ),
            false => "what an earlier release made is being replaced:".to_owned(),
        };
        let message = format!("{head}\n{}", left.join("\n"));
        conditions.set_false(hosted_types::CONVERGED, hosted_reasons::MADE_EARLIER, message);
    }

    fn sum_up(&self, conditions: &mut Conditions) {
        let parts = [
            hosted_types::FUNCTIONAL,
            hosted_types::KUBECONFIG,
            hosted_types::EXPOSED,
        ];
        let issues = |parts: &[&str], conditions: &Conditions| -> Vec<String> {
            let parts = parts.iter().filter_map(|type_| conditions.get(type_));
            let wrong = parts.filter(|part| part.status != "True");
            wrong
                .map(|part| format!("* {}: {}", part.type_, part.message))
                .collect()
        };
        let wrong = issues(&parts, conditions);
        let asked = self.observed.answer != Answer::NotAsked || matches!(self.live.k0s, Pods::Wait(_));
        match (wrong.is_empty(), asked) {
            (true, _) => conditions.set_true(types::AVAILABLE, hosted_reasons::INFO_REPORTED, ""),
            // What was so before this process began stands until it has asked.
            (false, false) if conditions.is_true(types::AVAILABLE) => {}
            (false, _) => {
                conditions.set_false(
                    types::AVAILABLE,
                    hosted_reasons::ISSUES_REPORTED,
                    wrong.join("\n"),
                );
            }
        }
        let stalled = if !self.observed.certificates.problems.is_empty() {
            Some((
                hosted_reasons::CERTIFICATES,
                self.observed.certificates.problems.join("\n"),
            ))
        } else {
            let invalid = self.observed.invalid.clone();
            invalid.map(|message| (hosted_reasons::INVALID_CONFIGURATION, message))
        };
        match &stalled {
            Some((reason, message)) => conditions.set_true(types::STALLED, reason, message.as_str()),
            None => conditions.set_false(types::STALLED, reasons::PROGRESSING, ""),
        }
        let parts = [
            types::AVAILABLE,
            types::CERTIFICATES_AVAILABLE,
            types::ETCD_CLUSTER_HEALTHY,
            hosted_types::UP_TO_DATE,
        ];
        let mut wrong = issues(&parts, conditions);
        let (ready, wanted) = (self.observed.k0s.ready, self.wanted());
        if ready < wanted {
            wrong.push(format!("* {ready} of {wanted} pods are ready"));
        }
        match wrong.is_empty() {
            true => conditions.set_true(types::READY, reasons::READY, ""),
            false => conditions.set_false(types::READY, reasons::NOT_READY, wrong.join("\n")),
        }
    }
}

/// Versions that run, from the images of pods that are ready, oldest first and spelled as the spec spells it.
fn versions(plane: &Cluster, pods: &[&Pod]) -> Vec<VersionCount> {
    let dashed = !plane.spec.version().contains('+');
    let mut counts: BTreeMap<Version, i32> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| is_ready(pod)) {
        let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
        let mut images = containers.filter(|container| container.name == "controller");
        let image = images.next().and_then(|container| container.image.as_deref());
        let tag = image.and_then(|image| image.rsplit_once(':')).map(|(_, tag)| tag);
        if let Some(version) = tag.and_then(|tag| Version::parse_lenient(tag).ok()) {
            *counts.entry(version).or_default() += 1;
        }
    }
    let spelled = |version: Version| match dashed {
        true => version.to_string().replacen("+k0s.", "-k0s.", 1),
        false => version.to_string(),
    };
    counts
        .into_iter()
        .map(|(version, replicas)| VersionCount {
            version: spelled(version),
            replicas: Some(replicas),
        })
        .collect()
}
