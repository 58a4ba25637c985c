//! Writes what was built: the appointment first, because a second founder must see it before it has data of its own; a
//! token before the data that names it.

use std::collections::BTreeMap;

use k0smotron_api::{capi::Cluster, names::annotations};
use k0smotron_runtime::{Context, metadata};
use kube::ResourceExt;

use super::{Error, build::Built, fetch::Inputs};
use crate::{data_secret, join_token};

/// Writes everything that was built.
pub async fn apply(built: Built, inputs: &Inputs, context: &Context) -> Result<(), Error> {
    let Built {
        appointment,
        token,
        data,
    } = built;
    if let (Some(token), Some(workload)) = (&token, &inputs.workload) {
        join_token::write(workload, token).await.map_err(Error::Token)?;
    }
    if let (Some(machine), Some(cluster)) = (appointment, &inputs.cluster) {
        let api = context.api::<Cluster>(&cluster.namespace().unwrap_or_default());
        let change = BTreeMap::from([(annotations::FOUNDING_MACHINE, Some(machine))]);
        metadata::annotate(&api, cluster.as_ref(), &change)
            .await
            .map_err(Error::Appoint)?;
    }
    data_secret::apply(context, inputs.config.as_ref(), inputs.machine.as_deref(), &data)
        .await
        .map_err(Error::Apply)
}
