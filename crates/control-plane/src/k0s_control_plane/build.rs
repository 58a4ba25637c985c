//! From a decision to objects. Pure but for the random keys of new authorities.

use std::collections::BTreeMap;

use k0smotron_api::k0s_objects::Plan;
use k0smotron_api::{
    bootstrap::v1beta2::K0sControllerConfig,
    capi::{Cluster, Machine},
    names::annotations,
};
use k0smotron_k0s::api_endpoint;
use k8s_openapi::{
    api::core::v1::{Endpoints, Secret},
    apimachinery::pkg::apis::meta::v1::Condition,
};
use kube::{Resource, ResourceExt, api::DynamicObject, core::ApiResource};
use serde_json::{Value, json};

use super::{
    Error,
    certificates::{self, KubeconfigWrite},
    conditions,
    decide::{Deletion, Live, Step},
    domains,
    fetch::{Inputs, Template},
    machine,
    membership::Membership,
    observe::{self, sequence},
    observed::{Answer, Observed},
    plan::{self, Update},
    remediation::{self, Reply},
    service_endpoint,
};

/// Annotations to set and to remove.
pub type Changes = BTreeMap<&'static str, Option<String>>;

/// What was built and is not written yet, in the order in which it is written.
#[derive(Debug, Default)]
pub struct Built {
    /// Add our finalizer.
    pub finalizer: bool,
    /// What must be persisted before anything that follows from it exists.
    pub marks: Changes,
    /// New authorities.
    pub authorities: Vec<Secret>,
    pub kubeconfig: Option<KubeconfigWrite>,
    pub creation: Option<Creation>,
    /// K0sControllerConfigs of controllers that were updated in place, by name, and what changes in their spec.
    pub records: Vec<(String, Value)>,
    /// UID of the Plan that is removed.
    pub obsolete_plan: Option<String>,
    /// The Plan that k0s is to carry out.
    pub plan: Option<Plan>,
    /// Machines as they are to be, changed in place.
    pub kept: Vec<Machine>,
    /// Conditions of Machines that do not have them so.
    pub conditions: Vec<(String, Vec<Condition>)>,
    /// What becomes of requests to replace Machines.
    pub replies: Vec<(String, Reply)>,
    /// Machines to delete.
    pub deletions: Vec<String>,
    /// The member that k0s is asked to take out.
    pub leave: Option<String>,
    /// Machines that are members no more: k0s forgets their controllers.
    pub departed: Vec<String>,
    /// Machines whose pre-terminate hook is removed.
    pub releases: Vec<String>,
    /// Where the workload cluster finds its own API server, when nobody there can know it yet.
    pub endpoints: Option<Endpoints>,
    /// Members that have left, whose Machines are gone.
    pub forget: Vec<String>,
    /// Identity of the workload cluster, to be recorded on the Cluster.
    pub cluster_id: Option<String>,
    /// What is not needed any more after all of that.
    pub unmarks: Changes,
    /// Remove our finalizer.
    pub finished: bool,
}

/// A Machine to be created with all that belongs to it, in the order in which it is created.
#[derive(Debug)]
pub struct Creation {
    /// The template, and the owner reference that it lacks, if it does.
    pub template: Option<Ownership>,
    pub infrastructure: DynamicObject,
    pub infrastructure_api: ApiResource,
    pub config: K0sControllerConfig,
    pub machine: Machine,
}

/// A template that is to be owned by the Cluster, so that it moves along.
#[derive(Debug)]
pub struct Ownership {
    pub template: DynamicObject,
    pub api: ApiResource,
}

/// Makes the objects of a step.
///
/// # Errors
/// Keys or objects that cannot be made, and inputs that do not fit the step.
pub fn build(inputs: &Inputs, observed: &Observed, step: &Step) -> Result<Built, Error> {
    match step {
        Step::Leave(_) => Ok(Built::default()),
        // Looked at, and not written to: what would be written lacks what the spec asks for.
        Step::Live(_) if observed.unsupported().is_some() => Ok(Built::default()),
        Step::Live(live) => build_live(inputs, observed, live),
        Step::Delete(deletion) => Ok(build_deletion(deletion)),
    }
}

/// As [`build`]; keys, which take a tenth of a second, are made beside the reconcile workers.
pub async fn build_beside(inputs: &Inputs, observed: &Observed, step: &Step) -> Result<Built, Error> {
    match step {
        Step::Live(live) if !live.generate.is_empty() => {
            let (inputs, observed, step) = (inputs.clone(), observed.clone(), step.clone());
            tokio::task::spawn_blocking(move || build(&inputs, &observed, &step))
                .await
                .map_err(|_| Error::Incomplete)?
        }
        _ => build(inputs, observed, step),
    }
}

fn build_live(inputs: &Inputs, observed: &Observed, live: &Live) -> Result<Built, Error> {
    let cluster = inputs.cluster.as_deref().ok_or(Error::Incomplete)?;
    let identity = identity(&observed.answer);
    let mut marks = Changes::new();
    if live.persist_existence {
        let known = || cluster.recorded_cluster_id().map(str::to_owned);
        let value = identity
            .clone()
            .or_else(known)
            .unwrap_or_else(|| "true".to_owned());
        marks.insert(annotations::CLUSTER_INITIALIZED, Some(value));
    }
    // Before anything else can happen to that Machine: no name is ever used twice.
    if live.confirm {
        marks.insert(annotations::MACHINE_BEGUN, None);
    }
    if let Some(record) = remediation::begun(inputs, &observed.etcd, &live.membership) {
        marks.insert(annotations::REMEDIATION_IN_PROGRESS, Some(record));
    } else if remediation::is_over(inputs, &live.membership) {
        marks.insert(annotations::REMEDIATION_IN_PROGRESS, None);
    }
    let mut unmarks = Changes::new();
    let mut creation = None;
    let (mut deletions, mut leave) = (Vec::new(), None);
    match &live.membership {
        Membership::Create { name, founds } => {
            creation = Some(create(inputs, observed, cluster, name, *founds)?);
            if observed.begun.is_none() {
                let number = sequence(inputs).saturating_add(1);
                marks.insert(annotations::MACHINE_SEQUENCE, Some(number.to_string()));
                marks.insert(annotations::MACHINE_BEGUN, Some(name.clone()));
            }
            unmarks.insert(annotations::MACHINE_BEGUN, None);
            if inputs
                .plane
                .annotations()
                .contains_key(annotations::REMEDIATION_IN_PROGRESS)
            {
                unmarks.insert(annotations::REMEDIATION_IN_PROGRESS, None);
            }
        }
        Membership::Delete { name, .. } => deletions.push(name.clone()),
        Membership::Leave { name } => leave = Some(name.clone()),
        Membership::Steady | Membership::Wait(_) => {}
    }
    let updates = updates(inputs, live);
    let authorities = certificates::generate(inputs, cluster, &live.generate)?;
    let kubeconfig = match live.issue_kubeconfig {
        true => Some(certificates::kubeconfig(inputs, cluster, &authorities)?),
        false => certificates::label(inputs, cluster),
    };
    // Of a cluster that goes nothing is kept as it was, the hooks least of all.
    let kept = || inputs.staying().filter(|_| !observed.goes);
    Ok(Built {
        finalizer: !observed.finalizer,
        marks,
        authorities,
        kubeconfig,
        creation,
        records: updates.records,
        obsolete_plan: updates.obsolete_plan,
        plan: updates.plan,
        kept: kept()
            .map(|present| match updates.machines.get(&present.name_any()) {
                Some(recorded) => machine::kept(inputs, cluster, recorded),
                None => machine::kept(inputs, cluster, present),
            })
            .collect(),
        conditions: conditions::kept(inputs, observed),
        replies: remediation::replies(inputs, observed, live),
        deletions,
        leave,
        // Only what has been a member left anything behind, and nobody looks at what is left in a cluster that goes.
        departed: match observed.exists && !observed.goes {
            true => live.release.clone(),
            false => Vec::new(),
        },
        releases: live.release.clone(),
        endpoints: match &observed.answer {
            Answer::Yes { .. } if live.persist_existence => endpoints(inputs),
            _ => None,
        },
        forget: live.forget.clone(),
        cluster_id: identity.filter(|identity| cluster.recorded_cluster_id() != Some(identity)),
        unmarks,
        finished: false,
    })
}

/// What updates in place bring about.
#[derive(Default)]
struct UpdateObjects {
    records: Vec<(String, Value)>,
    /// Machines as they are recorded, by name.
    machines: BTreeMap<String, Machine>,
    obsolete_plan: Option<String>,
    plan: Option<Plan>,
}

fn updates(inputs: &Inputs, live: &Live) -> UpdateObjects {
    let mut built = UpdateObjects::default();
    let Some(version) = observe::version(inputs).map(|version| version.to_string()) else {
        return built;
    };
    let plane = inputs.plane.as_ref();
    match &live.updates.update {
        Update::Begin { machines } => {
            let download = observe::download(inputs);
            let plan = plan::plan(
                &plane.name_any(),
                &version,
                download.as_deref(),
                machines,
                inputs.now,
            );
            built.plan = Some(plan);
        }
        Update::Remove { uid } => built.obsolete_plan = Some(uid.clone()),
        Update::None | Update::Look | Update::Wait { .. } | Update::Failed { .. } => {}
    }
    let download = plane.spec.k0s_config_spec.download_url.clone().map(Value::String);
    let is_recorded = |machine: &&Machine| live.updates.recorded.contains(&machine.name_any());
    for machine in inputs.machines.iter().filter(is_recorded) {
        let config = machine.spec.bootstrap.config_ref.as_ref();
        if let Some(config) = config.filter(|config| config.kind == K0sControllerConfig::kind(&())) {
            let spec = json!({ "version": version, "downloadURL": download });
            built.records.push((config.name.clone(), spec));
        }
        let recorded = plan::recorded(machine, &version, download.as_ref());
        built.machines.insert(machine.name_any(), recorded);
    }
    built
}

fn build_deletion(deletion: &Deletion) -> Built {
    Built {
        deletions: deletion.delete.clone(),
        releases: deletion.release.clone(),
        finished: deletion.finished,
        ..Built::default()
    }
}

fn create(
    inputs: &Inputs,
    observed: &Observed,
    cluster: &Cluster,
    name: &str,
    founds: bool,
) -> Result<Creation, Error> {
    let Template::Found(template) = &inputs.template else {
        return Err(Error::Incomplete);
    };
    let config = observe::config_for(inputs, Some(name)).map_err(Error::Config)?;
    let domain = domains::for_newcomer(observed);
    let owned = template
        .object
        .owner_references()
        .iter()
        .any(|owner| owner.kind == Cluster::kind(&()) && owner.name == cluster.name_any());
    let ownership = Ownership {
        template: template.object.clone(),
        api: template.api.clone(),
    };
    let mut machine = machine::machine(inputs, cluster, template, name, domain, &config)?;
    if let Some(record) = remediation::made_for(inputs, &observed.etcd) {
        machine
            .annotations_mut()
            .insert(annotations::REMEDIATION_FOR.to_owned(), record);
    }
    Ok(Creation {
        template: (!owned).then_some(ownership),
        infrastructure: machine::infrastructure(inputs, cluster, template, name)?,
        infrastructure_api: template.machine_api.clone(),
        config: machine::config(inputs, cluster, name, &config, founds)?,
        machine,
    })
}

/// Where the workload cluster finds its own API server, if k0s is to write that.
fn endpoints(inputs: &Inputs) -> Option<Endpoints> {
    let effective = observe::config_for(inputs, None).ok()?;
    let args = &inputs.plane.spec.k0s_config_spec.args;
    api_endpoint::written(effective.get("k0s")?, args).map(service_endpoint::endpoints)
}

/// How tools name a workload cluster.
fn identity(answer: &Answer) -> Option<String> {
    match answer {
        Answer::Yes { cluster_uid } => Some(annotations::cluster_id(cluster_uid)),
        Answer::No(_) | Answer::NotAsked => None,
    }
}
