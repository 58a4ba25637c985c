//! From objects to facts. Pure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k0smotron_api::{
    capi::{Cluster, Machine},
    control_plane::{
        refusals::{Refusal, RefusalKind, refusals},
        v1beta2::UpdateStrategy,
    },
    drift::{self, Made, Wanted},
    names::{
        annotations,
        conditions::{reasons, types},
        finalizers, secrets as contract,
    },
};
use k0smotron_k0s::{
    cluster_config, kubeconfig, names,
    pki::{self, CertificateAuthority, ServiceAccountKeys},
    storage::{self, Storage},
    version::Version,
};
use k0smotron_runtime::{secrets, workload::api_server_url};
use k8s_openapi::api::core::v1::Secret;
use kube::{Resource, ResourceExt};
use serde_json::Value;

use super::{
    autopilot::{self, Autopilot},
    fetch::{Inputs, Template},
    observed::{
        Answer, Authority, AuthorityState, Begun, Etcd, KubeconfigState, MachineFacts, MemberFacts, Observed,
        Owner, Strategy,
    },
    plan, remediation,
};

/// How long after its infrastructure came up a controller may take to become a member.
const JOIN_PATIENCE: SignedDuration = SignedDuration::from_mins(10);

/// The facts about a control plane.
pub fn observe(inputs: &Inputs) -> Observed {
    let plane = inputs.plane.as_ref();
    let mut refused = refusals(&plane.spec);
    let wanted = wanted(inputs);
    let etcd = etcd(inputs);
    let mut machines = Vec::new();
    for machine in &inputs.machines {
        let made = made(inputs, machine);
        let outdated = drift::differences(&made, &wanted);
        let in_place =
            plane.spec.update_strategy == UpdateStrategy::InPlace && drift::in_place(&made, &wanted);
        if !machine.is_deleting() {
            refused.extend(not_live(machine, drift::node_local_differences(&made, &wanted)));
        }
        machines.push(MachineFacts {
            name: machine.name_any(),
            deleting: machine.is_deleting(),
            hooked: machine
                .annotations()
                .contains_key(annotations::PRE_TERMINATE_HOOK),
            in_place,
            started: machine.infrastructure_provisioned(),
            stalled: stalled(machine, inputs.now),
            drained: drained(machine),
            preferred: machine.annotations().contains_key(annotations::DELETE_MACHINE),
            repair: remediation::repair(inputs, &etcd, machine),
            domain: domain(machine),
            outdated,
        });
    }
    let annotation = |key: &str| plane.annotations().get(key);
    let exists_persisted = annotation(annotations::CLUSTER_INITIALIZED).is_some();
    let exists = exists_persisted
        || plane
            .status
            .as_ref()
            .is_some_and(|status| status.control_plane_initialized())
        || inputs
            .cluster
            .as_deref()
            .is_some_and(Cluster::control_plane_initialized);
    Observed {
        owner: inputs.owner.clone(),
        paused: paused(inputs),
        deleting: plane.metadata.deletion_timestamp.is_some(),
        finalizer: plane
            .finalizers()
            .iter()
            .any(|finalizer| finalizer == finalizers::K0S_CONTROL_PLANE),
        endpoint: endpoint_url(inputs).is_some(),
        refusals: refused,
        exists,
        exists_persisted,
        begun: annotation(annotations::MACHINE_BEGUN).map(|name| Begun { name: name.clone() }),
        next_name: machine_name(inputs, sequence(inputs).saturating_add(1)),
        authorities: authorities(inputs),
        kubeconfig: kubeconfig(inputs),
        template: match &inputs.template {
            Template::Missing(message) => Some(message.clone()),
            Template::NotLookedFor | Template::Found(_) => None,
        },
        replicas: usize::try_from(plane.spec.replicas).unwrap_or(0).max(1),
        strategy: match plane.spec.update_strategy {
            UpdateStrategy::RecreateDeleteFirst => Strategy::DeleteFirst,
            UpdateStrategy::Recreate | UpdateStrategy::InPlace => Strategy::CreateFirst,
        },
        domains: domains(inputs),
        autopilot: autopilot(inputs, &machines),
        download: download(inputs),
        machines,
        etcd,
        workers: if inputs.owner == Owner::Found {
            inputs.workers
        } else {
            0
        },
        goes: cluster_goes(inputs),
        goes_next: cluster_goes(inputs) && inputs.workers > 0 && inputs.workers_staying == 0,
        answer: inputs.answer.clone(),
    }
}

/// The failure domains for controllers (contract C15): those of the Cluster, or before it has any those of its
/// infrastructure.
fn domains(inputs: &Inputs) -> Vec<String> {
    let status = inputs
        .cluster
        .as_deref()
        .and_then(|cluster| cluster.status.as_ref());
    let known = status.map(|status| &status.failure_domains);
    let all = known
        .filter(|known| !known.is_empty())
        .unwrap_or(&inputs.offer.failure_domains);
    all.iter()
        .filter(|domain| domain.control_plane == Some(true))
        .map(|domain| domain.name.clone())
        .collect()
}

/// The failure domain of a Machine. One that was made before there were any may have been put into one all the same.
fn domain(machine: &Machine) -> Option<String> {
    let status = machine.status.as_ref();
    let placed = || status.and_then(|status| status.failure_domain.clone());
    machine.spec.failure_domain.clone().or_else(placed)
}

/// Whether the Cluster is being deleted.
fn cluster_goes(inputs: &Inputs) -> bool {
    let cluster = inputs.cluster.as_deref();
    cluster.is_some_and(|cluster| cluster.metadata.deletion_timestamp.is_some())
}

/// The members of etcd.
fn etcd(inputs: &Inputs) -> Etcd {
    let storage = storage(inputs);
    if storage == Storage::Local {
        return Etcd::Elsewhere;
    }
    let (survey, fresh) = match (&inputs.survey, &inputs.answer) {
        (Some(survey), Answer::Yes { .. }) => survey,
        (None, Answer::Yes { .. }) => return Etcd::Unknown("they were not asked for yet".to_owned()),
        (_, Answer::No(reason)) => return Etcd::Unknown(reason.clone()),
        (_, Answer::NotAsked) => return Etcd::Unknown("it was not asked yet".to_owned()),
    };
    match &survey.members {
        Err(reason) => Etcd::Unknown(reason.clone()),
        Ok(members) => {
            let (fresh, shared) = (*fresh, storage == Storage::Shared);
            let members = members
                .iter()
                .map(|member| MemberFacts {
                    name: member.name.clone(),
                    left: member.left || shared && !has_machine(inputs, &member.name),
                    leaving: member.leaving,
                    ready: member.ready,
                    message: member.message.clone(),
                    ours: is_ours(inputs, &member.name),
                })
                .collect();
            match shared {
                true => Etcd::Shared { fresh, members },
                false => Etcd::Members { fresh, members },
            }
        }
    }
}

/// Where the controllers keep their data.
pub fn storage(inputs: &Inputs) -> Storage {
    let k0s = inputs.plane.spec.k0s_config_spec.k0s.as_ref();
    storage::storage(k0s.and_then(|k0s| k0s.pointer("/spec/storage")))
}

fn has_machine(inputs: &Inputs, name: &str) -> bool {
    inputs.machines.iter().any(|machine| machine.name_any() == name)
}

/// What k0s' autopilot does, held against what the spec asks of it.
fn autopilot(inputs: &Inputs, machines: &[MachineFacts]) -> Autopilot {
    let (seen, fresh) = match &inputs.survey {
        Some((survey, fresh)) => (&survey.autopilot, *fresh),
        None => return Autopilot::Unknown("it was not asked yet".to_owned()),
    };
    let seen = match seen {
        Ok(seen) => seen,
        Err(reason) => return Autopilot::Unknown(reason.clone()),
    };
    let version = version(inputs)
        .map(|version| version.to_string())
        .unwrap_or_default();
    let download = download(inputs);
    let runs = |name: &String| {
        let mut controllers = seen.controllers.iter();
        controllers.any(|controller| controller.name == *name && controller.version == version)
    };
    let targets: Vec<_> = machines
        .iter()
        .filter(|machine| machine.in_place && !machine.deleting)
        .map(|machine| machine.name.clone())
        .filter(|name| !runs(name))
        .collect();
    let in_place = inputs.plane.spec.update_strategy == UpdateStrategy::InPlace;
    let plane = inputs.plane.name_any();
    autopilot::facts(
        seen,
        fresh,
        &version,
        |id| plan::is_ours(id, &plane),
        |commands| in_place && plan::fits(commands, &version, download.as_deref(), &targets),
        inputs.now,
    )
}

/// Where k0s' binaries come from, if the spec says so.
pub fn download(inputs: &Inputs) -> Option<String> {
    plan::download(inputs.plane.spec.k0s_config_spec.download_url.as_deref())
}

/// Whether this control plane has made a Machine of that name.
fn is_ours(inputs: &Inputs, name: &str) -> bool {
    let uid = inputs.plane.uid().unwrap_or_default();
    has_machine(inputs, name)
        || (1..=sequence(inputs))
            .any(|number| names::bears_number(name, &uid, number) || machine_name(inputs, number) == name)
}

/// The name of the Machine with this number.
fn machine_name(inputs: &Inputs, number: u64) -> String {
    let plane = inputs.plane.as_ref();
    let (base, uid) = (plane.name_any(), plane.uid().unwrap_or_default());
    let cluster = inputs.cluster.as_deref().map(ResourceExt::name_any);
    let template = plane.spec.machine_naming.as_ref();
    template
        .and_then(|naming| {
            let template = naming.template.as_deref()?;
            names::templated_name(template, &cluster.unwrap_or_default(), &base, &uid, number).ok()
        })
        .unwrap_or_else(|| names::machine_name(&base, &uid, number))
}

/// When Machines that are from before then are to be replaced.
pub fn rollout_after(inputs: &Inputs) -> Option<Timestamp> {
    drift::rollout_after(&inputs.plane.spec)
}

/// Whether a Machine that is no member never will be one: k0s itself gives a join up after four minutes.
fn stalled(machine: &Machine, now: Timestamp) -> bool {
    stalls_at(machine).is_some_and(|at| now > at)
}

/// The moment after which a Machine that is no member never will be one.
pub fn stalls_at(machine: &Machine) -> Option<Timestamp> {
    let ready = machine
        .condition(types::INFRASTRUCTURE_READY)
        .filter(|ready| ready.status == "True")?;
    ready.last_transition_time.0.checked_add(JOIN_PATIENCE).ok()
}

/// Whether nothing but pre-terminate hooks holds the Machine's deletion (contract 2.9). Its pods may need the member
/// until then.
fn drained(machine: &Machine) -> bool {
    machine
        .condition(types::DELETING)
        .is_some_and(|deleting| deleting.reason == reasons::WAITING_FOR_PRE_TERMINATE_HOOK)
}

/// Number of the Machine that was begun last.
pub fn sequence(inputs: &Inputs) -> u64 {
    let number = inputs.plane.annotations().get(annotations::MACHINE_SEQUENCE);
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// URL of the API server, once it has an endpoint.
pub fn endpoint_url(inputs: &Inputs) -> Option<String> {
    let (host, port) = inputs.endpoint()?;
    Some(api_server_url(host, port))
}

/// The version that Machines get; none if the spec's cannot be read, which is refused.
pub fn version(inputs: &Inputs) -> Option<Version> {
    drift::version(&inputs.plane.spec)
}

/// The spec's K0sConfigSpec completed by what the cluster knows, as JSON. For a Machine that is to be made, with the
/// name of its etcd member.
///
/// # Errors
/// The k0s configuration cannot be used, which is refused before.
pub fn config_for(inputs: &Inputs, machine: Option<&str>) -> Result<Value, cluster_config::ConfigError> {
    drift::config(
        &inputs.plane.spec,
        inputs.cluster.as_deref(),
        inputs.endpoint().map(|(host, _)| host),
        machine,
    )
}

/// What Machines are to be made from now.
fn wanted(inputs: &Inputs) -> Wanted {
    drift::wanted(
        &inputs.plane.spec,
        inputs.cluster.as_deref(),
        inputs.endpoint().map(|(host, _)| host),
        inputs.now,
    )
}

/// What a Machine was made from.
fn made(inputs: &Inputs, machine: &Machine) -> Made {
    drift::made(machine, inputs.cloned_from.get(&machine.name_any()))
}

/// What of the k0s configuration a controller reads from its own file, which is written once.
fn not_live(machine: &Machine, differences: Vec<String>) -> Option<Refusal> {
    (!differences.is_empty()).then(|| Refusal {
        kind: RefusalKind::Held,
        field: format!("spec.k0sConfigSpec.k0s: {}", differences.join(", ")),
        value: format!(
            "changed since Machine {} was {}",
            machine.name_any(),
            match machine.annotations().contains_key(annotations::K0S_CONFIG) {
                true => "made",
                false => "adopted",
            }
        ),
        remedy: "it reaches new controllers only: set it back, or let the Machines be replaced".to_owned(),
    })
}

/// The k0s configuration that the oldest Machine that stays was made with.
pub fn made_with(inputs: &Inputs) -> Option<Value> {
    made(inputs, inputs.staying().next()?).config?.get("k0s").cloned()
}

/// Why nothing may be done (contract G11).
fn paused(inputs: &Inputs) -> Option<String> {
    let mut reasons = Vec::new();
    if inputs.cluster.as_deref().is_some_and(Cluster::is_paused) {
        reasons.push("Cluster spec.paused is set to true".to_owned());
    }
    if inputs.plane.annotations().contains_key(annotations::PAUSED) {
        reasons.push(format!(
            "K0sControlPlane has the {} annotation",
            annotations::PAUSED
        ));
    }
    (!reasons.is_empty()).then(|| reasons.join(", "))
}

fn authorities(inputs: &Inputs) -> BTreeMap<Authority, AuthorityState> {
    Authority::ALL
        .into_iter()
        .map(|authority| {
            let state = match inputs.authorities.get(&authority) {
                None => AuthorityState::Missing,
                Some(secret) => match usable(authority, secret, inputs) {
                    Ok(()) => AuthorityState::Present,
                    Err(problem) => {
                        AuthorityState::Unusable(format!("Secret {}: {problem}", secret.name_any()))
                    }
                },
            };
            (authority, state)
        })
        .collect()
}

fn usable(authority: Authority, secret: &Secret, inputs: &Inputs) -> Result<(), String> {
    let text =
        |key| secrets::text(secret, key).ok_or_else(|| format!("there is no text under {key}: add it"));
    let (public, private) = (text(contract::TLS_CRT)?, text(contract::TLS_KEY)?);
    match authority {
        Authority::ServiceAccount => {
            let keys = ServiceAccountKeys {
                public_pem: public,
                private_pem: private.into(),
            };
            pki::validate_service_account_keys(&keys)
        }
        Authority::Cluster | Authority::Etcd | Authority::FrontProxy => {
            let pair = CertificateAuthority {
                cert_pem: public,
                key_pem: private.into(),
            };
            pki::validate_ca(&pair, inputs.now).map(drop)
        }
    }
    .map_err(|error| error.to_string())
}

fn kubeconfig(inputs: &Inputs) -> KubeconfigState {
    let Some(secret) = &inputs.kubeconfig else {
        return KubeconfigState::Missing;
    };
    let (Some(cluster), Some(server)) = (&inputs.cluster, endpoint_url(inputs)) else {
        return KubeconfigState::Good;
    };
    let authority = inputs.authorities.get(&Authority::Cluster);
    let Some(certificate) = authority.and_then(|secret| secrets::text(secret, contract::TLS_CRT)) else {
        return KubeconfigState::Good;
    };
    let text = secrets::text(secret, contract::VALUE).unwrap_or_default();
    let reason = kubeconfig::needs_reissue(
        &text,
        &cluster.name_any(),
        &server,
        None,
        &certificate,
        inputs.now,
    );
    match reason {
        None => KubeconfigState::Good,
        // Not a kubeconfig, and nothing says that we wrote it: whoever put it there knows what for.
        Some(kubeconfig::Reason::Unreadable) if !is_of(secret, cluster) => KubeconfigState::Good,
        Some(reason) => KubeconfigState::Stale(reason.to_string()),
    }
}

/// Whether the Secret is one that we made for the Cluster.
fn is_of(secret: &Secret, cluster: &Cluster) -> bool {
    secret
        .owner_references()
        .iter()
        .any(|owner| owner.kind == Cluster::kind(&()) && owner.name == cluster.name_any())
}
