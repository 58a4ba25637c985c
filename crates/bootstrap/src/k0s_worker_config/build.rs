//! Makes token and bootstrap data. Pure but for the random half of a new token.

use k0smotron_api::bootstrap::v1beta2::Platform;
use k0smotron_k0s::{installation::Installation, token, worker::WorkerInstall};
use k0smotron_runtime::workload::api_server_url;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;

use super::{Error, fetch::Inputs};
use crate::{
    data_secret,
    join_token::{self, Role},
    payload,
};

/// What was built and is not written yet.
pub struct Built {
    /// The token's Secret for the workload cluster.
    pub token: Secret,
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
    let issued =
        join_token::issue(found, &inputs.token_of(), Role::Worker, inputs.now).map_err(Error::Join)?;
    let issued = issued.ok_or(Error::Incomplete)?;
    let url = api_server_url(host, port);
    let join_token =
        token::join_token(&url, authority, token::WORKER_USER, &issued.token).map_err(Error::Join)?;
    let spec = &config.spec;
    let worker = WorkerInstall {
        installation: Installation {
            version: inputs.version.clone(),
            download_url: spec.download_url.clone().unwrap_or_default(),
            preinstalled: spec.pre_installed_k0s,
            install_dir: spec.k0s_install_dir.clone(),
            working_dir: spec.working_dir.clone().unwrap_or_default(),
            machine_name: machine.name_any(),
            // The machines of a pool cannot all have its name.
            use_system_hostname: spec.use_system_hostname || inputs.pool,
            args: spec.args.clone(),
            pre_commands: spec.pre_k0s_commands.clone(),
            post_commands: spec.post_k0s_commands.clone(),
            files: inputs.files.clone(),
        },
        join_token,
    };
    let platform = spec.provisioner.as_ref().map(|provisioner| provisioner.platform);
    let steps = match platform.unwrap_or_default() {
        Platform::Linux => worker.steps(),
        Platform::Windows => worker.windows_steps(),
    };
    let steps = steps.map_err(Error::Plan)?;
    let payload = payload::make(
        spec.provisioner.as_ref(),
        steps,
        inputs.custom_user_data.as_deref(),
        inputs.gates,
    )
    .map_err(Error::Payload)?;
    let metadata = spec.secret_metadata.as_ref();
    let data = data_secret::build(
        config.as_ref(),
        &cluster.name_any(),
        &payload,
        Some(&issued),
        metadata,
    );
    Ok(Built {
        token: issued.secret,
        data,
    })
}
