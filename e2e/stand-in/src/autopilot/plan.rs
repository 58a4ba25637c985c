//! A Plan and how it goes on: pure, so that every state can be tested without a cluster.

use std::collections::BTreeMap;

use rand::seq::IndexedRandom as _;
use serde::{Deserialize, Serialize};

use super::{
    signal::{Phase, now},
    signal_node::SignalNodes,
};

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PlanSpec {
    pub id: String,
    pub commands: Vec<Command>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Command {
    pub k0supdate: Option<K0sUpdate>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct K0sUpdate {
    pub version: String,
    pub forceupdate: bool,
    /// By `os-architecture`.
    pub platforms: BTreeMap<String, Resource>,
    pub targets: Targets,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Resource {
    pub url: String,
    pub sha256: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Targets {
    pub controllers: Target,
    pub workers: Target,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Target {
    pub discovery: Discovery,
    pub limits: Limits,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Discovery {
    #[serde(rename = "static")]
    pub fixed: Option<Static>,
    pub selector: Option<Selector>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Static {
    pub nodes: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Selector {
    pub labels: String,
    pub fields: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// How many workers may be updated at once; of controllers it is always one.
    pub concurrent: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanStatus {
    pub state: PlanState,
    pub commands: Vec<CommandStatus>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PlanState {
    Schedulable,
    SchedulableWait,
    Completed,
    IncompleteTargets,
    ApplyFailed,
    /// Only read: what leads to these two is not played.
    Warning,
    Restricted,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandStatus {
    pub id: usize,
    pub state: PlanState,
    #[serde(default)]
    pub k0supdate: Progress,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub controllers: Vec<TargetStatus>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub workers: Vec<TargetStatus>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetStatus {
    pub name: String,
    pub state: TargetState,
    pub last_updated_timestamp: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TargetState {
    #[serde(rename = "SignalPending")]
    Pending,
    #[serde(rename = "SignalSent")]
    Sent,
    #[serde(rename = "SignalCompleted")]
    Completed,
    #[serde(rename = "SignalMissingNode")]
    MissingNode,
    #[serde(rename = "SignalMissingPlatform")]
    MissingPlatform,
    #[serde(rename = "SignalApplyFailed")]
    ApplyFailed,
}

/// The nodes that exist: controllers as ControlNodes, workers as Nodes.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    pub control_nodes: SignalNodes,
    pub nodes: SignalNodes,
}

/// Which kind of node is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Controller,
    Worker,
}

impl K0sUpdate {
    /// The first state of the command, for the nodes that its discovery has named.
    pub fn begin(
        &self,
        controllers: Vec<String>,
        workers: Vec<String>,
        cluster: &Cluster,
    ) -> (PlanState, Progress) {
        let mut complete = true;
        let mut look_up = |name: String, nodes: &SignalNodes| {
            let state = match nodes.get(&name) {
                None => TargetState::MissingNode,
                Some(node)
                    if !node
                        .platform
                        .as_ref()
                        .is_some_and(|platform| self.platforms.contains_key(platform)) =>
                {
                    TargetState::MissingPlatform
                }
                Some(_) => TargetState::Pending,
            };
            complete &= state == TargetState::Pending;
            TargetStatus::new(name, state)
        };
        let controllers: Vec<_> = controllers
            .into_iter()
            .map(|name| look_up(name, &cluster.control_nodes))
            .collect();
        // A worker inside a controller is updated with its controller.
        let embedded = |target: &TargetStatus| {
            target.state == TargetState::Pending
                && cluster.control_nodes.get(&target.name).is_some_and(|node| {
                    node.platform
                        .as_ref()
                        .is_some_and(|platform| self.platforms.contains_key(platform))
                })
        };
        let workers: Vec<_> = workers
            .into_iter()
            .map(|name| look_up(name, &cluster.nodes))
            .filter(|target| !embedded(target))
            .collect();
        let state = if complete {
            PlanState::SchedulableWait
        } else {
            PlanState::IncompleteTargets
        };
        (state, Progress { controllers, workers })
    }

    /// What follows a look at the signals; `None` when there is nothing to do but to look again later.
    pub fn wait(&self, plan_id: &str, progress: &mut Progress, cluster: &Cluster) -> Option<PlanState> {
        take_over(plan_id, &mut progress.controllers, &cluster.control_nodes);
        take_over(plan_id, &mut progress.workers, &cluster.nodes);
        let all = || progress.controllers.iter().chain(&progress.workers);
        if all().any(|target| target.state == TargetState::ApplyFailed) {
            return Some(PlanState::ApplyFailed);
        }
        if all().all(|target| target.state == TargetState::Completed) {
            return Some(PlanState::Completed);
        }
        let count =
            |targets: &[TargetStatus], state| targets.iter().filter(|target| target.state == state).count();
        let may_signal = |targets: &[TargetStatus], concurrent: usize| {
            count(targets, TargetState::Pending) > 0 && count(targets, TargetState::Sent) < concurrent
        };
        let controllers_done =
            count(&progress.controllers, TargetState::Completed) == progress.controllers.len();
        let next = if controllers_done {
            may_signal(&progress.workers, self.targets.workers.limits.concurrent)
        } else {
            may_signal(&progress.controllers, 1)
        };
        next.then_some(PlanState::Schedulable)
    }
}

impl Progress {
    /// Any of the controllers that still wait, or when there is none, any of the workers.
    pub fn next(&self) -> Option<(Role, String)> {
        let pending = |targets: &[TargetStatus]| {
            let waiting: Vec<_> = targets
                .iter()
                .filter(|target| target.state == TargetState::Pending)
                .collect();
            waiting.choose(&mut rand::rng()).map(|target| target.name.clone())
        };
        pending(&self.controllers)
            .map(|name| (Role::Controller, name))
            .or_else(|| pending(&self.workers).map(|name| (Role::Worker, name)))
    }

    pub fn set(&mut self, name: &str, state: TargetState) {
        let target = self
            .controllers
            .iter_mut()
            .chain(&mut self.workers)
            .find(|target| target.name == name);
        if let Some(target) = target {
            *target = TargetStatus::new(name.to_owned(), state);
        }
    }
}

impl TargetStatus {
    fn new(name: String, state: TargetState) -> Self {
        Self {
            name,
            state,
            last_updated_timestamp: now(),
        }
    }
}

/// Takes over how far the nodes have come. Like k0s, this leaves the time of the last change alone.
fn take_over(plan_id: &str, targets: &mut [TargetStatus], nodes: &SignalNodes) {
    for target in targets {
        let signal = nodes.get(&target.name).and_then(|node| node.signal.as_ref());
        let Some(signal) = signal.filter(|signal| signal.plan_id == plan_id) else {
            continue;
        };
        if target.state == TargetState::Completed || signal.command.k0supdate.is_none() {
            continue;
        }
        match signal.phase() {
            Some(Phase::Failed | Phase::FailedDownload) => target.state = TargetState::ApplyFailed,
            Some(Phase::Completed) => target.state = TargetState::Completed,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{
        super::{
            signal::{Signal, Update},
            signal_node::SignalNode,
        },
        *,
    };

    fn update() -> K0sUpdate {
        serde_json::from_value(json!({
            "version": "v1.36.3+k0s.3",
            "platforms": {"linux-amd64": {"url": "http://host/k0s"}},
            "targets": {
                "controllers": {"discovery": {"static": {"nodes": ["c0", "c1"]}}, "limits": {"concurrent": 5}},
                "workers": {"discovery": {"static": {"nodes": ["w0", "w1", "w2"]}}, "limits": {"concurrent": 2}},
            },
        }))
        .unwrap()
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn nodes(names: &[&str]) -> SignalNodes {
        let node = SignalNode {
            platform: Some("linux-amd64".to_owned()),
            ..SignalNode::default()
        };
        names
            .iter()
            .map(|name| ((*name).to_owned(), node.clone()))
            .collect()
    }

    fn cluster() -> Cluster {
        Cluster {
            control_nodes: nodes(&["c0", "c1"]),
            nodes: nodes(&["c0", "w0", "w1", "w2"]),
        }
    }

    fn reports(nodes: &mut SignalNodes, name: &str, phase: Phase) {
        let update = Update {
            url: String::new(),
            version: String::new(),
            sha256: String::new(),
            forceupdate: false,
        };
        nodes.get_mut(name).unwrap().signal = Some(Signal::new("id", 0, update).at(phase));
    }

    fn begun() -> Progress {
        let (state, progress) =
            update().begin(names(&["c0", "c1"]), names(&["c0", "w0", "w1", "w2"]), &cluster());
        assert_eq!(state, PlanState::SchedulableWait);
        progress
    }

    #[test]
    fn missing_nodes_and_platforms_are_named_and_nothing_begins() {
        let mut cluster = cluster();
        cluster.nodes.get_mut("w1").unwrap().platform = Some("linux-riscv64".to_owned());
        let (state, progress) = update().begin(names(&["c0", "gone"]), names(&["w1"]), &cluster);
        assert_eq!(state, PlanState::IncompleteTargets);
        let states: Vec<_> = progress
            .controllers
            .iter()
            .chain(&progress.workers)
            .map(|target| target.state)
            .collect();
        assert_eq!(
            states,
            [
                TargetState::Pending,
                TargetState::MissingNode,
                TargetState::MissingPlatform
            ]
        );
    }

    #[test]
    fn a_worker_inside_a_controller_goes_with_its_controller() {
        let workers: Vec<_> = begun().workers.into_iter().map(|target| target.name).collect();
        assert_eq!(workers, ["w0", "w1", "w2"]);
    }

    #[test]
    fn controllers_go_one_by_one_and_workers_after_them_as_many_as_allowed() {
        let (update, mut cluster, mut progress) = (update(), cluster(), begun());
        let mut order = Vec::new();
        for _ in 0..2 {
            assert_eq!(
                update.wait("id", &mut progress, &cluster),
                Some(PlanState::Schedulable)
            );
            let (role, name) = progress.next().unwrap();
            assert_eq!(role, Role::Controller);
            progress.set(&name, TargetState::Sent);
            assert_eq!(update.wait("id", &mut progress, &cluster), None, "one at a time");
            reports(&mut cluster.control_nodes, &name, Phase::Completed);
            order.push(name);
        }
        order.sort();
        assert_eq!(order, ["c0", "c1"]);
        let mut sent = Vec::new();
        while update.wait("id", &mut progress, &cluster) == Some(PlanState::Schedulable) {
            let (role, name) = progress.next().unwrap();
            assert_eq!(role, Role::Worker);
            progress.set(&name, TargetState::Sent);
            sent.push(name);
        }
        assert_eq!(sent.len(), 2);
        for name in ["w0", "w1", "w2"] {
            reports(&mut cluster.nodes, name, Phase::Completed);
        }
        assert_eq!(
            update.wait("id", &mut progress, &cluster),
            Some(PlanState::Completed)
        );
    }

    #[test]
    fn a_failed_node_fails_the_plan_and_signals_of_other_plans_do_not_count() {
        let (update, mut cluster, mut progress) = (update(), cluster(), begun());
        reports(&mut cluster.control_nodes, "c0", Phase::FailedDownload);
        assert_eq!(
            update.wait("another", &mut progress, &cluster),
            Some(PlanState::Schedulable)
        );
        assert_eq!(
            update.wait("id", &mut progress, &cluster),
            Some(PlanState::ApplyFailed)
        );
    }

    #[test]
    fn a_plan_without_targets_is_complete() {
        let update = K0sUpdate::default();
        let (state, mut progress) = update.begin(Vec::new(), Vec::new(), &Cluster::default());
        assert_eq!(state, PlanState::SchedulableWait);
        let done = update.wait("id", &mut progress, &Cluster::default());
        assert_eq!(done, Some(PlanState::Completed));
    }
}
