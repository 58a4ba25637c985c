//! What users write, through both versions; and the webhooks themselves: whom API servers trust, and for how long.

// clippy.toml allows these in test functions; the functions that they call are meant too.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use jiff::SignedDuration;
use k0smotron_api::conversion::{self, Version, convert};
use k0smotron_e2e_api_tests::served::{
    NAMESPACE, Served, VALIDATING, api_of, apply, namespace, trusting, until, write,
};
use k0smotron_manager::installation;
use k0smotron_runtime::{
    Context, Scope,
    definitions::Definitions,
    webhook::{Schedule, Source, Webhooks},
};
use k8s_openapi::api::{admissionregistration::v1::ValidatingWebhookConfiguration, core::v1::Secret};
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use tokio::sync::watch;

/// Refused by rules in the schema of v1beta2, which the schema of v1beta1, being the original's, does not have.
const LAXER_IN_V1BETA1: [(&str, &str); 4] = [
    ("RemoteMachine", "nothing"),
    ("RemoteMachine", "no-key"),
    ("RemoteMachine", "port"),
    ("RemoteCluster", "empty-endpoint"),
];

struct Document {
    file: String,
    /// What a refusal has to say; accepted when there is none.
    refused: Option<String>,
    content: Value,
}

fn documents(directory: &str) -> Vec<Document> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../crates/api/tests/manifests")
        .join(directory);
    let mut files: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let documents = files.into_iter().flat_map(|file| {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&file).unwrap();
        let documents = text.split("---\n").map(|document| Document {
            file: name.clone(),
            refused: document
                .lines()
                .next()
                .and_then(|line| line.strip_prefix("# refused: "))
                .map(str::to_owned),
            content: serde_yaml::from_str(document).unwrap(),
        });
        documents.collect::<Vec<_>>()
    });
    documents.collect()
}

impl Document {
    fn name(&self) -> String {
        format!(
            "{}: {} {}",
            self.file, self.content["kind"], self.content["metadata"]["name"]
        )
    }
}

/// Applies everything in its order; the answer is what was not as it should be.
async fn apply_all(client: &Client, version: Version, namespace: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for document in documents("accept").into_iter().chain(documents("refuse")) {
        let name = document.name();
        let content = match convert(document.content.clone(), version) {
            Ok(content) => content,
            Err(error) => {
                wrong.push(format!("{name}: {error}"));
                continue;
            }
        };
        // What v1beta1 has no field for lies in an annotation, where no schema of v1beta1 sees it.
        let beyond = version == Version::V1Beta1
            && content["metadata"]["annotations"][conversion::ANNOTATION].is_string();
        let laxer = version == Version::V1Beta1
            && LAXER_IN_V1BETA1
                .iter()
                .any(|(kind, name)| content["kind"] == *kind && content["metadata"]["name"] == *name);
        match (write(client, &content, namespace).await, &document.refused) {
            (Ok(_), None) => {}
            (Ok(_), Some(_)) if beyond || laxer => {}
            (Err(error), Some(_)) if laxer => {
                wrong.push(format!(
                    "{name} is refused now, and need not be listed here: {error:#}"
                ));
            }
            (Ok(_), Some(reason)) => wrong.push(format!("{name} was accepted, not refused with {reason:?}")),
            (Err(error), None) => wrong.push(format!("{name} was refused: {error:#}")),
            // The schema of v1beta1 says some of it in other words.
            (Err(_), Some(_)) if version == Version::V1Beta1 => {}
            (Err(error), Some(reason)) => {
                if !format!("{error:#}").contains(reason.as_str()) {
                    wrong.push(format!(
                        "{name} was not refused with {reason:?} but with: {error:#}"
                    ));
                }
            }
        }
    }
    wrong
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn manifests_are_accepted_and_refused_through_both_versions() -> Result<()> {
    let served = Served::start().await?;
    served.install().await?;
    let manager = served.manager().await?;
    manager.ready().await?;
    let client = served.server.client()?;
    for version in [Version::V1Beta2, Version::V1Beta1] {
        namespace(&client, version.as_str()).await?;
        let wrong = apply_all(&client, version, version.as_str()).await;
        ensure!(
            wrong.is_empty(),
            "through {}:\n{}",
            version.as_str(),
            wrong.join("\n")
        );
    }
    // What was written through one version is read through the other.
    for document in documents("accept") {
        let name = document.content["metadata"]["name"].as_str().unwrap().to_owned();
        let written = api_of(&client, &document.content, "v1beta1")?.get(&name).await?;
        let direct = api_of(&client, &document.content, "v1beta2")?.get(&name).await?;
        ensure!(
            written.data["spec"] == direct.data["spec"],
            "{} differs when it was written through v1beta1:\n{}\n{}",
            document.name(),
            written.data["spec"],
            direct.data["spec"]
        );
    }
    Ok(())
}

fn worker(name: &str, arg: usize) -> Value {
    json!({
        "apiVersion": "bootstrap.cluster.x-k8s.io/v1beta2",
        "kind": "K0sWorkerConfig",
        "metadata": { "name": name },
        "spec": { "version": "v1.36.3+k0s.2", "args": [format!("--labels=n={arg}")] },
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trust_is_made_and_mended() -> Result<()> {
    let served = Served::start().await?;
    let client = served.server.client()?;
    let manager = served.manager().await?;
    // Without any of its definitions a manager starts all the same.
    manager.ready().await?;
    drop(manager);

    served.install().await?;
    ensure!(
        apply(&client, &worker("early", 0), "default", "test")
            .await
            .is_err(),
        "nobody is trusted yet"
    );
    let first = served.manager().await?;
    first.ready().await?;
    let (have, lack) = trusting(&client).await?;
    ensure!(
        lack.is_empty() && !have.is_empty(),
        "trusting: {have:?}, not: {lack:?}"
    );
    apply(&client, &worker("trusted", 0), "default", "test").await?;

    // As clusterctl does it: the whole list anew, without a bundle.
    let api: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    let mut wiped = api.get(VALIDATING).await?.webhooks.unwrap();
    for webhook in &mut wiped {
        webhook.client_config.ca_bundle = None;
    }
    let patch = Patch::Merge(json!({ "webhooks": wiped }));
    api.patch(VALIDATING, &PatchParams::default(), &patch).await?;
    let urls: BTreeSet<_> = wiped
        .iter()
        .map(|webhook| webhook.client_config.url.clone())
        .collect();
    let mended = until("caBundle is mended", async || {
        let webhooks = api.get(VALIDATING).await?.webhooks.unwrap();
        let all = webhooks
            .iter()
            .all(|webhook| webhook.client_config.ca_bundle.is_some());
        Ok(all.then_some(webhooks))
    })
    .await?;
    ensure!(
        mended
            .iter()
            .map(|webhook| webhook.client_config.url.clone())
            .collect::<BTreeSet<_>>()
            == urls,
        "only caBundle is written"
    );
    // And one definition, by somebody who thinks better of it.
    let definitions = Api::<
        k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    >::all(client.clone());
    let name = have.first().context("no definition is converted")?;
    let patch = json!({ "spec": { "conversion": { "webhook": { "clientConfig": { "caBundle": null } } } } });
    definitions
        .patch(name, &PatchParams::default(), &Patch::Merge(patch))
        .await?;
    until("the definition is mended", async || {
        Ok(trusting(&client).await?.1.is_empty().then_some(()))
    })
    .await?;

    // Another replica uses the same certificate; a third one after all are gone, too.
    let secrets: Api<Secret> = Api::namespaced(client.clone(), NAMESPACE);
    let certificate = secrets.get("k0smotron-webhook-server-cert").await?.data;
    drop(first);
    let second = served.manager().await?;
    second.ready().await?;
    ensure!(
        secrets.get("k0smotron-webhook-server-cert").await?.data == certificate,
        "the certificate was made again"
    );
    apply(&client, &worker("trusted", 1), "default", "test").await?;

    // A Secret that is lost is made anew, and trusted without a restart.
    secrets
        .delete("k0smotron-webhook-server-cert", &Default::default())
        .await?;
    until("another certificate is served and trusted", async || {
        let made = secrets.get_opt("k0smotron-webhook-server-cert").await?;
        let fresh = made.is_some_and(|secret| secret.data != certificate);
        Ok((fresh
            && apply(&client, &worker("trusted", 2), "default", "test")
                .await
                .is_ok())
        .then_some(()))
    })
    .await?;

    rivals_are_given_way_to(&client, &api).await
}

/// Somebody who wipes the bundle as often as it is set does not get an answer each time.
async fn rivals_are_given_way_to(client: &Client, api: &Api<ValidatingWebhookConfiguration>) -> Result<()> {
    let mut injections = 0;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(15) {
        let mut webhooks = api.get(VALIDATING).await?.webhooks.unwrap();
        if webhooks
            .iter()
            .any(|webhook| webhook.client_config.ca_bundle.is_some())
        {
            injections += 1;
            for webhook in &mut webhooks {
                webhook.client_config.ca_bundle = None;
            }
            let patch = Patch::Merge(json!({ "webhooks": webhooks }));
            api.patch(VALIDATING, &PatchParams::default(), &patch).await?;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    ensure!((4..12).contains(&injections), "{injections} injections in 15 s");
    let events: Api<k8s_openapi::api::events::v1::Event> = Api::namespaced(client.clone(), "default");
    until("an event tells of it", async || {
        let events = events.list(&Default::default()).await?;
        Ok(events
            .iter()
            .any(|event| event.reason.as_deref() == Some("CABundleContended"))
            .then_some(()))
    })
    .await?;
    until("the bundle is set all the same", async || {
        let webhooks = api.get(VALIDATING).await?.webhooks.unwrap();
        Ok(webhooks
            .iter()
            .all(|webhook| webhook.client_config.ca_bundle.is_some())
            .then_some(()))
    })
    .await
}

/// Two replicas with certificates that live for seconds: no write fails while they are rotated.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_write_fails_while_certificates_are_rotated() -> Result<()> {
    let served = Served::start().await?;
    served.install().await?;
    let client = served.server.client()?;
    let schedule = Schedule {
        life: SignedDuration::from_secs(15),
        switch_after: SignedDuration::from_secs(2),
        drop_after: SignedDuration::from_secs(5),
    };
    let context = Context::new(client.clone(), Scope::default(), "test");
    let webhooks = |port: u16| {
        let (ready, is_ready) = watch::channel(false);
        let webhooks = Webhooks {
            client: client.clone(),
            installation: installation(&"".parse().unwrap(), NAMESPACE),
            source: Source::Own(schedule),
            policy: Default::default(),
            definitions: Definitions::watch(&client),
            events: context.events.clone(),
            metrics: context.metrics.clone(),
        };
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        tokio::spawn(webhooks.serve(address, ready, std::future::pending()));
        is_ready
    };
    let mut one = webhooks(served.port);
    // The other one is not asked, but takes steps as the first one does.
    let mut other = webhooks(k0smotron_e2e_plane::free_port()?);
    one.wait_for(|ready| *ready).await?;
    other.wait_for(|ready| *ready).await?;

    let secrets: Api<Secret> = Api::namespaced(client.clone(), NAMESPACE);
    let mut certificates = BTreeSet::new();
    let begun = Instant::now();
    let mut writes = 0;
    while begun.elapsed() < Duration::from_secs(36) {
        apply(&client, &worker("rotated", writes), "default", "test")
            .await
            .with_context(|| format!("write {writes}, after {:?}", begun.elapsed()))?;
        writes += 1;
        let secret = secrets.get("k0smotron-webhook-server-cert").await?;
        certificates.insert(secret.data.unwrap()["tls.crt"].0.clone());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    ensure!(
        certificates.len() >= 3,
        "{} certificates in {writes} writes",
        certificates.len()
    );
    Ok(())
}

/// What conversion and admission add to a write. Told, not judged: the machine decides.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cost_of_a_write_is_measured() -> Result<()> {
    const WRITES: usize = 100;
    let served = Served::start().await?;
    served.install().await?;
    let manager = served.manager().await?;
    manager.ready().await?;
    let client = served.server.client()?;
    let mut told = Vec::new();
    for (what, version, changed) in [
        ("v1beta2, labels", Version::V1Beta2, "metadata"),
        ("v1beta2, spec", Version::V1Beta2, "spec"),
        ("v1beta1, labels", Version::V1Beta1, "metadata"),
        ("v1beta1, spec", Version::V1Beta1, "spec"),
    ] {
        let first = apply(&client, &worker("cost", 0), "default", "test").await?;
        let document = convert(worker("cost", 0), version)?;
        let api = api_of(&client, &document, "default")?;
        let mut times = Vec::new();
        for write in 0..WRITES {
            let patch = match changed {
                "spec" => json!({ "spec": { "args": [format!("--labels=n={write}")] } }),
                _ => json!({ "metadata": { "labels": { "n": write.to_string() } } }),
            };
            let begun = Instant::now();
            api.patch(&first.name_any(), &PatchParams::default(), &Patch::Merge(patch))
                .await?;
            times.push(begun.elapsed());
        }
        times.sort();
        told.push(format!(
            "{what}: median {:?}, slowest {:?}",
            times[WRITES / 2],
            times[WRITES - 1]
        ));
    }
    println!("a write of a K0sWorkerConfig:\n{}", told.join("\n"));
    Ok(())
}
