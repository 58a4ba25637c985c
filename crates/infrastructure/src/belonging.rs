//! What an infrastructure object belongs to: as its owner references say, and until Cluster API has written these, which
//! may take it seconds for each object, as the reference says that makes it write them.

use std::{fmt::Debug, sync::Arc};

use k0smotron_api::{
    capi::{self, Cluster, ContractReference, Machine},
    names::annotations,
};
use k0smotron_runtime::shared::Shared;
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;

/// A kind of Cluster API core that has its infrastructure in an object of ours.
pub trait Core: Resource<DynamicType = ()> {
    /// Names the object of the infrastructure, in the same namespace.
    fn infrastructure(&self) -> Option<&ContractReference>;
}

impl Core for Cluster {
    fn infrastructure(&self) -> Option<&ContractReference> {
        self.spec.infrastructure_ref.as_ref()
    }
}

impl Core for Machine {
    fn infrastructure(&self) -> Option<&ContractReference> {
        self.spec.infrastructure_ref.as_ref()
    }
}

/// Whether `core` is, or is about to become, the owner of `object`.
pub fn belongs_to<K, T>(object: &K, core: &T) -> bool
where
    K: Resource<DynamicType = ()>,
    T: Core,
{
    object.namespace() == core.namespace()
        && match core_owner(object, &T::kind(&())) {
            Some(name) => name == core.name_any(),
            None => adopts(core, object),
        }
}

/// What is about to become the owner of `object`, which has none of that kind yet. Of several that name one object only
/// Cluster API can say whose it is.
pub fn adopter<K, T>(object: &K, all: &Shared<T>) -> Option<Arc<T>>
where
    K: Resource<DynamicType = ()>,
    T: Core + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let mut found = all.list(&object.namespace().unwrap_or_default(), |core| {
        adopts(core, object)
    });
    let first = found.pop();
    first.filter(|_| found.is_empty())
}

fn adopts<K: Resource<DynamicType = ()>, T: Core>(core: &T, object: &K) -> bool {
    let names = core.infrastructure().is_some_and(|reference| {
        reference.is(&K::group(&()), &K::kind(&())) && reference.name == object.name_any()
    });
    // What was begun for it is cleaned up as it was begun, even when all of it goes.
    names && (object.meta().deletion_timestamp.is_some() || is_active(core))
}

/// Whether Cluster API would go on with the object: nothing new is begun ahead of it otherwise.
pub fn is_active<T: Resource>(core: &T) -> bool {
    core.meta().deletion_timestamp.is_none() && !core.annotations().contains_key(annotations::PAUSED)
}

/// Name of the object of Cluster API core that owns `object`, if one of that kind does. By kind, group and name: move
/// and restore change UIDs.
pub fn core_owner<K: ResourceExt>(object: &K, kind: &str) -> Option<String> {
    object
        .owner_references()
        .iter()
        .find(|owner| owner.kind == kind && owner.api_version.split('/').next() == Some(capi::GROUP))
        .map(|owner| owner.name.clone())
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

#[cfg(test)]
mod tests {
    use k0smotron_api::infrastructure::v1beta2::RemoteMachine;

    use super::*;

    fn remote_machine(metadata: &str) -> RemoteMachine {
        serde_yaml::from_str(&format!(
            "apiVersion: infrastructure.cluster.x-k8s.io/v1beta2\nkind: RemoteMachine\n\
             metadata: {{name: host, namespace: ns, {metadata}}}\nspec: {{pool: p}}\n"
        ))
        .unwrap()
    }

    fn machine(metadata: &str, reference: &str) -> Machine {
        serde_yaml::from_str(&format!(
            "apiVersion: cluster.x-k8s.io/v1beta2\nkind: Machine\nmetadata: {{{metadata}}}\n\
             spec: {{clusterName: c, infrastructureRef: {{{reference}}}}}\n"
        ))
        .unwrap()
    }

    const NAMED: &str = "apiGroup: infrastructure.cluster.x-k8s.io, kind: RemoteMachine, name: host";

    #[test]
    fn a_reference_counts_until_there_is_an_owner() {
        let new = remote_machine("");
        let owned = |by: &str| {
            remote_machine(&format!(
                "ownerReferences: [{{apiVersion: cluster.x-k8s.io/v1beta2, kind: Machine, name: {by}, uid: u}}]"
            ))
        };
        let m = machine("name: m, namespace: ns", NAMED);
        assert!(belongs_to(&new, &m));
        assert!(belongs_to(&owned("m"), &m));
        assert!(!belongs_to(&owned("other"), &m), "somebody else was faster");
        // Of its MachineSet it is before it is of a Machine.
        let of_set =
            "ownerReferences: [{apiVersion: cluster.x-k8s.io/v1beta2, kind: MachineSet, name: s, uid: u}]";
        assert!(belongs_to(&remote_machine(of_set), &m));
    }

    #[test]
    fn only_the_very_object_is_meant() {
        let new = remote_machine("");
        assert!(!belongs_to(
            &new,
            &machine("name: m, namespace: elsewhere", NAMED)
        ));
        for other in [
            NAMED.replace("name: host", "name: other"),
            NAMED.replace("RemoteMachine", "RemoteCluster"),
            NAMED.replace("infrastructure.", "infrastructure.example."),
        ] {
            assert!(
                !belongs_to(&new, &machine("name: host, namespace: ns", &other)),
                "{other}"
            );
        }
    }

    #[test]
    fn nothing_is_begun_ahead_for_what_goes_or_is_paused() {
        let going = "name: m, namespace: ns, deletionTimestamp: '2026-01-01T00:00:00Z'";
        let held = "name: m, namespace: ns, annotations: {cluster.x-k8s.io/paused: ''}";
        for metadata in [going, held] {
            assert!(!belongs_to(&remote_machine(""), &machine(metadata, NAMED)));
            let leaving = remote_machine("deletionTimestamp: '2026-01-01T00:00:00Z'");
            assert!(belongs_to(&leaving, &machine(metadata, NAMED)));
        }
    }
}
