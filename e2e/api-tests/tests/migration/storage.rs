//! Stored as v1beta2, owned at v1beta2, and written by v1beta2 clients while no manager runs.

use std::time::Duration;

use anyhow::{Result, ensure};
use k0smotron_e2e_api_tests::served::{Served, api_of, apply, missing, namespace, store};
use k0smotron_e2e_plane::manifests;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceConversion, CustomResourceDefinition,
};
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use super::{documents, latest, migrated, moved};

/// The definitions of a release that stored v1beta1 and converted nothing.
fn as_of_old(definitions: &[CustomResourceDefinition]) -> Vec<CustomResourceDefinition> {
    let mut old = definitions.to_vec();
    for definition in &mut old {
        definition.spec.conversion = Some(CustomResourceConversion {
            strategy: "None".to_owned(),
            webhook: None,
        });
        for version in &mut definition.spec.versions {
            version.storage = version.name == "v1beta1";
        }
    }
    old
}

fn worker(name: &str) -> Value {
    json!({
        "apiVersion": "bootstrap.cluster.x-k8s.io/v1beta1",
        "kind": "K0sWorkerConfig",
        "metadata": { "name": name },
        "spec": { "version": "v1.34.2+k0s.0", "preStartCommands": ["true"] },
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_v1beta1_stored_becomes_v1beta2() -> Result<()> {
    let served = Served::start().await?;
    let client = served.server.client()?;
    manifests::apply_definitions(&client, &as_of_old(&served.definitions())).await?;
    namespace(&client, "fleet").await?;
    for document in documents("1.10") {
        store(&client, &document, "fleet", "gitops").await?;
    }
    // More than a page of one kind.
    for index in 0..130 {
        let worker = worker(&format!("worker-{index}"));
        apply(&client, &worker, "fleet", "gitops").await?;
    }

    served.install().await?;
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let workers = definitions
        .get("k0sworkerconfigs.bootstrap.cluster.x-k8s.io")
        .await?;
    ensure!(
        workers.status.as_ref().unwrap().stored_versions.as_ref().unwrap() == &["v1beta1", "v1beta2"],
        "both versions are stored: {:?}",
        workers.status
    );
    // Without a manager nobody reads what is stored as v1beta1: what follows is not there for nothing.
    ensure!(
        api_of(&client, &latest(&worker("worker-0")), "fleet")?
            .get("worker-0")
            .await
            .is_err(),
        "somebody converts"
    );

    let manager = served.manager().await?;
    manager.ready().await?;
    migrated(&client).await?;
    for document in documents("1.10") {
        owned_at_v1beta2(&client, &document).await?;
    }

    // Somebody who still writes v1beta1 is followed.
    let mut late = worker("worker-0");
    late["spec"] = json!({ "postStartCommands": ["false"] });
    apply(&client, &late, "fleet", "late").await?;
    owned_at_v1beta2(&client, &worker("worker-0")).await?;

    drop(manager);
    writes_at_v1beta2(&client).await
}

/// Every owner is noted at v1beta2, at the new places of its fields; and v1beta1 clients read what was stored.
async fn owned_at_v1beta2(client: &Client, document: &Value) -> Result<()> {
    let object = moved(client, document, "fleet").await?;
    let name = object.name_any();
    let owner = object
        .managed_fields()
        .iter()
        .find(|owner| owner.manager.as_deref() == Some("gitops"));
    let fields = owner
        .and_then(|owner| owner.fields_v1.clone())
        .map(|fields| fields.0.to_string())
        .unwrap_or_default();
    ensure!(
        document["spec"] == json!({}) || fields.contains("f:spec"),
        "{name}: gitops owns {fields}"
    );
    let stored = api_of(client, document, "fleet")?.get(&name).await?;
    let lost = missing(&document["spec"], stored.data.get("spec").unwrap_or(&Value::Null));
    ensure!(
        lost.is_none(),
        "{} {name}: spec{}",
        document["kind"],
        lost.unwrap_or_default()
    );
    Ok(())
}

/// No manager runs: whoever speaks v1beta2 reads, applies and reports as if one did.
async fn writes_at_v1beta2(client: &Client) -> Result<()> {
    for document in documents("1.10") {
        let document = latest(&document);
        let name = document["metadata"]["name"].as_str().unwrap();
        let api = api_of(client, &document, "fleet")?;
        api.get(name).await?;
        let labels = json!({
            "apiVersion": document["apiVersion"], "kind": document["kind"],
            "metadata": { "name": name, "labels": { "written": "without-a-manager" }, "finalizers": ["k0smotron.io/test"] },
        });
        api.patch(name, &PatchParams::apply("other").force(), &Patch::Apply(&labels))
            .await?;
        let finalizers = json!({ "metadata": { "finalizers": [] } });
        api.patch(name, &PatchParams::default(), &Patch::Merge(&finalizers))
            .await?;
        if document["kind"] == "K0sWorkerConfig" {
            let status = json!({ "status": { "dataSecretName": "written" } });
            api.patch_status(name, &PatchParams::default(), &Patch::Merge(&status))
                .await?;
        }
        api.delete(name, &Default::default()).await?;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    Ok(())
}
