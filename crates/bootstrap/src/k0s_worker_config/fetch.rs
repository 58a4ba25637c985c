//! Reads everything that a worker's bootstrap data is made from.

use std::sync::Arc;

use jiff::Timestamp;
use k0smotron_api::{
    bootstrap::v1beta2::K0sWorkerConfig,
    capi::{Cluster, Machine},
    control_plane::v1beta2::K0sControlPlane,
    names::secrets as contract,
};
use k0smotron_k0s::{plan::File, token::BootstrapToken, version::Version};
use k0smotron_runtime::{Context, gates::FeatureGates, secrets, shared::Shared, workload::ClusterKey};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, Resource, ResourceExt};

use super::{
    Error,
    decide::{self, Observed, Sources},
};
use crate::{belonging, content, join_token, prerequisites::Owner, version};

/// The objects behind the facts.
#[derive(Clone)]
pub struct Inputs {
    pub config: Arc<K0sWorkerConfig>,
    /// The Machine, or what those of the pool are like.
    pub machine: Option<Arc<Machine>>,
    /// The config is for a pool.
    pub pool: bool,
    /// The token in the bootstrap data, and when a pool's next one is due.
    pub issued: Option<BootstrapToken>,
    pub rotation: Option<Timestamp>,
    pub cluster: Option<Arc<Cluster>>,
    pub now: Timestamp,
    pub version: Option<Version>,
    pub files: Vec<File>,
    /// The user's own user data.
    pub custom_user_data: Option<String>,
    pub gates: FeatureGates,
    /// Certificate of the cluster's CA.
    pub authority: Option<String>,
    /// Client of the workload cluster.
    pub workload: Option<Client>,
    /// What the workload cluster has for a token.
    pub token: Option<join_token::Found>,
}

impl Inputs {
    /// Whom the token is for.
    pub fn token_of(&self) -> join_token::For {
        if self.pool {
            join_token::For::pool_of(self.config.as_ref(), self.now)
        } else {
            join_token::For::machine_of(self.config.as_ref())
        }
    }
}

/// Reads what the config refers to, as far as it matters now.
pub async fn fetch(
    config: &Arc<K0sWorkerConfig>,
    context: &Context,
    clusters: &Shared<Cluster>,
) -> Result<(Inputs, Observed), Error> {
    let belonging = belonging::of(context, clusters, config.as_ref())
        .await
        .map_err(Error::Read)?;
    let cluster = belonging.cluster.clone();
    let mut observed = Observed {
        prerequisites: belonging.prerequisites,
        endpoint: cluster
            .as_ref()
            .is_some_and(|cluster| cluster.endpoint().is_some()),
        control_plane_initialized: cluster
            .as_ref()
            .is_some_and(|cluster| cluster.control_plane_initialized()),
        sources: None,
    };
    let mut inputs = Inputs {
        config: config.clone(),
        pool: matches!(observed.prerequisites.owner, Owner::Pool(_)),
        issued: belonging.token,
        rotation: belonging.rotation,
        machine: belonging.machine,
        cluster,
        now: Timestamp::now(),
        version: None,
        files: Vec::new(),
        custom_user_data: None,
        gates: context.gates,
        authority: None,
        workload: None,
        token: None,
    };
    if let Some(cluster) = &inputs.cluster
        && !observed.control_plane_initialized
        && observed.prerequisites.verdict().is_none()
    {
        observed.control_plane_initialized = control_plane_initialized(cluster, context).await?;
    }
    if decide::premature(&observed).is_none() {
        observed.sources = Some(sources(&mut inputs, context).await?);
    }
    Ok((inputs, observed))
}

/// What the control plane says of itself (contract C8), where it is one of ours. Cluster API repeats it on the Cluster,
/// but up to seconds later.
async fn control_plane_initialized(cluster: &Cluster, context: &Context) -> Result<bool, Error> {
    let reference = cluster.spec.control_plane_ref.as_ref();
    let ours =
        reference.filter(|reference| reference.is(&K0sControlPlane::group(&()), &K0sControlPlane::kind(&())));
    let Some(reference) = ours else { return Ok(false) };
    let api = context.api::<K0sControlPlane>(&cluster.namespace().unwrap_or_default());
    let plane = api.get_opt(&reference.name).await.map_err(Error::Read)?;
    let status = plane.and_then(|plane| plane.status);
    Ok(status.is_some_and(|status| status.control_plane_initialized()))
}

/// Looks for what the bootstrap data is made from; what is found goes into `inputs`.
async fn sources(inputs: &mut Inputs, context: &Context) -> Result<Sources, Error> {
    let mut sources = Sources::default();
    let config = inputs.config.clone();
    let spec = &config.spec;
    match version::of(spec.version.as_deref(), inputs.machine.as_deref()) {
        Ok(version) => inputs.version = version,
        Err(message) => sources.bad_version = Some(message),
    }
    let namespace = inputs.config.namespace().unwrap_or_default();
    match content::files(context, &namespace, &spec.files)
        .await
        .map_err(Error::Read)?
    {
        Ok(files) => inputs.files = files,
        Err(message) => sources.missing_content = Some(message),
    }
    let custom = spec
        .provisioner
        .as_ref()
        .and_then(|provisioner| provisioner.custom_user_data_ref.as_ref());
    match content::custom_user_data(context, &namespace, custom)
        .await
        .map_err(Error::Read)?
    {
        Ok(text) => inputs.custom_user_data = text,
        Err(message) => sources.missing_content = Some(message),
    }
    let cluster = inputs
        .cluster
        .as_ref()
        .map(|cluster| cluster.name_any())
        .unwrap_or_default();
    let name = contract::cluster_ca(&cluster);
    let api: Api<Secret> = context.api(&namespace);
    let secret = api.get_opt(&name).await.map_err(Error::Read)?;
    inputs.authority = secret.and_then(|secret| secrets::text(&secret, contract::TLS_CRT));
    if inputs.authority.is_none() {
        sources.missing_authority = Some(format!(
            "Secret {namespace}/{name} has no certificate under key {}",
            contract::TLS_CRT
        ));
    }
    let key = ClusterKey {
        namespace,
        name: cluster,
    };
    match join_token::look_up_in(&key, &inputs.token_of(), context).await {
        Ok((client, found)) => {
            sources.token_taken = matches!(found, join_token::Found::Taken);
            inputs.workload = Some(client);
            inputs.token = Some(found);
        }
        Err(message) => sources.unreachable = Some(message),
    }
    Ok(sources)
}
