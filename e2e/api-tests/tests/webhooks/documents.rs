//! Whatever YAML of ours users are shown or given, as strictly as `kubectl apply --validate=strict` takes it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use k0smotron_e2e_api_tests::served::{Served, kind, namespace, write};
use k0smotron_e2e_plane::manifests;

/// Name and YAML of each template, and of each block of YAML in a document.
fn texts() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut texts = Vec::new();
    for file in files(&root.join("templates"), "yaml") {
        texts.push((named(&file), filled_in(&fs::read_to_string(&file).unwrap())));
    }
    let documents = files(&root, "md")
        .into_iter()
        .chain(files(&root.join("docs"), "md"));
    for file in documents {
        let text = fs::read_to_string(&file).unwrap();
        for (index, block) in text.split("```yaml\n").skip(1).enumerate() {
            let (block, _) = block.split_once("```").unwrap();
            texts.push((format!("{}-{index}", named(&file)), block.to_owned()));
        }
    }
    texts
}

fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files
}

fn named(file: &Path) -> String {
    file.file_stem().unwrap().to_string_lossy().to_lowercase()
}

/// A template as clusterctl would fill it in: defaults where it has them.
fn filled_in(template: &str) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("${") {
        let (variable, after) = after.split_once('}').unwrap();
        let value = match variable.split_once(":=") {
            Some((_, default)) => default,
            None if variable.ends_with("_COUNT") => "1",
            None if variable.ends_with("_HOST") => "192.0.2.1",
            None if variable.ends_with("_VERSION") => "v1.36.3+k0s.2",
            None if variable.ends_with("_URL") => "https://get.example.com",
            None if variable.ends_with("_B64") => "a2V5",
            None => "demo",
        };
        text.push_str(before);
        text.push_str(value);
        rest = after;
    }
    text + rest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_users_are_shown_is_accepted() -> Result<()> {
    let served = Served::start().await?;
    served.install().await?;
    let manager = served.manager().await?;
    manager.ready().await?;
    let client = served.server.client()?;
    let mut count = 0;
    for (name, text) in texts() {
        namespace(&client, &name).await?;
        for document in manifests::documents(&text).with_context(|| name.clone())? {
            let group = document["apiVersion"]
                .as_str()
                .unwrap_or_default()
                .split('/')
                .next();
            // Kinds of others are none that we could get wrong a field of without their own tests noticing.
            if kind(
                group.unwrap_or_default(),
                document["kind"].as_str().unwrap_or_default(),
            )
            .is_err()
            {
                continue;
            }
            let warnings = write(&client, &document, &name)
                .await
                .with_context(|| format!("{name}: {document}"))?;
            ensure!(warnings.is_empty(), "{name}: {document}: {warnings:?}");
            count += 1;
        }
    }
    ensure!(count >= 10, "only {count} objects of ours are shown anywhere");
    Ok(())
}
