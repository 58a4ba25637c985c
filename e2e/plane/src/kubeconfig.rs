//! Kubeconfig files: for people, for `clusterctl`, and for the processes that talk to the plane.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};

use crate::pki::{Pair, Pki, write_private};

/// How the holder proves who it is.
pub(crate) enum Credential<'a> {
    Certificate(Pair),
    Token(&'a str),
}

/// Writes `path`, mode 0600, in one piece.
pub(crate) fn write(path: &Path, name: &str, port: u16, pki: &Pki, credential: Credential<'_>) -> Result<()> {
    let user = match credential {
        Credential::Certificate(pair) => json!({
            "client-certificate-data": encoded(&pair.certificate)?,
            "client-key-data": encoded(&pair.key)?,
        }),
        Credential::Token(token) => json!({ "token": token }),
    };
    let server = json!({
        "server": format!("https://127.0.0.1:{port}"),
        "certificate-authority-data": encoded(&pki.ca())?,
    });
    let content: Value = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": name, "cluster": server }],
        "users": [{ "name": name, "user": user }],
        "contexts": [{ "name": name, "context": { "cluster": name, "user": name } }],
        "current-context": name,
    });
    let partial = path.with_extension("partial");
    write_private(&partial, &serde_yaml::to_string(&content)?)?;
    fs::rename(&partial, path).with_context(|| format!("cannot write {}", path.display()))
}

/// A client configuration from the file and nothing else: neither `KUBECONFIG` nor proxies of the environment.
pub(crate) async fn load(path: &Path) -> Result<kube::Config> {
    let kubeconfig =
        Kubeconfig::read_from(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .with_context(|| format!("{} is not usable", path.display()))?;
    config.proxy_url = None;
    Ok(config)
}

fn encoded(path: &Path) -> Result<String> {
    Ok(STANDARD.encode(fs::read(path).with_context(|| format!("cannot read {}", path.display()))?))
}
