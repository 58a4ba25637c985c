//! Cluster API core and our managers as pods of the plane, from the images that a user would pull.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use k0smotron_e2e_images::{Encoding, catalog, manager};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams};

use super::NodePlane;
use crate::clusterctl::{self, Clusterctl, cert_manager};
use crate::managers::NAMESPACE;

/// Where the digest of the manager's image is kept.
const DIGEST: &str = "manager.digest";
const CORE_NAMESPACE: &str = "capi-system";

impl NodePlane {
    /// `clusterctl init` of Cluster API core and of our three providers of `version` from the repository `providers`,
    /// with the manager `binary` in the image that their Deployments name; waits until all of them are ready. Repeatable,
    /// also with another binary, which takes the place of the one before.
    ///
    /// The harness plays cert-manager, and says so: it makes core's serving certificate and tells the API server to
    /// trust it.
    ///
    /// # Errors
    /// As [`clusterctl::install`]; an image cannot be made or imported, or a manager is not ready within three minutes.
    pub async fn install(&self, providers: &Path, version: &str, binary: &Path) -> Result<Clusterctl> {
        self.import_managers(version, binary).await?;
        let client = self.client()?;
        let clusterctl =
            clusterctl::install(&self.directory, self.kubeconfig(), &client, providers, version).await?;
        eprintln!("playing cert-manager: the certificate of Cluster API core");
        cert_manager::issue(&client).await?;
        for namespace in [CORE_NAMESPACE, NAMESPACE] {
            let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
            for deployment in deployments.list(&ListParams::default()).await? {
                self.wait_for_deployment(namespace, &deployment.name_any())
                    .await?;
            }
        }
        Ok(clusterctl)
    }

    async fn import_managers(&self, version: &str, binary: &Path) -> Result<()> {
        let (path, tag) = (binary.to_owned(), version.to_owned());
        let images = tokio::task::spawn_blocking(move || -> Result<_> {
            Ok(vec![
                manager::image(&path, &tag, Encoding::Plain)?,
                catalog::cluster_api_core()?,
            ])
        });
        let digests = self.machine.import_images(images.await??).await?.join("\n");
        let record = self.directory.join(DIGEST);
        let before = fs::read_to_string(&record).unwrap_or_default();
        if !before.is_empty() && before != digests {
            // The tag is the same, so that nothing else would make pods of the new image.
            for namespace in [CORE_NAMESPACE, NAMESPACE] {
                let pods: Api<Pod> = Api::namespaced(self.client()?, namespace);
                pods.delete_collection(&DeleteParams::default(), &ListParams::default())
                    .await?;
            }
        }
        fs::write(&record, digests).with_context(|| format!("cannot write {}", record.display()))
    }
}
