//! Reads everything that a control plane is made of.
//!
//! From the API and not from a watch: what is decided about members of etcd must rest on what is so now.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use k0smotron_api::{
    k0smotron::v1beta2::{Cluster, ServiceType},
    names::{labels, secrets as contract},
};
use k0smotron_runtime::Context;
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, Node, PersistentVolumeClaim, Pod, Secret, Service},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api, ResourceExt,
    api::{DynamicObject, ListParams},
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    Error,
    build::Kind,
    certificates::{Authority, Leaf},
    names::Names,
    probe::{Answer, Probes, Survey},
};

/// Label of an EndpointSlice with the name of its Service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// How long a list of nodes is used, for all control planes.
const NODES_FRESH: Duration = Duration::from_secs(60);

/// What was read.
pub struct Inputs {
    pub plane: Arc<Cluster>,
    pub names: Names,
    /// Objects that bear the control plane's labels, as they are.
    pub live: BTreeMap<(Kind, String), Value>,
    pub pods: Vec<Pod>,
    pub claims: Vec<PersistentVolumeClaim>,
    /// Pods of etcd that can be looked up, and at which address.
    pub named: BTreeSet<(String, String)>,
    /// Secrets that matter, by name.
    pub secrets: BTreeMap<String, Secret>,
    pub nodes: Arc<Vec<Node>>,
    /// What the API server said last.
    pub answer: Answer,
    /// What etcd said last.
    pub survey: Option<Survey>,
    pub now: Timestamp,
}

impl Inputs {
    /// An object as its type.
    fn typed<K: DeserializeOwned>(&self, kind: Kind, name: &str) -> Option<K> {
        serde_json::from_value(self.live.get(&(kind, name.to_owned()))?.clone()).ok()
    }

    pub fn k0s(&self) -> Option<StatefulSet> {
        self.typed(Kind::StatefulSet, &self.names.k0s())
    }

    pub fn etcd(&self) -> Option<StatefulSet> {
        self.typed(Kind::StatefulSet, &self.names.etcd())
    }

    /// The Service in front of k0s.
    pub fn service(&self) -> Option<Service> {
        self.typed(Kind::Service, &self.names.service(self.plane.spec.service.r#type))
    }

    pub fn etcd_client(&self) -> Option<Service> {
        self.typed(Kind::Service, &self.names.etcd_client())
    }

    pub fn etcd_membership(&self) -> Option<ConfigMap> {
        self.typed(Kind::ConfigMap, &self.names.etcd_membership())
    }

    pub fn kubeconfig(&self) -> Option<&Secret> {
        self.secrets.get(&contract::kubeconfig(&self.names.cluster))
    }

    /// The Secret of an authority.
    pub fn authority(&self, authority: Authority) -> Option<&Secret> {
        self.secrets.get(&authority.secret_name(&self.plane))
    }

    /// Pods of k0s.
    pub fn k0s_pods(&self) -> Vec<&Pod> {
        let prefix = format!("{}-", self.names.k0s());
        let is_k0s = |pod: &&Pod| {
            let name = pod.name_any();
            let ordinal = name.strip_prefix(&prefix);
            ordinal.is_some_and(|ordinal| ordinal.parse::<u32>().is_ok())
        };
        self.pods.iter().filter(is_k0s).collect()
    }

    pub fn is_deleting(&self) -> bool {
        self.plane.metadata.deletion_timestamp.is_some()
    }
}

/// The nodes of the hosting cluster, for addresses.
#[derive(Default)]
pub struct Nodes(Mutex<Option<(Instant, Arc<Vec<Node>>)>>);

impl Nodes {
    async fn list(&self, context: &Context) -> Result<Arc<Vec<Node>>, Error> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((read, nodes)) = known
            && read.elapsed() < NODES_FRESH
            && !nodes.is_empty()
        {
            return Ok(nodes);
        }
        let api: Api<Node> = Api::all(context.client.clone());
        let nodes = api.list(&ListParams::default()).await.map_err(read("Nodes"))?;
        let nodes = Arc::new(nodes.items);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), nodes.clone()));
        Ok(nodes)
    }
}

fn read(what: &str) -> impl FnOnce(kube::Error) -> Error {
    move |source| Error::Read {
        what: what.to_owned(),
        source,
    }
}

/// The control plane as it is now; `None` when it is gone.
pub async fn current(plane: &Cluster, context: &Context) -> Result<Option<Arc<Cluster>>, Error> {
    let api = context.api::<Cluster>(&plane.namespace().unwrap_or_default());
    let found = api
        .get_opt(&plane.name_any())
        .await
        .map_err(read("the Cluster"))?;
    Ok(found.filter(|found| found.uid() == plane.uid()).map(Arc::new))
}

/// Reads all of it.
pub async fn fetch(
    plane: Arc<Cluster>,
    probes: &Probes,
    nodes: &Nodes,
    context: &Context,
) -> Result<Inputs, Error> {
    let names = Names::of(&plane);
    let ours = ListParams::default().labels(&names.selector());
    let namespace = names.namespace.as_str();
    let objects = Kind::ALL.map(|kind| list(kind, namespace, &ours, context));
    let needs_nodes =
        plane.spec.service.r#type == ServiceType::NodePort && plane.spec.external_address.is_empty();
    let (pods, claims) = (
        context.api::<Pod>(namespace),
        context.api::<PersistentVolumeClaim>(namespace),
    );
    let (objects, (pods, named), claims, secrets, nodes) = futures::future::try_join5(
        futures::future::try_join_all(objects),
        futures::future::try_join(
            async { pods.list(&ours).await.map_err(read("Pods")) },
            named(&names, context),
        ),
        async { claims.list(&ours).await.map_err(read("PersistentVolumeClaims")) },
        secrets(&plane, &names, context),
        async {
            match needs_nodes {
                true => nodes.list(context).await,
                false => Ok(Arc::default()),
            }
        },
    )
    .await?;
    Ok(Inputs {
        answer: probes.answer(&plane),
        survey: probes.survey(&plane),
        live: objects.into_iter().flatten().collect(),
        pods: pods.items,
        claims: claims.items,
        named,
        secrets,
        nodes,
        names,
        plane,
        now: Timestamp::now(),
    })
}

/// What DNS servers have the names of etcd's pods from.
async fn named(names: &Names, context: &Context) -> Result<BTreeSet<(String, String)>, Error> {
    let slices = context.api::<EndpointSlice>(&names.namespace);
    let of_etcd = ListParams::default().labels(&format!("{SERVICE_NAME}={}", names.etcd()));
    let slices = slices.list(&of_etcd).await.map_err(read("EndpointSlices"))?;
    let endpoints = slices.items.into_iter().flat_map(|slice| slice.endpoints);
    Ok(endpoints
        .filter_map(|endpoint| Some((endpoint.hostname?, endpoint.addresses)))
        .flat_map(|(name, addresses)| addresses.into_iter().map(move |address| (name.clone(), address)))
        .collect())
}

async fn list(
    kind: Kind,
    namespace: &str,
    ours: &ListParams,
    context: &Context,
) -> Result<Vec<((Kind, String), Value)>, Error> {
    let resource = kind.resource();
    let api: Api<DynamicObject> = Api::namespaced_with(context.client.clone(), namespace, &resource);
    let found = api.list(ours).await.map_err(read(&resource.plural))?;
    found
        .items
        .into_iter()
        .map(|mut object| {
            // Left out in lists.
            object.types.get_or_insert_with(|| kube::core::TypeMeta {
                api_version: resource.api_version.clone(),
                kind: resource.kind.clone(),
            });
            let name = object.name_any();
            Ok((
                (kind, name),
                serde_json::to_value(object).map_err(Error::Encoding)?,
            ))
        })
        .collect()
}

/// The Secrets by name; those with the cluster's label in one request.
async fn secrets(
    plane: &Cluster,
    names: &Names,
    context: &Context,
) -> Result<BTreeMap<String, Secret>, Error> {
    let api = context.api::<Secret>(&names.namespace);
    let mut wanted: Vec<_> = Authority::ALL
        .map(|authority| authority.secret_name(plane))
        .into();
    wanted.extend(Leaf::ALL.map(|leaf| leaf.secret_name(&names.cluster)));
    wanted.push(contract::kubeconfig(&names.cluster));
    let labelled = ListParams::default().labels(&format!("{}={}", labels::CLUSTER_NAME, names.cluster));
    let listed = api.list(&labelled).await.map_err(read("Secrets"))?;
    let mut found: BTreeMap<_, _> = listed
        .items
        .into_iter()
        .map(|secret| (secret.name_any(), secret))
        .filter(|(name, _)| wanted.contains(name))
        .collect();
    // Those that users made may lack the label.
    wanted.retain(|name| !found.contains_key(name));
    let others = wanted.iter().map(|name| api.get_opt(name));
    let others = futures::future::try_join_all(others)
        .await
        .map_err(read("Secrets"))?;
    found.extend(
        others
            .into_iter()
            .flatten()
            .map(|secret| (secret.name_any(), secret)),
    );
    Ok(found)
}
