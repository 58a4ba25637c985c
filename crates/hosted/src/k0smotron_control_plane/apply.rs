//! Writes what was built, and where it is: to the Cluster, and to infrastructure that is ours to provision.

use k0smotron_api::{
    capi::{self, Endpoint},
    control_plane::v1beta2::K0smotronControlPlane,
    k0smotron::v1beta2::Cluster,
    names::{annotations, field_managers, finalizers},
};
use k0smotron_runtime::{Context, apply::apply_if_changed, metadata};
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
};
use serde_json::{Value, json};

use super::{Error, build::Built, fetch::Inputs, ownership};

/// Holds the control plane.
pub async fn hold(inputs: &Inputs, context: &Context) -> Result<(), Error> {
    let api: Api<K0smotronControlPlane> = context.api(&inputs.namespace());
    metadata::add_finalizer(&api, inputs.plane.as_ref(), finalizers::K0SMOTRON_CONTROL_PLANE)
        .await
        .map(drop)
        .map_err(Error::Finalizer)
}

/// Lets the control plane go.
pub async fn release(inputs: &Inputs, context: &Context) -> Result<(), Error> {
    let api: Api<K0smotronControlPlane> = context.api(&inputs.namespace());
    metadata::remove_finalizer(&api, inputs.plane.as_ref(), finalizers::K0SMOTRON_CONTROL_PLANE)
        .await
        .map_err(Error::Finalizer)
}

/// Writes the hosted Cluster, and what follows from it. `inputs` has it as it is then.
pub async fn host(built: Built, inputs: &mut Inputs, context: &Context) -> Result<(), Error> {
    let Built { hosted } = built;
    let api: Api<Cluster> = context.api(&inputs.namespace());
    let applied = apply_if_changed(&api, &hosted, field_managers::OPERATOR)
        .await
        .map_err(Error::Apply)?
        .object;
    take_over(&applied, &api).await?;
    resume(&applied, &api).await?;
    if let Some(endpoint) = endpoint(&applied) {
        publish(&endpoint, inputs, context).await?;
    }
    inputs.hosted = Some(applied);
    if let Some(id) = &inputs.identity {
        let metadata = json!({ "metadata": { "annotations": { annotations::CLUSTER_ID: id } } });
        write_cluster(metadata, inputs, context).await?;
    }
    Ok(())
}

/// Makes the fields of one that the original made ours alone.
async fn take_over(hosted: &Cluster, api: &Api<Cluster>) -> Result<(), Error> {
    let Some(entries) = ownership::taken_over(hosted.managed_fields(), field_managers::OPERATOR) else {
        return Ok(());
    };
    let patch = Patch::Merge(json!({ "metadata": {
        "resourceVersion": hosted.resource_version(),
        "managedFields": entries,
    } }));
    match api
        .patch(&hosted.name_any(), &PatchParams::default(), &patch)
        .await
    {
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        result => result.map(drop).map_err(Error::TakeOver),
    }
}

/// Where the API server is reached, once that is known.
pub fn endpoint(hosted: &Cluster) -> Option<Endpoint> {
    let host = hosted.status.as_ref()?.external_address.clone()?;
    let port = i32::try_from(hosted.spec.service.api_port).ok()?;
    let endpoint = Endpoint { host, port };
    endpoint.address().is_some().then_some(endpoint)
}

/// Tells Cluster and infrastructure where the API server is.
async fn publish(endpoint: &Endpoint, inputs: &Inputs, context: &Context) -> Result<(), Error> {
    let Some(cluster) = &inputs.cluster else {
        return Ok(());
    };
    if is_to_be_told(cluster, endpoint, inputs) {
        let spec =
            json!({ "spec": { "controlPlaneEndpoint": { "host": endpoint.host, "port": endpoint.port } } });
        write_cluster(spec, inputs, context).await?;
    }
    if let Some(infrastructure) = &inputs.infrastructure {
        infrastructure
            .provision(endpoint, &context.client)
            .await
            .map_err(Error::Infrastructure)?;
    }
    Ok(())
}

/// Whether the Cluster has no endpoint, or the one that it got from us before. What somebody else put there stays
/// (contract C2).
fn is_to_be_told(cluster: &capi::Cluster, endpoint: &Endpoint, inputs: &Inputs) -> bool {
    let known = cluster.spec.control_plane_endpoint.as_ref();
    match known.filter(|known| known.address().is_some()) {
        None => true,
        Some(known) if known == endpoint => false,
        Some(known) => {
            let status = inputs.plane.status.as_ref();
            let before = status.and_then(|status| status.external_address.as_ref());
            before == Some(&known.host)
        }
    }
}

async fn write_cluster(changes: Value, inputs: &Inputs, context: &Context) -> Result<(), Error> {
    let Some(cluster) = &inputs.cluster else {
        return Ok(());
    };
    let api: Api<capi::Cluster> = context.api(&inputs.namespace());
    let patch = Patch::Merge(changes);
    match api
        .patch(&cluster.name_any(), &PatchParams::default(), &patch)
        .await
    {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        result => result.map(drop).map_err(Error::Cluster),
    }
}

/// Leaves the hosted Cluster alone too. By a field manager of its own, so that going on takes away what this put there,
/// and nothing else.
pub async fn pause(inputs: &Inputs, context: &Context) -> Result<(), Error> {
    let Some(hosted) = inputs
        .hosted
        .as_ref()
        .filter(|hosted| super::owner(*hosted).is_some())
    else {
        return Ok(());
    };
    if hosted.annotations().contains_key(annotations::PAUSED) {
        return Ok(());
    }
    let api: Api<Cluster> = context.api(&inputs.namespace());
    annotate(hosted, &api, json!({ annotations::PAUSED: "" })).await
}

/// Takes the annotation of [`pause`] away.
async fn resume(hosted: &Cluster, api: &Api<Cluster>) -> Result<(), Error> {
    let ours = hosted
        .managed_fields()
        .iter()
        .any(|entry| entry.manager.as_deref() == Some(field_managers::K0SMOTRON_METADATA));
    if ours && hosted.annotations().contains_key(annotations::PAUSED) {
        annotate(hosted, api, json!({})).await?;
    }
    Ok(())
}

async fn annotate(hosted: &Cluster, api: &Api<Cluster>, annotations: Value) -> Result<(), Error> {
    let name = hosted.name_any();
    let object = json!({
        "apiVersion": Cluster::api_version(&()),
        "kind": Cluster::kind(&()),
        // With the UID nothing is made anew that went meanwhile.
        "metadata": { "name": name, "uid": hosted.uid(), "annotations": annotations },
    });
    let parameters = PatchParams::apply(field_managers::K0SMOTRON_METADATA).force();
    match api.patch(&name, &parameters, &Patch::Apply(object)).await {
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        result => result.map(drop).map_err(Error::Pause),
    }
}

/// Deletes the hosted Cluster, if it is still the one that was read.
pub async fn delete(inputs: &Inputs, context: &Context) -> Result<(), Error> {
    let Some(hosted) = &inputs.hosted else {
        return Ok(());
    };
    let api: Api<Cluster> = context.api(&inputs.namespace());
    let parameters = DeleteParams::background().preconditions(Preconditions {
        uid: hosted.uid(),
        resource_version: None,
    });
    match api.delete(&hosted.name_any(), &parameters).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        result => result.map(drop).map_err(Error::Delete),
    }
}
