//! Another operator that serves the same API, in the place of our manager of control planes: its binary in a pod of the
//! same Deployment, with the same arguments, rights of an administrator and the certificate that ours has made.
//!
//! The definitions of the kinds stay ours, and it answers for their conversion. What it does not serve of our other
//! webhooks is ignored meanwhile. Bootstrap and infrastructure stay with our managers.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use k0smotron_e2e_images::{catalog, manager};
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::ApiResource;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use super::NodePlane;
use crate::managers::NAMESPACE;
use crate::wait::Patience;

const DEPLOYMENT: &str = "k0smotron-controller-manager-control-plane";
const SERVICE_ACCOUNT: &str = "k0smotron-controller-manager-control-plane";
const SERVICE: &str = "k0smotron-webhook-service-control-plane";
/// What our manager has made, and API servers trust.
const CERTIFICATE: &str = "k0smotron-webhook-server-cert-control-plane";
/// Where controller-runtime looks for it.
const CERTIFICATES: &str = "/tmp/k8s-webhook-server/serving-certs";
const VOLUME: &str = "serving-certs";
/// The one before may end as slowly as pods may.
const LIMIT: Duration = Duration::from_secs(60);

impl NodePlane {
    /// Puts the operator `binary` in the place of our manager of control planes, and waits until it is ready.
    ///
    /// # Errors
    /// Ours is not installed, or the operator is not ready within three minutes.
    pub async fn operate_with_other(&self, binary: &Path) -> Result<()> {
        let path = binary.to_owned();
        let image = tokio::task::spawn_blocking(move || catalog::other_operator(&path)).await??;
        self.machine.import_images(vec![image]).await?;
        let client = self.client()?;
        let bindings: Api<ClusterRoleBinding> = Api::all(client.clone());
        let administrator = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "other-operator"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "name": SERVICE_ACCOUNT, "namespace": NAMESPACE}],
        });
        let ours = PatchParams::apply("k0smotron-e2e").force();
        bindings
            .patch("other-operator", &ours, &Patch::Apply(administrator))
            .await?;
        set_failure_policy(&client, "Ignore").await?;
        let pod = json!({
            "volumes": [{"name": VOLUME, "secret": {"secretName": CERTIFICATE}}],
            "containers": [{
                "name": "manager",
                "image": catalog::OTHER_OPERATOR,
                "volumeMounts": [{"name": VOLUME, "mountPath": CERTIFICATES, "readOnly": true}],
            }],
        });
        self.replace_pods(pod, catalog::OTHER_OPERATOR).await
    }

    /// Puts our manager of `version` back in its place, and waits until it is ready.
    ///
    /// # Errors
    /// It is not within three minutes.
    pub async fn operate_with_ours(&self, version: &str) -> Result<()> {
        let image = format!("{}:{version}", manager::REPOSITORY);
        let pod = json!({
            "volumes": [{"$patch": "delete", "name": VOLUME}],
            "containers": [{
                "name": "manager",
                "image": image,
                "volumeMounts": [{"$patch": "delete", "mountPath": CERTIFICATES}],
            }],
        });
        self.replace_pods(pod, &image).await?;
        set_failure_policy(&self.client()?, "Fail").await
    }

    /// Changes the Deployment's pods, and waits until there are no others any more: two operators at once would both act.
    async fn replace_pods(&self, pod: Value, image: &str) -> Result<()> {
        let client = self.client()?;
        let deployments: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
        let change = json!({"spec": {"template": {"spec": pod}}});
        deployments
            .patch(DEPLOYMENT, &PatchParams::default(), &Patch::Strategic(change))
            .await
            .with_context(|| format!("cannot change Deployment {DEPLOYMENT}"))?;
        let pods: Api<Pod> = Api::namespaced(client, NAMESPACE);
        let of_deployment = ListParams::default().labels("k0smotron-provider=control-plane");
        let patience = Patience::new(format!("all pods of {DEPLOYMENT} are of {image}"), LIMIT);
        loop {
            let found = pods.list(&of_deployment).await?.items;
            let runs = |pod: &Pod| {
                let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
                let mut images = containers.filter_map(|container| container.image.as_deref());
                images.any(|found| found == image)
            };
            if !found.is_empty() && found.iter().all(runs) {
                return self.wait_for_deployment(NAMESPACE, DEPLOYMENT).await;
            }
            patience.wait().await?;
        }
    }
}

/// What API servers do about requests that the manager of control planes does not answer.
async fn set_failure_policy(client: &Client, policy: &str) -> Result<()> {
    for resource in [
        ApiResource::erase::<MutatingWebhookConfiguration>(&()),
        ApiResource::erase::<ValidatingWebhookConfiguration>(&()),
    ] {
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        for object in api.list(&ListParams::default()).await?.items {
            let mut webhooks = object.data.get("webhooks").cloned().unwrap_or_default();
            let leads_there = |webhook: &&mut Value| {
                webhook
                    .pointer("/clientConfig/service/name")
                    .and_then(Value::as_str)
                    == Some(SERVICE)
            };
            let mut changed = false;
            for webhook in webhooks.as_array_mut().into_iter().flatten().filter(leads_there) {
                if let Some(fields) = webhook.as_object_mut() {
                    fields.insert("failurePolicy".to_owned(), policy.into());
                    changed = true;
                }
            }
            if changed {
                let change = Patch::Merge(json!({ "webhooks": webhooks }));
                api.patch(&object.name_any(), &PatchParams::default(), &change)
                    .await?;
            }
        }
    }
    Ok(())
}
