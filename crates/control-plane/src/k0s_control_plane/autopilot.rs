//! What k0s' autopilot does in a workload cluster: its Plan, and how far each controller has come with an update.
//!
//! Read in the prober's rhythm, with the members, and not watched: a watch goes through the very API servers that are
//! restarted one after the other, and what may follow from a Plan rests on the health of members, which has no event.
//!
//! k0s carries out only the Plan named `autopilot`, takes up only one that is new, and keeps what it asks of a controller,
//! and how far that is, as JSON in an annotation of its ControlNode (k0s v1.36, `pkg/autopilot`).

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k0smotron_api::k0s_objects::{ControlNode, Plan};
use k0smotron_runtime::{
    absence,
    workload::{ClusterKey, Dialer},
};
use kube::{Api, Client, ResourceExt, api::ListParams};
use serde::Deserialize;
use serde_json::Value;

use super::survey::no_answer;

/// The one Plan that k0s carries out.
pub const PLAN: &str = "autopilot";
const SIGNAL: &str = "k0sproject.io/autopilot-signal-data";
/// A controller that was told to restart so long ago, and serves, has restarted: with what it had before.
const RESTART: SignedDuration = SignedDuration::from_mins(3);
/// A Plan that k0s has not taken up by then it never takes up.
const TAKEN_UP: SignedDuration = SignedDuration::from_mins(1);

/// What autopilot does, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Autopilot {
    /// There is no answer, for this reason.
    Unknown(String),
    Known {
        /// Asked for after the last change that this controller made.
        fresh: bool,
        plan: Option<PlanFacts>,
        /// By name, which is that of the Machine.
        controllers: BTreeMap<String, Controller>,
    },
}

/// The Plan of that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanFacts {
    pub id: String,
    pub uid: String,
    /// Made by this control plane, or by another controller for it.
    pub ours: bool,
    /// It is what the spec asks for now.
    pub fits: bool,
    pub state: State,
    /// It updates controllers, and is not done with them.
    pub controllers: bool,
}

/// How far a Plan is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Running,
    Done,
    /// k0s goes no further with it, for this reason.
    Failed(String),
}

/// A controller, by its ControlNode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Controller {
    /// The version that it runs.
    pub version: String,
    /// It runs the version that the spec asks for.
    pub up_to_date: bool,
    /// It is being updated and has not come back yet, at this step: it may stop any moment.
    pub updating: Option<String>,
}

impl Autopilot {
    /// Whether the controller may stop any moment, because it is being updated.
    pub fn updates(&self, name: &str) -> bool {
        match self {
            Self::Unknown(_) => false,
            Self::Known { controllers, .. } => controllers
                .get(name)
                .is_some_and(|controller| controller.updating.is_some()),
        }
    }
}

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub plan: Option<SeenPlan>,
    pub controllers: Vec<SeenController>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SeenPlan {
    pub uid: String,
    pub created: Option<Timestamp>,
    pub plan: Plan,
}

impl Eq for SeenPlan {}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenController {
    pub name: String,
    pub version: String,
    signal: Option<Signal>,
}

/// What a controller was asked to do.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Signal {
    #[serde(default)]
    plan_id: String,
    #[serde(default)]
    command: Command,
    /// Absent until the controller has seen it.
    #[serde(default)]
    status: Option<Status>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct Command {
    k0supdate: Option<Update>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Update {
    #[serde(default)]
    version: String,
    #[serde(default)]
    url: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Status {
    #[serde(default)]
    status: String,
    #[serde(default)]
    timestamp: Option<Timestamp>,
}

/// Reads the Plan and the ControlNodes, as a quorum confirms them. Where k0s defines neither, there is none.
///
/// # Errors
/// In words, when there is no answer.
pub async fn look(dialer: &Dialer, cluster: &ClusterKey) -> Result<Seen, String> {
    let client = dialer.client(cluster).await.map_err(|error| error.to_string())?;
    read(&client).await.map_err(no_answer)
}

async fn read(client: &Client) -> Result<Seen, kube::Error> {
    let plans: Api<Plan> = Api::all(client.clone());
    let nodes: Api<ControlNode> = Api::all(client.clone());
    let everything = ListParams::default();
    let (plan, nodes) = tokio::join!(plans.get(PLAN), nodes.list(&everything));
    // A Plan that is overlooked, because the API server has just come up, would have members changed beside it.
    let plan = match plan {
        Ok(plan) => Some(plan),
        Err(error) => absence::of::<Plan>(client, error).await.map(|_| None)?,
    };
    let nodes = match nodes {
        Ok(nodes) => nodes.items,
        Err(error) => absence::of::<ControlNode>(client, error)
            .await
            .map(|_| Vec::new())?,
    };
    Ok(Seen {
        plan: plan.map(|plan| SeenPlan {
            uid: plan.uid().unwrap_or_default(),
            created: plan.creation_timestamp().map(|time| time.0),
            plan: Plan {
                metadata: Default::default(),
                ..plan
            },
        }),
        controllers: nodes.iter().map(seen).collect(),
    })
}

/// What matters of a ControlNode.
pub fn seen(node: &ControlNode) -> SeenController {
    let signal = node.annotations().get(SIGNAL);
    let version = node.status.as_ref().and_then(|status| status.k0s_version.clone());
    SeenController {
        name: node.name_any(),
        version: version.unwrap_or_default(),
        signal: signal.and_then(|text| serde_json::from_str(text).ok()),
    }
}

impl SeenController {
    /// The step of an update that it is at, if it is being updated and has not come back yet.
    fn updating(&self, now: Timestamp) -> Option<String> {
        let signal = self.signal.as_ref()?;
        let update = signal.command.k0supdate.as_ref()?;
        let step = signal.status.as_ref().map_or("", |status| &status.status);
        let since = signal.status.as_ref().and_then(|status| status.timestamp);
        let long_ago = since.is_some_and(|since| now.duration_since(since) > RESTART);
        match step {
            "" if self.version == update.version => None,
            "" => Some("Signaled".to_owned()),
            "Restart" if self.version == update.version || long_ago => None,
            "Downloading" | "Cordoning" | "ApplyingUpdate" | "Restart" => Some(step.to_owned()),
            _ => None,
        }
    }

    /// Why its part of the Plan will never be done, if so.
    fn failure(&self, plan: &str, now: Timestamp) -> Option<String> {
        let signal = self.signal.as_ref().filter(|signal| signal.plan_id == plan)?;
        let (update, status) = (signal.command.k0supdate.as_ref()?, signal.status.as_ref()?);
        let (name, url) = (&self.name, &update.url);
        match status.status.as_str() {
            "FailedDownload" => Some(format!("{name} cannot download {url}")),
            "Failed" => Some(format!("{name} cannot replace its k0s by that of {url}")),
            "Restart" if self.updating(now).is_none() && self.version != update.version => Some(format!(
                "{name} runs {} after the restart, and {url} was to bring {}",
                self.version, update.version
            )),
            _ => None,
        }
    }
}

/// From what was read to facts. `wants` tells of a Plan's spec whether it is what is asked for now.
pub fn facts(
    seen: &Seen,
    fresh: bool,
    version: &str,
    is_ours: impl Fn(&str) -> bool,
    fits: impl Fn(&[Value]) -> bool,
    now: Timestamp,
) -> Autopilot {
    let controllers = seen.controllers.iter().map(|controller| {
        let facts = Controller {
            version: controller.version.clone(),
            up_to_date: controller.version == version,
            updating: controller.updating(now),
        };
        (controller.name.clone(), facts)
    });
    Autopilot::Known {
        fresh,
        plan: seen.plan.as_ref().map(|plan| PlanFacts {
            id: plan.plan.spec.id.clone(),
            uid: plan.uid.clone(),
            ours: is_ours(&plan.plan.spec.id),
            fits: fits(&plan.plan.spec.commands) && !ignored(plan, now),
            state: state(plan, &seen.controllers, now),
            controllers: concerns_controllers(plan),
        }),
        controllers: controllers.collect(),
    }
}

/// Whether it has controllers left to update; also while k0s has not said which ones it means.
fn concerns_controllers(plan: &SeenPlan) -> bool {
    let commands = plan.plan.status.as_ref().map(|status| status.commands.as_slice());
    match commands {
        None | Some([]) => true,
        Some(commands) => commands
            .iter()
            .filter_map(|command| command.k0supdate.as_ref())
            .flat_map(|update| &update.controllers)
            .any(|target| target.state != "SignalCompleted"),
    }
}

/// Whether k0s has not taken up the Plan for so long that it never will: it does so only on news that the Plan is there.
fn ignored(plan: &SeenPlan, now: Timestamp) -> bool {
    let state = plan.plan.status.as_ref().map_or("", |status| &status.state);
    let age = plan.created.map(|created| now.duration_since(created));
    state.is_empty() && age.is_some_and(|age| age > TAKEN_UP)
}

fn state(plan: &SeenPlan, controllers: &[SeenController], now: Timestamp) -> State {
    let status = plan.plan.status.clone().unwrap_or_default();
    let failure = |controller: &SeenController| controller.failure(&plan.plan.spec.id, now);
    let failures: Vec<_> = controllers.iter().filter_map(failure).collect();
    match status.state.as_str() {
        "Completed" => State::Done,
        "" | "Schedulable" | "SchedulableWait" if failures.is_empty() => State::Running,
        _ if !failures.is_empty() => State::Failed(failures.join(", ")),
        "Restricted" => State::Failed("its controllers are excluded from Plans".to_owned()),
        other => {
            let described = status.commands.iter().map(|command| command.description.as_str());
            let targets = status
                .commands
                .iter()
                .filter_map(|command| command.k0supdate.as_ref())
                .flat_map(|update| update.controllers.iter().chain(&update.workers))
                .filter_map(|target| match target.state.as_str() {
                    "SignalMissingNode" => Some(format!("there is no ControlNode {}", target.name)),
                    "SignalMissingPlatform" => {
                        Some(format!("the platform of {} is none of its", target.name))
                    }
                    "SignalApplyFailed" => Some(format!("{} has failed", target.name)),
                    _ => None,
                });
            let told: Vec<_> = described
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
                .chain(targets)
                .collect();
            State::Failed(match told.is_empty() {
                true => format!("k0s says {other}"),
                false => format!("{other}: {}", told.join(", ")),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::test_api::{METADATA, NO_PAGE, client, is_definition},
        *,
    };

    #[tokio::test]
    async fn an_api_server_that_does_not_serve_plans_yet_has_not_said_that_there_is_none() {
        let early = client(|_, path| if is_definition(path) { METADATA } else { NO_PAGE });
        let reason = no_answer(read(&early).await.unwrap_err());
        assert!(reason.contains("yet"), "{reason}");
        let without_autopilot = client(|_, _| NO_PAGE);
        assert_eq!(read(&without_autopilot).await.unwrap(), Seen::default());
    }
}
