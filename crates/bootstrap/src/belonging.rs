//! What a config belongs to: its Machine, its Cluster, and the Secret it makes.

use std::{fmt::Debug, sync::Arc};

use jiff::Timestamp;
use k0smotron_api::{
    bootstrap::v1beta2::{BootstrapStatus, K0sWorkerConfig},
    capi::{self, Cluster, Machine, MachinePool, condition_is_true},
    control_plane::v1beta2::K0sControlPlane,
    names::{annotations, conditions::types::JOIN_TOKEN_REVOKED, labels},
};
use k0smotron_k0s::token::BootstrapToken;
use k0smotron_runtime::{Context, shared::Shared};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, Preconditions},
    core::{NamespaceResourceScope, PartialObjectMeta, object::HasStatus},
    runtime::reflector::{ObjectRef, Store},
};
use serde::de::DeserializeOwned;

use crate::{
    data_secret,
    prerequisites::{DataSecret, Owner, Prerequisites},
};

/// What a config belongs to, as objects.
#[derive(Clone, Debug)]
pub struct Belonging {
    /// The Machine, or what those of the pool are made from under the pool's name.
    pub machine: Option<Arc<Machine>>,
    /// The token in the bootstrap data, if that is there and names one.
    pub token: Option<BootstrapToken>,
    /// When a pool's next token is due.
    pub rotation: Option<Timestamp>,
    pub cluster: Option<Arc<Cluster>>,
    /// The same as facts. `unsupported` is left to the kind.
    pub prerequisites: Prerequisites,
}

/// Finds out what `config` belongs to. `kind` and `group` are those of the config.
///
/// # Errors
/// Whatever the API answers.
pub async fn of<K>(
    context: &Context,
    clusters: &Shared<Cluster>,
    config: &K,
) -> Result<Belonging, kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    let namespace = config.meta().namespace.clone().unwrap_or_default();
    let name = config.name_any();
    let owners = config
        .owner_references()
        .iter()
        .filter(|owner| is_core(&owner.api_version));
    let mut machine = None;
    let mut owner = Owner::None;
    for reference in owners {
        match reference.kind.as_str() {
            "Machine" => {
                // Read, not taken from a watch: the reference and the Machine may be younger than any watch has seen.
                machine = get::<Machine>(context, &namespace, &reference.name).await?;
                owner = match &machine {
                    Some(_) => Owner::Machine(reference.name.clone()),
                    None => Owner::Missing(reference.name.clone()),
                };
                break;
            }
            "MachinePool" => {
                let pool = get::<MachinePool>(context, &namespace, &reference.name).await?;
                owner = match &pool {
                    Some(_) => Owner::Pool(reference.name.clone()),
                    None => Owner::Missing(reference.name.clone()),
                };
                machine = pool.map(|pool| Arc::new(member_of(&pool)));
            }
            _ => {}
        }
    }
    if owner == Owner::None {
        // Cluster API may take seconds until it sets the owner; the Machine itself says which config is its own.
        // Config and Machine bear one name wherever Cluster API or a control plane makes them.
        let namesake = get::<Machine>(context, &namespace, &name).await?;
        if let Some(namesake) = namesake.filter(|machine| refers_to(machine, config)) {
            owner = Owner::Machine(namesake.name_any());
            machine = Some(namesake);
        }
    }
    let cluster_name = machine.as_ref().map(|machine| machine.spec.cluster_name.clone());
    let cluster_name = cluster_name.filter(|name| !name.is_empty());
    let cluster = match &cluster_name {
        None => None,
        Some(name) => match clusters.get(&namespace, name) {
            Some(cluster) => Some(cluster),
            None => get::<Cluster>(context, &namespace, name).await?,
        },
    };
    let secrets: Api<Secret> = context.api(&namespace);
    let secret = secrets.get_opt(&name).await?;
    let pool = matches!(owner, Owner::Pool(_));
    let rotation = secret.as_ref().filter(|_| pool).map(data_secret::rotation);
    let state = match &secret {
        None => DataSecret::Missing,
        Some(secret) if !controls(config, secret) => DataSecret::Foreign,
        Some(_) if rotation.is_some_and(|due| due <= Timestamp::now()) => DataSecret::Aging,
        Some(_) => DataSecret::Ours,
    };
    let prerequisites = Prerequisites {
        paused: paused(config, cluster.as_deref()),
        deleting: config.meta().deletion_timestamp.is_some(),
        machine_leaves: machine.as_deref().is_some_and(leaves),
        cluster: cluster_name.map(|name| (name, cluster.is_some())),
        name,
        owner,
        secret: state,
        unsupported: None,
    };
    Ok(Belonging {
        machine,
        token: secret.as_ref().and_then(data_secret::token),
        rotation,
        cluster,
        prerequisites,
    })
}

/// What a machine of the pool would be, as far as bootstrap data is concerned.
fn member_of(pool: &MachinePool) -> Machine {
    let mut machine = Machine::default();
    machine.metadata.name.clone_from(&pool.metadata.name);
    machine.metadata.namespace.clone_from(&pool.metadata.namespace);
    machine.spec = pool.spec.template.spec.clone();
    machine.spec.cluster_name.clone_from(&pool.spec.cluster_name);
    machine
}

async fn get<K>(context: &Context, namespace: &str, name: &str) -> Result<Option<Arc<K>>, kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    Ok(context.api::<K>(namespace).get_opt(name).await?.map(Arc::new))
}

/// Whether the Machine's bootstrap data comes from this config.
fn refers_to<K: Resource<DynamicType = ()>>(machine: &Machine, config: &K) -> bool {
    let reference = machine.spec.bootstrap.config_ref.as_ref();
    reference.is_some_and(|reference| {
        reference.is(&K::group(&()), &K::kind(&())) && reference.name == config.name_any()
    })
}

/// Whether the Machine is being deleted and no hook holds it.
fn leaves(machine: &Machine) -> bool {
    let held = machine
        .annotations()
        .keys()
        .any(|key| key.starts_with(annotations::PRE_TERMINATE_HOOKS));
    machine.is_deleting() && !held
}

/// Deletes the config, if it is still the one that was read.
///
/// # Errors
/// Whatever the API answers, but that it is gone.
pub async fn remove<K>(context: &Context, config: &K) -> Result<(), kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let api = context.api::<K>(&config.namespace().unwrap_or_default());
    let this = Preconditions {
        uid: config.uid(),
        resource_version: None,
    };
    let parameters = DeleteParams::background().preconditions(this);
    match api.delete(&config.name_any(), &parameters).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        result => result.map(drop),
    }
}

fn is_core(api_version: &str) -> bool {
    api_version.split('/').next() == Some(capi::GROUP)
}

/// By kind and name: move and restore change UIDs.
fn controls<K: Resource<DynamicType = ()>>(config: &K, object: &impl ResourceExt) -> bool {
    object.owner_references().iter().any(|owner| {
        owner.controller == Some(true)
            && owner.kind == K::kind(&())
            && owner.api_version.split('/').next() == Some(K::group(&()).as_ref())
            && owner.name == config.name_any()
    })
}

/// Why nothing may be done with the object, when it or its Cluster is paused (contract G11).
pub fn paused<K: Resource<DynamicType = ()>>(object: &K, cluster: Option<&Cluster>) -> Option<String> {
    let mut reasons = Vec::new();
    if cluster.is_some_and(Cluster::is_paused) {
        reasons.push("Cluster spec.paused is set to true".to_owned());
    }
    if object.annotations().contains_key(annotations::PAUSED) {
        reasons.push(format!(
            "{} has the {} annotation",
            K::kind(&()),
            annotations::PAUSED
        ));
    }
    (!reasons.is_empty()).then(|| reasons.join(", "))
}

/// The config that a Machine waits for, or leaves behind, or whose join token it does not need any more.
pub fn concerned_by<K>(store: &Store<K>, machine: &Machine) -> Vec<ObjectRef<K>>
where
    K: Resource<DynamicType = ()> + HasStatus<Status = BootstrapStatus> + Clone + 'static,
{
    let bootstrap = &machine.spec.bootstrap;
    let reference = bootstrap.config_ref.as_ref();
    let reference = reference.filter(|reference| reference.is(&K::group(&()), &K::kind(&())));
    let Some((reference, namespace)) = reference.zip(machine.namespace()) else {
        return Vec::new();
    };
    let config = ObjectRef::new(&reference.name).within(&namespace);
    let has_token = || {
        let config = store.get(&config);
        let status = config.as_ref().and_then(|config| config.status());
        !status.is_some_and(|status| condition_is_true(&status.conditions, JOIN_TOKEN_REVOKED))
    };
    let concerned = bootstrap.data_secret_name.is_none()
        || machine.is_deleting()
        || (machine.node_name().is_some() && has_token());
    concerned.then_some(config).into_iter().collect()
}

/// The configs of a cluster, by their label. To be looked at again when the Cluster changes.
pub fn of_cluster<K>(store: &Store<K>, cluster: &Cluster) -> Vec<ObjectRef<K>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let name = cluster.name_any();
    labelled(store, cluster.namespace().as_deref(), &name)
        .map(|config| ObjectRef::from_obj(config.as_ref()))
        .collect()
}

/// The worker configs of a control plane's cluster that have no bootstrap data yet.
pub fn unmade(
    store: &Store<K0sWorkerConfig>,
    plane: &PartialObjectMeta<K0sControlPlane>,
) -> Vec<ObjectRef<K0sWorkerConfig>> {
    let Some(cluster) = plane.labels().get(labels::CLUSTER_NAME) else {
        return Vec::new();
    };
    labelled(store, plane.namespace().as_deref(), cluster)
        .filter(|config| {
            !config
                .status
                .as_ref()
                .is_some_and(|status| status.data_secret_created())
        })
        .map(|config| ObjectRef::from_obj(config.as_ref()))
        .collect()
}

fn labelled<K>(store: &Store<K>, namespace: Option<&str>, cluster: &str) -> impl Iterator<Item = Arc<K>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    store.state().into_iter().filter(move |config| {
        config.meta().namespace.as_deref() == namespace
            && config
                .labels()
                .get(labels::CLUSTER_NAME)
                .is_some_and(|name| name == cluster)
    })
}
