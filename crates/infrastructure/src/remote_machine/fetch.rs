//! Reads everything that a RemoteMachine refers to.

use std::{collections::BTreeSet, sync::Arc};

use jiff::Timestamp;
use k0smotron_api::{
    capi::{Cluster, Machine},
    infrastructure::v1beta2::{PooledRemoteMachine, RemoteMachine},
    names::labels,
};
use k0smotron_runtime::{Context, secrets, shared::Shared};
use k0smotron_ssh::Transport;
use k8s_openapi::api::core::v1::Secret;
use kube::{ResourceExt, runtime::reflector::Store};
use secrecy::SecretString;

use super::{
    Error,
    access::{self, Secrets},
    attempts::Attempts,
    early,
    observed::{Data, Observed},
    plan,
};
use crate::{
    belonging::{adopter, core_owner, paused},
    pool::{self, Claims},
};

/// What the controller reads from and works with. Cheap to clone.
#[derive(Clone)]
pub struct Sources {
    pub context: Context,
    pub clusters: Shared<Cluster>,
    pub machines: Shared<Machine>,
    pub pool: Shared<PooledRemoteMachine>,
    pub remote_machines: Store<RemoteMachine>,
    pub provisioning: Attempts,
    pub cleaning: Attempts,
    pub claims: Claims,
    pub transport: Arc<dyn Transport>,
}

/// The world as it is now.
pub async fn fetch(machine: Arc<RemoteMachine>, sources: &Sources) -> Result<Observed, Error> {
    let namespace = machine.namespace().unwrap_or_default();
    let owner = match core_owner(machine.as_ref(), "Machine") {
        None => adopter(machine.as_ref(), &sources.machines).map(|owner| (owner.name_any(), Some(owner))),
        Some(name) => {
            let owner = owner(sources, &namespace, &name).await?;
            Some((name, owner))
        }
    };
    // Without its Machine the object still says which cluster it is of.
    let cluster_name = match &owner {
        Some((_, Some(owner))) => Some(owner.spec.cluster_name.clone()),
        _ => machine.labels().get(labels::CLUSTER_NAME).cloned(),
    };
    let cluster = match cluster_name.filter(|name| !name.is_empty()) {
        None => None,
        Some(name) => cluster(sources, &namespace, &name).await?,
    };
    let is_deleting = machine.metadata.deletion_timestamp.is_some();
    let is_going = is_deleting
        || match (&owner, &cluster) {
            (Some((_, Some(owner))), Some(cluster)) => early::goes_with_cluster(owner, cluster),
            _ => false,
        };
    let is_provisioned = machine
        .spec
        .provider_id
        .as_deref()
        .is_some_and(|id| !id.is_empty());
    let named = pool::entry_of(&machine);
    let entries = if pool::is_drawn(&machine.spec) {
        let own = machine.name_any();
        sources.pool.list(&namespace, |entry| {
            pool::selects(&machine.spec, entry)
                || named == Some(&entry.name_any())
                || pool::reserved_by(entry) == Some(&own)
        })
    } else {
        Vec::new()
    };
    let others: Vec<_> = if is_going || is_provisioned {
        Vec::new()
    } else {
        others(sources, &machine)
    };
    let is_wanted = !is_going && !is_provisioned;
    let data_secret = match &owner {
        Some((_, Some(owner))) if is_wanted => early::data_secret(&sources.context, owner).await?,
        _ => None,
    };
    let nothing_to_provision = match &cluster {
        Some(cluster) if is_wanted => early::nothing_to_provision(&sources.context, cluster).await?,
        _ => false,
    };
    let data = match data_secret {
        None => Data::Unread,
        Some(name) => data(sources, &machine, &namespace, name).await?,
    };
    let secrets = if is_going || !is_provisioned {
        read_secrets(sources, &namespace, access::secrets(&machine.spec)).await?
    } else {
        Secrets::new()
    };
    Ok(Observed {
        taken: sources.claims.of_others(&machine, &others),
        now: Timestamp::now(),
        paused: paused(machine.as_ref(), cluster.as_deref()),
        provisioning: sources.provisioning.history(&machine),
        cleaning: sources.cleaning.history(&machine),
        machine,
        owner,
        cluster,
        is_going,
        nothing_to_provision,
        entries,
        others,
        data,
        secrets,
    })
}

fn others(sources: &Sources, machine: &RemoteMachine) -> Vec<Arc<RemoteMachine>> {
    let mut all = sources.remote_machines.state();
    all.retain(|other| other.name_any() != machine.name_any() || other.namespace() != machine.namespace());
    all
}

/// From the watch; from the API when the reference is younger than what the watch has seen.
async fn owner(sources: &Sources, namespace: &str, name: &str) -> Result<Option<Arc<Machine>>, Error> {
    if let Some(owner) = sources.machines.get(namespace, name) {
        return Ok(Some(owner));
    }
    let machines = sources.context.api::<Machine>(namespace);
    let owner = machines.get_opt(name).await.map_err(Error::read("Machine"))?;
    Ok(owner.map(Arc::new))
}

async fn cluster(sources: &Sources, namespace: &str, name: &str) -> Result<Option<Arc<Cluster>>, Error> {
    if let Some(cluster) = sources.clusters.get(namespace, name) {
        return Ok(Some(cluster));
    }
    let clusters = sources.context.api::<Cluster>(namespace);
    let cluster = clusters.get_opt(name).await.map_err(Error::read("Cluster"))?;
    Ok(cluster.map(Arc::new))
}

async fn data(
    sources: &Sources,
    machine: &RemoteMachine,
    namespace: &str,
    name: String,
) -> Result<Data, Error> {
    let secrets = sources.context.api::<Secret>(namespace);
    let Some(secret) = secrets
        .get_opt(&name)
        .await
        .map_err(Error::read("bootstrap Secret"))?
    else {
        return Ok(Data::Missing(name));
    };
    let text = SecretString::from(secrets::text(&secret, "value").unwrap_or_default());
    let format = secrets::text(&secret, "format");
    Ok(match plan::work(&text, format.as_deref(), &machine.spec) {
        Ok(work) => Data::Ready(Arc::new(work)),
        Err(problem) => Data::Invalid(problem),
    })
}

async fn read_secrets(sources: &Sources, namespace: &str, names: BTreeSet<&str>) -> Result<Secrets, Error> {
    let api = sources.context.api::<Secret>(namespace);
    let mut found = Secrets::new();
    for name in names {
        let secret = api.get_opt(name).await.map_err(Error::read("SSH key Secret"))?;
        let texts = secret.map(|secret| {
            let keys = secret.data.iter().flatten().map(|(key, _)| key);
            keys.filter_map(|key| Some((key.clone(), secrets::text(&secret, key)?.into())))
                .collect()
        });
        found.insert(name.to_owned(), texts);
    }
    Ok(found)
}
