//! Reads everything that a control plane refers to.
//!
//! Machines are read from the API and not taken from a watch: two control plane Machines because a watch was late
//! would be two clusters.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use k0smotron_api::{
    capi::{Cluster, ContractReference, Machine},
    control_plane::v1beta2::K0sControlPlane,
    names::{annotations, labels, secrets as contract},
};
use k0smotron_k0s::storage::Storage;
use k0smotron_runtime::{Context, shared::Shared, workload::ClusterKey};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, ResourceExt,
    api::{DynamicObject, ListParams},
    core::ApiResource,
};
use serde_json::Value;

use super::{
    Error,
    cluster::{self, Offer},
    kinds::{self, Kinds},
    observe,
    observed::{Answer, Authority, Owner},
    survey::{Places, Survey},
};

/// Port of k0s' API servers where the configuration says nothing.
const API_PORT: u16 = 6443;

/// The objects behind the facts.
#[derive(Clone, Debug)]
pub struct Inputs {
    pub plane: Arc<K0sControlPlane>,
    pub owner: Owner,
    pub cluster: Option<Arc<Cluster>>,
    /// What the Cluster's infrastructure offers; looked for only until the Cluster has it.
    pub offer: Offer,
    /// The control plane's Machines, oldest first.
    pub machines: Vec<Machine>,
    /// Number of the Cluster's other Machines.
    pub workers: usize,
    /// How many of these are not being deleted.
    pub workers_staying: usize,
    pub authorities: BTreeMap<Authority, Secret>,
    pub kubeconfig: Option<Secret>,
    /// The template of infrastructure machines.
    pub template: Template,
    /// Annotations of the infrastructure machines of the Machines that are to stay, by name of the Machine.
    pub cloned_from: BTreeMap<String, BTreeMap<String, String>>,
    pub answer: Answer,
    /// The members of etcd as seen last, and whether nothing was changed since.
    pub survey: Option<(Survey, bool)>,
    pub now: Timestamp,
}

impl Inputs {
    /// Host and port of the API server: the Cluster's, or before it has any those of its infrastructure.
    pub fn endpoint(&self) -> Option<(&str, u16)> {
        let infrastructure = || self.offer.endpoint.as_ref()?.address();
        self.cluster.as_deref()?.endpoint().or_else(infrastructure)
    }

    /// By what the workload cluster is reached.
    pub fn workload(&self) -> Option<ClusterKey> {
        Some(ClusterKey {
            namespace: self.plane.namespace().unwrap_or_default(),
            name: self.cluster.as_deref()?.name_any(),
        })
    }

    /// The control plane's Machines that are not being deleted, oldest first.
    pub fn staying(&self) -> impl Iterator<Item = &Machine> {
        self.machines.iter().filter(|machine| !machine.is_deleting())
    }
}

/// The template of infrastructure machines.
#[derive(Clone, Debug)]
pub enum Template {
    NotLookedFor,
    /// Why there is none.
    Missing(String),
    Found(Box<FoundTemplate>),
}

/// A template, and the API of what is made from it.
#[derive(Clone, Debug)]
pub struct FoundTemplate {
    pub object: DynamicObject,
    pub api: ApiResource,
    pub machine_api: ApiResource,
}

/// Where to read.
pub struct Sources<'a> {
    pub context: &'a Context,
    pub clusters: &'a Shared<Cluster>,
    pub kinds: &'a Kinds,
}

/// The control plane as it is now; `None` when it is gone. What the last pass wrote may not have come through the watch
/// yet, and a name taken from an old sequence number would be taken twice.
pub async fn current(
    plane: &K0sControlPlane,
    context: &Context,
) -> Result<Option<Arc<K0sControlPlane>>, Error> {
    let api = context.api::<K0sControlPlane>(&plane.namespace().unwrap_or_default());
    let read = api.get_opt(&plane.name_any()).await;
    let plane = read.map_err(|source| Error::Read {
        what: "the control plane".to_owned(),
        source,
    })?;
    Ok(plane.map(Arc::new))
}

/// Reads what the control plane refers to.
pub async fn fetch(
    plane: &Arc<K0sControlPlane>,
    answer: Answer,
    survey: Option<(Survey, bool)>,
    from: &Sources<'_>,
) -> Result<Inputs, Error> {
    let namespace = plane.namespace().unwrap_or_default();
    let (owner, cluster) = cluster::owner(plane, &namespace, from).await?;
    let mut inputs = Inputs {
        plane: plane.clone(),
        owner,
        cluster,
        offer: Offer::default(),
        machines: Vec::new(),
        workers: 0,
        workers_staying: 0,
        authorities: BTreeMap::new(),
        kubeconfig: None,
        template: Template::NotLookedFor,
        cloned_from: BTreeMap::new(),
        answer,
        survey,
        now: Timestamp::now(),
    };
    let label = || plane.labels().get(labels::CLUSTER_NAME).cloned();
    let belongs_to = inputs.cluster.clone();
    let Some(cluster) = belongs_to
        .as_ref()
        .map(|cluster| cluster.name_any())
        .or_else(label)
    else {
        return Ok(inputs);
    };
    let (ours, workers) = machines(plane, &namespace, &cluster, from).await?;
    inputs.machines = ours;
    inputs.workers = workers.len();
    inputs.workers_staying = workers.iter().filter(|machine| !machine.is_deleting()).count();
    let Some(belongs_to) = belongs_to.filter(|_| plane.metadata.deletion_timestamp.is_none()) else {
        return Ok(inputs);
    };
    inputs.offer = cluster::offer(&belongs_to, &namespace, from).await?;
    let secrets: Api<Secret> = from.context.api(&namespace);
    let read = |name: String| {
        let secrets = secrets.clone();
        async move {
            let read = secrets.get_opt(&name).await;
            read.map_err(|source| Error::Read {
                what: format!("Secret {name}"),
                source,
            })
        }
    };
    let authorities = Authority::ALL.map(|authority| {
        let read = read(authority.secret_name(&cluster));
        async move { Ok::<_, Error>((authority, read.await?)) }
    });
    let (authorities, kubeconfig) = futures::future::try_join(
        futures::future::try_join_all(authorities),
        read(contract::kubeconfig(&cluster)),
    )
    .await?;
    inputs.authorities = authorities
        .into_iter()
        .filter_map(|(authority, secret)| Some((authority, secret?)))
        .collect();
    inputs.kubeconfig = kubeconfig;
    inputs.cloned_from = cloned_from(inputs.staying(), &namespace, from).await?;
    inputs.template = template(plane, &namespace, from).await?;
    Ok(inputs)
}

/// Where the API servers of the controllers are.
pub fn places(inputs: &Inputs) -> Places {
    let k0s = inputs.plane.spec.k0s_config_spec.k0s.as_ref();
    let port = k0s
        .and_then(|k0s| k0s.pointer("/spec/api/port"))
        .and_then(Value::as_u64)
        .and_then(|port| u16::try_from(port).ok());
    let addresses = |machine: &Machine| -> Vec<String> {
        let all = machine.addresses().iter();
        all.map(|address| address.address.clone()).collect()
    };
    Places {
        shared: observe::storage(inputs) == Storage::Shared,
        port: port.filter(|port| *port != 0).unwrap_or(API_PORT),
        addresses: inputs
            .machines
            .iter()
            .map(|machine| (machine.name_any(), addresses(machine)))
            .collect(),
        adopted: inputs
            .machines
            .iter()
            .filter(|machine| machine.spec.bootstrap.config_ref.is_none())
            .map(ResourceExt::name_any)
            .collect(),
    }
}

/// The control plane's Machines, oldest first, and the others that the Cluster has.
async fn machines(
    plane: &K0sControlPlane,
    namespace: &str,
    cluster: &str,
    from: &Sources<'_>,
) -> Result<(Vec<Machine>, Vec<Machine>), Error> {
    let selected = ListParams::default().labels(&format!("{}={cluster}", labels::CLUSTER_NAME));
    let api = from.context.api::<Machine>(namespace);
    let all = api.list(&selected).await.map_err(|source| Error::Read {
        what: "Machines".to_owned(),
        source,
    })?;
    let (controllers, workers): (Vec<_>, Vec<_>) = all.items.into_iter().partition(Machine::is_control_plane);
    let mut ours: Vec<_> = controllers
        .into_iter()
        .filter(|machine| plane.has(machine))
        .collect();
    ours.sort_by_key(|machine| (machine.creation_timestamp(), machine.name_any()));
    Ok((ours, workers))
}

/// The template that the spec names.
async fn template(plane: &K0sControlPlane, namespace: &str, from: &Sources<'_>) -> Result<Template, Error> {
    let Some(reference) = plane.spec.machine_template.infrastructure_ref() else {
        return Ok(Template::Missing(
            "the spec names no infrastructure template".to_owned(),
        ));
    };
    let ContractReference {
        api_group: group,
        kind,
        name,
    } = &reference;
    let Some(machine_kind) = kinds::made_from(kind) else {
        return Ok(Template::Missing(format!("{kind} is no kind of template")));
    };
    let (template_api, machine_api) =
        futures::future::try_join(api_of(from, group, kind), api_of(from, group, machine_kind)).await?;
    let (Some(template_api), Some(machine_api)) = (template_api, machine_api) else {
        let text = format!("no API serves {kind} and {machine_kind} of {group}: install their provider");
        return Ok(Template::Missing(text));
    };
    let api: Api<DynamicObject> = Api::namespaced_with(from.context.client.clone(), namespace, &template_api);
    let object = api.get_opt(name).await.map_err(|source| Error::Read {
        what: format!("{kind} {name}"),
        source,
    })?;
    Ok(match object {
        None => Template::Missing(format!("{kind} {namespace}/{name} does not exist: create it")),
        Some(object) => Template::Found(Box::new(FoundTemplate {
            object,
            api: template_api,
            machine_api,
        })),
    })
}

/// The API that serves a kind.
pub async fn api_of(from: &Sources<'_>, group: &str, kind: &str) -> Result<Option<ApiResource>, Error> {
    from.kinds
        .api_of(&from.context.client, group, kind)
        .await
        .map_err(|source| Error::Read {
            what: format!("the API of {kind}"),
            source,
        })
}

/// What the infrastructure machines say of the templates they were made from.
async fn cloned_from<'a>(
    machines: impl Iterator<Item = &'a Machine>,
    namespace: &str,
    from: &Sources<'_>,
) -> Result<BTreeMap<String, BTreeMap<String, String>>, Error> {
    let mut found = BTreeMap::new();
    for machine in machines {
        let Some(ContractReference {
            api_group,
            kind,
            name,
        }) = &machine.spec.infrastructure_ref
        else {
            continue;
        };
        let Some(resource) = api_of(from, api_group, kind).await? else {
            continue;
        };
        let api: Api<DynamicObject> = Api::namespaced_with(from.context.client.clone(), namespace, &resource);
        let object = api.get_metadata_opt(name).await.map_err(|source| Error::Read {
            what: format!("{kind} {name}"),
            source,
        })?;
        if let Some(object) = object {
            let origin = [annotations::CLONED_FROM_NAME, annotations::CLONED_FROM_GROUP_KIND];
            let kept = object
                .annotations()
                .iter()
                .filter(|(key, _)| origin.contains(&key.as_str()))
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect();
            found.insert(machine.name_any(), kept);
        }
    }
    Ok(found)
}
