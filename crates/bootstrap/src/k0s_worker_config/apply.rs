//! Writes what was built: the token into the workload cluster first, so that no bootstrap data ever names a token
//! that does not exist.

use k0smotron_runtime::{Context, apply};

use super::{Error, build::Built, fetch::Inputs};
use crate::{data_secret, join_token};

/// Writes everything that was built.
pub async fn apply(built: Built, inputs: &Inputs, context: &Context) -> Result<(), Error> {
    let Built { token, data } = built;
    if let (Some(token), Some(workload)) = (&token, &inputs.workload) {
        join_token::write(workload, token).await.map_err(Error::Token)?;
    }
    data_secret::apply(context, &data)
        .await
        .map_err(|source: apply::Error| Error::Apply(source))
}
