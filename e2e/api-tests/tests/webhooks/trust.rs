//! Certificates: made, injected, mended and rotated while API servers ask.

use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use jiff::SignedDuration;
use k0smotron_e2e_api_tests::served::{NAMESPACE, Served, VALIDATING, apply, trusting, until};
use k0smotron_manager::installation;
use k0smotron_runtime::{
    Context, Scope,
    definitions::Definitions,
    webhook::{Schedule, Source, Webhooks},
};
use k8s_openapi::{
    ByteString,
    api::{admissionregistration::v1::ValidatingWebhookConfiguration, core::v1::Secret, events::v1::Event},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::json;
use tokio::sync::watch;

use super::worker;

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
    let definitions = Api::<CustomResourceDefinition>::all(client.clone());
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
    let events: Api<Event> = Api::namespaced(client.clone(), "default");
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

/// A certificate for loopback that is its own authority.
fn write_certificate(directory: &Path) -> Result<ByteString> {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
    fs::write(directory.join("tls.crt"), made.cert.pem())?;
    fs::write(directory.join("tls.key"), made.signing_key.serialize_pem())?;
    Ok(ByteString(made.cert.pem().into_bytes()))
}

/// What somebody else does who makes the certificates, as cert-manager.
async fn trust(client: &Client, authority: &ByteString) -> Result<()> {
    let validating: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    let mut webhooks = validating.get(VALIDATING).await?.webhooks.unwrap();
    for webhook in &mut webhooks {
        webhook.client_config.ca_bundle = Some(authority.clone());
    }
    let patch = Patch::Merge(json!({ "webhooks": webhooks }));
    validating
        .patch(VALIDATING, &PatchParams::default(), &patch)
        .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_of_others_are_served_and_left_to_them() -> Result<()> {
    let served = Served::start().await?;
    served.install().await?;
    let client = served.server.client()?;
    let directory = tempfile::tempdir()?;
    let manager = served
        .manager_with(&[format!("--webhook-cert-dir={}", directory.path().display())])
        .await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    ensure!(!manager.is_ready().await, "ready without a certificate");
    for write in 0..2 {
        let authority = write_certificate(directory.path())?;
        trust(&client, &authority).await?;
        manager.ready().await?;
        until("the certificate is served", async || {
            let written = apply(&client, &worker("trusted", write), "default", "test").await;
            Ok(written.is_ok().then_some(()))
        })
        .await?;
    }
    let (have, _) = trusting(&client).await?;
    ensure!(have.is_empty(), "the manager has told {have:?} to trust it");
    let secrets: Api<Secret> = Api::namespaced(client, NAMESPACE);
    ensure!(
        secrets.get_opt("k0smotron-webhook-server-cert").await?.is_none(),
        "the manager has made a certificate"
    );
    Ok(())
}
