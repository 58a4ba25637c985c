//! What is true of a control plane now, as status and conditions (contract C3, C4, C6, C8, C10). Pure.

use std::collections::BTreeMap;

use k0smotron_api::{
    capi::Machine,
    control_plane::v1beta2::{ControlPlaneInitialization, K0sControlPlaneStatus, VersionCount},
    names::{
        conditions::{reasons, types},
        labels,
    },
};
use k0smotron_k0s::{arguments::worker_enabled, version::Version};
use k0smotron_runtime::conditions::Conditions;
use kube::ResourceExt;

use super::{
    apply::Applied,
    decide::{Deletion, Leave, Live, Step},
    etcd_health,
    fetch::Inputs,
    membership::{Membership, Wait},
    observed::{Answer, Authority, AuthorityState, Observed, RefusalKind},
    plan::Update,
    remediation,
    waits::{self, WAITING_FOR_UPDATE},
};

/// The status after a pass.
pub fn status(inputs: &Inputs, observed: &Observed, step: &Step, applied: &Applied) -> K0sControlPlaneStatus {
    let plane = inputs.plane.as_ref();
    let mut after = plane.status.clone().unwrap_or_default();
    let generation = plane.metadata.generation;
    let mut conditions = Conditions::of(&after.conditions, generation);
    after.observed_generation = generation;
    if let Step::Leave(Leave::Paused(message)) = step {
        // What else is said was true when work stopped, and stays.
        conditions.set_true(types::PAUSED, reasons::PAUSED, message.as_str());
        after.conditions = conditions.into_vec();
        return after;
    }
    conditions.set_false(types::PAUSED, reasons::NOT_PAUSED, "");
    let view = View::new(inputs, observed, step, applied);
    view.count(&mut after);
    view.say(&mut conditions);
    after.conditions = conditions.into_vec();
    after
}

/// The status after a pass that failed with this.
pub fn failed(
    inputs: &Inputs,
    mut observed: Observed,
    step: &Step,
    reason: &str,
    message: &str,
) -> K0sControlPlaneStatus {
    if !observed.exists {
        // Whether that it exists was persisted is not known, and no status may say so before.
        observed.answer = Answer::NotAsked;
    }
    let mut after = status(inputs, &observed, step, &Applied::default());
    let mut conditions = Conditions::of(&after.conditions, inputs.plane.metadata.generation);
    conditions.set_false(types::READY, reason, message);
    after.conditions = conditions.into_vec();
    after
}

/// Everything that the status is computed from.
struct View<'a> {
    inputs: &'a Inputs,
    observed: &'a Observed,
    step: &'a Step,
    /// The Machines, one created in this pass among them.
    machines: Vec<&'a Machine>,
    /// Those that are not being deleted.
    active: Vec<&'a Machine>,
    initialized: bool,
    answers: bool,
}

impl<'a> View<'a> {
    fn new(inputs: &'a Inputs, observed: &'a Observed, step: &'a Step, applied: &'a Applied) -> Self {
        let known = |name: &str| inputs.machines.iter().any(|machine| machine.name_any() == name);
        let created = applied
            .created
            .iter()
            .filter(|machine| !known(&machine.name_any()));
        let machines: Vec<_> = inputs.machines.iter().chain(created).collect();
        let active = machines
            .iter()
            .copied()
            .filter(|machine| !machine.is_deleting())
            .collect();
        let answers = matches!(observed.answer, Answer::Yes { .. });
        let initialized = observed.exists || matches!(step, Step::Live(_)) && answers;
        Self {
            inputs,
            observed,
            step,
            machines,
            active,
            initialized,
            answers,
        }
    }

    /// Whether controllers become nodes, which Cluster API then waits for.
    fn has_nodes(&self) -> bool {
        worker_enabled(&self.inputs.plane.spec.k0s_config_spec.args)
    }

    /// A Machine without a node never becomes Ready for Cluster API; what we see of it counts then.
    fn is_ready(&self, machine: &Machine, condition: &str) -> bool {
        machine.condition_is_true(condition)
            || !self.has_nodes()
                && self.answers
                && machine.infrastructure_provisioned()
                && etcd_health::serves(&self.observed.etcd, &machine.name_any())
    }

    fn is_up_to_date(&self, machine: &Machine) -> bool {
        let name = machine.name_any();
        let facts = self.observed.machines.iter().find(|facts| facts.name == name);
        facts.is_none_or(|facts| facts.outdated.is_empty())
    }

    fn count(&self, after: &mut K0sControlPlaneStatus) {
        let count = |wanted: &dyn Fn(&Machine) -> bool| {
            Some(
                i32::try_from(self.active.iter().filter(|machine| wanted(machine)).count())
                    .unwrap_or(i32::MAX),
            )
        };
        // Those that are on their way out too: who waits for the number waits for their end.
        after.replicas = Some(i32::try_from(self.machines.len()).unwrap_or(i32::MAX));
        after.ready_replicas = count(&|machine| self.is_ready(machine, types::READY));
        after.available_replicas = count(&|machine| self.is_ready(machine, types::AVAILABLE));
        after.up_to_date_replicas = count(&|machine| self.is_up_to_date(machine));
        // The Machine that tells of it may be gone by now.
        after.last_remediation = remediation::last(self.inputs).or_else(|| after.last_remediation.take());
        if let Some(cluster) = &self.inputs.cluster {
            after.selector = Some(format!(
                "{}={},{}",
                labels::CLUSTER_NAME,
                cluster.name_any(),
                labels::CONTROL_PLANE
            ));
        }
        after.external_managed_control_plane = Some(!self.has_nodes());
        // A member that is held while it is deleted runs on.
        let running: Vec<_> = match self.active.is_empty() {
            true => self.inputs.machines.iter().collect(),
            false => self.active.clone(),
        };
        after.versions = versions(&running, &self.inputs.plane.spec.version);
        after.version = after.versions.first().map(|lowest| lowest.version.clone());
        if self.initialized {
            after.initialization = Some(ControlPlaneInitialization {
                control_plane_initialized: Some(true),
            });
        }
    }

    fn say(&self, conditions: &mut Conditions) {
        self.say_certificates(conditions);
        self.say_available(conditions);
        self.say_machines(conditions);
        self.say_scaling(conditions);
        etcd_health::say(self.observed, conditions);
        self.say_deleting(conditions);
        self.say_progress(conditions);
    }

    fn say_certificates(&self, conditions: &mut Conditions) {
        let Step::Live(live) = self.step else {
            if conditions.get(types::CERTIFICATES_AVAILABLE).is_none() {
                let message = "the certificates were not looked at yet";
                conditions.set_unknown(types::CERTIFICATES_AVAILABLE, reasons::AVAILABLE_UNKNOWN, message);
            }
            return;
        };
        let problems: Vec<_> = live
            .lacking
            .iter()
            .map(|authority| self.problem(*authority))
            .collect();
        if problems.is_empty() {
            conditions.set_true(types::CERTIFICATES_AVAILABLE, reasons::AVAILABLE, "");
        } else {
            conditions.set_false(
                types::CERTIFICATES_AVAILABLE,
                reasons::NOT_AVAILABLE,
                problems.join("\n"),
            );
        }
    }

    fn problem(&self, authority: Authority) -> String {
        match self.observed.authorities.get(&authority) {
            Some(AuthorityState::Unusable(problem)) => format!("* {problem}"),
            _ => {
                let cluster = self
                    .inputs
                    .cluster
                    .as_ref()
                    .map(|cluster| cluster.name_any())
                    .unwrap_or_default();
                format!(
                    "* Secret {} is missing and the cluster's hosts have what was in it: restore it from a backup",
                    authority.secret_name(&cluster)
                )
            }
        }
    }

    fn say_available(&self, conditions: &mut Conditions) {
        if self.initialized {
            conditions.set_true(types::INITIALIZED, reasons::INITIALIZED, "");
        } else {
            conditions.set_false(
                types::INITIALIZED,
                reasons::NOT_INITIALIZED,
                "the API server has not answered yet",
            );
        }
        match (self.step, &self.observed.answer) {
            (Step::Delete(_), _) => {
                conditions.set_false(
                    types::AVAILABLE,
                    reasons::NOT_AVAILABLE,
                    "the control plane is being deleted",
                );
            }
            (_, Answer::Yes { .. }) => conditions.set_true(types::AVAILABLE, reasons::AVAILABLE, ""),
            (_, Answer::No(reason)) => {
                conditions.set_false(
                    types::AVAILABLE,
                    reasons::NOT_AVAILABLE,
                    format!("the API server does not answer: {reason}"),
                );
            }
            // After a restart of this process: what was said stands until the API server was asked.
            (_, Answer::NotAsked) if self.initialized && conditions.get(types::AVAILABLE).is_some() => {}
            (_, Answer::NotAsked) if self.initialized => {
                conditions.set_unknown(
                    types::AVAILABLE,
                    reasons::AVAILABLE_UNKNOWN,
                    "the API server was not asked yet",
                );
            }
            (_, Answer::NotAsked) => {
                conditions.set_false(
                    types::AVAILABLE,
                    reasons::NOT_AVAILABLE,
                    "the control plane is not initialized yet",
                );
            }
        }
    }

    fn say_machines(&self, conditions: &mut Conditions) {
        if self.active.is_empty() {
            conditions.set_true(types::MACHINES_READY, reasons::NO_REPLICAS, "");
            conditions.set_true(types::MACHINES_UP_TO_DATE, reasons::NO_REPLICAS, "");
        } else {
            let unready = self.names(|machine| !self.is_ready(machine, types::READY));
            match unready.is_empty() {
                true => conditions.set_true(types::MACHINES_READY, reasons::READY, ""),
                false => conditions.set_false(
                    types::MACHINES_READY,
                    reasons::NOT_READY,
                    format!("not ready: {unready}"),
                ),
            }
            let outdated = self.names(|machine| !self.is_up_to_date(machine));
            match outdated.is_empty() {
                true => conditions.set_true(types::MACHINES_UP_TO_DATE, reasons::UP_TO_DATE, ""),
                false => {
                    let message = format!("not up to date: {outdated}");
                    conditions.set_false(types::MACHINES_UP_TO_DATE, reasons::NOT_UP_TO_DATE, message);
                }
            }
        }
        let replaced = self.names(|machine| {
            let name = machine.name_any();
            let mut facts = self.observed.machines.iter();
            facts.any(|facts| facts.name == name && !facts.outdated.is_empty() && !facts.in_place)
        });
        let updated = self.names(|machine| {
            let name = machine.name_any();
            let mut facts = self.observed.machines.iter();
            facts.any(|facts| facts.name == name && facts.in_place) && !self.is_recorded(&name)
        });
        let lists = [("to be replaced", replaced), ("to be updated in place", updated)];
        let lists: Vec<_> = lists
            .iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(what, names)| format!("{what}: {names}"))
            .collect();
        match lists.is_empty() {
            true => conditions.set_false(types::ROLLING_OUT, reasons::NOT_ROLLING_OUT, ""),
            false => {
                let awaited = match self.update() {
                    Some(Update::Failed { message }) => format!(": {message}"),
                    _ => self.awaited(),
                };
                let message = format!("{}{awaited}", lists.join("; "));
                conditions.set_true(types::ROLLING_OUT, reasons::ROLLING_OUT, message);
            }
        }
    }

    fn update(&self) -> Option<&Update> {
        match self.step {
            Step::Live(live) => Some(&live.updates.update),
            Step::Leave(_) | Step::Delete(_) => None,
        }
    }

    /// Whether its update in place was recorded in this pass.
    fn is_recorded(&self, name: &str) -> bool {
        matches!(self.step, Step::Live(live) if live.updates.recorded.iter().any(|recorded| recorded == name))
    }

    fn names(&self, wanted: impl Fn(&Machine) -> bool) -> String {
        let names: Vec<_> = self
            .active
            .iter()
            .filter(|machine| wanted(machine))
            .map(|machine| machine.name_any())
            .collect();
        names.join(", ")
    }

    fn say_scaling(&self, conditions: &mut Conditions) {
        let want = usize::try_from(self.inputs.plane.spec.replicas).unwrap_or(0);
        let have = self.active.len();
        let ends = matches!(self.step, Step::Delete(_));
        match want > have && !ends {
            true => {
                let message = format!("scaling up from {have} to {want} replicas{}", self.awaited());
                conditions.set_true(types::SCALING_UP, reasons::SCALING_UP, message);
            }
            false => conditions.set_false(types::SCALING_UP, reasons::NOT_SCALING_UP, ""),
        }
        let going = self.observed.going().count();
        match ends && have > 0 || want < have.saturating_add(going) {
            true => {
                let want = if ends { 0 } else { want };
                let have = have.saturating_add(going);
                let message = format!("scaling down from {have} to {want} replicas{}", self.awaited());
                conditions.set_true(types::SCALING_DOWN, reasons::SCALING_DOWN, message);
            }
            false => conditions.set_false(types::SCALING_DOWN, reasons::NOT_SCALING_DOWN, ""),
        }
    }

    fn awaited(&self) -> String {
        match self.waiting() {
            Some((_, message)) => format!(": {message}"),
            None => String::new(),
        }
    }

    fn say_deleting(&self, conditions: &mut Conditions) {
        let Step::Delete(Deletion {
            workers, remaining, ..
        }) = self.step
        else {
            conditions.set_false(types::DELETING, reasons::NOT_DELETING, "");
            return;
        };
        if *workers > 0 {
            let message = format!("{workers} worker Machines are to be gone first");
            conditions.set_true(types::DELETING, reasons::WAITING_FOR_WORKERS_DELETION, message);
        } else {
            let message = format!("{remaining} control plane Machines are going");
            conditions.set_true(types::DELETING, reasons::WAITING_FOR_MACHINES_DELETION, message);
        }
    }

    /// Ready and Stalled, which sum up for kstatus whether work goes on, is done, or needs somebody.
    fn say_progress(&self, conditions: &mut Conditions) {
        // There is no condition for what is supported.
        match self.observed.unsupported() {
            Some(message) => conditions.set_true(types::UNSUPPORTED, reasons::UNSUPPORTED, message),
            None => conditions.remove(types::UNSUPPORTED),
        }
        if let Some((reason, message)) = self.stalled() {
            conditions.set_true(types::STALLED, reason, message.as_str());
            conditions.set_false(types::READY, reasons::NOT_READY, message);
            return;
        }
        conditions.set_false(types::STALLED, reasons::PROGRESSING, "");
        if let Some((reason, message)) = self.waiting() {
            conditions.set_false(types::READY, reason, message);
        } else if matches!(self.step, Step::Delete(_)) {
            conditions.set_false(
                types::READY,
                reasons::DELETING,
                "the control plane is being deleted",
            );
        } else if !conditions.is_true(types::AVAILABLE) {
            let message = conditions
                .get(types::AVAILABLE)
                .map(|condition| condition.message.clone());
            conditions.set_false(types::READY, reasons::NOT_AVAILABLE, message.unwrap_or_default());
        } else if !conditions.is_true(types::CERTIFICATES_AVAILABLE) {
            let message = conditions
                .get(types::CERTIFICATES_AVAILABLE)
                .map(|condition| condition.message.clone());
            conditions.set_false(types::READY, reasons::NOT_AVAILABLE, message.unwrap_or_default());
        } else if !conditions.is_true(types::MACHINES_READY) {
            let message = conditions
                .get(types::MACHINES_READY)
                .map(|condition| condition.message.clone());
            conditions.set_false(types::READY, reasons::NOT_READY, message.unwrap_or_default());
        } else {
            conditions.set_true(types::READY, reasons::READY, "");
        }
    }

    /// What somebody has to change before anything goes on.
    fn stalled(&self) -> Option<(&'static str, String)> {
        if let Step::Live(Live {
            membership: Membership::Wait(wait),
            ..
        }) = self.step
        {
            match wait {
                Wait::Lost => {
                    let message = "the cluster exists and its control plane Machine is gone, with its data: restore \
                                   from a backup, or delete the Cluster and create it again";
                    return Some(("ControlPlaneLost", message.to_owned()));
                }
                Wait::OtherStorage => {
                    let message = "the control plane keeps its data on its controller, as far as \
                                   spec.k0sConfigSpec.k0s.spec.storage tells: its machines cannot be changed while it \
                                   runs; set the spec back. Of several controllers only such storage can be that all \
                                   of them reach: k0s' own etcd, an etcd elsewhere, or kine with mysql, postgres or \
                                   nats (noEmbed) on another host";
                    return Some((reasons::UNSUPPORTED, message.to_owned()));
                }
                _ => {}
            }
        }
        if let Step::Live(live) = self.step
            && !live.lacking.is_empty()
        {
            let problems: Vec<_> = live
                .lacking
                .iter()
                .map(|lacking| self.problem(*lacking))
                .collect();
            return Some(("CertificatesUnusable", problems.join("\n")));
        }
        if let Some(Update::Failed { message }) = self.update() {
            return Some(("UpdateFailed", message.clone()));
        }
        if matches!(self.step, Step::Delete(_)) || self.observed.refusals.is_empty() {
            return None;
        }
        let invalid = self
            .observed
            .refusals
            .iter()
            .any(|refusal| refusal.kind == RefusalKind::Invalid);
        let reason = if invalid {
            "InvalidSpec"
        } else {
            reasons::UNSUPPORTED
        };
        let lines: Vec<_> = self.observed.refusals.iter().map(ToString::to_string).collect();
        Some((reason, lines.join("; ")))
    }

    /// What comes by itself.
    fn waiting(&self) -> Option<(&'static str, String)> {
        let live = match self.step {
            Step::Leave(Leave::NoOwner) => {
                return Some((
                    reasons::WAITING_FOR_OWNER,
                    "no Cluster refers to this control plane yet".to_owned(),
                ));
            }
            Step::Leave(Leave::OwnerMissing(name)) => {
                return Some((
                    reasons::CLUSTER_NOT_FOUND,
                    format!("Cluster {name} does not exist"),
                ));
            }
            Step::Leave(Leave::Paused(_) | Leave::Refused) | Step::Delete(_) => return None,
            Step::Live(live) => live,
        };
        match &live.membership {
            Membership::Wait(Wait::Endpoint) => {
                let message = "the Cluster has no control plane endpoint yet: the infrastructure sets it, or \
                               spec.controlPlaneEndpoint of the Cluster";
                Some((reasons::WAITING_FOR_ENDPOINT, message.to_owned()))
            }
            Membership::Wait(Wait::Certificates) => {
                let problems: Vec<_> = live
                    .lacking
                    .iter()
                    .map(|authority| self.problem(*authority))
                    .collect();
                Some((reasons::WAITING_FOR_CERTIFICATES, problems.join("\n")))
            }
            Membership::Wait(Wait::Template(message)) => {
                Some((reasons::OBJECT_DOES_NOT_EXIST, message.clone()))
            }
            Membership::Wait(wait) => waits::said(wait),
            Membership::Delete { name, .. } | Membership::Leave { name } => Some((
                reasons::WAITING_FOR_MACHINES_DELETION,
                format!("Machine {name} is leaving"),
            )),
            Membership::Steady => match &live.updates.update {
                Update::Wait { message } => Some((WAITING_FOR_UPDATE, message.clone())),
                Update::Begin { machines } => Some((
                    WAITING_FOR_UPDATE,
                    format!("k0s is asked to update itself in place: {}", machines.join(", ")),
                )),
                Update::Remove { .. } | Update::Look => Some((
                    WAITING_FOR_UPDATE,
                    "an update in place is being prepared".to_owned(),
                )),
                Update::None | Update::Failed { .. } => None,
            },
            Membership::Create { .. } => None,
        }
    }
}

/// The versions that run, oldest first. Spelled with the k0s suffix only where the spec has one too or the Machine's
/// differs from the default: Cluster API compares the two as they are written (contract C4).
fn versions(machines: &[&Machine], spec: &str) -> Vec<VersionCount> {
    let suffixed = Version::parse_lenient(spec).is_ok_and(|version| version.has_k0s_suffix());
    let mut counts: BTreeMap<Version, i32> = BTreeMap::new();
    for machine in machines {
        let version = machine
            .spec
            .version
            .as_deref()
            .and_then(|text| Version::parse_lenient(text).ok());
        if let Some(version) = version {
            let version = if suffixed {
                version.with_default_suffix()
            } else {
                version
            };
            *counts.entry(version).or_default() += 1;
        }
    }
    counts
        .into_iter()
        .map(|(version, replicas)| VersionCount {
            version: version.to_string(),
            replicas: Some(replicas),
        })
        .collect()
}
