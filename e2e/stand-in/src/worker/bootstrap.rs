//! A node's client certificate: a signing request made with the join token, approved and signed by the cluster's
//! controller manager, and the kubeconfig that kubelet then goes on with.

use std::{os::unix::fs::symlink, path::Path, time::Duration};

use anyhow::{Context as _, Result, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::{Api, Client, ResourceExt as _, api::PostParams, config::Kubeconfig};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::Bootstrap;
use crate::{
    api,
    kubeconfig::{Names, render},
    paths::Paths,
    pki, token,
};

const SIGNER: &str = "kubernetes.io/kube-apiserver-client-kubelet";
/// The names that kubelet itself gives.
const NAMES: Names<'static> = Names {
    cluster: "default-cluster",
    context: "default-context",
    user: "default-auth",
};

/// Writes `kubelet.conf` unless it exists, with the first source that there is: `kubelet-bootstrap.conf` in the
/// data directory, then the given one.
pub async fn ensure_credentials(paths: &Paths, node: &str, source: Bootstrap) -> Result<()> {
    if paths.kubelet_kubeconfig().exists() {
        return Ok(());
    }
    let own = paths.data_dir.join("kubelet-bootstrap.conf");
    let kubeconfig = if own.exists() {
        std::fs::read_to_string(&own)?
    } else {
        match source {
            Bootstrap::Controller { .. } => std::fs::read_to_string(paths.admin_kubeconfig())?,
            Bootstrap::Token(token) => match token? {
                Some(token) => {
                    token::decode(&token, token::WORKER_USER).context("failed to get bootstrap kubeconfig")?
                }
                None => bail!(
                    "neither regular nor bootstrap kubeconfig files exist and no join token given; dunno how to \
                     make kubelet authenticate to API server"
                ),
            },
        }
    };
    let mut pause = Duration::from_secs(1);
    for attempt in 1.. {
        match bootstrap(paths, node, &kubeconfig).await {
            Ok(()) => return Ok(()),
            Err(error) if attempt == 10 => return Err(error),
            Err(error) => tracing::warn!(attempt, "the node has no credentials yet: {error:#}"),
        }
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(60));
    }
    Ok(())
}

async fn bootstrap(paths: &Paths, node: &str, kubeconfig: &str) -> Result<()> {
    let client = api::client_for(kubeconfig).await?;
    let request = pki::node_client_request(node)?;
    let certificate = sign(client, &request.certificate).await?;

    let directory = paths.kubelet_root_dir.join("pki");
    let current = directory.join("kubelet-client-current.pem");
    let dated = directory.join(format!(
        "kubelet-client-{}.pem",
        jiff::Zoned::now().strftime("%Y-%m-%d-%H-%M-%S")
    ));
    pki::write_atomically(&dated, &format!("{certificate}{}", request.key), 0o600)?;
    link(&dated, &current)?;

    let (server, ca) = cluster_of(kubeconfig)?;
    let user = json!({"client-certificate": current, "client-key": current});
    pki::write_atomically(
        &paths.kubelet_kubeconfig(),
        &render(&NAMES, &server, &ca, &user)?,
        0o600,
    )
}

/// Has the request signed; an error when that takes longer than two minutes.
async fn sign(client: Client, request: &str) -> Result<String> {
    let api: Api<CertificateSigningRequest> = Api::all(client);
    let object = json!({
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"generateName": "node-csr-"},
        "spec": {
            "signerName": SIGNER,
            "request": BASE64.encode(request),
            "usages": ["digital signature", "client auth"],
        },
    });
    let created = api
        .create(&PostParams::default(), &serde_json::from_value(object)?)
        .await?;
    let name = created.name_any();
    let deadline = Instant::now() + Duration::from_secs(120);
    while Instant::now() < deadline {
        let status = api.get(&name).await?.status.unwrap_or_default();
        if let Some(certificate) = status.certificate {
            return Ok(String::from_utf8(certificate.0)?);
        }
        if status
            .conditions
            .unwrap_or_default()
            .iter()
            .any(|one| one.type_ == "Denied" || one.type_ == "Failed")
        {
            bail!("certificate signing request {name} was denied");
        }
        sleep(Duration::from_millis(200)).await;
    }
    bail!("certificate signing request {name} was not signed in time")
}

/// Server and authority (PEM) of a kubeconfig's first cluster.
pub fn cluster_of(kubeconfig: &str) -> Result<(String, String)> {
    let parsed = Kubeconfig::from_yaml(kubeconfig)?;
    let cluster = parsed.clusters.into_iter().find_map(|cluster| cluster.cluster);
    let cluster = cluster.context("the kubeconfig names no cluster")?;
    let server = cluster.server.context("the kubeconfig names no server")?;
    let ca = match (cluster.certificate_authority_data, cluster.certificate_authority) {
        (Some(data), _) => String::from_utf8(BASE64.decode(data)?)?,
        (None, Some(file)) => std::fs::read_to_string(file)?,
        (None, None) => bail!("the kubeconfig carries no certificate authority"),
    };
    Ok((server, ca))
}

fn link(target: &Path, link: &Path) -> Result<()> {
    let _ = std::fs::remove_file(link);
    symlink(target, link).with_context(|| format!("{} cannot be made", link.display()))
}
