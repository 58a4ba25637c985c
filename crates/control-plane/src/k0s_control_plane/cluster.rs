//! Finds the Cluster of a control plane, and where its API server is to answer.
//!
//! Cluster API writes both down, the owner reference and the Cluster's endpoint, but comes around to an object only
//! once a second. What it writes them from can be read as soon as it is there.

use std::sync::Arc;

use k0smotron_api::{
    capi::{Cluster, ContractReference, Endpoint, FailureDomain},
    control_plane::v1beta2::K0sControlPlane,
    infrastructure::v1beta2::RemoteCluster,
};
use k0smotron_runtime::shared::Shared;
use kube::{
    Api, Resource, ResourceExt, api::DynamicObject, core::PartialObjectMeta, runtime::reflector::ObjectRef,
};
use serde::Deserialize;
use serde_json::Value;

use super::{
    Error,
    fetch::{Sources, api_of},
    observed::Owner,
};

/// The control plane that a Cluster names, if it is one of ours.
pub fn control_plane_of(cluster: &Cluster) -> Option<ObjectRef<K0sControlPlane>> {
    let reference = cluster.spec.control_plane_ref.as_ref();
    let ours =
        reference.filter(|reference| reference.is(&K0sControlPlane::group(&()), &K0sControlPlane::kind(&())));
    let found = ours.zip(cluster.namespace());
    found.map(|(reference, namespace)| ObjectRef::new(&reference.name).within(&namespace))
}

/// The control planes whose Cluster has this RemoteCluster for its infrastructure.
pub fn control_planes_on(
    clusters: &Shared<Cluster>,
    infrastructure: &PartialObjectMeta<RemoteCluster>,
) -> Vec<ObjectRef<K0sControlPlane>> {
    let name = infrastructure.name_any();
    let stands_on = |cluster: &Cluster| {
        let reference = cluster.spec.infrastructure_ref.as_ref();
        reference.is_some_and(|reference| {
            reference.is(&RemoteCluster::group(&()), &RemoteCluster::kind(&())) && reference.name == name
        })
    };
    clusters
        .list(&infrastructure.namespace().unwrap_or_default(), stands_on)
        .iter()
        .filter_map(|cluster| control_plane_of(cluster))
        .collect()
}

/// The Cluster that the control plane belongs to: the one that owns it, or the one whose spec names it, before Cluster
/// API made that the owner.
pub async fn owner(
    plane: &K0sControlPlane,
    namespace: &str,
    from: &Sources<'_>,
) -> Result<(Owner, Option<Arc<Cluster>>), Error> {
    let Some(name) = plane.owning_cluster() else {
        return naming(plane, namespace, from).await;
    };
    if let Some(cluster) = from.clusters.get(namespace, name) {
        return Ok((Owner::Found, Some(cluster)));
    }
    // The reference may be younger than anything the watch has seen.
    Ok(match read(name, namespace, from).await? {
        Some(cluster) => (Owner::Found, Some(Arc::new(cluster))),
        None => (Owner::Missing(name.to_owned()), None),
    })
}

/// The one Cluster whose spec names the control plane. Of several none: which it is, Cluster API decides.
async fn naming(
    plane: &K0sControlPlane,
    namespace: &str,
    from: &Sources<'_>,
) -> Result<(Owner, Option<Arc<Cluster>>), Error> {
    let known = from.clusters.list(namespace, |cluster| names(cluster, plane));
    let [known] = known.as_slice() else {
        return Ok((Owner::None, None));
    };
    // Nobody has confirmed that the two belong together, so it has to be so now, and not only as last seen.
    let cluster = read(&known.name_any(), namespace, from).await?;
    Ok(match cluster.filter(|cluster| names(cluster, plane)) {
        Some(cluster) => (Owner::Found, Some(Arc::new(cluster))),
        None => (Owner::None, None),
    })
}

/// Whether the Cluster's spec names the control plane. One that is being deleted begins nothing any more; it only
/// finishes.
fn names(cluster: &Cluster, plane: &K0sControlPlane) -> bool {
    let begins = cluster.metadata.deletion_timestamp.is_none() || plane.metadata.deletion_timestamp.is_some();
    begins && plane.is_named_by(cluster)
}

async fn read(name: &str, namespace: &str, from: &Sources<'_>) -> Result<Option<Cluster>, Error> {
    let api = from.context.api::<Cluster>(namespace);
    api.get_opt(name).await.map_err(|source| Error::Read {
        what: format!("Cluster {name}"),
        source,
    })
}

/// What a Cluster's infrastructure offers, once it is provisioned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// Where the API server is to answer.
    pub endpoint: Option<Endpoint>,
    pub failure_domains: Vec<FailureDomain>,
}

/// What the Cluster's infrastructure offers, until the Cluster itself has all of it (contract IC2, IC3, IC4).
pub async fn offer(cluster: &Cluster, namespace: &str, from: &Sources<'_>) -> Result<Offer, Error> {
    let reference = cluster.spec.infrastructure_ref.as_ref();
    let complete = cluster.endpoint().is_some() && cluster.infrastructure_provisioned();
    let Some(ContractReference {
        api_group,
        kind,
        name,
    }) = reference.filter(|_| !complete)
    else {
        return Ok(Offer::default());
    };
    let Some(resource) = api_of(from, api_group, kind).await? else {
        return Ok(Offer::default());
    };
    let api: Api<DynamicObject> = Api::namespaced_with(from.context.client.clone(), namespace, &resource);
    match api.get_opt(name).await {
        Ok(object) => Ok(object.as_ref().map(offered).unwrap_or_default()),
        // Infrastructure of a group that we may not read: Cluster API copies what it offers in its own time.
        Err(kube::Error::Api(status)) if status.is_forbidden() => Ok(Offer::default()),
        Err(source) => Err(Error::Read {
            what: format!("{kind} {name}"),
            source,
        }),
    }
}

/// What an infrastructure cluster offers; nothing before it says that it is provisioned.
fn offered(infrastructure: &DynamicObject) -> Offer {
    let field = |path| infrastructure.data.pointer(path);
    if field("/status/initialization/provisioned") != Some(&Value::Bool(true)) {
        return Offer::default();
    }
    let endpoint = field("/spec/controlPlaneEndpoint").and_then(|found| Endpoint::deserialize(found).ok());
    let domains = field("/status/failureDomains").and_then(|found| Vec::deserialize(found).ok());
    Offer {
        endpoint: endpoint.filter(|endpoint| endpoint.address().is_some()),
        failure_domains: domains.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn yaml<T: serde::de::DeserializeOwned>(text: &str) -> T {
        serde_yaml::from_str(text).unwrap()
    }

    #[test]
    fn a_cluster_names_its_control_plane() {
        let plane: K0sControlPlane = yaml(
            "{apiVersion: controlplane.cluster.x-k8s.io/v1beta2, kind: K0sControlPlane, \
             metadata: {name: cp, namespace: default}, spec: {version: v1.36.3, machineTemplate: {spec: {infrastructureRef: \
             {apiGroup: infrastructure.cluster.x-k8s.io, kind: RemoteMachineTemplate, name: t}}}}}",
        );
        let cluster = |metadata: &str, kind: &str, name: &str| -> Cluster {
            yaml(&format!(
                "{{apiVersion: cluster.x-k8s.io/v1beta2, kind: Cluster, metadata: {{name: demo, {metadata}}}, \
                 spec: {{controlPlaneRef: {{apiGroup: controlplane.cluster.x-k8s.io, kind: {kind}, name: {name}}}}}}}"
            ))
        };
        let here = "namespace: default";
        assert!(names(&cluster(here, "K0sControlPlane", "cp"), &plane));
        assert!(!names(&cluster(here, "K0sControlPlane", "other"), &plane));
        assert!(!names(&cluster(here, "KubeadmControlPlane", "cp"), &plane));
        assert!(!names(
            &cluster("namespace: elsewhere", "K0sControlPlane", "cp"),
            &plane
        ));
        // A Cluster on its way out founds nothing, and its control plane is still its own when that goes too.
        let at = "2026-01-01T00:00:00Z";
        let going = cluster(
            &format!("{here}, deletionTimestamp: '{at}'"),
            "K0sControlPlane",
            "cp",
        );
        assert!(!names(&going, &plane));
        let mut deleted = plane;
        deleted.metadata.deletion_timestamp = going.metadata.deletion_timestamp.clone();
        assert!(names(&going, &deleted));
    }

    #[test]
    fn infrastructure_offers_what_it_has_once_it_is_provisioned() {
        let remote = |endpoint: &str, status: &str| -> DynamicObject {
            yaml(&format!(
                "{{apiVersion: infrastructure.cluster.x-k8s.io/v1beta2, kind: RemoteCluster, metadata: {{name: demo}}, \
                 spec: {{controlPlaneEndpoint: {endpoint}}}, status: {status}}}"
            ))
        };
        let there = "{initialization: {provisioned: true}}";
        let racks = "{initialization: {provisioned: true}, failureDomains: [{name: a, controlPlane: true}, {name: b}]}";
        let offer = offered(&remote("{host: 10.88.1.10, port: 6443}", racks));
        assert_eq!(offer.endpoint.unwrap().address(), Some(("10.88.1.10", 6443)));
        let names: Vec<_> = offer.failure_domains.iter().map(|domain| &domain.name).collect();
        assert_eq!(names, ["a", "b"]);
        for (endpoint, status) in [
            ("{host: 10.88.1.10, port: 6443}", "{}"),
            (
                "{host: 10.88.1.10, port: 6443}",
                "{initialization: {provisioned: false}}",
            ),
            ("{host: '', port: 0}", there),
            ("null", there),
        ] {
            let offer = offered(&remote(endpoint, status));
            assert_eq!(offer, Offer::default(), "{endpoint} {status}");
        }
    }
}
