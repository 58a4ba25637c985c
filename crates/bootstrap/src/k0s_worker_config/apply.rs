//! Writes what was built: the token into the workload cluster first, so that no bootstrap data ever names a token
//! that does not exist.

use k0smotron_runtime::{Context, apply};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};

use super::{Error, build::Built, fetch::Inputs};
use crate::{data_secret, join_token};
use k0smotron_api::names::field_managers;

/// Writes everything that was built.
pub async fn apply(built: Built, inputs: &Inputs, context: &Context) -> Result<(), Error> {
    let Built { token, data } = built;
    if let (Some(token), Some(workload)) = (&token, &inputs.workload) {
        let api: Api<Secret> = Api::namespaced(workload.clone(), join_token::NAMESPACE);
        let parameters = PatchParams::apply(field_managers::BOOTSTRAP).force();
        api.patch(&token.name_any(), &parameters, &Patch::Apply(token))
            .await
            .map_err(Error::Token)?;
    }
    data_secret::apply(context, &data)
        .await
        .map_err(|source: apply::Error| Error::Apply(source))
}
