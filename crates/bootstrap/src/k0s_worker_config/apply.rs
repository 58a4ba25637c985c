//! Writes what was built: the token into the workload cluster first, so that no bootstrap data ever names a token
//! that does not exist.

use k0smotron_runtime::{Context, apply};

use super::{Error, build::Built, fetch::Inputs};
use crate::{data_secret, join_token};

/// Writes everything that was built.
pub async fn apply(built: Built, inputs: &Inputs, context: &Context) -> Result<(), Error> {
    let Built { token, data } = built;
    let workload = inputs.workload.as_ref().ok_or(Error::Incomplete)?;
    join_token::write(workload, &token).await.map_err(Error::Token)?;
    data_secret::apply(context, inputs.config.as_ref(), inputs.machine.as_deref(), &data)
        .await
        .map_err(|source: apply::Error| Error::Apply(source))
}
