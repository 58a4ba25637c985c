//! The webhook server: conversion and admission over HTTPS, its certificates, and API servers that trust them.
//!
//! Every replica of a manager serves. They share one Secret, and any of them makes, rotates and injects: each step is
//! decided from what is stored and written against the version that was read, so it does not matter who takes it.
//! What the answers are is not decided here but in [`k0smotron_api::conversion`] and [`k0smotron_api::validation`].
//!
//! | module | what it is for |
//! |---|---|
//! | [`server`], [`trial`] | the endpoints, their bounds, and objects created for trial |
//! | [`certificates`], [`secret`] | pairs and their rotation (pure), and where they are kept |
//! | [`injection`], [`trust`] | `caBundle`, kept as it should be |
//! | [`files`] | certificates that somebody else makes |

mod certificates;
mod files;
mod injection;
mod secret;
mod server;
mod trial;
mod trust;

use std::{
    collections::BTreeSet,
    future::Future,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    path::PathBuf,
};

use kube::Client;
use tokio::sync::watch;

pub use self::certificates::Schedule;
use self::injection::{Service, Target};
use crate::{
    definitions::Definitions,
    events::Events,
    metrics::Metrics,
    tls::{Certificate, Policy},
};

const FIELD_MANAGER: &str = "k0smotron-webhook";

/// What an installation's objects are called: by the names of `config/`, which are those of the original.
#[derive(Clone, Debug)]
pub struct Installation {
    /// Where Secret and Service are.
    pub namespace: String,
    /// What the names of a split installation end with, for example `-bootstrap`; empty for all in one.
    pub suffix: String,
    /// Names of the definitions that this deployment installs.
    pub definitions: BTreeSet<String>,
}

impl Installation {
    fn named(&self, name: &str) -> String {
        format!("k0smotron-{name}{}", self.suffix)
    }

    /// Name of the Secret with the server's certificate.
    pub fn secret(&self) -> String {
        self.named("webhook-server-cert")
    }

    fn service(&self) -> Service {
        (self.namespace.clone(), self.named("webhook-service"))
    }

    /// By what the server is called: its Service in the cluster, and loopback for a manager that runs beside an API
    /// server. The authority of a pair has signed nothing else, and is trusted by nobody but the API server, for
    /// webhooks of ours: a name of everybody's own host gives nobody anything.
    fn names(&self) -> Vec<String> {
        let (namespace, service) = self.service();
        vec![
            format!("{service}.{namespace}.svc"),
            format!("{service}.{namespace}.svc.cluster.local"),
            "localhost".to_owned(),
            "127.0.0.1".to_owned(),
            "::1".to_owned(),
        ]
    }

    fn targets(&self) -> BTreeSet<Target> {
        let definitions = self.definitions.iter().cloned().map(Target::Definition);
        definitions
            .chain([
                Target::Validating(self.named("validating-webhook-configuration")),
                Target::Mutating(self.named("mutating-webhook-configuration")),
            ])
            .collect()
    }
}

/// Where certificates come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Made, rotated and injected by the manager.
    Own(Schedule),
    /// `tls.crt` and `tls.key` in a directory; whoever put them there also injects.
    Files(PathBuf),
}

/// A webhook server to be run.
#[derive(Clone)]
pub struct Webhooks {
    pub client: Client,
    pub installation: Installation,
    pub source: Source,
    pub policy: Policy,
    pub definitions: Definitions,
    pub events: Events,
    pub metrics: Metrics,
}

impl Webhooks {
    /// Serves on `address` until `stop` resolves. `ready` becomes true once API servers can reach the server and trust
    /// it; what was so once is mended, but not taken back: an unready server would be no better reachable.
    ///
    /// # Errors
    /// When the address cannot be bound, or the TLS policy leaves nothing.
    pub async fn serve(
        self,
        address: SocketAddr,
        ready: watch::Sender<bool>,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        let listener = listen(address)?;
        let certificate = Certificate::default();
        let tls = self
            .policy
            .server_config(&certificate)
            .map_err(std::io::Error::other)?;
        let routes = server::routes(self.client.clone(), self.metrics.clone());
        let serving = server::serve(listener, tls, routes, stop);
        let keeping = async {
            match self.source.clone() {
                Source::Own(schedule) => trust::keep(&self, schedule, certificate, ready).await,
                Source::Files(directory) => {
                    files::follow(directory, self.policy.clone(), certificate, ready).await;
                }
            }
        };
        tokio::select! {
            result = serving => result,
            () = keeping => Ok(()),
        }
    }
}

/// Every interface means those of IPv4 alone where the host has no IPv6.
fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let listener = match TcpListener::bind(address) {
        Err(_) if address.ip() == Ipv6Addr::UNSPECIFIED => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port()))?
        }
        result => result?,
    };
    listener.set_nonblocking(true)?;
    Ok(listener)
}
