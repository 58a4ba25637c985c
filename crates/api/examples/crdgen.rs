//! Writes the generated files of a directory (default `config`): the CustomResourceDefinitions into `crd`, one file each, where files
//! of kinds that are no longer there are removed, and each provider's webhook configurations. `make manifests` runs it; tests compare.
//!
//! An example and not a binary, so that building the crate does not choose a Kubernetes version for whoever uses it.

use std::{collections::BTreeMap, error::Error, fs, path::PathBuf};

use k0smotron_api::webhooks::{self, Provider};

fn main() -> Result<(), Box<dyn Error>> {
    let config = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "config".to_owned()));
    for provider in Provider::ALL {
        let file = config.join(provider.name()).join("webhooks.yaml");
        fs::write(file, webhooks::to_yaml(provider)?)?;
    }
    let directory = config.join("crd");
    fs::create_dir_all(&directory)?;
    let mut files = BTreeMap::new();
    for crd in k0smotron_api::crds() {
        files.insert(
            k0smotron_api::schema::file_name(&crd),
            k0smotron_api::schema::to_yaml(&crd)?,
        );
    }
    for entry in fs::read_dir(&directory)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".yaml") && name != "kustomization.yaml" && !files.contains_key(&name) {
            fs::remove_file(directory.join(&name))?;
        }
    }
    for (name, text) in files {
        fs::write(directory.join(name), text)?;
    }
    Ok(())
}
