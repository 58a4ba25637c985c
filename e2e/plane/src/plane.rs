//! A management plane with an instance number: started once, used by many programs, stopped completely.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::{Api, Client};

use crate::api_server::is_ready;
use crate::audit::{self, AuditLog};
use crate::kubeconfig::{self, Credential};
use crate::pki::Pki;
use crate::ports::Ports;
use crate::process::{Processes, Spec};
use crate::programs::{self, Programs};
use crate::wait::Patience;

const STATE: &str = "/var/lib/k0smotron-e2e";
const START_LIMIT: Duration = Duration::from_secs(60);

const ETCD: &str = "etcd";
const API_SERVER: &str = "kube-apiserver";
const CONTROLLER_MANAGER: &str = "kube-controller-manager";

/// etcd, kube-apiserver and kube-controller-manager of one instance.
///
/// They go on when this value is dropped and when the program ends; [`Plane::down`] ends them.
pub struct Plane {
    instance: u8,
    directory: PathBuf,
    ports: Ports,
    pub(crate) pki: Pki,
    pub(crate) processes: Processes,
    config: kube::Config,
}

impl Plane {
    /// Starts what does not run of `instance` (0 to 99) and waits until it serves; about 6 seconds from nothing.
    ///
    /// # Errors
    /// The state directory `/var/lib/k0smotron-e2e/<instance>/plane` cannot be written, the binaries cannot be built,
    /// or a process ends or is not ready within a minute (the message holds the end of its log).
    pub async fn up(instance: u8) -> Result<Self> {
        Self::up_in(Path::new(STATE), instance).await
    }

    /// As [`Plane::up`], with another place for the state than `/var/lib/k0smotron-e2e`.
    ///
    /// # Errors
    /// As [`Plane::up`].
    pub async fn up_in(state: &Path, instance: u8) -> Result<Self> {
        let programs = Programs::find().await?;
        let _lock = InstanceLock::take(state, instance).await?;
        let plane = Self::open(state, instance).await?;
        plane
            .start(&programs)
            .await
            .with_context(|| format!("cannot start management plane {instance}"))?;
        Ok(plane)
    }

    /// The plane that runs already.
    ///
    /// # Errors
    /// Instance `instance` was never started, or its API server does not run.
    pub async fn attach(instance: u8) -> Result<Self> {
        let state = Path::new(STATE);
        ensure!(
            directory(state, instance).is_dir(),
            "there is no management plane {instance}"
        );
        let plane = Self::open(state, instance).await?;
        plane.processes.check(API_SERVER)?;
        Ok(plane)
    }

    /// Ends every process of `instance`, the managers included, and removes its state. Nothing there is no error.
    ///
    /// # Errors
    /// A process cannot be ended, or the state directory not be removed.
    pub async fn down(instance: u8) -> Result<()> {
        Self::down_in(Path::new(STATE), instance).await
    }

    /// As [`Plane::down`], for [`Plane::up_in`].
    ///
    /// # Errors
    /// As [`Plane::down`].
    pub async fn down_in(state: &Path, instance: u8) -> Result<()> {
        let directory = directory(state, instance);
        if !directory.is_dir() {
            return Ok(());
        }
        let lock = InstanceLock::take(state, instance).await?;
        let processes = Processes::open(directory.join("run"))?;
        let mut names = processes.names()?;
        // Clients before their servers, so that they end in order instead of complaining.
        names.sort_by_key(|name| {
            [CONTROLLER_MANAGER, API_SERVER, ETCD]
                .iter()
                .position(|last| last == name)
        });
        for name in names {
            processes
                .stop(&name)
                .await
                .with_context(|| format!("cannot stop {name}"))?;
        }
        fs::remove_dir_all(&directory).with_context(|| format!("cannot remove {}", directory.display()))?;
        lock.remove()
    }

    async fn open(state: &Path, instance: u8) -> Result<Self> {
        let ports = Ports::of(instance)?;
        let directory = directory(state, instance);
        let pki = Pki::open(directory.join("pki"))?;
        let kubeconfig = directory.join("admin.kubeconfig");
        let name = format!("k0smotron-e2e-{instance}");
        kubeconfig::write(
            &kubeconfig,
            &name,
            ports.api_server(),
            &pki,
            Credential::Certificate(pki.admin()),
        )?;
        let config = kubeconfig::load(&kubeconfig).await?;
        let processes = Processes::open(directory.join("run"))?;
        Ok(Self {
            instance,
            directory,
            ports,
            pki,
            processes,
            config,
        })
    }

    async fn start(&self, programs: &Programs) -> Result<()> {
        let ports = self.ports;
        let data = self.directory.join("etcd");
        let args = programs::etcd(&data, ports.etcd_client(), ports.etcd_peer());
        self.processes
            .ensure(&Spec::new(ETCD, programs.etcd(), args))
            .await?;

        let mut args = programs::api_server(&self.pki, ports.api_server(), ports.etcd_client());
        args.extend(audit::arguments(&self.directory)?);
        // As some distributions have it: an owner reference that blocks deletion needs a right on its owner (G3).
        args.push("--enable-admission-plugins=OwnerReferencesPermissionEnforcement".to_owned());
        self.processes
            .ensure(&Spec::new(API_SERVER, programs.api_server(), args))
            .await?;
        let client = self.client()?;
        let patience = Patience::new("kube-apiserver is ready", START_LIMIT);
        while !is_ready(&client).await {
            self.processes.check(ETCD)?;
            self.processes.check(API_SERVER)?;
            patience.wait().await?;
        }

        let kubeconfig = self.directory.join("controller-manager.kubeconfig");
        let credential = Credential::Certificate(self.pki.controller_manager());
        kubeconfig::write(
            &kubeconfig,
            CONTROLLER_MANAGER,
            ports.api_server(),
            &self.pki,
            credential,
        )?;
        let scratch = self.directory.join("controller-manager");
        let args = programs::controller_manager(&self.pki, &kubeconfig, ports.controller_manager(), &scratch);
        self.processes
            .ensure(&Spec::new(
                CONTROLLER_MANAGER,
                programs.controller_manager(),
                args,
            ))
            .await?;
        let accounts: Api<ServiceAccount> = Api::namespaced(client, "default");
        let patience = Patience::new(
            "kube-controller-manager made the default ServiceAccount",
            START_LIMIT,
        );
        while accounts.get_opt("default").await?.is_none() {
            self.processes.check(CONTROLLER_MANAGER)?;
            patience.wait().await?;
        }
        Ok(())
    }

    /// The number that tells this plane from the others on the same machine.
    #[must_use]
    pub fn instance(&self) -> u8 {
        self.instance
    }

    /// Who listens where on 127.0.0.1.
    #[must_use]
    pub fn ports(&self) -> Ports {
        self.ports
    }

    /// A kubeconfig file with every right, mode 0600.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.directory.join("admin.kubeconfig")
    }

    /// Everything of this plane; the logs are `run/<name>.log`, the write requests `audit.log`.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A client with every right.
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

    /// Who wrote what.
    #[must_use]
    pub fn audit(&self) -> AuditLog {
        AuditLog::of(&self.directory)
    }
}

fn directory(state: &Path, instance: u8) -> PathBuf {
    state.join(instance.to_string()).join("plane")
}

/// One program at a time starts or stops an instance.
struct InstanceLock {
    file: File,
    path: PathBuf,
}

impl InstanceLock {
    async fn take(state: &Path, instance: u8) -> Result<Self> {
        let directory = state.join(instance.to_string());
        loop {
            fs::create_dir_all(&directory)
                .with_context(|| format!("cannot make {} (this needs root)", directory.display()))?;
            let path = directory.join("plane.lock");
            let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
            let lock = file.try_clone()?;
            tokio::task::spawn_blocking(move || lock.lock())
                .await?
                .context("cannot lock the instance")?;
            // Who held it before may have removed it, and then somebody else holds another file of this name.
            if fs::metadata(&path)
                .is_ok_and(|found| Some(found.ino()) == file.metadata().ok().map(|m| m.ino()))
            {
                return Ok(Self { file, path });
            }
        }
    }

    /// Removes the file too, and the directory of the instance unless others still use it.
    fn remove(self) -> Result<()> {
        fs::remove_file(&self.path).with_context(|| format!("cannot remove {}", self.path.display()))?;
        if let Some(directory) = self.path.parent() {
            // Refused while the machines of the same instance have their state there.
            let _in_use = fs::remove_dir(directory);
        }
        drop(self.file);
        Ok(())
    }
}
