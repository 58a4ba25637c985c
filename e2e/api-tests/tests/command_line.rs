//! `k0smotronctl` beside a real API server: it finds in manifests what the API server finds, and its take-over check reads a cluster.
//!
//! No webhooks here: what they say is tested with them.

// clippy.toml allows these in test functions; the functions that they call are meant too.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;
use http::Request;
use k0smotron_cli::{document, migrate, schema::Schemas, validate::findings};
use k0smotron_e2e_api_tests::served;
use k0smotron_e2e_plane::{ApiServer, Options, manifests};
use kube::Client;
use serde_json::Value;

/// An API server with our definitions, which does not convert.
async fn server() -> Result<ApiServer> {
    let server = ApiServer::start(&Options::default()).await?;
    let mut definitions = k0smotron_api::crds();
    definitions
        .iter_mut()
        .for_each(|definition| definition.spec.conversion = None);
    manifests::apply_definitions(&server.client()?, &definitions).await?;
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

fn files(directory: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(root().join(directory))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

fn objects(path: &Path) -> Vec<Value> {
    let objects = document::objects(&fs::read_to_string(path).unwrap()).unwrap();
    objects.into_iter().map(|(_, object)| object).collect()
}

#[tokio::test]
async fn both_find_the_same_in_manifests() -> Result<()> {
    let server = server().await?;
    let client = server.client()?;
    let schemas = Schemas::new()?;
    let (mut compared, mut wrong) = (0, Vec::new());
    for path in files("crates/api/tests/manifests/accept")
        .into_iter()
        .chain(files("crates/api/tests/manifests/refuse"))
    {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        for object in objects(&path) {
            let ours = findings(&object, None, &schemas).errors;
            let theirs = create(&client, &object, true).await?;
            // The rules of webhooks come on top.
            let by_rules = name.starts_with("rules-");
            compared += 1;
            let agree = match &theirs {
                None => ours.is_empty() || by_rules,
                Some(message) => {
                    !ours.is_empty()
                        && ours.iter().all(|error| {
                            let (field, said) = error.split_once(": ").unwrap_or((error, ""));
                            let said = said.rsplit(": ").next().unwrap_or_default();
                            message.contains(field) && message.contains(said)
                        })
                }
            };
            if !agree {
                let title = document::title(&object);
                wrong.push(format!(
                    "{name}: {title}: we say {ours:?}, the API server says {theirs:?}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared > 200, "{compared}");
    Ok(())
}

#[tokio::test]
async fn a_cluster_is_checked_before_a_take_over() -> Result<()> {
    let server = server().await?;
    let client = server.client()?;
    let fine = serde_json::json!({
        "apiVersion": "infrastructure.cluster.x-k8s.io/v1beta2", "kind": "PooledRemoteMachine", "metadata": {"name": "fine"},
        "spec": {"pool": "a", "machine": {"address": "192.0.2.1", "sshKeyRef": {"name": "key"}}}
    });
    assert_eq!(create(&client, &fine, false).await?, None);
    let mut lines = Vec::new();
    assert_eq!(
        migrate::check(&client, None, |line| lines.push(line)).await?,
        (1, 0),
        "{lines:?}"
    );
    assert_eq!(lines, [""; 0]);

    let held = serde_json::json!({
        "apiVersion": "infrastructure.cluster.x-k8s.io/v1beta2", "kind": "RemoteMachine", "metadata": {"name": "held"},
        "spec": {"provisionJob": {"sshCommand": "ssh", "scpCommand": "scp"}}
    });
    assert_eq!(create(&client, &held, false).await?, None);
    assert_eq!(
        migrate::check(&client, Some("default"), |line| lines.push(line)).await?,
        (2, 1)
    );
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("default: RemoteMachine/held: hold: ")),
        "{lines:?}"
    );
    assert_eq!(migrate::check(&client, Some("elsewhere"), |_| ()).await?, (0, 0));
    Ok(())
}
