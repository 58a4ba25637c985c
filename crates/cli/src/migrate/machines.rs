//! What taking over does to machines: the manager's own comparison of each with what is asked for now, without the manager. Pure.
//!
//! Workers are compared by nobody but Cluster API, which looks at the names of templates only: whoever takes over the templates as they
//! are rolls no worker. So only control planes are judged here, and hosts that are not known to be set up.

use std::collections::BTreeMap;

use k0smotron_api::{
    capi::{self, Cluster, Machine},
    control_plane::{
        refusals::{RefusalKind, refusals},
        v1beta2::{K0sControlPlane, UpdateStrategy},
    },
    drift,
    infrastructure::v1beta2::{RemoteMachine, RemoteMachineStatus},
    names::{conditions::types, labels},
};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use serde_json::Value;

use super::Effect;

/// Cluster API's objects, as far as they tell what becomes of machines.
#[derive(Clone, Debug, Default)]
pub struct World {
    pub clusters: Vec<Cluster>,
    pub machines: Vec<Machine>,
    /// Annotations of infrastructure machines, by namespace and name of the Machine.
    pub origins: BTreeMap<(String, String), BTreeMap<String, String>>,
    pub now: Timestamp,
}

impl World {
    fn cluster_of(&self, plane: &K0sControlPlane) -> Option<&Cluster> {
        let named = |cluster: &&Cluster| match plane.owning_cluster() {
            Some(owner) => cluster.namespace() == plane.namespace() && cluster.name_any() == owner,
            None => plane.is_named_by(cluster),
        };
        self.clusters.iter().find(named)
    }

    /// The control plane's Machines.
    fn machines_of(&self, plane: &K0sControlPlane, cluster: &str) -> Vec<&Machine> {
        let machines = self.machines.iter();
        machines
            .filter(|machine| {
                machine.namespace() == plane.namespace()
                    && machine.is_control_plane()
                    && machine.labels().get(labels::CLUSTER_NAME).map(String::as_str) == Some(cluster)
                    && plane.has(machine)
            })
            .collect()
    }
}

/// What becomes of the machines behind an object, given at v1beta2.
pub(super) fn of_object(current: &Value, world: &World) -> Vec<Effect> {
    // What cannot be read has been refused already.
    match current.get("kind").and_then(Value::as_str) {
        Some("K0sControlPlane") => serde_json::from_value(current.clone())
            .map(|plane| of_control_plane(&plane, world))
            .unwrap_or_default(),
        Some("RemoteMachine") => serde_json::from_value(current.clone())
            .map(|machine| of_remote_machine(&machine, world).into_iter().collect())
            .unwrap_or_default(),
        _ => Vec::new(),
    }
}

fn of_control_plane(plane: &K0sControlPlane, world: &World) -> Vec<Effect> {
    let refused = refusals(&plane.spec);
    let invalid = refused
        .iter()
        .filter(|refusal| refusal.kind == RefusalKind::Invalid);
    let mut effects: Vec<_> = invalid.map(|refusal| Effect::Hold(refusal.to_string())).collect();
    let cluster = world.cluster_of(plane);
    let label = || plane.labels().get(labels::CLUSTER_NAME).cloned();
    let Some(name) = cluster.map(ResourceExt::name_any).or_else(label) else {
        return effects;
    };
    if plane.metadata.deletion_timestamp.is_some() || !refused.is_empty() {
        // Nothing is rolled of what goes, nor of what is not written to.
        return effects;
    }
    let endpoint = cluster.and_then(Cluster::endpoint).map(|(host, _)| host);
    let wanted = drift::wanted(&plane.spec, cluster, endpoint, world.now);
    let staying: Vec<_> = world
        .machines_of(plane, &name)
        .into_iter()
        .filter(|machine| !machine.is_deleting())
        .collect();
    for machine in &staying {
        let origin = (machine.namespace().unwrap_or_default(), machine.name_any());
        let made = drift::made(machine, world.origins.get(&origin));
        let differences = drift::differences(&made, &wanted);
        let title = format!("Machine {}", machine.name_any());
        if !differences.is_empty() {
            let in_place =
                plane.spec.update_strategy == UpdateStrategy::InPlace && drift::in_place(&made, &wanted);
            let verb = if in_place { "updated in place" } else { "replaced" };
            effects.push(Effect::Roll(format!(
                "{title} would be {verb}: {}",
                differences.join("; ")
            )));
        }
        if machine
            .condition(types::OWNER_REMEDIATED)
            .is_some_and(|asked| asked.status == "False")
        {
            effects.push(Effect::Roll(format!(
                "{title} would be replaced: its MachineHealthCheck asks for that"
            )));
        }
        let local = drift::node_local_differences(&made, &wanted);
        if !local.is_empty() {
            effects.push(Effect::Note(format!(
                "spec.k0sConfigSpec.k0s: {} changed since {title} was made, and reaches new controllers only",
                local.join(", ")
            )));
        }
    }
    effects.extend(count(plane, cluster, staying.len()));
    effects
}

/// Machines that are to come or to go.
fn count(plane: &K0sControlPlane, cluster: Option<&Cluster>, there: usize) -> Option<Effect> {
    let asked = usize::try_from(plane.spec.replicas).unwrap_or_default().max(1);
    let initialized = plane
        .status
        .as_ref()
        .is_some_and(|status| status.control_plane_initialized())
        || cluster.is_some_and(Cluster::control_plane_initialized);
    let said = format!("there are {there} machines, and spec.replicas asks for {asked}");
    match there.cmp(&asked) {
        std::cmp::Ordering::Equal => None,
        _ if initialized => Some(Effect::Roll(format!(
            "{said}; let the manager that runs now finish that first"
        ))),
        _ => Some(Effect::Note(format!("{said}; it is not set up yet"))),
    }
}

/// A host is known to be set up by its provider ID alone: all else that says so is status, which a restore loses.
fn of_remote_machine(machine: &RemoteMachine, world: &World) -> Option<Effect> {
    let has_id = machine
        .spec
        .provider_id
        .as_deref()
        .is_some_and(|id| !id.is_empty());
    if has_id || machine.metadata.deletion_timestamp.is_some() {
        return None;
    }
    if machine
        .status
        .as_ref()
        .is_some_and(RemoteMachineStatus::provisioned)
    {
        return Some(Effect::Roll(
            "its host would be set up again: it is provisioned, and spec.providerID does not say so; set that to the \
             one of its node"
                .to_owned(),
        ));
    }
    let is_owner = |owner: &&Machine| {
        owner.namespace() == machine.namespace()
            && machine.owner_references().iter().any(|reference| {
                reference.kind == "Machine"
                    && reference.api_version.split('/').next() == Some(capi::GROUP)
                    && reference.name == owner.name_any()
            })
    };
    let owner = world.machines.iter().find(is_owner)?;
    let has_data = owner.spec.bootstrap.data_secret_name.is_some();
    let has_host = machine
        .spec
        .address
        .as_deref()
        .is_some_and(|address| !address.is_empty());
    (has_data && has_host).then(|| {
        Effect::Roll(
            "its host is being set up, which would begin anew; let the manager that runs now finish that first".to_owned(),
        )
    })
}
