//! Renders what clusterctl installs, in the layout of its local repositories (contract CT5):
//!
//! ```text
//! <out>/bootstrap-k0sproject-k0smotron/<version>/{bootstrap-components,metadata}.yaml
//! <out>/control-plane-k0sproject-k0smotron/<version>/{control-plane-components,metadata}.yaml
//! <out>/infrastructure-k0sproject-k0smotron/<version>/{infrastructure-components,metadata,cluster-template*}.yaml
//! ```
//!
//! `cargo run -p k0smotron-api --example render -- [--out DIR] [--version vX.Y.Z] [--image IMAGE]`, from anywhere in the
//! repository. Templates lie beside the infrastructure provider, where clusterctl looks for them (CT18).

mod kustomize;

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

const PROVIDERS: [&str; 3] = ["bootstrap", "control-plane", "infrastructure"];
const NAME: &str = "k0sproject-k0smotron";
const IMAGE: &str = "quay.io/k0sproject/k0smotron";

struct Options {
    out: PathBuf,
    version: String,
    image: String,
}

fn main() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let options = options(&root)?;
    for provider in PROVIDERS {
        let mut components = String::new();
        for mut object in kustomize::build(&root.join("config").join(provider))? {
            set_image(&mut object, &options.image);
            write!(components, "---\n{}", serde_yaml::to_string(&object)?)?;
        }
        let directory = options
            .out
            .join(format!("{provider}-{NAME}"))
            .join(&options.version);
        fs::create_dir_all(&directory)?;
        fs::write(directory.join(format!("{provider}-components.yaml")), components)?;
        fs::copy(
            root.join("clusterctl-metadata.yaml"),
            directory.join("metadata.yaml"),
        )?;
        if provider == "infrastructure" {
            copy_templates(&root.join("templates"), &directory)?;
        }
        println!("{}", directory.display());
    }
    Ok(())
}

fn options(root: &Path) -> Result<Options> {
    let (mut out, mut version, mut image) = (None, format!("v{}", env!("CARGO_PKG_VERSION")), None);
    let mut arguments = std::env::args().skip(1);
    while let Some(flag) = arguments.next() {
        let value = arguments
            .next()
            .with_context(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--out" => out = Some(PathBuf::from(value)),
            "--version" => version = value,
            "--image" => image = Some(value),
            _ => bail!("{flag} is not known; known are --out, --version, --image"),
        }
    }
    ensure!(
        version.starts_with('v'),
        "version {version} must begin with v: clusterctl reads it from a directory name"
    );
    Ok(Options {
        out: out.unwrap_or_else(|| root.join("target/dist").join(&version)),
        image: image.unwrap_or_else(|| format!("{IMAGE}:{version}")),
        version,
    })
}

/// The manager is the only container, and clusterctl knows it by its name (contract CT12).
fn set_image(object: &mut Value, image: &str) {
    let containers = object
        .pointer_mut("/spec/template/spec/containers")
        .and_then(Value::as_array_mut);
    for container in containers.into_iter().flatten() {
        if let Some(current) = container.get_mut("image") {
            *current = image.into();
        }
    }
}

fn copy_templates(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
        let name = entry?.file_name();
        if name.to_string_lossy().starts_with("cluster-template") {
            fs::copy(from.join(&name), to.join(&name))?;
        }
    }
    Ok(())
}
