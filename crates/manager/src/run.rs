//! Puts the process together: client, endpoints, leases, controllers.

use std::{future::Future, net::SocketAddr, time::Duration};

use anyhow::Context as _;
use futures::{
    FutureExt,
    future::{self, BoxFuture},
};
use k0smotron_api::{
    capi::{Cluster, Machine},
    webhooks::{KINDS, Kind},
};
use k0smotron_runtime::{
    Context, Scope,
    definitions::Definitions,
    leadership::{self, Candidate},
    migration::Migration,
    server::{self, Readiness},
    shared::Shared,
    tls::Policy,
    webhook::{Installation, Schedule, Source, Webhooks},
};
use kube::{Client, Config, config::Kubeconfig, runtime::watcher};
use tokio::sync::watch;

use crate::options::{Controllers, Options};

/// How long requests that are under way are waited for at the end.
const DRAIN: Duration = Duration::from_secs(5);
/// Lease of the controller that writes provider IDs: bootstrap and infrastructure both bring it, one of them runs it.
const PROVIDER_ID_LEASE: &str = "provider-id.k0smotron.io";

/// Runs until `stop` resolves.
///
/// # Errors
/// When the process cannot do its work: no API server, an address in use, a lost lease.
pub async fn run(options: Options, stop: impl Future<Output = ()> + Send + 'static) -> anyhow::Result<()> {
    let gates = options.feature_gates.parse().map_err(anyhow::Error::msg)?;
    let client = client(&options).await?;
    let candidate = candidate();
    let scope = Scope {
        namespace: non_empty(&options.namespace),
        watch_filter: non_empty(&options.watch_filter),
    };
    let mut context = Context::new(client.clone(), scope, &candidate.identity);
    context.concurrency = options.concurrency;
    context.gates = gates;

    let stop = stop.shared();
    let readiness = Readiness::default();
    let mut endpoints: Vec<BoxFuture<'_, anyhow::Result<()>>> = Vec::new();
    if let Some(address) = options.health_probe_bind_address.0 {
        let serving = server::serve(address, server::health(readiness.clone()), stop.clone());
        endpoints.push(
            async move {
                serving
                    .await
                    .with_context(|| format!("health endpoint {address}"))
            }
            .boxed(),
        );
    }
    let policy = options.tls()?;
    let (address, insecure) = options.diagnostics();
    if let Some(address) = address.0 {
        let routes = server::metrics(context.metrics.clone());
        let serving: BoxFuture<'_, std::io::Result<()>> = if insecure {
            server::serve(address, routes, stop.clone()).boxed()
        } else {
            server::serve_to_authorized(address, routes, client.clone(), policy.clone(), stop.clone()).boxed()
        };
        endpoints.push(
            async move {
                serving
                    .await
                    .with_context(|| format!("metrics endpoint {address}"))
            }
            .boxed(),
        );
    }
    let definitions = Definitions::watch(&client);
    let (trusted, is_trusted) = watch::channel(options.webhook_port == 0);
    if options.webhook_port != 0 {
        let address = SocketAddr::from(([0; 8], options.webhook_port));
        let webhooks = webhooks(&options, &context, &candidate.namespace, policy, &definitions);
        let serving = webhooks.serve(address, trusted, stop.clone());
        endpoints
            .push(async move { serving.await.with_context(|| format!("webhook server {address}")) }.boxed());
    }
    // Followed while not leading too, so that a new leader knows the world at once.
    let followed = Followed::new(&context);
    tokio::spawn(become_ready(readiness, is_trusted.clone()));
    let migration = Migration {
        client: client.clone(),
        kinds: kinds(&options.enable_controller).collect(),
        definitions,
        events: context.events.clone(),
        skipped: options.skip_crd_migration_phases,
        convertible: is_trusted,
    };

    let work = lead(
        &options,
        &context,
        client,
        &candidate,
        &followed,
        migration,
        stop.clone(),
    );
    // Nothing to serve is over at once, and no reason to end.
    let serves = !endpoints.is_empty();
    let mut serving = future::try_join_all(endpoints);
    tokio::select! {
        result = work => result?,
        result = &mut serving, if serves => return result.map(drop),
    }
    // The work ended because it was to end: what API servers have asked is still answered.
    if serves {
        let _ = tokio::time::timeout(DRAIN, serving).await;
    }
    Ok(())
}

/// Ready once API servers reach and trust the webhooks: before, writes of our kinds fail.
async fn become_ready(readiness: Readiness, mut is_trusted: watch::Receiver<bool>) {
    // An error is the end of the webhook server, which is told by itself.
    if is_trusted.wait_for(|trusted| *trusted).await.is_ok() {
        readiness.set(true);
    }
}

fn webhooks(
    options: &Options,
    context: &Context,
    namespace: &str,
    policy: Policy,
    definitions: &Definitions,
) -> Webhooks {
    let source = match options.mounted_certificates() {
        Some(directory) => Source::Files(directory),
        None => Source::Own(Schedule::default()),
    };
    Webhooks {
        client: context.client.clone(),
        installation: installation(&options.enable_controller, namespace),
        source,
        policy,
        definitions: definitions.clone(),
        events: context.events.clone(),
        metrics: context.metrics.clone(),
    }
}

/// The objects that are installed with a manager of these controllers in this namespace.
pub fn installation(enabled: &Controllers, namespace: &str) -> Installation {
    Installation {
        namespace: namespace.to_owned(),
        suffix: enabled.suffix(),
        definitions: kinds(enabled).map(Kind::definition).collect(),
    }
}

/// The kinds that are installed with a manager of these controllers.
fn kinds(enabled: &Controllers) -> impl Iterator<Item = &'static Kind> {
    KINDS.iter().filter(|kind| {
        let standalone = kind.group == "k0smotron.io" && enabled.run_standalone();
        standalone || enabled.run(kind.provider.name())
    })
}

/// Runs the enabled controllers, under leases if asked to.
async fn lead(
    options: &Options,
    context: &Context,
    client: Client,
    candidate: &Candidate,
    followed: &Followed,
    migration: Migration,
    stop: impl Future<Output = ()> + Clone,
) -> anyhow::Result<()> {
    let enabled = &options.enable_controller;
    let controllers = async {
        tokio::join!(controllers(context, enabled, followed), migration.run());
    };
    if !options.leader_elect {
        tokio::select! {
            () = controllers => {}
            () = provider_ids(context, enabled, followed) => {}
            () = stop => {}
        }
        return Ok(());
    }
    let lease = enabled.lease();
    let main = leadership::lead(client.clone(), candidate, &lease, controllers, stop.clone());
    let provider_ids = async {
        // Whoever does not run them must not hold their lease.
        if !runs_provider_ids(enabled) {
            return Ok(());
        }
        let work = provider_ids(context, enabled, followed);
        leadership::lead(client, candidate, PROVIDER_ID_LEASE, work, stop).await
    };
    // Losing either ends the process: what it spawned must not outlive its leadership.
    future::try_join(main, provider_ids).await?;
    Ok(())
}

/// The enabled controllers, provider IDs apart. Ends when dropped.
pub async fn controllers(context: &Context, enabled: &Controllers, followed: &Followed) {
    let Followed { clusters, machines } = followed;
    let mut all = Vec::new();
    if enabled.run("bootstrap") {
        all.extend(k0smotron_bootstrap::controllers(context, clusters, machines));
    }
    if enabled.run("control-plane") {
        all.extend(k0smotron_control_plane::controllers(context, clusters, machines));
        all.extend(k0smotron_hosted::cluster_api(context, clusters, machines));
    }
    if enabled.run_standalone() {
        all.extend(k0smotron_hosted::standalone(context));
    }
    if enabled.run("infrastructure") {
        all.extend(k0smotron_infrastructure::controllers(context, clusters, machines));
    }
    future::join_all(all).await;
}

/// The controller of provider IDs, where it is enabled.
pub async fn provider_ids(context: &Context, enabled: &Controllers, followed: &Followed) {
    if !runs_provider_ids(enabled) {
        return future::pending().await;
    }
    let Followed { clusters, machines } = followed;
    future::join_all(k0smotron_bootstrap::provider_ids(context, clusters, machines)).await;
}

fn runs_provider_ids(enabled: &Controllers) -> bool {
    enabled.run("bootstrap") || enabled.run("infrastructure")
}

/// The kinds of Cluster API core that several controllers follow.
pub struct Followed {
    clusters: Shared<Cluster>,
    machines: Shared<Machine>,
}

impl Followed {
    /// Starts the watches.
    pub fn new(context: &Context) -> Self {
        let config = || watcher::Config::default().page_size(100);
        Self {
            clusters: Shared::watch(context, config()),
            machines: Shared::watch(context, config()),
        }
    }
}

async fn client(options: &Options) -> anyhow::Result<Client> {
    let mut config = match &options.kubeconfig {
        Some(path) => {
            let kubeconfig = Kubeconfig::read_from(path)
                .with_context(|| format!("failed to read kubeconfig {}", path.display()))?;
            Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await?
        }
        None => Config::infer()
            .await
            .context("no kubeconfig and not in a Pod; see --kubeconfig")?,
    };
    config.connect_timeout = Some(Duration::from_secs(5));
    // Retries are per object, bounded and visible; the client's own would hold a worker for minutes.
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}

/// Who this process is to other candidates. A Pod's name alone when the Deployment gives it: its container ended before
/// it is started again, so after a crash the lease is taken up at once. Anything else gets a suffix, since two
/// processes must never share an identity.
fn candidate() -> Candidate {
    let variable = |name| std::env::var(name).ok().and_then(|value| non_empty(&value));
    let mounted = || {
        std::fs::read_to_string("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
            .ok()
            .and_then(|text| non_empty(text.trim()))
    };
    let suffixed = || {
        let name = variable("HOSTNAME").unwrap_or_else(|| "manager".to_owned());
        format!("{name}_{:08x}", rand::random::<u32>())
    };
    Candidate {
        namespace: variable("POD_NAMESPACE")
            .or_else(mounted)
            .unwrap_or_else(|| "k0smotron".to_owned()),
        identity: variable("POD_NAME").unwrap_or_else(suffixed),
    }
}

fn non_empty(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
