//! `k0smotronctl` beside a real API server: it finds in manifests what the API server finds, and its take-over check reads a cluster.
//!
//! No webhooks here: what they say is tested with them.

// clippy.toml allows these in test functions; the functions that they call are meant too.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod manifests;
mod migrate;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;
use http::Request;
use k0smotron_cli::document;
use k0smotron_e2e_api_tests::served;
use k0smotron_e2e_plane::{ApiServer, Options, manifests::apply_definitions};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use serde_json::Value;

/// Our definitions, which do not convert.
fn definitions() -> Vec<CustomResourceDefinition> {
    let mut definitions = k0smotron_api::crds();
    definitions
        .iter_mut()
        .for_each(|definition| definition.spec.conversion = None);
    definitions
}

async fn server(definitions: &[CustomResourceDefinition]) -> Result<ApiServer> {
    let server = ApiServer::start(&Options::default()).await?;
    apply_definitions(&server.client()?, definitions).await?;
    Ok(server)
}

/// Creates as `kubectl create --validate=strict` does, for trial or for good. The API server's refusal, if it refuses.
async fn create(client: &Client, object: &Value, for_trial: bool) -> Result<Option<String>> {
    let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
    let group = text("apiVersion").split('/').next().unwrap_or_default();
    let kind = served::kind(group, text("kind"))?;
    let url = format!(
        "/apis/{}/namespaces/default/{}?fieldValidation=Strict{}",
        text("apiVersion"),
        kind.plural,
        if for_trial { "&dryRun=All" } else { "" }
    );
    let request = Request::post(url)
        .header("content-type", "application/json")
        .body(serde_json::to_vec(object)?)?;
    match client.request::<Value>(request).await {
        Ok(_) => Ok(None),
        Err(kube::Error::Api(status)) => Ok(Some(status.message)),
        Err(error) => Err(error.into()),
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn objects(path: &Path) -> Vec<Value> {
    let objects = document::objects(&fs::read_to_string(path).unwrap()).unwrap();
    objects.into_iter().map(|(_, object)| object).collect()
}
