//! Makes the founder's bootstrap data. Pure.

use k0smotron_k0s::{
    cloud_config,
    controller::{ControllerInstall, ControllerRole},
    installation::Installation,
};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;

use super::{
    Error,
    fetch::{Inputs, founder_value},
};
use crate::data_secret;

/// What was built and is not written yet.
pub struct Built {
    /// The appointment to be written first; none when it stands already.
    pub appointment: Option<String>,
    /// The bootstrap data's Secret.
    pub data: Secret,
}

/// Makes the Secret. Everything that `decide` asked for is in `inputs`.
pub fn build(inputs: &Inputs, appoint: bool) -> Result<Built, Error> {
    let (Some(machine), Some(cluster), Some(pki)) = (&inputs.machine, &inputs.cluster, &inputs.pki) else {
        return Err(Error::Incomplete);
    };
    let spec = &inputs.config.spec.config;
    let plan = ControllerInstall {
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
        role: ControllerRole::Initial(Box::new(pki.clone())),
        k0s_config: spec.k0s.clone(),
        extra_files: Vec::new(),
    }
    .plan()
    .map_err(Error::Plan)?;
    let payload = cloud_config::render(&plan, inputs.custom_user_data.as_deref()).map_err(Error::Render)?;
    let metadata = spec.secret_metadata.as_ref();
    let data = data_secret::build(inputs.config.as_ref(), &cluster.name_any(), &payload, metadata);
    Ok(Built {
        appointment: appoint.then(|| founder_value(machine)),
        data,
    })
}
