//! Writes what was built, in an order in which a crash between any two writes leaves nothing behind that the next
//! pass does not find: first the marks from which names follow, then what Machines need, then the Machine.

use std::{fmt::Debug, sync::Arc};

use k0smotron_api::{
    bootstrap::v1beta2::K0sControllerConfig,
    capi::{Cluster, Machine},
    control_plane::v1beta2::K0sControlPlane,
    names::{annotations, conditions::types, field_managers, finalizers, labels, secrets as contract},
};
use k0smotron_runtime::{
    Context, apply,
    metadata::{add_finalizer, annotate, remove_finalizer},
};
use k8s_openapi::{ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::Condition};
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
};
use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{
    Error,
    build::{Built, Changes, Creation, Ownership},
    certificates::KubeconfigWrite,
    fetch::Inputs,
    members::Members,
    remediation::Reply,
    service_endpoint,
};

/// What came of it.
#[derive(Debug, Default)]
pub struct Applied {
    /// The Machine that was created, or found as it was left by a crash.
    pub created: Option<Machine>,
    /// The workload cluster could not take something yet, and no event will tell when it can.
    pub look_again: bool,
}

/// Writes everything that was built.
pub async fn apply(built: Built, inputs: &Inputs, context: &Context) -> Result<Applied, Error> {
    let Built {
        finalizer,
        marks,
        authorities,
        kubeconfig,
        creation,
        records,
        obsolete_plan,
        plan,
        kept,
        conditions,
        replies,
        deletions,
        leave,
        departed,
        releases,
        endpoints,
        forget,
        cluster_id,
        unmarks,
        finished,
    } = built;
    let namespace = inputs.plane.namespace().unwrap_or_default();
    let planes = context.api::<K0sControlPlane>(&namespace);
    let machines = context.api::<Machine>(&namespace);
    let secrets = context.api::<Secret>(&namespace);

    if let (Some(endpoints), Some(cluster)) = (endpoints, inputs.workload()) {
        service_endpoint::publish(endpoints, cluster, context);
    }
    let mut plane = inputs.plane.clone();
    if finalizer {
        let added = add_finalizer(&planes, plane.as_ref(), finalizers::K0S_CONTROL_PLANE).await;
        plane = Arc::new(added.map_err(mark)?);
    }
    plane = marked(&planes, plane, &marks).await?;
    for secret in &authorities {
        create_secret(&secrets, secret).await?;
    }
    if let Some(kubeconfig) = kubeconfig {
        write_kubeconfig(&secrets, kubeconfig).await?;
        if let Some(cluster) = inputs.workload() {
            context.workloads.forget(&cluster);
        }
    }
    let mut applied = Applied::default();
    if let Some(creation) = creation {
        applied.created = Some(create(creation, &machines, inputs, context).await?);
    }
    // Before the Machine, by which it is known that the update is still to be recorded.
    for (name, spec) in &records {
        record(&context.api::<K0sControllerConfig>(&namespace), name, spec).await?;
    }
    for machine in &kept {
        apply::apply_if_changed(&machines, machine, field_managers::K0SMOTRON)
            .await
            .map_err(Error::Apply)?;
    }
    for (name, conditions) in conditions {
        write_conditions(&machines, &name, &conditions, field_managers::K0SMOTRON).await?;
    }
    for (name, reply) in replies {
        match reply {
            Reply::Say(condition) => {
                // A manager of its own: the request itself is another one's, and taking it away is no apply.
                let manager = field_managers::K0SMOTRON_REMEDIATION;
                write_conditions(&machines, &name, &[condition], manager).await?;
            }
            Reply::Withdraw(index) => withdraw(&machines, &name, index).await?,
        }
    }
    let workload_changes = obsolete_plan.is_some()
        || plan.is_some()
        || leave.is_some()
        || !departed.is_empty()
        || !forget.is_empty();
    if workload_changes && let Some(cluster) = inputs.workload() {
        let members = Members::of(&cluster, context).await?;
        if let Some(uid) = &obsolete_plan {
            members.remove_plan(uid).await?;
        }
        if let Some(plan) = &plan {
            members.make_plan(plan).await?;
        }
        for name in &departed {
            members.forget_controller(name).await?;
        }
        for name in &forget {
            members.forget_member(name).await?;
        }
        if let Some(name) = &leave {
            let survey = inputs.survey.as_ref().map(|(survey, _)| survey);
            let member = survey.map_or(name.as_str(), |survey| survey.member_of(name));
            members.take_out(member).await?;
        }
    }
    // At once: a Machine seen as deleted and still held is looked at again only a second later.
    futures::future::try_join(delete(&machines, &deletions), release(&machines, &releases)).await?;
    if let (Some(id), Some(cluster)) = (cluster_id, &inputs.cluster) {
        let api = context.api::<Cluster>(&namespace);
        let annotation = json!({ "metadata": { "annotations": { annotations::CLUSTER_ID: id } } });
        let patched = api
            .patch_metadata(
                &cluster.name_any(),
                &PatchParams::default(),
                &Patch::Merge(annotation),
            )
            .await;
        ignore_missing(patched.map(drop)).map_err(mark)?;
    }
    plane = marked(&planes, plane, &unmarks).await?;
    if finished {
        remove_finalizer(&planes, plane.as_ref(), finalizers::K0S_CONTROL_PLANE)
            .await
            .map_err(mark)?;
    }
    Ok(applied)
}

/// Writes what an update in place has changed. Nothing is made from it any more: bootstrap data is made once.
async fn record(api: &Api<K0sControllerConfig>, name: &str, spec: &serde_json::Value) -> Result<(), Error> {
    let patch = Patch::Merge(json!({ "spec": spec }));
    let parameters = PatchParams {
        field_manager: Some(field_managers::K0SMOTRON.to_owned()),
        ..PatchParams::default()
    };
    let recorded = api.patch(name, &parameters, &patch).await;
    ignore_missing(recorded.map(drop)).map_err(|source| Error::Record {
        name: name.to_owned(),
        source,
    })
}

async fn delete(machines: &Api<Machine>, names: &[String]) -> Result<(), Error> {
    for name in names {
        let deleted = machines.delete(name, &DeleteParams::default()).await;
        ignore_missing(deleted.map(drop)).map_err(|source| Error::Delete {
            name: name.clone(),
            source,
        })?;
    }
    Ok(())
}

/// Removes the pre-terminate hooks of Machines.
async fn release(machines: &Api<Machine>, names: &[String]) -> Result<(), Error> {
    for name in names {
        let hook = json!({ "metadata": { "annotations": { annotations::PRE_TERMINATE_HOOK: null } } });
        let released = machines
            .patch_metadata(name, &PatchParams::default(), &Patch::Merge(hook))
            .await;
        ignore_missing(released.map(drop)).map_err(|source| Error::Release {
            name: name.clone(),
            source,
        })?;
    }
    Ok(())
}

fn mark(source: kube::Error) -> Error {
    Error::Mark { source }
}

async fn marked(
    api: &Api<K0sControlPlane>,
    plane: Arc<K0sControlPlane>,
    changes: &Changes,
) -> Result<Arc<K0sControlPlane>, Error> {
    if changes.is_empty() {
        return Ok(plane);
    }
    annotate(api, plane.as_ref(), changes)
        .await
        .map(Arc::new)
        .map_err(mark)
}

/// Creates and never overwrites: a Secret that appeared meanwhile is a user's, and the next pass reads it.
async fn create_secret(api: &Api<Secret>, secret: &Secret) -> Result<(), Error> {
    api.create(&PostParams::default(), secret)
        .await
        .map(drop)
        .map_err(|source| Error::Secret {
            name: secret.name_any(),
            source,
        })
}

async fn write_kubeconfig(api: &Api<Secret>, write: KubeconfigWrite) -> Result<(), Error> {
    let (name, patch) = match write {
        KubeconfigWrite::Create(secret) => return create_secret(api, &secret).await,
        KubeconfigWrite::Reissue { present, content } => {
            let content = ByteString(content.expose_secret().as_bytes().to_vec());
            let patch = json!({
                "metadata": { "resourceVersion": present.resource_version() },
                "data": { contract::VALUE: content },
            });
            (present.name_any(), patch)
        }
        KubeconfigWrite::Label { name, cluster } => {
            let patch = json!({ "metadata": { "labels": { labels::CLUSTER_NAME: cluster } } });
            (name, patch)
        }
    };
    api.patch(&name, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .map(drop)
        .map_err(|source| Error::Secret { name, source })
}

/// Creates a Machine and all that belongs to it: the Machine last, because from then on others act on it.
async fn create(
    creation: Creation,
    machines: &Api<Machine>,
    inputs: &Inputs,
    context: &Context,
) -> Result<Machine, Error> {
    let Creation {
        template,
        infrastructure,
        infrastructure_api,
        config,
        machine,
    } = creation;
    let namespace = inputs.plane.namespace().unwrap_or_default();
    if let (Some(ownership), Some(cluster)) = (template, &inputs.cluster) {
        own(ownership, cluster, &namespace, context).await?;
    }
    let api: Api<DynamicObject> =
        Api::namespaced_with(context.client.clone(), &namespace, &infrastructure_api);
    once(&api, &infrastructure).await?;
    once(&context.api::<K0sControllerConfig>(&namespace), &config).await?;
    once(machines, &machine).await
}

/// Applies an object.
async fn once<K>(api: &Api<K>, object: &K) -> Result<K, Error>
where
    K: Resource + Clone + Debug + serde::Serialize + DeserializeOwned,
{
    let applied = apply::apply_if_changed(api, object, field_managers::K0SMOTRON).await;
    applied.map(|applied| applied.object).map_err(Error::Apply)
}

/// Lets the Cluster own the template, so that it moves along. Not as its controller: several Clusters may share it.
async fn own(
    ownership: Ownership,
    cluster: &Cluster,
    namespace: &str,
    context: &Context,
) -> Result<(), Error> {
    let Ownership { template, api } = ownership;
    let Some(owner) = cluster.owner_ref(&()) else {
        return Ok(());
    };
    let name = template.name_any();
    let owners: Vec<_> = template
        .owner_references()
        .iter()
        .cloned()
        .chain([owner])
        .collect();
    let patch = json!({
        "metadata": { "ownerReferences": owners, "resourceVersion": template.resource_version() },
    });
    let api: Api<DynamicObject> = Api::namespaced_with(context.client.clone(), namespace, &api);
    api.patch_metadata(&name, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .map(drop)
        .map_err(|source| Error::Own { name, source })
}

/// Writes conditions of a Machine and leaves those of others alone.
async fn write_conditions(
    api: &Api<Machine>,
    name: &str,
    conditions: &[Condition],
    manager: &str,
) -> Result<(), Error> {
    let patch = json!({
        "apiVersion": Machine::api_version(&()),
        "kind": Machine::kind(&()),
        "metadata": { "name": name },
        "status": { "conditions": conditions },
    });
    let parameters = PatchParams::apply(manager).force();
    let patched = api.patch_status(name, &parameters, &Patch::Apply(patch)).await;
    said(name, patched.map(drop))
}

/// Takes the request to replace a Machine away, if it still is where it was seen.
async fn withdraw(api: &Api<Machine>, name: &str, index: usize) -> Result<(), Error> {
    let condition = format!("/status/conditions/{index}");
    let operations = json!([
        { "op": "test", "path": format!("{condition}/type"), "value": types::OWNER_REMEDIATED },
        { "op": "remove", "path": condition },
    ]);
    let operations: json_patch::Patch = serde_json::from_value(operations).map_err(Error::Encoding)?;
    let patched = api
        .patch_status(name, &PatchParams::default(), &Patch::<()>::Json(operations))
        .await;
    match patched {
        // The conditions have moved: the next pass sees where it is.
        Err(kube::Error::Api(status)) if status.code == 422 => Ok(()),
        patched => said(name, patched.map(drop)),
    }
}

fn said(name: &str, written: Result<(), kube::Error>) -> Result<(), Error> {
    ignore_missing(written).map_err(|source| Error::Condition {
        name: name.to_owned(),
        source,
    })
}

/// That an object is gone is what was wanted, or nothing to be told to it any more.
fn ignore_missing(result: Result<(), kube::Error>) -> Result<(), kube::Error> {
    match result {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        result => result,
    }
}
