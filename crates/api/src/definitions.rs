//! The CustomResourceDefinitions that are installed: one for each kind, with all versions of the kind.
//!
//! For: which kinds there are, which version is stored, and how versions are converted. Not for: what is true of every schema, which is
//! [`schema`].

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceConversion, CustomResourceDefinition, ServiceReference, WebhookClientConfig,
    WebhookConversion,
};
use kube::CustomResourceExt;

use crate::{bootstrap, control_plane, infrastructure, k0smotron, schema};

/// Every CustomResourceDefinition that k0smotron installs, ordered by name.
///
/// The schemas are tidied (see [`schema::tidy`]) so that they read like the ones of other Cluster API providers.
#[must_use]
pub fn crds() -> Vec<CustomResourceDefinition> {
    let mut crds = vec![
        both(
            bootstrap::v1beta1::K0sControllerConfig::crd(),
            bootstrap::v1beta2::K0sControllerConfig::crd(),
        ),
        both(
            bootstrap::v1beta1::K0sWorkerConfig::crd(),
            bootstrap::v1beta2::K0sWorkerConfig::crd(),
        ),
        both(
            bootstrap::v1beta1::K0sWorkerConfigTemplate::crd(),
            bootstrap::v1beta2::K0sWorkerConfigTemplate::crd(),
        ),
        both(
            control_plane::v1beta1::K0sControlPlane::crd(),
            control_plane::v1beta2::K0sControlPlane::crd(),
        ),
        both(
            control_plane::v1beta1::K0sControlPlaneTemplate::crd(),
            control_plane::v1beta2::K0sControlPlaneTemplate::crd(),
        ),
        both(
            control_plane::v1beta1::K0smotronControlPlane::crd(),
            control_plane::v1beta2::K0smotronControlPlane::crd(),
        ),
        both(
            control_plane::v1beta1::K0smotronControlPlaneTemplate::crd(),
            control_plane::v1beta2::K0smotronControlPlaneTemplate::crd(),
        ),
        both(
            infrastructure::v1beta1::PooledRemoteMachine::crd(),
            infrastructure::v1beta2::PooledRemoteMachine::crd(),
        ),
        both(
            infrastructure::v1beta1::RemoteCluster::crd(),
            infrastructure::v1beta2::RemoteCluster::crd(),
        ),
        both(
            infrastructure::v1beta1::RemoteClusterTemplate::crd(),
            infrastructure::v1beta2::RemoteClusterTemplate::crd(),
        ),
        both(
            infrastructure::v1beta1::RemoteMachine::crd(),
            infrastructure::v1beta2::RemoteMachine::crd(),
        ),
        both(
            infrastructure::v1beta1::RemoteMachineTemplate::crd(),
            infrastructure::v1beta2::RemoteMachineTemplate::crd(),
        ),
        both(
            k0smotron::v1beta1::Cluster::crd(),
            k0smotron::v1beta2::Cluster::crd(),
        ),
        both(
            k0smotron::v1beta1::JoinTokenRequest::crd(),
            k0smotron::v1beta2::JoinTokenRequest::crd(),
        ),
    ];
    crds.iter_mut().for_each(schema::tidy);
    crds.iter_mut().for_each(k0smotron::defaults::set);
    crds.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    crds
}

/// A kind that is stored as v1beta2 and served as v1beta1 too. Names come from v1beta2, labels from both.
fn both(
    v1beta1: CustomResourceDefinition,
    mut v1beta2: CustomResourceDefinition,
) -> CustomResourceDefinition {
    let labels = v1beta2.metadata.labels.get_or_insert_default();
    for (key, value) in v1beta1.metadata.labels.into_iter().flatten() {
        labels.entry(key).or_insert(value);
    }
    let served = v1beta1.spec.versions.into_iter().map(|mut version| {
        version.storage = false;
        version
    });
    v1beta2.spec.versions = served.chain(v1beta2.spec.versions).collect();
    v1beta2.spec.conversion = Some(conversion());
    v1beta2
}

/// Conversion by our webhook server. Its certificate authority is filled in where it runs; kustomize and clusterctl adapt the names.
fn conversion() -> CustomResourceConversion {
    CustomResourceConversion {
        strategy: "Webhook".to_owned(),
        webhook: Some(WebhookConversion {
            client_config: Some(WebhookClientConfig {
                service: Some(ServiceReference {
                    namespace: "k0smotron".to_owned(),
                    name: "webhook-service".to_owned(),
                    path: Some("/convert".to_owned()),
                    port: Some(443),
                }),
                ..WebhookClientConfig::default()
            }),
            conversion_review_versions: vec!["v1".to_owned()],
        }),
    }
}
