//! `validate` and the API server, asked about the same manifests.

use std::{fs, path::PathBuf};

use anyhow::Result;
use k0smotron_cli::{document, schema::Schemas, validate::findings};

use super::{create, definitions, objects, root, server};

fn files(directory: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(root().join(directory))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn both_find_the_same_in_manifests() -> Result<()> {
    let server = server(&definitions()).await?;
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
