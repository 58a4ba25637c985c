//! Which Cluster a control plane of Machines belongs to, and which Machines to it. Pure.

use kube::{Resource, ResourceExt};

use super::v1beta2::K0sControlPlane;
use crate::capi::{self, Cluster, Machine};

impl K0sControlPlane {
    /// Name of the Cluster that owns it: by kind and group, for the controller flag is set for Clusters with a topology only (contract
    /// C22).
    #[must_use]
    pub fn owning_cluster(&self) -> Option<&str> {
        let mut owners = self.owner_references().iter();
        let cluster = owners.find(|owner| {
            owner.kind == Cluster::kind(&()) && owner.api_version.split('/').next() == Some(capi::GROUP)
        })?;
        Some(&cluster.name)
    }

    /// Whether the Cluster's spec names it.
    #[must_use]
    pub fn is_named_by(&self, cluster: &Cluster) -> bool {
        let reference = cluster.spec.control_plane_ref.as_ref();
        cluster.namespace() == self.namespace()
            && reference.is_some_and(|reference| {
                reference.is(&Self::group(&()), &Self::kind(&())) && reference.name == self.name_any()
            })
    }

    /// Whether a control-plane Machine of the same cluster is its own: nothing else controls it. By name, for move and restore change UIDs.
    #[must_use]
    pub fn has(&self, machine: &Machine) -> bool {
        let mut owners = machine.owner_references().iter();
        let controller = owners.find(|owner| owner.controller == Some(true));
        controller.is_none_or(|owner| {
            owner.kind == Self::kind(&())
                && owner.api_version.split('/').next() == Some(Self::group(&()).as_ref())
                && owner.name == self.name_any()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn yaml<T: serde::de::DeserializeOwned>(text: &str) -> T {
        serde_yaml::from_str(text).unwrap()
    }

    fn plane(metadata: &str) -> K0sControlPlane {
        yaml(&format!(
            "{{apiVersion: controlplane.cluster.x-k8s.io/v1beta2, kind: K0sControlPlane, \
             metadata: {{name: cp, namespace: default, {metadata}}}, spec: {{version: v1.36.3}}}}"
        ))
    }

    #[test]
    fn the_owner_is_told_by_kind_and_group() {
        let owned = |api_version: &str, kind: &str| {
            let owner = format!("{{apiVersion: {api_version}, kind: {kind}, name: demo, uid: u}}");
            let plane = plane(&format!("ownerReferences: [{owner}]"));
            plane.owning_cluster().map(str::to_owned)
        };
        assert_eq!(
            owned("cluster.x-k8s.io/v1beta1", "Cluster").as_deref(),
            Some("demo")
        );
        assert_eq!(owned("k0smotron.io/v1beta2", "Cluster"), None);
        assert_eq!(owned("cluster.x-k8s.io/v1beta2", "ClusterClass"), None);
    }

    #[test]
    fn machines_that_others_control_are_not_its_own() {
        let machine = |owner: &str| -> Machine {
            yaml(&format!(
                "{{apiVersion: cluster.x-k8s.io/v1beta2, kind: Machine, metadata: {{name: m, namespace: default, \
                 ownerReferences: [{owner}]}}, spec: {{clusterName: demo}}}}"
            ))
        };
        let owner = |kind: &str, name: &str| {
            format!(
                "{{apiVersion: controlplane.cluster.x-k8s.io/v1beta1, kind: {kind}, name: {name}, uid: old, controller: true}}"
            )
        };
        let plane = plane("uid: new");
        assert!(plane.has(&machine("")));
        assert!(plane.has(&machine(&owner("K0sControlPlane", "cp"))));
        assert!(!plane.has(&machine(&owner("K0sControlPlane", "other"))));
        assert!(!plane.has(&machine(&owner("KubeadmControlPlane", "cp"))));
    }
}
