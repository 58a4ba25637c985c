//! Makes token and bootstrap data. Pure but for the random half of a new token.

use k0smotron_k0s::{cloud_config, installation::Installation, token, worker::WorkerInstall};
use k0smotron_runtime::workload::api_server_url;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;

use super::{Error, fetch::Inputs};
use crate::{
    data_secret,
    join_token::{self, Role},
};

/// What was built and is not written yet.
pub struct Built {
    /// The token's Secret for the workload cluster, unless it has one that will do.
    pub token: Option<Secret>,
    /// The bootstrap data's Secret.
    pub data: Secret,
}

/// Makes the Secrets. Everything that `decide` asked for is in `inputs`.
pub fn build(inputs: &Inputs) -> Result<Built, Error> {
    let config = &inputs.config;
    let (Some(machine), Some(cluster), Some(authority), Some(found)) =
        (&inputs.machine, &inputs.cluster, &inputs.authority, &inputs.token)
    else {
        return Err(Error::Incomplete);
    };
    let (host, port) = cluster.endpoint().ok_or(Error::Incomplete)?;
    let owner = join_token::For {
        namespace: config.namespace().unwrap_or_default(),
        name: config.name_any(),
    };
    let issued = join_token::issue(found, &owner, Role::Worker, inputs.now).map_err(Error::Join)?;
    let (token, token_secret) = issued.ok_or(Error::Incomplete)?;
    let join_token = token::join_token(&api_server_url(host, port), authority, token::WORKER_USER, &token)
        .map_err(Error::Join)?;
    let spec = &config.spec;
    let plan = WorkerInstall {
        installation: Installation {
            version: inputs.version.clone(),
            download_url: spec.download_url.clone().unwrap_or_default(),
            preinstalled: spec.pre_installed_k0s,
            install_dir: spec.k0s_install_dir.clone(),
            working_dir: spec.working_dir.clone().unwrap_or_default(),
            machine_name: machine.name_any(),
            use_system_hostname: spec.use_system_hostname,
            args: spec.args.clone(),
            pre_commands: spec.pre_k0s_commands.clone(),
            post_commands: spec.post_k0s_commands.clone(),
            files: inputs.files.clone(),
        },
        join_token,
    }
    .plan()
    .map_err(Error::Plan)?;
    let payload = cloud_config::render(&plan, inputs.custom_user_data.as_deref()).map_err(Error::Render)?;
    let metadata = spec.secret_metadata.as_ref();
    let data = data_secret::build(config.as_ref(), &cluster.name_any(), &payload, metadata);
    Ok(Built {
        token: token_secret,
        data,
    })
}
