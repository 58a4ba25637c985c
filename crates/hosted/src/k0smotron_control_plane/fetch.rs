//! Reads the Cluster of a control plane, the hosted Cluster that was made for it, and its infrastructure.

use std::{sync::Arc, time::Duration};

use k0smotron_api::{
    capi::{self, Machine},
    control_plane::v1beta2::K0smotronControlPlane,
    k0smotron::v1beta2::Cluster,
    names::{annotations, conditions::types, finalizers, labels},
    unsupported,
};
use k0smotron_runtime::{
    Context, conditions::is_true, dial::Target, kinds::Kinds, shared::Shared, workload::ClusterKey,
};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt, runtime::reflector::ObjectRef};

use super::{
    Error, control_plane,
    decide::{Hosted, Observed},
    infrastructure::{self, Infrastructure},
    owner,
};
use crate::k0smotron_cluster::names::Names;

/// Longest that the API server may take to say who it is. It holds a worker meanwhile.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// What a pass reads from.
pub struct Sources<'a> {
    pub context: &'a Context,
    pub clusters: &'a Shared<capi::Cluster>,
    pub machines: &'a Shared<Machine>,
    pub kinds: &'a Kinds,
}

/// The objects behind the facts.
pub struct Inputs {
    pub plane: Arc<K0smotronControlPlane>,
    pub cluster: Option<Arc<capi::Cluster>>,
    /// The hosted Cluster, also when it is somebody else's.
    pub hosted: Option<Cluster>,
    /// Infrastructure that is ours to provision.
    pub infrastructure: Option<Infrastructure>,
    /// Identity of the workload cluster, where it is not noted on the Cluster yet.
    pub identity: Option<String>,
}

impl Inputs {
    pub fn namespace(&self) -> String {
        self.plane.namespace().unwrap_or_default()
    }
}

/// Reads what a control plane consists of.
pub async fn fetch(
    plane: &Arc<K0smotronControlPlane>,
    from: &Sources<'_>,
) -> Result<(Inputs, Observed), Error> {
    let namespace = plane.namespace().unwrap_or_default();
    let cluster = cluster_of(plane, &namespace, from).await?;
    // One whose Cluster is gone is still to be cleaned up after.
    let name = cluster
        .as_ref()
        .map(|cluster| cluster.name_any())
        .or_else(|| core_owner(plane))
        .or_else(|| plane.labels().get(labels::CLUSTER_NAME).cloned());
    let hosted = match &name {
        Some(name) => read_hosted(name, &namespace, from.context).await?,
        None => None,
    };
    let workers = name.as_ref().map_or(0, |name| {
        let is_worker = |machine: &Machine| {
            machine.spec.cluster_name == *name && !machine.labels().contains_key(labels::CONTROL_PLANE)
        };
        from.machines.list(&namespace, is_worker).len()
    });
    let observed = Observed {
        deleted: plane.metadata.deletion_timestamp.is_some(),
        held: plane
            .finalizers()
            .iter()
            .any(|held| held == finalizers::K0SMOTRON_CONTROL_PLANE),
        unsupported: unsupported::message(&plane.spec.plane.unsupported()),
        paused: paused(plane, cluster.as_deref()),
        cluster: cluster.is_some(),
        cluster_goes: cluster
            .as_ref()
            .is_some_and(|cluster| cluster.metadata.deletion_timestamp.is_some()),
        hosted: match &hosted {
            None => Hosted::Absent,
            Some(hosted) if !is_ours(hosted, plane) => Hosted::Foreign(hosted.name_any()),
            Some(hosted) if hosted.metadata.deletion_timestamp.is_some() => Hosted::Going,
            Some(_) => Hosted::Ours,
        },
        workers,
    };
    let mut inputs = Inputs {
        plane: plane.clone(),
        cluster,
        hosted,
        infrastructure: None,
        identity: None,
    };
    if observed.is_live()
        && let Some(cluster) = inputs.cluster.clone()
    {
        inputs.infrastructure = infrastructure::read(&cluster, &namespace, from).await?;
        if observed.hosted == Hosted::Ours && cluster.recorded_cluster_id().is_none() {
            inputs.identity = identity(&inputs, from.context).await;
        }
    }
    Ok((inputs, observed))
}

/// The Cluster that owns the control plane, by kind and group, for the controller flag is set for Clusters with a
/// topology only (contract C22); or the one whose spec names it, before Cluster API made that the owner.
async fn cluster_of(
    plane: &K0smotronControlPlane,
    namespace: &str,
    from: &Sources<'_>,
) -> Result<Option<Arc<capi::Cluster>>, Error> {
    if let Some(name) = core_owner(plane) {
        return Ok(match from.clusters.get(namespace, &name) {
            Some(cluster) => Some(cluster),
            // The reference may be younger than anything the watch has seen.
            None => read_cluster(&name, namespace, from.context).await?.map(Arc::new),
        });
    }
    let reference = ObjectRef::from_obj(plane);
    let names = |cluster: &capi::Cluster| {
        // One that is being deleted begins nothing any more; it only finishes.
        let begins =
            cluster.metadata.deletion_timestamp.is_none() || plane.metadata.deletion_timestamp.is_some();
        begins && control_plane(cluster).as_ref() == Some(&reference)
    };
    let known = from.clusters.list(namespace, names);
    let [known] = known.as_slice() else {
        return Ok(None);
    };
    // Nobody has confirmed that the two belong together, so it has to be so now, and not only as last seen.
    let cluster = read_cluster(&known.name_any(), namespace, from.context).await?;
    Ok(cluster.filter(|cluster| names(cluster)).map(Arc::new))
}

fn core_owner(plane: &K0smotronControlPlane) -> Option<String> {
    plane
        .owner_references()
        .iter()
        .find(|owner| owner.kind == "Cluster" && owner.api_version.split('/').next() == Some(capi::GROUP))
        .map(|owner| owner.name.clone())
}

async fn read_cluster(
    name: &str,
    namespace: &str,
    context: &Context,
) -> Result<Option<capi::Cluster>, Error> {
    let read = context.api::<capi::Cluster>(namespace).get_opt(name).await;
    read.map_err(|source| Error::Read {
        what: format!("Cluster {name}"),
        source,
    })
}

async fn read_hosted(name: &str, namespace: &str, context: &Context) -> Result<Option<Cluster>, Error> {
    let read = context.api::<Cluster>(namespace).get_opt(name).await;
    read.map_err(|source| Error::Read {
        what: format!("hosted Cluster {name}"),
        source,
    })
}

/// By its owner; by its label if nobody owns it, as after a restore.
fn is_ours(hosted: &Cluster, plane: &K0smotronControlPlane) -> bool {
    match owner(hosted) {
        Some(owner) => owner == plane.name_any(),
        None => {
            hosted.owner_references().is_empty()
                && hosted.labels().get(labels::CLUSTER_NAME) == Some(&hosted.name_any())
        }
    }
}

/// Why nothing may be done with the control plane (contract G11).
fn paused(plane: &K0smotronControlPlane, cluster: Option<&capi::Cluster>) -> Option<String> {
    let mut reasons = Vec::new();
    if cluster.is_some_and(capi::Cluster::is_paused) {
        reasons.push("Cluster spec.paused is set to true".to_owned());
    }
    if plane.annotations().contains_key(annotations::PAUSED) {
        reasons.push(format!(
            "K0smotronControlPlane has the {} annotation",
            annotations::PAUSED
        ));
    }
    (!reasons.is_empty()).then(|| reasons.join(", "))
}

/// Asks the API server who it is; nobody while it does not answer.
async fn identity(inputs: &Inputs, context: &Context) -> Option<String> {
    let hosted = inputs.hosted.as_ref()?;
    if !is_true(&hosted.status.as_ref()?.conditions, types::AVAILABLE) {
        return None;
    }
    let names = Names::of(hosted);
    let key = ClusterKey {
        namespace: names.namespace.clone(),
        name: names.cluster.clone(),
    };
    let service = &hosted.spec.service;
    let port = u16::try_from(service.api_port).unwrap_or_default();
    let target = Target::service(&names.namespace, names.service(service.r#type), port);
    let asked = async {
        let client = context
            .workloads
            .client_through(&key, &context.pods, &target)
            .await
            .ok()?;
        let namespace = Api::<Namespace>::all(client).get_metadata("kube-system").await;
        namespace
            .inspect_err(|error| {
                tracing::info!(cluster = key.name, %error, "the API server does not say who it is");
            })
            .ok()
    };
    let namespace = tokio::time::timeout(ANSWER_TIMEOUT, asked).await.ok()??;
    Some(annotations::cluster_id(&namespace.uid()?))
}
