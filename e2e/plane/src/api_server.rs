//! etcd and kube-apiserver for API tests: nothing but the API, gone when dropped.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use kube::Client;
use tempfile::TempDir;

use crate::kubeconfig::{self, Credential};
use crate::pki::Pki;
use crate::programs::{self, Programs};
use crate::tethered::Tethered;
use crate::wait::Patience;
use crate::{manifests, ports};

const START_LIMIT: Duration = Duration::from_secs(60);
/// A port found free can be taken by somebody else before it is used.
const ATTEMPTS: usize = 3;

/// What differs from the bare API server.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Directories of CustomResourceDefinitions (`*.yaml`) that are served before [`ApiServer::start`] returns.
    pub crds: Vec<PathBuf>,
    /// Further arguments of kube-apiserver; they come last, and so win.
    pub arguments: Vec<String>,
}

/// A running API server. There is no controller: no garbage collection, no deletion of namespaces.
pub struct ApiServer {
    // In order of dropping: the server before its store, the files last.
    _api_server: Tethered,
    _etcd: Tethered,
    config: kube::Config,
    directory: TempDir,
}

impl ApiServer {
    /// Starts one on free ports of 127.0.0.1; 3 to 5 seconds once the binaries are built.
    ///
    /// # Errors
    /// The binaries cannot be built, or do not come up within a minute (the message holds the end of the log).
    pub async fn start(options: &Options) -> Result<Self> {
        let programs = Programs::find().await?;
        let mut attempt = 1;
        let server = loop {
            match Self::try_start(&programs, options).await {
                Err(_) if attempt < ATTEMPTS => attempt += 1,
                result => break result.context("cannot start an API server")?,
            }
        };
        let client = server.client()?;
        for directory in &options.crds {
            manifests::apply_crds(&client, directory).await?;
        }
        Ok(server)
    }

    async fn try_start(programs: &Programs, options: &Options) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("k0smotron-api-").tempdir()?;
        let path = directory.path();
        let pki = Pki::open(path.join("pki"))?;
        let (port, etcd_port) = (ports::free()?, ports::free()?);

        let args = programs::etcd(&path.join("etcd"), etcd_port, 0);
        let mut etcd = Tethered::start("etcd", &programs.etcd(), &args, path.join("etcd.log"))?;
        let mut args = programs::api_server(&pki, port, etcd_port);
        // Nobody makes the default ServiceAccounts here, without which no Pod is admitted.
        args.push("--disable-admission-plugins=ServiceAccount".to_owned());
        args.extend(options.arguments.iter().cloned());
        let log = path.join("kube-apiserver.log");
        let mut api_server = Tethered::start("kube-apiserver", &programs.api_server(), &args, log)?;

        let kubeconfig = path.join("admin.kubeconfig");
        kubeconfig::write(
            &kubeconfig,
            "api-test",
            port,
            &pki,
            Credential::Certificate(pki.admin()),
        )?;
        let config = kubeconfig::load(&kubeconfig).await?;
        let client = Client::try_from(config.clone())?;
        let patience = Patience::new("kube-apiserver is ready", START_LIMIT);
        while !is_ready(&client).await {
            etcd.check()?;
            api_server.check()?;
            patience.wait().await?;
        }
        Ok(Self {
            _api_server: api_server,
            _etcd: etcd,
            config,
            directory,
        })
    }

    /// A client with every right. It belongs to the runtime it was made in: make one for each test.
    ///
    /// # Errors
    /// The TLS configuration is refused.
    pub fn client(&self) -> Result<Client> {
        Ok(Client::try_from(self.config.clone())?)
    }

    /// For clients with another middleware stack.
    #[must_use]
    pub fn config(&self) -> kube::Config {
        self.config.clone()
    }

    /// A kubeconfig file with every right, valid as long as this value.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.directory().join("admin.kubeconfig")
    }

    /// Holds the logs `etcd.log` and `kube-apiserver.log`.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

/// Whether `/readyz` says yes; not listening yet is a no.
pub(crate) async fn is_ready(client: &Client) -> bool {
    let Ok(request) = http::Request::get("/readyz").body(Vec::new()) else {
        return false;
    };
    client
        .request_text(request)
        .await
        .is_ok_and(|answer| answer == "ok")
}
