//! Makes the bootstrap data of founders and of controllers that join. Pure but for the random half of a new token.

use k0smotron_k0s::{
    controller::{ControllerInstall, ControllerRole},
    installation::Installation,
    token,
};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;

use super::{
    Error,
    decide::Step,
    fetch::{Inputs, founder_value, token_of},
};
use crate::{
    data_secret,
    join_token::{self, Issued, Role},
    payload,
};

/// What was built and is not written yet.
pub struct Built {
    /// The founder's appointment, to be written first; none when it stands already.
    pub appointment: Option<String>,
    /// The token's Secret for the workload cluster; a founder has none.
    pub token: Option<Secret>,
    /// The bootstrap data's Secret.
    pub data: Secret,
}

/// Makes the Secrets. Everything that `decide` asked for is in `inputs`.
pub fn build(inputs: &Inputs, step: &Step) -> Result<Built, Error> {
    let (Some(machine), Some(cluster)) = (&inputs.machine, &inputs.cluster) else {
        return Err(Error::Incomplete);
    };
    let (role, issued) = match step {
        Step::Join => join(inputs).map(|(role, issued)| (role, Some(issued)))?,
        Step::Found { .. } | Step::Say(_) | Step::Remove => {
            let pki = inputs.pki.clone().ok_or(Error::Incomplete)?;
            (ControllerRole::Initial(Box::new(pki)), None)
        }
    };
    let spec = &inputs.config.spec.config;
    let steps = ControllerInstall {
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
        role,
        k0s_config: spec.k0s.clone(),
        extra_files: Vec::new(),
    }
    .steps()
    .map_err(Error::Plan)?;
    let payload = payload::make(
        spec.provisioner.as_ref(),
        steps,
        inputs.custom_user_data.as_deref(),
        inputs.gates,
    )
    .map_err(Error::Payload)?;
    let metadata = spec.secret_metadata.as_ref();
    let data = data_secret::build(
        inputs.config.as_ref(),
        &cluster.name_any(),
        &payload,
        issued.as_ref(),
        metadata,
    );
    Ok(Built {
        appointment: (*step == Step::Found { appoint: true }).then(|| founder_value(machine)),
        token: issued.map(|issued| issued.secret),
        data,
    })
}

/// The part of a controller that joins, and its token. No key goes with it.
fn join(inputs: &Inputs) -> Result<(ControllerRole, Issued), Error> {
    let (Some(found), Some(peer), Some(authority)) = (&inputs.token, &inputs.peer, &inputs.authority) else {
        return Err(Error::Incomplete);
    };
    let owner = token_of(&inputs.config);
    let issued = join_token::issue(found, &owner, Role::Controller, inputs.now).map_err(Error::Join)?;
    let issued = issued.ok_or(Error::Incomplete)?;
    let join_token =
        token::join_token(peer, authority, token::CONTROLLER_USER, &issued.token).map_err(Error::Join)?;
    Ok((ControllerRole::Joining { join_token }, issued))
}
