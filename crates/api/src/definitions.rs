//! The CustomResourceDefinitions that are installed: one for each kind, with all versions of the kind.
//!
//! For: which kinds there are, which version is stored, and how versions are converted. Not for: what is true of every schema, which is
//! [`schema`].

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceConversion, CustomResourceDefinition, ServiceReference, WebhookClientConfig,
    WebhookConversion,
};
use kube::{CustomResourceExt, Resource};

use crate::{bootstrap, control_plane, infrastructure, k0smotron, schema};

/// A kind that is installed. Its definition is made when it is asked for: as typed values the large ones take megabytes.
pub struct Kind {
    pub group: String,
    pub name: String,
    definition: fn() -> CustomResourceDefinition,
}

impl Kind {
    /// The definition, with all versions.
    ///
    /// The schemas are tidied (see [`schema::tidy`]) so that they read like the ones of other Cluster API providers.
    #[must_use]
    pub fn definition(&self) -> CustomResourceDefinition {
        let mut definition = (self.definition)();
        schema::tidy(&mut definition);
        k0smotron::defaults::set(&mut definition);
        definition
    }
}

/// Every kind that k0smotron installs.
#[must_use]
pub fn kinds() -> Vec<Kind> {
    vec![
        kind::<bootstrap::v1beta1::K0sControllerConfig, bootstrap::v1beta2::K0sControllerConfig>(),
        kind::<bootstrap::v1beta1::K0sWorkerConfig, bootstrap::v1beta2::K0sWorkerConfig>(),
        kind::<bootstrap::v1beta1::K0sWorkerConfigTemplate, bootstrap::v1beta2::K0sWorkerConfigTemplate>(),
        kind::<control_plane::v1beta1::K0sControlPlane, control_plane::v1beta2::K0sControlPlane>(),
        kind::<
            control_plane::v1beta1::K0sControlPlaneTemplate,
            control_plane::v1beta2::K0sControlPlaneTemplate,
        >(),
        kind::<control_plane::v1beta1::K0smotronControlPlane, control_plane::v1beta2::K0smotronControlPlane>(
        ),
        kind::<
            control_plane::v1beta1::K0smotronControlPlaneTemplate,
            control_plane::v1beta2::K0smotronControlPlaneTemplate,
        >(),
        kind::<infrastructure::v1beta1::PooledRemoteMachine, infrastructure::v1beta2::PooledRemoteMachine>(),
        kind::<infrastructure::v1beta1::RemoteCluster, infrastructure::v1beta2::RemoteCluster>(),
        kind::<infrastructure::v1beta1::RemoteClusterTemplate, infrastructure::v1beta2::RemoteClusterTemplate>(
        ),
        kind::<infrastructure::v1beta1::RemoteMachine, infrastructure::v1beta2::RemoteMachine>(),
        kind::<infrastructure::v1beta1::RemoteMachineTemplate, infrastructure::v1beta2::RemoteMachineTemplate>(
        ),
        kind::<k0smotron::v1beta1::Cluster, k0smotron::v1beta2::Cluster>(),
        kind::<k0smotron::v1beta1::JoinTokenRequest, k0smotron::v1beta2::JoinTokenRequest>(),
    ]
}

/// Every CustomResourceDefinition that k0smotron installs, ordered by name.
#[must_use]
pub fn crds() -> Vec<CustomResourceDefinition> {
    let mut crds: Vec<_> = kinds().iter().map(Kind::definition).collect();
    crds.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    crds
}

fn kind<Old, New>() -> Kind
where
    Old: CustomResourceExt,
    New: CustomResourceExt + Resource<DynamicType = ()>,
{
    Kind {
        group: New::group(&()).into_owned(),
        name: New::kind(&()).into_owned(),
        definition: || both(Old::crd(), New::crd()),
    }
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
