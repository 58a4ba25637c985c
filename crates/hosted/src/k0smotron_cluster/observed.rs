//! What is known of a control plane, as plain values: what decisions are made from.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use k0smotron_api::{
    k0smotron::v1beta2::{Cluster, ServiceType},
    names::{
        annotations as shared,
        hosted::annotations::{self, CONVERGE},
        secrets as contract,
    },
    unsupported,
};
use k0smotron_k0s::kubeconfig::{Layout, Reason};
use k0smotron_runtime::{secrets, workload::api_server_url};
use k8s_openapi::{
    api::{
        apps::v1::StatefulSet,
        core::v1::{Container, Pod, Service},
    },
    apimachinery::pkg::api::resource::Quantity,
};
use kube::ResourceExt;
use serde_json::Value;

use super::{
    address,
    build::{self, Facts, SHAPE, digest},
    certificates::{self, Authority, Wanted},
    fetch::Inputs,
    growth::{Growth, growth},
    membership::{Etcd, Member, MemberPod},
    names::Names,
    probe::{Answer, Survey},
};

/// How long a pod of k0s runs at most: its certificates are valid for 365 days from its start.
const LONGEST_LIFE: SignedDuration = SignedDuration::from_hours(24 * 270);

/// What is known.
pub struct Observed {
    pub paused: bool,
    pub deleting: bool,
    pub finalizer: bool,
    /// What the spec asks for and is not done, in words.
    pub unsupported: Option<String>,
    /// What is wrong with the spec, in words.
    pub invalid: Option<String>,
    pub certificates: Wanted,
    pub facts: Facts,
    /// k0s' configurations, when they can be made.
    pub configurations: Option<[Value; 2]>,
    /// The Services that pods are configured with are there.
    pub services: bool,
    /// The address has to be known before pods are made, and is not.
    pub awaits_address: bool,
    pub k0s: Set,
    pub etcd: Set,
    pub membership: Etcd,
    pub kubeconfig: Kubeconfig,
    /// What is done for volumes to have the size that is asked for.
    pub growth: Growth,
    /// A pod of k0s that is to start anew, because it signs its own certificates when it starts, and they end.
    pub aged: Option<String>,
    pub answer: Answer,
    /// Pods of earlier releases are to be replaced.
    pub converge: bool,
}

/// A StatefulSet.
#[derive(Clone, Debug, Default)]
pub struct Set {
    pub exists: bool,
    /// What its pods were made from; unknown for those of releases before 3.0 that nobody has looked at.
    pub inputs: Option<String>,
    /// Its pods are made as releases since 3.0 make them.
    pub managed: bool,
    /// Its pods are made as this release makes them.
    pub current: bool,
    /// What its pods are to be made from.
    pub wanted: String,
    /// In what a set of unknown inputs differs from the spec.
    pub differences: Vec<String>,
    pub replicas: i32,
    pub ready: i32,
    pub updated: i32,
}

/// The administrator's kubeconfig.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kubeconfig {
    /// It cannot be made yet.
    Early,
    Missing,
    Stale(Reason),
    Fine,
}

/// Looks at what was read.
pub fn observe(inputs: &Inputs) -> Observed {
    let plane = inputs.plane.as_ref();
    let names = &inputs.names;
    let (service, etcd_client) = (inputs.service(), inputs.etcd_client());
    let (k0s, etcd) = (inputs.k0s(), inputs.etcd());
    let before = plane
        .status
        .as_ref()
        .and_then(|status| status.external_address.as_deref());
    let external_address = address::external(&plane.spec, service.as_ref(), &inputs.nodes, before);
    let facts = Facts {
        service_addresses: service.as_ref().map(addresses).unwrap_or_default(),
        etcd_addresses: etcd_client.as_ref().map(addresses).unwrap_or_default(),
        authorities: authorities(inputs, &Authority::ALL),
        etcd_authority: authorities(inputs, &[Authority::Etcd]),
        external_address,
    };
    let configurations = build::configurations(plane, names, &facts);
    let exists = k0s.is_some() || etcd.is_some();
    let certificates = certificates::wanted(plane, names, &inputs.secrets, exists, inputs.now);
    let invalid = match (&configurations, build::version(plane)) {
        (Err(error), _) => Some(error.to_string()),
        (_, None) => Some(format!(
            "spec.version {:?} is no version; write one such as v1.36.3-k0s.2",
            plane.spec.version()
        )),
        _ => None,
    };
    let configurations = configurations.ok();
    let wanted_k0s = configurations
        .as_ref()
        .map(|[ours, _]| build::k0s::inputs(plane, &facts, ours))
        .unwrap_or_default();
    let wanted_etcd = build::etcd::inputs(plane, &facts);
    Observed {
        paused: plane.annotations().contains_key(shared::PAUSED),
        deleting: inputs.is_deleting(),
        finalizer: plane
            .finalizers()
            .iter()
            .any(|finalizer| finalizer == k0smotron_api::names::finalizers::K0SMOTRON_CLUSTER),
        unsupported: unsupported::message(&plane.spec.unsupported()),
        invalid,
        certificates,
        services: service.is_some() && etcd_client.is_some(),
        awaits_address: plane.spec.service.r#type == ServiceType::LoadBalancer
            && facts.external_address.is_none(),
        k0s: set(k0s.as_ref(), wanted_k0s, |set| k0s_differences(plane, set)),
        membership: membership(inputs, etcd.as_ref()),
        etcd: set(etcd.as_ref(), wanted_etcd, |set| etcd_differences(plane, set)),
        kubeconfig: kubeconfig(inputs, &facts),
        growth: grows(inputs),
        aged: aged(inputs),
        answer: inputs.answer.clone(),
        converge: plane.annotations().contains_key(CONVERGE),
        configurations,
        facts,
    }
}

fn addresses(service: &Service) -> BTreeSet<String> {
    let spec = service.spec.as_ref();
    let all = spec.and_then(|spec| spec.cluster_ips.clone()).unwrap_or_default();
    all.into_iter().filter(|address| address != "None").collect()
}

/// A digest of the authorities' certificates: pods trust and sign with what they were started with.
fn authorities(inputs: &Inputs, authorities: &[Authority]) -> String {
    let text = |authority: &Authority| {
        let secret = inputs.authority(*authority);
        secret.and_then(|secret| secrets::text(secret, contract::TLS_CRT))
    };
    digest(&authorities.iter().map(text).collect())
}

fn set(
    live: Option<&StatefulSet>,
    wanted: String,
    differences: impl FnOnce(&StatefulSet) -> Vec<String>,
) -> Set {
    let Some(live) = live else {
        return Set {
            wanted,
            ..Set::default()
        };
    };
    let annotation = |key: &str| live.annotations().get(key).cloned();
    let status = live.status.clone().unwrap_or_default();
    // What another controller counted before it saw the newest spec says nothing about it.
    let counted = status.observed_generation >= live.metadata.generation;
    let inputs = annotation(annotations::INPUTS);
    Set {
        exists: true,
        managed: annotation(annotations::SHAPE).is_some(),
        current: annotation(annotations::SHAPE).as_deref() == Some(SHAPE),
        differences: match inputs {
            Some(_) => Vec::new(),
            None => differences(live),
        },
        inputs,
        wanted,
        replicas: live.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1),
        ready: status.ready_replicas.unwrap_or(0),
        updated: match counted && status.current_revision == status.update_revision {
            true => status.replicas,
            false if counted => status.updated_replicas.unwrap_or(0),
            false => 0,
        },
    }
}

fn container<'a>(set: &'a StatefulSet, name: &str) -> Option<&'a Container> {
    let pod = set.spec.as_ref()?.template.spec.as_ref()?;
    pod.containers.iter().find(|container| container.name == name)
}

/// In what the pods of an earlier release differ from what the spec asks for now: what was changed while nobody followed it.
/// What only their start script tells cannot be seen, and is taken to be as it was asked for.
fn k0s_differences(plane: &Cluster, set: &StatefulSet) -> Vec<String> {
    let Some(controller) = container(set, "controller") else {
        return vec!["it has no container of k0s".to_owned()];
    };
    let mut differences = Vec::new();
    compare(
        &mut differences,
        "image",
        controller.image.as_deref(),
        &build::k0s::image(plane),
    );
    let ports = controller.ports.iter().flatten();
    let ports: Vec<_> = ports.map(|port| i64::from(port.container_port)).collect();
    let service = &plane.spec.service;
    for (name, port) in [
        ("API", service.api_port),
        ("konnectivity", service.konnectivity_port),
    ] {
        if !ports.contains(&port) {
            differences.push(format!("the {name} port is not {port}"));
        }
    }
    differences
}

fn etcd_differences(plane: &Cluster, set: &StatefulSet) -> Vec<String> {
    let mut differences = Vec::new();
    match container(set, "etcd") {
        None => differences.push("it has no container of etcd".to_owned()),
        Some(etcd) => {
            let settings = build::etcd::settings(plane);
            compare(&mut differences, "image", etcd.image.as_deref(), settings.image());
        }
    }
    differences
}

fn compare(differences: &mut Vec<String>, what: &str, found: Option<&str>, wanted: &str) {
    let found = found.unwrap_or_default();
    if found != wanted {
        differences.push(format!("the {what} is {found}, not {wanted}"));
    }
}

fn is_true(pod: &Pod, type_: &str) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|condition| condition.type_ == type_ && condition.status == "True")
}

fn address(pod: &Pod) -> String {
    let status = pod.status.as_ref();
    status
        .and_then(|status| status.pod_ip.clone())
        .unwrap_or_default()
}

pub fn is_ready(pod: &Pod) -> bool {
    is_true(pod, "Ready")
}

/// Why a container of the pod is held back, if one is.
fn held_back(pod: &Pod) -> bool {
    let statuses = pod
        .status
        .as_ref()
        .and_then(|status| status.container_statuses.as_ref());
    let waits = |reason: &str| reason == "CrashLoopBackOff" || reason == "CreateContainerConfigError";
    statuses.into_iter().flatten().any(|status| {
        let waiting = status.state.as_ref().and_then(|state| state.waiting.as_ref());
        waiting
            .and_then(|waiting| waiting.reason.as_deref())
            .is_some_and(waits)
    })
}

fn membership(inputs: &Inputs, set: Option<&StatefulSet>) -> Etcd {
    let (plane, names) = (inputs.plane.as_ref(), &inputs.names);
    let revision = set.and_then(|set| set.status.as_ref()?.update_revision.clone());
    let annotation = |key: &str| set.is_some_and(|set| set.annotations().contains_key(key));
    // An earlier release founds its clusters in the start scripts of their pods.
    let earlier = set.is_some() && !annotation(annotations::SHAPE);
    let stored = inputs
        .etcd_membership()
        .and_then(|stored| stored.data)
        .unwrap_or_default();
    let recorded: Option<BTreeMap<usize, String>> = stored
        .get(build::etcd::CLAIMS)
        .and_then(|claims| serde_json::from_str(claims).ok());
    // The annotation says so for good; what is written on the Cluster may be replaced by whoever owns its manifest.
    let said = stored
        .get(build::etcd::STATE)
        .is_some_and(|state| state == build::etcd::EXISTING);
    let by_name: BTreeMap<_, _> = inputs
        .claims
        .iter()
        .map(|claim| (claim.name_any(), claim))
        .collect();
    let claim_of = |ordinal| by_name.get(&names.etcd_claim(ordinal));
    let pods = inputs.pods.iter().filter_map(|pod| {
        let ordinal = names.etcd_ordinal(&pod.name_any())?;
        let own = pod.labels().get("controller-revision-hash");
        let facts = MemberPod {
            ready: is_ready(pod),
            terminating: pod.metadata.deletion_timestamp.is_some(),
            crashed: held_back(pod),
            outdated: revision.is_some() && own != revision.as_ref(),
            named: inputs.named.contains(&(pod.name_any(), address(pod))),
            claim: claim_of(ordinal).and_then(|claim| claim.uid()),
        };
        Some((ordinal, facts))
    });
    let (members, leader) = match &inputs.survey {
        Some(Survey::Members { members, leader }) => (Some(members), *leader),
        Some(Survey::Silent(_)) | None => (None, None),
    };
    Etcd {
        founded: plane.annotations().contains_key(shared::CLUSTER_INITIALIZED) || said || earlier,
        wanted: build::members(plane),
        replicas: set.map(|set| {
            let replicas = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
            usize::try_from(replicas).unwrap_or(0)
        }),
        pods: pods.collect(),
        members: members.map(|members| members.iter().map(|member| self::member(names, member)).collect()),
        leader,
        claims: recorded.unwrap_or_default(),
        leftovers: (0..build::members(plane))
            .filter(|ordinal| claim_of(*ordinal).is_some())
            .collect(),
    }
}

fn grows(inputs: &Inputs) -> Growth {
    let (plane, names) = (inputs.plane.as_ref(), &inputs.names);
    let size = Quantity::from(&build::etcd::settings(plane).persistence.size());
    let prefix = format!("{}-{}-", build::etcd::CLAIM, names.etcd());
    match growth(&prefix, &size.0, &inputs.claims) {
        Growth::Done => match build::k0s::claimed(plane, names) {
            Some((prefix, size)) => growth(&prefix, &size, &inputs.claims),
            None => Growth::Done,
        },
        growth => growth,
    }
}

/// The oldest pod of k0s, if it is old and all of them are ready.
fn aged(inputs: &Inputs) -> Option<String> {
    let pods = inputs.k0s_pods();
    let all_ready = pods.len() >= usize::try_from(build::replicas(&inputs.plane)).unwrap_or(1)
        && pods
            .iter()
            .all(|pod| is_ready(pod) && pod.metadata.deletion_timestamp.is_none());
    let born = |pod: &&&Pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let oldest = pods.iter().min_by_key(born).filter(|_| all_ready)?;
    let age = inputs.now.duration_since(born(&oldest)?);
    (age > LONGEST_LIFE).then(|| oldest.name_any())
}

fn member(names: &Names, member: &k0smotron_runtime::dial::EtcdMember) -> Member {
    // One that has not started has no name yet, and is known by where it will be.
    let by_url = || {
        let host = member.peer_urls.first()?.strip_prefix("https://")?;
        names.etcd_ordinal(host.split('.').next()?)
    };
    Member {
        id: member.id,
        ordinal: names.etcd_ordinal(&member.name).or_else(by_url),
        started: !member.name.is_empty(),
        learner: member.is_learner,
    }
}

/// URL by which clients reach the API server.
pub fn server_url(plane: &Cluster, names: &Names, facts: &Facts) -> String {
    let port = u16::try_from(plane.spec.service.api_port).unwrap_or_default();
    match &facts.external_address {
        Some(address) => api_server_url(address, port),
        None => {
            let service = names.service(plane.spec.service.r#type);
            api_server_url(&format!("{service}.{}.svc", names.namespace), port)
        }
    }
}

fn kubeconfig(inputs: &Inputs, facts: &Facts) -> Kubeconfig {
    let plane = inputs.plane.as_ref();
    let outside = plane.spec.service.r#type != ServiceType::ClusterIp;
    let Some(authority) = inputs.authority(Authority::Cluster) else {
        return Kubeconfig::Early;
    };
    if outside && facts.external_address.is_none() {
        return Kubeconfig::Early;
    }
    let Some(present) = inputs.kubeconfig() else {
        return Kubeconfig::Missing;
    };
    let url = server_url(plane, &inputs.names, facts);
    let ca = secrets::text(authority, contract::TLS_CRT).unwrap_or_default();
    let text = secrets::text(present, contract::VALUE).unwrap_or_default();
    let reason = Layout::of_hosted(&inputs.names.cluster).needs_reissue(&text, &url, None, &ca, inputs.now);
    reason.map_or(Kubeconfig::Fine, Kubeconfig::Stale)
}
