//! Writes what was built: the token into the cluster that is joined first, so that no Secret ever names a token that does
//! not exist; what is revoked last, so that there is always one.

use k0smotron_api::{
    k0smotron::{
        self,
        v1beta2::{Cluster, JoinTokenRequest},
    },
    names::{field_managers, finalizers, labels},
};
use k0smotron_k0s::token;
use k0smotron_runtime::{Context, apply::apply_if_changed, metadata};
use k8s_openapi::{api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::OwnerReference};
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
};
use serde_json::json;

use super::{Error, build::Built, fetch::Inputs};

/// Holds the request and lets it say whose it is.
pub async fn prepare(inputs: &Inputs, context: &Context) -> Result<(), Error> {
    let request = &inputs.request;
    let Some(cluster) = &inputs.cluster else {
        return Err(Error::Incomplete);
    };
    let mut held: Vec<_> = request.finalizers().to_vec();
    if !held
        .iter()
        .any(|present| present == finalizers::JOIN_TOKEN_REQUEST)
    {
        held.push(finalizers::JOIN_TOKEN_REQUEST.to_owned());
    }
    let mut metadata = json!({ "finalizers": held, "resourceVersion": request.resource_version() });
    let said = match request.namespace() == cluster.namespace() {
        true => ("ownerReferences", json!(owners(request, cluster))),
        // Owners cannot be of another namespace.
        false => ("labels", json!({ labels::HOSTED_CLUSTER_UID: cluster.uid() })),
    };
    if let Some(fields) = metadata.as_object_mut() {
        fields.insert(said.0.to_owned(), said.1);
    }
    let patch = Patch::Merge(json!({ "metadata": metadata }));
    api(inputs, context)
        .patch(&request.name_any(), &PatchParams::default(), &patch)
        .await
        .map(drop)
        .map_err(Error::Metadata)
}

/// The owners of a request for a Cluster of its namespace, which it goes with.
fn owners(request: &JoinTokenRequest, cluster: &Cluster) -> Vec<OwnerReference> {
    let mut owners = request.owner_references().to_vec();
    // One of an earlier life of the Cluster would have the request collected as garbage.
    let is_cluster =
        |owner: &OwnerReference| owner.kind == "Cluster" && owner.api_version.starts_with(k0smotron::GROUP);
    owners.retain(|owner| !is_cluster(owner));
    let controlled = owners.iter().any(|owner| owner.controller == Some(true));
    if let Some(mut owner) = cluster.controller_owner_ref(&()) {
        owner.block_owner_deletion = None;
        // There can be one only.
        owner.controller = (!controlled).then_some(true);
        owners.push(owner);
    }
    owners
}

/// Writes everything that was built, and revokes what must not be used any more. Returns the token's id.
pub async fn apply(
    built: Built,
    revoked: &[String],
    inputs: &Inputs,
    context: &Context,
) -> Result<String, Error> {
    let Built { id, token, published } = built;
    if let Some(token) = token {
        tokens(inputs)?
            .create(&PostParams::default(), &token)
            .await
            .map_err(Error::WriteToken)?;
    }
    let secrets: Api<Secret> = context.api(&inputs.request.namespace().unwrap_or_default());
    apply_if_changed(&secrets, &published, field_managers::OPERATOR)
        .await
        .map_err(Error::Publish)?;
    revoke(revoked, inputs).await?;
    Ok(id)
}

/// Revokes tokens; those that are gone are fine.
pub async fn revoke(ids: &[String], inputs: &Inputs) -> Result<(), Error> {
    for id in ids {
        let name = token::secret_name(id);
        match tokens(inputs)?.delete(&name, &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            result => result.map(drop).map_err(Error::Revoke)?,
        }
    }
    Ok(())
}

/// Lets the request go.
pub async fn release(inputs: &Inputs, context: &Context) -> Result<(), Error> {
    let api = api(inputs, context);
    metadata::remove_finalizer(&api, inputs.request.as_ref(), finalizers::JOIN_TOKEN_REQUEST)
        .await
        .map_err(Error::Metadata)
}

/// Deletes the request, if it is still the one that was read.
pub async fn remove(inputs: &Inputs, context: &Context) -> Result<(), Error> {
    let parameters = DeleteParams::background().preconditions(Preconditions {
        uid: inputs.request.uid(),
        resource_version: None,
    });
    match api(inputs, context)
        .delete(&inputs.request.name_any(), &parameters)
        .await
    {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        result => result.map(drop).map_err(Error::Metadata),
    }
}

fn api(inputs: &Inputs, context: &Context) -> Api<JoinTokenRequest> {
    context.api(&inputs.request.namespace().unwrap_or_default())
}

/// The tokens of the cluster that is joined.
fn tokens(inputs: &Inputs) -> Result<Api<Secret>, Error> {
    let client = inputs.workload.as_ref().ok_or(Error::Incomplete)?;
    Ok(Api::namespaced(client.clone(), token::SECRET_NAMESPACE))
}
