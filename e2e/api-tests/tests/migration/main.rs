//! Objects that an older release has made, taken over: by a manager alone, by `clusterctl upgrade`, and moved by `clusterctl move`.

// clippy.toml allows these in test functions; the functions that they call are meant too.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod moving;
mod planes;
mod storage;
mod upgrade;

use std::{fs, path::Path};

use anyhow::Result;
use k0smotron_api::conversion::{Version, convert};
use k0smotron_e2e_api_tests::served::{api_of, until};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client, ResourceExt, api::DynamicObject};
use serde_json::Value;

const OBSERVED: &str = "crd-migration.cluster.x-k8s.io/observed-generation";

/// What a release of the original has stored, of each kind.
fn documents(release: &str) -> Vec<Value> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/api/tests/golden");
    let texts = fs::read_dir(directory.join(release))
        .unwrap()
        .map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
    let mut documents = Vec::new();
    for text in texts {
        for document in text.split("---\n") {
            let mut document: Value = serde_yaml::from_str(document).unwrap();
            let metadata = document["metadata"].as_object_mut().unwrap();
            for theirs in [
                "namespace",
                "uid",
                "generation",
                "creationTimestamp",
                "resourceVersion",
            ] {
                metadata.remove(theirs);
            }
            documents.push(document);
        }
    }
    documents
}

/// The object at the version that is stored now.
fn latest(document: &Value) -> Value {
    convert(document.clone(), Version::V1Beta2).unwrap()
}

/// Waits until every definition of ours stores v1beta2 only, and says so.
async fn migrated(client: &Client) -> Result<()> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    until("every definition stores v1beta2 only", async || {
        for ours in k0smotron_api::crds() {
            let definition = definitions.get(&ours.name_any()).await?;
            let stored = definition
                .status
                .as_ref()
                .and_then(|status| status.stored_versions.clone());
            let generation = definition.metadata.generation.unwrap_or_default().to_string();
            if stored.is_none_or(|stored| stored != ["v1beta2"])
                || definition.annotations().get(OBSERVED) != Some(&generation)
            {
                return Ok(None);
            }
        }
        Ok(Some(()))
    })
    .await
}

/// Waits until what each owner of the object owns is noted at v1beta2.
async fn moved(client: &Client, document: &Value, namespace: &str) -> Result<DynamicObject> {
    let api = api_of(client, &latest(document), namespace)?;
    let name = document["metadata"]["name"].as_str().unwrap();
    until("owners are moved", async || {
        let object = api.get(name).await?;
        let moved = object.managed_fields().iter().all(|owner| {
            let version = owner.api_version.as_deref().unwrap_or_default();
            version.ends_with("/v1beta2")
        });
        Ok(moved.then_some(object))
    })
    .await
}
