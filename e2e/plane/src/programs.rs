//! Command lines of the Kubernetes control plane: what both kinds of plane have in common, and what only one has.

use std::path::{Path, PathBuf};

use anyhow::Result;
use k0smotron_e2e_components::{Component, ensure};

use crate::pki::Pki;

/// The binaries a plane is made of, built on first use.
pub(crate) struct Programs {
    kubernetes: PathBuf,
    etcd: PathBuf,
}

impl Programs {
    /// Runs builds of several minutes when the cache is empty, hence on a thread for blocking work.
    pub(crate) async fn find() -> Result<Self> {
        tokio::task::spawn_blocking(|| {
            Ok(Self {
                kubernetes: ensure(Component::Kubernetes)?,
                etcd: ensure(Component::Etcd)?,
            })
        })
        .await?
    }

    pub(crate) fn etcd(&self) -> PathBuf {
        self.etcd.join("etcd")
    }

    pub(crate) fn api_server(&self) -> PathBuf {
        self.kubernetes.join("kube-apiserver")
    }

    pub(crate) fn controller_manager(&self) -> PathBuf {
        self.kubernetes.join("kube-controller-manager")
    }
}

/// etcd without TLS on loopback. No fsync: nothing here has to survive a loss of power. `peer` may be 0.
pub(crate) fn etcd(data: &Path, client: u16, peer: u16) -> Vec<String> {
    vec![
        format!("--data-dir={}", data.display()),
        format!("--listen-client-urls=http://127.0.0.1:{client}"),
        format!("--advertise-client-urls=http://127.0.0.1:{client}"),
        format!("--listen-peer-urls=http://127.0.0.1:{peer}"),
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
        "--quota-backend-bytes=4294967296".to_owned(),
        "--auto-compaction-mode=periodic".to_owned(),
        "--auto-compaction-retention=10m".to_owned(),
    ]
}

/// kube-apiserver with RBAC, certificates for users and signed tokens for ServiceAccounts.
pub(crate) fn api_server(pki: &Pki, port: u16, etcd: u16) -> Vec<String> {
    let serving = pki.api_server();
    vec![
        format!("--etcd-servers=http://127.0.0.1:{etcd}"),
        "--bind-address=127.0.0.1".to_owned(),
        "--advertise-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        // It refuses to publish a loopback address, and nobody here looks for the API server by its Service.
        "--endpoint-reconciler-type=none".to_owned(),
        "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
        format!("--client-ca-file={}", pki.ca().display()),
        format!("--tls-cert-file={}", serving.certificate.display()),
        format!("--tls-private-key-file={}", serving.key.display()),
        "--authorization-mode=RBAC".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!(
            "--service-account-key-file={}",
            pki.service_account_public_key().display()
        ),
        format!(
            "--service-account-signing-key-file={}",
            pki.service_account_key().display()
        ),
        "--allow-privileged=true".to_owned(),
        "--profiling=false".to_owned(),
    ]
}

/// kube-controller-manager with its default controllers: garbage collection, namespaces, aggregated roles and
/// ServiceAccounts are what Cluster API needs of it.
pub(crate) fn controller_manager(pki: &Pki, kubeconfig: &Path, port: u16, scratch: &Path) -> Vec<String> {
    vec![
        format!("--kubeconfig={}", kubeconfig.display()),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        format!("--cert-dir={}", scratch.display()),
        "--leader-elect=false".to_owned(),
        "--use-service-account-credentials=true".to_owned(),
        format!(
            "--service-account-private-key-file={}",
            pki.service_account_key().display()
        ),
        format!("--root-ca-file={}", pki.ca().display()),
        // Defaults meant for busy clusters make the deletion of a whole cluster wait for the client's own limiter.
        "--kube-api-qps=200".to_owned(),
        "--kube-api-burst=400".to_owned(),
        "--profiling=false".to_owned(),
    ]
}
