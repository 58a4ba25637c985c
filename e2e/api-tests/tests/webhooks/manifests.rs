//! The manifests of `crates/api/tests/manifests`, through both versions. How they are written is said in `rules.rs` there.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use k0smotron_api::conversion::{self, Version, convert};
use k0smotron_e2e_api_tests::served::{Served, api_of, missing, namespace, write};
use kube::{
    Client,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

/// Refused by rules in the schema of v1beta2, which the schema of v1beta1, being the original's, does not have.
const LAXER_IN_V1BETA1: [(&str, &str); 6] = [
    ("PooledRemoteMachine", "empty-key"),
    ("RemoteMachine", "empty-key"),
    ("RemoteMachine", "nothing"),
    ("RemoteMachine", "no-key"),
    ("RemoteMachine", "port"),
    ("RemoteCluster", "empty-endpoint"),
];

/// Contradictions between a field and the annotation of an older release. Of v1beta1 both are fields, and the same one.
const UNSPEAKABLE_IN_V1BETA1: [(&str, &str); 1] = [("Cluster", "two-homes")];

struct File {
    directory: &'static str,
    name: String,
    documents: Vec<Document>,
}

struct Document {
    /// What a refusal or a warning has to say; accepted and not warned of when there is none.
    refused: Option<String>,
    warned: Option<String>,
    content: Value,
    status: Option<Value>,
}

fn files(directory: &'static str) -> Vec<File> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../crates/api/tests/manifests")
        .join(directory);
    let mut paths: Vec<_> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let files = paths.into_iter().map(|path| {
        let text = fs::read_to_string(&path).unwrap();
        File {
            directory,
            name: path.file_stem().unwrap().to_string_lossy().into_owned(),
            documents: text.split("---\n").map(Document::parse).collect(),
        }
    });
    files.collect()
}

impl File {
    /// Names of one file are those of one cluster, and another's for each version that it is written through.
    fn namespace(&self, version: Version) -> String {
        format!("{}-{}-{}", version.as_str(), self.directory, self.name)
    }

    /// Whether webhooks refuse, and not schemas.
    fn is_rules(&self) -> bool {
        self.name.starts_with("rules")
    }

    /// Applies the documents in their order; the answer is what was not as it should be.
    async fn apply(&self, client: &Client, version: Version) -> Result<Vec<String>> {
        let namespace = self.namespace(version);
        let mut wrong = Vec::new();
        for document in &self.documents {
            let name = format!(
                "{}/{}: {} {}",
                self.directory, self.name, document.content["kind"], document.content["metadata"]["name"]
            );
            if let Err(reason) = self.apply_one(client, version, document, &namespace).await? {
                wrong.push(format!("{name} {reason}"));
            }
        }
        Ok(wrong)
    }

    async fn apply_one(
        &self,
        client: &Client,
        version: Version,
        document: &Document,
        namespace: &str,
    ) -> Result<Result<(), String>> {
        let own = document.content["apiVersion"].as_str().unwrap_or_default();
        let translated = !own.ends_with(version.as_str());
        let by_schema = document.refused.is_some() && !self.is_rules();
        if translated && by_schema && version == Version::V1Beta2 {
            // What the schema of v1beta1 refuses need not be wrong.
            return Ok(Ok(()));
        }
        let content = convert(document.content.clone(), version)?;
        // What v1beta1 has no field for lies in an annotation, where no schema of v1beta1 sees it.
        let unseen =
            by_schema && translated && content["metadata"]["annotations"][conversion::ANNOTATION].is_string();
        let laxer = translated
            && (document.is_any_of(&LAXER_IN_V1BETA1) || document.is_any_of(&UNSPEAKABLE_IN_V1BETA1));
        Ok(
            match (write(client, &content, namespace).await, &document.refused) {
                (Ok(warnings), None) => {
                    if let Some(status) = &document.status {
                        report(client, &document.content, status, namespace).await?;
                    }
                    if version == Version::V1Beta2 {
                        document.check_warnings(&warnings)
                    } else {
                        Ok(())
                    }
                }
                (Ok(_), Some(_)) if unseen || laxer => Ok(()),
                (Err(error), Some(_)) if laxer => {
                    Err(format!("is refused now, and need not be listed here: {error:#}"))
                }
                (Ok(_), Some(reason)) => Err(format!("was accepted, not refused with {reason:?}")),
                (Err(error), None) => Err(format!("was refused: {error:#}")),
                // The schema of v1beta1 says some of it in other words.
                (Err(_), Some(_)) if translated && by_schema => Ok(()),
                (Err(error), Some(reason)) if format!("{error:#}").contains(reason.as_str()) => Ok(()),
                (Err(error), Some(reason)) => {
                    Err(format!("was not refused with {reason:?} but with: {error:#}"))
                }
            },
        )
    }
}

impl Document {
    fn parse(text: &str) -> Self {
        let first = text.lines().next().unwrap();
        let mut content: Value = serde_yaml::from_str(text).unwrap();
        Self {
            refused: first.strip_prefix("# refused: ").map(str::to_owned),
            warned: first.strip_prefix("# warned: ").map(str::to_owned),
            status: content.as_object_mut().unwrap().remove("status"),
            content,
        }
    }

    fn is_any_of(&self, named: &[(&str, &str)]) -> bool {
        named
            .iter()
            .any(|(kind, name)| self.content["kind"] == *kind && self.content["metadata"]["name"] == *name)
    }

    fn check_warnings(&self, warnings: &[String]) -> Result<(), String> {
        match (&self.warned, warnings) {
            (None, []) => Ok(()),
            (Some(text), [warning]) if warning.contains(text.as_str()) => Ok(()),
            (warned, warnings) => Err(format!("has the warnings {warnings:?}, not {warned:?} alone")),
        }
    }
}

/// What a controller would write; controllers speak v1beta2.
async fn report(client: &Client, document: &Value, status: &Value, namespace: &str) -> Result<()> {
    let document = convert(document.clone(), Version::V1Beta2)?;
    let name = document["metadata"]["name"].as_str().context("no name")?;
    let patch = Patch::Merge(json!({ "status": status }));
    let api = api_of(client, &document, namespace)?;
    api.patch_status(name, &PatchParams::default(), &patch).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn manifests_are_accepted_and_refused_through_both_versions() -> Result<()> {
    let served = Served::start().await?;
    served.install().await?;
    // What controllers would write into the status of these objects is not what is tested.
    let manager = served.manager_with(&["--watch-filter=nobody".to_owned()]).await?;
    manager.ready().await?;
    let client = served.server.client()?;
    let mut wrong = Vec::new();
    for version in [Version::V1Beta2, Version::V1Beta1] {
        for file in ["accept", "refuse", "status"].into_iter().flat_map(files) {
            namespace(&client, &file.namespace(version)).await?;
            let found = file.apply(&client, version).await?;
            wrong.extend(
                found
                    .into_iter()
                    .map(|text| format!("{}: {text}", version.as_str())),
            );
        }
    }
    for file in files("accept") {
        wrong.extend(differences(&client, &file).await?);
    }
    ensure!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    Ok(())
}

/// What was written through one version is the same, read through the other.
async fn differences(client: &Client, file: &File) -> Result<Vec<String>> {
    let mut different = Vec::new();
    for document in &file.documents {
        let content = convert(document.content.clone(), Version::V1Beta2)?;
        let name = content["metadata"]["name"].as_str().context("no name")?;
        let spec = async |version| -> Result<Value> {
            let api = api_of(client, &content, &file.namespace(version))?;
            let object = api.get(name).await?;
            Ok(object.data.get("spec").cloned().unwrap_or_default())
        };
        let (through_old, direct) = (spec(Version::V1Beta1).await?, spec(Version::V1Beta2).await?);
        // v1beta1 of hosted control planes has defaults that v1beta2 leaves to the controllers, as the original's has.
        let kind = content["kind"].as_str().unwrap_or_default();
        let difference = if kind == "Cluster" || kind.starts_with("K0smotron") {
            missing(&direct, &through_old)
        } else {
            (direct != through_old).then(|| format!(": {through_old}, not {direct}"))
        };
        if let Some(difference) = difference {
            different.push(format!(
                "{}: {kind} {name}, written through v1beta1, has spec{difference}",
                file.name
            ));
        }
    }
    Ok(different)
}
