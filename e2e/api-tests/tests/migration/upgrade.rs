//! `clusterctl upgrade` from a release of the original to ours.
//!
//! The old release is laid out as the original lays out v2.1.0; there is no manager of it here, and none is needed: clusterctl takes it
//! down before it installs the new one.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use k0smotron_e2e_api_tests::served::{api_of, definitions_before_v1beta2, missing, namespace, store};
use k0smotron_e2e_plane::{Plane, clusterctl, manifests};
use k8s_openapi::{
    api::apps::v1::Deployment,
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{Api, Client, ResourceExt, api::DynamicObject};
use serde_json::{Value, json};

use super::{
    documents, latest, migrated, moved,
    planes::{OURS, components, manage, with_planes},
};

const INSTANCE: u8 = 96;
const THEIRS: &str = "v2.1.0";
const PROVIDERS: [&str; 3] = ["bootstrap", "control-plane", "infrastructure"];
/// Kinds whose versions the original does not convert.
const UNCONVERTED: [&str; 5] = [
    "K0sControlPlaneTemplate",
    "K0sWorkerConfigTemplate",
    "RemoteCluster",
    "RemoteClusterTemplate",
    "RemoteMachineTemplate",
];

/// A repository with their release and ours.
fn repository(root: &Path) -> Result<()> {
    for provider in PROVIDERS {
        let label = format!("{provider}-k0sproject-k0smotron");
        let file = format!("{provider}-components.yaml");
        let ours = components()?.join(&label).join(OURS);
        let text = fs::read_to_string(ours.join(&file))?;
        let theirs = as_theirs(&text, provider)?;
        for (version, text) in [(OURS, &text), (THEIRS, &theirs)] {
            let directory = root.join(&label).join(version);
            fs::create_dir_all(&directory)?;
            fs::write(directory.join(&file), text)?;
            fs::copy(ours.join("metadata.yaml"), directory.join("metadata.yaml"))?;
        }
    }
    Ok(())
}

/// The components as the original has them: their image and arguments, certificates from cert-manager, and fewer conversions.
fn as_theirs(text: &str, provider: &str) -> Result<String> {
    let certificate = format!("k0smotron-serving-cert-{provider}");
    let inject = json!({ "cert-manager.io/inject-ca-from": format!("k0smotron/{certificate}") });
    let mut theirs = Vec::new();
    for mut document in manifests::documents(text)? {
        match document["kind"].as_str().unwrap() {
            "CustomResourceDefinition" => {
                document["metadata"]["annotations"] = inject.clone();
                loosen(&mut document["spec"]["versions"]);
                if UNCONVERTED.contains(&document["spec"]["names"]["kind"].as_str().unwrap()) {
                    document["spec"]["conversion"] = json!({ "strategy": "None" });
                }
            }
            "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration" => {
                document["metadata"]["annotations"] = inject.clone();
                // Nobody answers here.
                for webhook in document["webhooks"].as_array_mut().unwrap() {
                    webhook["failurePolicy"] = json!("Ignore");
                }
            }
            "Deployment" => {
                let container = &mut document["spec"]["template"]["spec"]["containers"][0];
                container["image"] = json!(format!("quay.io/k0sproject/k0smotron:{THEIRS}"));
                container["args"] = json!(["--leader-elect", format!("--enable-controller={provider}")]);
            }
            "Role" | "RoleBinding"
                if document["metadata"]["name"]
                    .as_str()
                    .unwrap()
                    .contains("webhook-certificate") =>
            {
                continue;
            }
            _ => {}
        }
        theirs.push(document);
    }
    theirs.push(json!({
        "apiVersion": "cert-manager.io/v1", "kind": "Issuer",
        "metadata": { "name": format!("k0smotron-selfsigned-issuer-{provider}"), "namespace": "k0smotron" },
        "spec": { "selfSigned": {} },
    }));
    theirs.push(json!({
        "apiVersion": "cert-manager.io/v1", "kind": "Certificate",
        "metadata": { "name": certificate, "namespace": "k0smotron" },
        "spec": { "secretName": format!("k0smotron-webhook-server-cert-{provider}") },
    }));
    let texts = theirs
        .iter()
        .map(serde_yaml::to_string)
        .collect::<Result<Vec<_>, _>>()?;
    Ok(texts.join("---\n"))
}

/// Their schemas have no rules, and take an object without any field.
fn loosen(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.retain(|name, _| !["x-kubernetes-validations", "minProperties"].contains(&name.as_str()));
            fields.values_mut().for_each(loosen);
        }
        Value::Array(items) => items.iter_mut().for_each(loosen),
        _ => {}
    }
}

/// What a release stored, without owners that are not here, and left alone by every controller: what is looked at is what an
/// upgrade does.
fn paused(release: &str) -> Vec<Value> {
    let mut documents = documents(release);
    for document in &mut documents {
        let metadata = document["metadata"].as_object_mut().unwrap();
        metadata.remove("ownerReferences");
        let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
        annotations["cluster.x-k8s.io/paused"] = json!("");
    }
    documents
}

/// What clients read of each object, by kind and name.
async fn read(
    client: &Client,
    documents: &[Value],
    namespace: &str,
) -> Result<BTreeMap<String, DynamicObject>> {
    let mut objects = BTreeMap::new();
    for document in documents {
        let name = document["metadata"]["name"].as_str().unwrap();
        let object = api_of(client, document, namespace)?.get(name).await;
        let title = format!("{} {name}", document["kind"].as_str().unwrap());
        objects.insert(
            title.clone(),
            object.with_context(|| format!("{title} in {namespace}"))?,
        );
    }
    Ok(objects)
}

/// Nothing of what was read before is missing, nor is anything in a spec that was not there.
fn assert_same(
    before: &BTreeMap<String, DynamicObject>,
    after: &BTreeMap<String, DynamicObject>,
) -> Result<()> {
    for (title, before) in before {
        let after = &after[title];
        ensure!(
            before.data["spec"] == after.data["spec"],
            "{title}: {} became {}",
            before.data["spec"],
            after.data["spec"]
        );
        let mut status = before.data["status"].clone();
        if let Some(status) = status.as_object_mut() {
            // Of these one says that the object is paused.
            status.remove("conditions");
        }
        if let Some(lost) = missing(&status, &after.data["status"]) {
            anyhow::bail!("{title}: status{lost}");
        }
        let metadata = |object: &DynamicObject| json!([object.labels(), object.finalizers(), object.uid()]);
        ensure!(metadata(before) == metadata(after), "{title}: its metadata");
        let lost = missing(&json!(before.annotations()), &json!(after.annotations()));
        ensure!(lost.is_none(), "{title}: annotations{}", lost.unwrap_or_default());
    }
    Ok(())
}

async fn scenario(state: PathBuf) -> Result<()> {
    let releases = tempfile::tempdir()?;
    repository(releases.path())?;
    let plane = Plane::up_in(&state, INSTANCE).await?;
    let client = plane.client()?;

    // Long ago: objects of v1beta1, in a cluster that knew nothing else.
    manifests::apply_definitions(&client, &definitions_before_v1beta2()).await?;
    let (old, new) = (paused("1.10"), paused("2.1"));
    namespace(&client, "old").await?;
    for document in &old {
        store(&client, document, "old", "gitops").await?;
    }
    let old_before = read(&client, &old, "old").await?;

    // Their release, which stores v1beta2 and has left alone what was there.
    let clusterctl = clusterctl::init(&plane, releases.path(), THEIRS).await?;
    namespace(&client, "new").await?;
    for document in &new {
        store(&client, document, "new", "gitops").await?;
    }
    let new_before = read(&client, &new, "new").await?;
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    for definition in k0smotron_api::crds() {
        let definition = definitions.get(&definition.name_any()).await?;
        let stored = definition.status.and_then(|status| status.stored_versions);
        let both = vec!["v1beta1".to_owned(), "v1beta2".to_owned()];
        ensure!(stored.as_ref() == Some(&both), "{stored:?}");
    }

    let plan = clusterctl.run(&["upgrade", "plan"]).await?;
    for provider in PROVIDERS {
        let line = plan
            .lines()
            .find(|line| line.starts_with(&format!("{provider}-k0sproject-k0smotron")))
            .with_context(|| format!("{provider} is not planned for:\n{plan}"))?;
        ensure!(line.contains(THEIRS) && line.contains(OURS), "{plan}");
    }
    clusterctl
        .run(&["upgrade", "apply", "--contract", "v1beta2"])
        .await?;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "k0smotron");
    for provider in PROVIDERS {
        let deployment = deployments
            .get(&format!("k0smotron-controller-manager-{provider}"))
            .await?;
        let image = json!(deployment)["spec"]["template"]["spec"]["containers"][0]["image"].clone();
        ensure!(
            image.as_str().is_some_and(|image| image.ends_with(OURS)),
            "{provider}: {image}"
        );
    }
    manage(&plane).await?;
    migrated(&client).await?;

    // Whoever reads what he read before finds it, in both versions, and so does who reads the other version from now on.
    assert_same(&old_before, &read(&client, &old, "old").await?)?;
    assert_same(&new_before, &read(&client, &new, "new").await?)?;
    for (documents, namespace) in [(&old, "old"), (&new, "new")] {
        for document in documents {
            let object = moved(&client, document, namespace).await?;
            let wanted = latest(document);
            let lost = missing(&wanted["spec"], &object.data["spec"]);
            ensure!(
                lost.is_none(),
                "{}: spec{}",
                object.name_any(),
                lost.unwrap_or_default()
            );
            let mut v1beta1 = document.clone();
            v1beta1["apiVersion"] = json!(
                document["apiVersion"]
                    .as_str()
                    .unwrap()
                    .replace("v1beta2", "v1beta1")
            );
            let read = api_of(&client, &v1beta1, namespace)?
                .get(&object.name_any())
                .await?;
            let back = latest(&serde_json::to_value(read)?);
            ensure!(
                back["spec"] == object.data["spec"],
                "{}: {back}",
                object.name_any()
            );
        }
    }
    let plan = clusterctl.run(&["upgrade", "plan"]).await?;
    ensure!(!plan.contains(THEIRS), "{plan}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clusterctl_upgrades_from_the_original() -> Result<()> {
    with_planes(&[INSTANCE], scenario).await
}
