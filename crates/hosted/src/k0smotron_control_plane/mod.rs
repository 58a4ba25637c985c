//! K0smotronControlPlane: a control plane in pods, under Cluster API.

use k0smotron_api::{
    capi,
    control_plane::v1beta2::{K0smotronControlPlane, K0smotronControlPlaneStatus},
};
use k0smotron_runtime::{Context, Controller, shared::Shared};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Resource, ResourceExt, runtime::reflector::ObjectRef};

use crate::unsupported::{self, Hosted};

/// Runs the controller until dropped.
pub async fn run(context: Context, clusters: Shared<capi::Cluster>) {
    Controller::<K0smotronControlPlane>::new("k0smotron-control-plane", &context)
        .follows(&clusters, |cluster| control_plane(cluster).into_iter().collect())
        .run(move |plane| {
            let (context, clusters) = (context.clone(), clusters.clone());
            async move {
                let reference = ObjectRef::from(plane.as_ref());
                let namespace = plane.namespace().unwrap_or_default();
                let paused = clusters.list(&namespace, |cluster| {
                    cluster.is_paused() && control_plane(cluster).as_ref() == Some(&reference)
                });
                unsupported::reconcile(plane.as_ref(), !paused.is_empty(), &context).await
            }
        })
        .await;
}

/// The K0smotronControlPlane that a Cluster has, if it has one.
fn control_plane(cluster: &capi::Cluster) -> Option<ObjectRef<K0smotronControlPlane>> {
    let reference = cluster.spec.control_plane_ref.as_ref()?;
    let (group, kind) = (
        K0smotronControlPlane::group(&()),
        K0smotronControlPlane::kind(&()),
    );
    reference
        .is(&group, &kind)
        .then(|| ObjectRef::new(&reference.name).within(&cluster.namespace().unwrap_or_default()))
}

impl Hosted for K0smotronControlPlane {
    type Status = K0smotronControlPlaneStatus;

    fn unsupported(&self) -> Vec<String> {
        self.spec.plane.unsupported()
    }

    fn status(&self) -> Option<&K0smotronControlPlaneStatus> {
        self.status.as_ref()
    }

    fn report(status: &mut K0smotronControlPlaneStatus) -> (&mut Vec<Condition>, &mut Option<i64>) {
        (&mut status.conditions, &mut status.observed_generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(reference: &str) -> Option<String> {
        let cluster: capi::Cluster = serde_yaml::from_str(&format!(
            "apiVersion: cluster.x-k8s.io/v1beta2\nkind: Cluster\nmetadata: {{name: c, namespace: ns}}\nspec: {{{reference}}}\n"
        ))
        .unwrap();
        control_plane(&cluster)
            .map(|reference| format!("{}/{}", reference.namespace.unwrap_or_default(), reference.name))
    }

    #[test]
    fn only_clusters_of_this_kind_count() {
        let group = "apiGroup: controlplane.cluster.x-k8s.io";
        let ours = format!("controlPlaneRef: {{{group}, kind: K0smotronControlPlane, name: cp}}");
        assert_eq!(found(&ours).as_deref(), Some("ns/cp"));
        assert_eq!(
            found(&format!(
                "controlPlaneRef: {{{group}, kind: K0sControlPlane, name: cp}}"
            )),
            None
        );
        assert_eq!(found("paused: true"), None);
    }
}
