//! Updates in place: which Plan k0s is to carry out, and what follows from the one that is there. Pure and total.
//!
//! A Plan and a change of membership never overlap: a Plan begins only when there is nothing to change and all members are
//! healthy, and what has to change while one runs (a member that is down, a Machine that is deleted) has the Plan removed
//! first. A controller that k0s has begun to update counts as one that is down until it is back.

use jiff::Timestamp;
use k0smotron_api::{
    capi::Machine,
    k0s_objects::{Plan, PlanSpec},
    names::annotations,
};
use kube::ResourceExt;
use serde_json::{Value, json};

use super::{
    autopilot::{Autopilot, Controller, PLAN, PlanFacts, State},
    membership::{Changes, Membership, Wait, Why},
    observed::{Answer, Etcd, Observed, Repair},
};

/// Where k0s' releases are.
const RELEASES: &str = "https://get.k0sproject.io";
/// What `downloadURL` says where it says nothing of its own.
const INSTALLER: &str = "https://get.k0s.sh";
/// Go's names of the architectures that k0s is released for.
const ARCHITECTURES: [&str; 3] = ["amd64", "arm64", "arm"];

/// What a pass does about updates in place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Updates {
    pub update: Update,
    /// Machines whose controllers run what the spec asks for by now, which is to be recorded.
    pub recorded: Vec<String>,
}

/// The one thing that is done about the Plan, or why nothing is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Update {
    /// Nothing is to be updated in place.
    #[default]
    None,
    /// Have k0s update the controllers of these Machines.
    Begin { machines: Vec<String> },
    /// Remove the Plan of this UID: what it asked for is done, has failed or is not wanted any more.
    Remove { uid: String },
    /// What is known is from before the last change.
    Look,
    /// Goes on by itself.
    Wait { message: String },
    /// Somebody has to do something first.
    Failed { message: String },
}

impl Update {
    /// Whether it is a change in the workload cluster.
    pub const fn is_change(&self) -> bool {
        matches!(self, Self::Begin { .. } | Self::Remove { .. })
    }
}

/// What is done about updates, and what is left of a change of membership beside it.
pub fn next(observed: &Observed, exists: bool, changes: Changes) -> (Changes, Updates) {
    if !exists || observed.goes {
        return (changes, Updates::default());
    }
    let (plan, controllers) = match &observed.autopilot {
        Autopilot::Unknown(reason) => return unknown(reason, observed, changes),
        Autopilot::Known {
            plan, controllers, ..
        } => (plan, controllers),
    };
    let (recorded, pending): (Vec<_>, Vec<_>) = observed
        .active()
        .filter(|machine| machine.in_place)
        .map(|machine| machine.name.clone())
        .partition(|name| controllers.get(name).is_some_and(|found| found.up_to_date));
    let running = plan
        .as_ref()
        .filter(|plan| plan.state == State::Running && plan.controllers);
    let (changes, removed) = match running {
        Some(plan) => beside(plan, observed, changes),
        None => (changes, None),
    };
    let update = removed.unwrap_or_else(|| match plan {
        Some(plan) => with(plan, pending, &changes.membership, observed),
        None => begin(pending, &changes.membership, observed),
    });
    (changes, Updates { update, recorded })
}

/// What is not known holds everything back: any controller may be about to stop.
fn unknown(reason: &str, observed: &Observed, changes: Changes) -> (Changes, Updates) {
    let membership = match changes.membership.is_change() {
        true => Membership::Wait(Wait::Members(Some(reason.to_owned()))),
        false => changes.membership,
    };
    let update = match observed.active().any(|machine| machine.in_place) {
        true => Update::Wait {
            message: format!("nothing is updated while the cluster does not tell of its updates: {reason}"),
        },
        false => Update::None,
    };
    let updates = Updates {
        update,
        recorded: Vec::new(),
    };
    (
        Changes {
            membership,
            ..changes
        },
        updates,
    )
}

/// A change of membership beside a Plan that runs: it waits, or the Plan goes first.
fn beside(plan: &PlanFacts, observed: &Observed, changes: Changes) -> (Changes, Option<Update>) {
    if !changes.membership.is_change() {
        return (changes, None);
    }
    let urgent = urgent(&changes.membership, observed);
    if urgent && !plan.ours {
        // Nobody here may end it. k0s itself updates no controller while one of the Plan's is not ready.
        return (changes, None);
    }
    let waiting = Changes {
        membership: Membership::Wait(Wait::Updated {
            plan: plan.id.clone(),
        }),
        ..changes
    };
    (waiting, urgent.then(|| remove(plan)))
}

/// Whether a change cannot wait for the end of a Plan, which may have to wait for the change.
fn urgent(change: &Membership, observed: &Observed) -> bool {
    let repairs = matches!(
        change,
        Membership::Leave { .. }
            | Membership::Delete {
                why: Why::Unhealthy | Why::Left,
                ..
            }
    );
    let asked = observed.going().next().is_some()
        || observed
            .active()
            .any(|machine| machine.repair == Some(Repair::Due));
    repairs || asked || who_updates(observed).is_none() && unhealthy(observed).is_some()
}

/// What is done about a Plan that is there.
fn with(plan: &PlanFacts, pending: Vec<String>, membership: &Membership, observed: &Observed) -> Update {
    match (&plan.state, plan.ours) {
        (State::Running, true) if plan.fits && pending.is_empty() => Update::None,
        (State::Running, true) if plan.fits => progress(&pending, observed),
        (State::Running, true) => match who_updates(observed) {
            Some(step) => Update::Wait {
                message: format!(
                    "Plan {PLAN} is not what the spec asks for any more, and is replaced when {step} is done"
                ),
            },
            None => remove(plan),
        },
        _ if pending.is_empty() || *membership != Membership::Steady => Update::None,
        (State::Running, false) => Update::Wait {
            message: format!(
                "Plan {PLAN} of the workload cluster (id {}) is none of this control plane's and is carried out first",
                plan.id
            ),
        },
        (State::Failed(reason), false) => Update::Failed {
            message: format!(
                "Plan {PLAN} of the workload cluster (id {}) is none of this control plane's and has failed ({reason}): \
                 delete it, k0s carries out no other",
                plan.id
            ),
        },
        (State::Failed(reason), true) if plan.fits => Update::Failed {
            message: format!(
                "updating in place has failed: {reason}; correct spec.version or spec.k0sConfigSpec.downloadURL, or \
                 delete Plan {PLAN} of the workload cluster to try again, or set spec.updateStrategy to Recreate"
            ),
        },
        (State::Done, true) if plan.fits => Update::Failed {
            message: format!(
                "Plan {PLAN} is completed, and still another version runs: {}; delete the Plan to try again",
                versions(&pending, observed)
            ),
        },
        // One of others that is completed is history, which k0s itself replaces too.
        (State::Failed(_) | State::Done, _) => remove(plan),
    }
}

/// Makes the Plan, once nothing else is to change and everybody is well.
fn begin(pending: Vec<String>, membership: &Membership, observed: &Observed) -> Update {
    if pending.is_empty() || *membership != Membership::Steady {
        return Update::None;
    }
    let wait = |message: String| Update::Wait { message };
    let Autopilot::Known {
        fresh, controllers, ..
    } = &observed.autopilot
    else {
        return Update::None;
    };
    if let Some(missing) = pending.iter().find(|name| !controllers.contains_key(*name)) {
        return Update::Failed {
            message: format!(
                "there is no ControlNode {missing}, by which k0s is updated in place: do not disable its autopilot, and \
                 run it with AUTOPILOT_HOSTNAME={missing}; or set spec.updateStrategy to Recreate"
            ),
        };
    }
    if let Some(source) = observed.download.as_ref().filter(|url| url.starts_with("oci://")) {
        return Update::Failed {
            message: format!(
                "k0s cannot update itself from {source}: set spec.k0sConfigSpec.downloadURL to a http:// or https:// \
                 URL, or spec.updateStrategy to Recreate"
            ),
        };
    }
    if let Some(step) = who_updates(observed) {
        return wait(format!("an update begins when {step} is done"));
    }
    if let Some(reason) = unhealthy(observed) {
        return wait(format!("an update begins when all members are healthy: {reason}"));
    }
    let members_fresh = match &observed.etcd {
        Etcd::Members { fresh, .. } | Etcd::Shared { fresh, .. } => *fresh,
        Etcd::Unknown(_) | Etcd::Elsewhere => true,
    };
    match *fresh && members_fresh {
        true => Update::Begin { machines: pending },
        false => Update::Look,
    }
}

fn remove(plan: &PlanFacts) -> Update {
    Update::Remove {
        uid: plan.uid.clone(),
    }
}

fn controllers(observed: &Observed) -> impl Iterator<Item = (&String, &Controller)> {
    match &observed.autopilot {
        Autopilot::Known { controllers, .. } => Some(controllers.iter()),
        Autopilot::Unknown(_) => None,
    }
    .into_iter()
    .flatten()
}

/// The first controller that is being updated, and at which step; none if nobody is.
fn who_updates(observed: &Observed) -> Option<String> {
    controllers(observed)
        .find_map(|(name, controller)| Some(format!("{name} ({})", controller.updating.as_ref()?)))
}

/// Why not everybody is known to be healthy.
fn unhealthy(observed: &Observed) -> Option<String> {
    if !matches!(observed.answer, Answer::Yes { .. }) {
        return Some("the API server does not answer".to_owned());
    }
    match &observed.etcd {
        Etcd::Members { members, .. } | Etcd::Shared { members, .. } => {
            let ill: Vec<_> = members
                .iter()
                .filter(|member| !member.left && (!member.ready || member.leaving))
                .map(|member| member.name.as_str())
                .collect();
            (!ill.is_empty()).then(|| format!("not healthy: {}", ill.join(", ")))
        }
        // A single one is asked through the endpoint; of other storage nobody tells members.
        Etcd::Unknown(_) if observed.machines.len() <= 1 => None,
        Etcd::Unknown(reason) => Some(reason.clone()),
        Etcd::Elsewhere => None,
    }
}

fn versions(names: &[String], observed: &Observed) -> String {
    let of = |name: &String| {
        let found = controllers(observed).find(|(known, _)| *known == name);
        let version = found.map_or("nothing", |(_, controller)| &controller.version);
        format!("{name} runs {version}")
    };
    names.iter().map(of).collect::<Vec<_>>().join(", ")
}

fn progress(pending: &[String], observed: &Observed) -> Update {
    let step = match who_updates(observed) {
        Some(step) => format!(", now {step}"),
        None => unhealthy(observed)
            .map(|reason| format!(", k0s waits until all are ready: {reason}"))
            .unwrap_or_default(),
    };
    Update::Wait {
        message: format!(
            "k0s updates itself in place, still to go: {}{step}",
            pending.join(", ")
        ),
    }
}

/// Begin of the id of a control plane's Plans; the rest is the second in which they were made. Other controllers that the
/// control plane may come from name theirs alike.
fn id_prefix(plane: &str) -> String {
    format!("id-{plane}-")
}

/// Whether a Plan of that id was made for the control plane.
pub fn is_ours(id: &str, plane: &str) -> bool {
    id.strip_prefix(&id_prefix(plane))
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The source that the spec names, if it names one of its own.
pub fn download(url: Option<&str>) -> Option<String> {
    let url = url.unwrap_or_default().trim();
    (!url.is_empty() && url.trim_end_matches('/') != INSTALLER).then(|| url.to_owned())
}

/// Where each platform's binary of a version is. A source that the spec names is every platform's, as it is when hosts are
/// set up.
fn platforms(version: &str, download: Option<&str>) -> Value {
    let platform = |architecture: &str| {
        let url = match download {
            Some(url) => url.to_owned(),
            None => format!("{RELEASES}/{version}/k0s-{version}-{architecture}"),
        };
        (format!("linux-{architecture}"), json!({ "url": url }))
    };
    Value::Object(ARCHITECTURES.into_iter().map(platform).collect())
}

/// The Plan that updates these controllers. The time keeps it apart from those before: k0s takes the end of an update for
/// that of any with the same id.
pub fn plan(
    plane: &str,
    version: &str,
    download: Option<&str>,
    controllers: &[String],
    now: Timestamp,
) -> Plan {
    let now = now.as_second();
    Plan::new(
        PLAN,
        PlanSpec {
            id: format!("{}{now}", id_prefix(plane)),
            timestamp: now.to_string(),
            commands: vec![json!({
                "k0supdate": {
                    "version": version,
                    "platforms": platforms(version, download),
                    "targets": { "controllers": { "discovery": { "static": { "nodes": controllers } } } },
                },
            })],
        },
    )
}

/// Whether a Plan with these commands brings the version from there to all these controllers, and does nothing else.
pub fn fits(commands: &[Value], version: &str, download: Option<&str>, controllers: &[String]) -> bool {
    let [command] = commands else { return false };
    let update = command.get("k0supdate");
    let field = |path| update.and_then(|update| update.pointer(path));
    let nodes = field("/targets/controllers/discovery/static/nodes").and_then(Value::as_array);
    let targeted = |name: &String| nodes.is_some_and(|nodes| nodes.iter().any(|node| node == name));
    field("/version").and_then(Value::as_str) == Some(version)
        && field("/platforms") == Some(&platforms(version, download))
        && controllers.iter().all(targeted)
}

/// The Machine as it is recorded after its controller was updated: the version, and where it came from.
pub fn recorded(present: &Machine, version: &str, download: Option<&Value>) -> Machine {
    let mut machine = present.clone();
    machine.spec.version = Some(version.to_owned());
    let made_from = present.annotations().get(annotations::K0S_CONFIG);
    let made_from = made_from.and_then(|text| serde_json::from_str::<Value>(text).ok());
    if let Some(Value::Object(mut config)) = made_from
        && config.get("downloadURL") != download
    {
        match download {
            Some(url) => config.insert("downloadURL".to_owned(), url.clone()),
            None => config.remove("downloadURL"),
        };
        machine.annotations_mut().insert(
            annotations::K0S_CONFIG.to_owned(),
            Value::Object(config).to_string(),
        );
    }
    machine
}
