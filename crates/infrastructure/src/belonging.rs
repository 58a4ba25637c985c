//! What an infrastructure object belongs to, as its owner references say.

use k0smotron_api::{
    capi::{self, Cluster},
    names::annotations,
};
use kube::{Resource, ResourceExt};

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
