//! Writes what a pass is to bring about: what must be known before it exists, then what pods need, then the pods, then one
//! change of the members of etcd, and at last what is not wanted any more goes.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use k0smotron_api::{
    k0smotron::v1beta2::{Cluster, JoinTokenRequest},
    names::{
        annotations as shared, field_managers, finalizers, hosted::annotations, labels, secrets as contract,
    },
};
use k0smotron_k0s::kubeconfig::Layout;
use k0smotron_runtime::{Context, apply as server_side, metadata, secrets};
use k8s_openapi::{
    ByteString,
    api::{
        apps::v1::StatefulSet,
        core::v1::{PersistentVolumeClaim, Secret},
    },
};
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
};
use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};

use super::{
    Error,
    build::{self, Kind, Object, k0s::Fixed},
    certificates::{self, Authority, Made},
    decide::{self, Live, Pods},
    fetch::Inputs,
    growth::Growth,
    members,
    membership::Step as Change,
    observed::{Observed, server_url},
};

/// How long the pods of k0s are waited for when a control plane goes: they have half of it, and one on a lost node never ends.
const LONGEST_END: SignedDuration = SignedDuration::from_secs(60);

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Members were changed, so that what is known of them is old.
    pub members_changed: bool,
    /// Something is awaited that has no event.
    pub look_again: bool,
    /// What was done, for people: reasons and texts of events.
    pub events: Vec<(&'static str, String)>,
}

/// Brings about what was decided.
pub async fn live(
    inputs: &Inputs,
    observed: &Observed,
    live: &Live,
    context: &Context,
) -> Result<Applied, Error> {
    let mut applied = Applied::default();
    let planes = context.api::<Cluster>(&inputs.names.namespace);
    if !observed.finalizer {
        let added =
            metadata::add_finalizer(&planes, inputs.plane.as_ref(), finalizers::K0SMOTRON_CLUSTER).await;
        // Written against the version that was read: the next pass goes on from there.
        added.map_err(mark)?;
    } else if live
        .plan
        .as_ref()
        .is_some_and(|plan| plan.step == Change::Founded)
    {
        let founded = BTreeMap::from([(shared::CLUSTER_INITIALIZED, Some("true".to_owned()))]);
        metadata::annotate(&planes, inputs.plane.as_ref(), &founded)
            .await
            .map_err(mark)?;
    }
    write_secrets(inputs, observed, context, &mut applied).await?;

    let objects = objects(inputs, observed, live);
    for object in &objects {
        write(inputs, object, context).await?;
    }
    for (pods, kind) in [(&live.etcd, Set::Etcd), (&live.k0s, Set::K0s)] {
        write_set(inputs, observed, live, pods, kind, context).await?;
    }
    if let Some(plan) = &live.plan {
        members::change(inputs, plan, context, &mut applied).await?;
    }
    if let Some(pod) = &live.restart {
        members::delete_pod(inputs, pod, context).await?;
        let note = format!("deleted Pod {pod}, which starts anew: its certificates would end");
        applied.events.push(("PodRestarted", note));
    }
    if live.kubeconfig {
        write_kubeconfig(inputs, observed, context, &mut applied).await?;
    }
    if decide::is_converged(observed, live) {
        prune(inputs, &objects, context).await?;
    }
    // Last: a storage class that lets nothing grow refuses it, and that must hold nothing else up.
    if let Growth::Ask { claim, size } = &observed.growth {
        let patch = json!({"spec": {"resources": {"requests": {"storage": size}}}});
        let claims = context.api::<PersistentVolumeClaim>(&inputs.names.namespace);
        let patched = claims
            .patch(claim, &PatchParams::default(), &Patch::Merge(patch))
            .await;
        patched.map_err(|source| Error::Grow {
            claim: claim.clone(),
            source,
        })?;
        applied.events.push((
            "VolumeGrows",
            format!("asked for {size} on PersistentVolumeClaim {claim}"),
        ));
    }
    Ok(applied)
}

/// Lets the control plane go: k0s first, for without etcd it cannot end in good order, and etcd waits for those who watch it;
/// what else it controls is collected by the API server. What it cannot own goes before it: requests of other namespaces,
/// which see by it that they are to go.
pub async fn delete(inputs: &Inputs, context: &Context) -> Result<Applied, Error> {
    let planes = context.api::<Cluster>(&inputs.names.namespace);
    delete_set(inputs, inputs.names.k0s(), context).await?;
    let waits = Applied {
        look_again: true,
        ..Applied::default()
    };
    if ends(inputs) {
        return Ok(waits);
    }
    delete_set(inputs, inputs.names.etcd(), context).await?;
    if has_requests(inputs, context).await? {
        return Ok(waits);
    }
    metadata::remove_finalizer(&planes, inputs.plane.as_ref(), finalizers::K0SMOTRON_CLUSTER)
        .await
        .map_err(mark)?;
    Ok(Applied::default())
}

async fn delete_set(inputs: &Inputs, name: String, context: &Context) -> Result<(), Error> {
    if !inputs.live.contains_key(&(Kind::StatefulSet, name.clone())) {
        return Ok(());
    }
    let sets = context.api::<StatefulSet>(&inputs.names.namespace);
    let deleted = sets.delete(&name, &DeleteParams::background()).await;
    ignore_missing(deleted.map(drop)).map_err(deletion("StatefulSet", &name))
}

/// Whether pods of k0s are still ending, within the time that they have.
fn ends(inputs: &Inputs) -> bool {
    let begun = inputs.plane.metadata.deletion_timestamp.as_ref();
    let late = begun.is_none_or(|begun| inputs.now.duration_since(begun.0) > LONGEST_END);
    !late && !inputs.k0s_pods().is_empty()
}

/// Whether another namespace has a request for a token of the control plane.
async fn has_requests(inputs: &Inputs, context: &Context) -> Result<bool, Error> {
    let all: Api<JoinTokenRequest> = context.scope.api(&context.client);
    let uid = inputs.plane.uid().unwrap_or_default();
    let its = ListParams::default().labels(&format!("{}={uid}", labels::HOSTED_CLUSTER_UID));
    let found = all.list_metadata(&its).await.map_err(|source| Error::Read {
        what: "JoinTokenRequests".to_owned(),
        source,
    })?;
    Ok(!found.items.is_empty())
}

fn mark(source: kube::Error) -> Error {
    Error::Mark { source }
}

pub fn deletion(kind: &'static str, name: &str) -> impl FnOnce(kube::Error) -> Error {
    let name = name.to_owned();
    move |source| Error::Delete { kind, name, source }
}

/// That an object is gone is what was wanted.
pub fn ignore_missing(result: Result<(), kube::Error>) -> Result<(), kube::Error> {
    match result {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        result => result,
    }
}

/// All but the StatefulSets.
fn objects(inputs: &Inputs, observed: &Observed, live: &Live) -> Vec<Object> {
    let (plane, names) = (inputs.plane.as_ref(), &inputs.names);
    let Some(configurations) = &observed.configurations else {
        // Nothing rests on the configuration but the pods of k0s, which stay as they are.
        return Vec::new();
    };
    let mut objects = build::surroundings(plane, names, &observed.facts, configurations);
    if !observed.services {
        // What else there is has their addresses in it.
        objects.retain(|object| object.kind == Kind::Service);
    }
    if let Some(plan) = &live.plan {
        objects.push(build::etcd::membership(plane, names, plan));
    } else {
        // Pods of an earlier release were never kept from anything.
        objects.retain(|object| object.kind != Kind::NetworkPolicy);
    }
    objects.sort_by_key(|object| object.kind);
    objects
}

async fn write(inputs: &Inputs, object: &Object, context: &Context) -> Result<(), Error> {
    let live = inputs.live.get(&(object.kind, object.name.clone()));
    if live.is_some_and(|live| server_side::is_applied(live, &object.value, field_managers::OPERATOR)) {
        return Ok(());
    }
    let api: Api<DynamicObject> = Api::namespaced_with(
        context.client.clone(),
        &inputs.names.namespace,
        &object.kind.resource(),
    );
    let parameters = PatchParams::apply(field_managers::OPERATOR).force();
    let written = api
        .patch(&object.name, &parameters, &Patch::Apply(&object.value))
        .await;
    written.map(drop).map_err(|source| Error::Apply {
        kind: object.kind.resource().kind,
        name: object.name.clone(),
        source,
    })
}

#[derive(Clone, Copy)]
enum Set {
    K0s,
    Etcd,
}

async fn write_set(
    inputs: &Inputs,
    observed: &Observed,
    live: &Live,
    pods: &Pods,
    kind: Set,
    context: &Context,
) -> Result<(), Error> {
    let (plane, names, facts) = (inputs.plane.as_ref(), &inputs.names, &observed.facts);
    let (name, present, set) = match kind {
        Set::K0s => (names.k0s(), inputs.k0s(), &observed.k0s),
        Set::Etcd => (names.etcd(), inputs.etcd(), &observed.etcd),
    };
    let replicas = match (kind, &live.plan) {
        (Set::K0s, _) => build::replicas(plane),
        (Set::Etcd, Some(plan)) => i32::try_from(plan.replicas).unwrap_or(1),
        // Not ours to change.
        (Set::Etcd, None) => set.replicas,
    };
    let fixed = present.as_ref().map(fixed).unwrap_or_default();
    match pods {
        Pods::Wait(_) => Ok(()),
        Pods::Make => {
            let object = match (kind, &observed.configurations) {
                (Set::K0s, Some([ours, _])) => build::k0s::stateful_set(plane, names, facts, ours, &fixed),
                (Set::K0s, None) => return Ok(()),
                (Set::Etcd, _) => {
                    let replicas = usize::try_from(replicas).unwrap_or(1);
                    build::etcd::stateful_set(plane, names, facts, replicas, &fixed)
                }
            };
            if let (Set::Etcd, Some(present)) = (kind, &present) {
                let rolls = |set: &StatefulSet| {
                    set.spec
                        .as_ref()?
                        .update_strategy
                        .as_ref()?
                        .rolling_update
                        .clone()
                };
                if rolls(present).is_some() {
                    // The API server fills it in where it is not said, and then takes no other strategy beside it.
                    let strategy = json!({"updateStrategy": {"type": "OnDelete", "rollingUpdate": null}});
                    let change = Map::from_iter([("spec".to_owned(), strategy)]);
                    patch_set(&name, change, replicas, replicas, inputs, context).await?;
                }
            }
            write(inputs, &object, context).await
        }
        Pods::Adopt => {
            // Without a field manager's claim to the rest of it: that is another release's.
            let inputs_of = json!({"annotations": {annotations::INPUTS: set.wanted}});
            let change = Map::from_iter([("metadata".to_owned(), inputs_of)]);
            patch_set(&name, change, replicas, set.replicas, inputs, context).await
        }
        Pods::Keep if set.replicas == replicas => Ok(()),
        Pods::Keep => patch_set(&name, Map::new(), replicas, set.replicas, inputs, context).await,
    }
}

async fn patch_set(
    name: &str,
    mut change: Map<String, Value>,
    replicas: i32,
    before: i32,
    inputs: &Inputs,
    context: &Context,
) -> Result<(), Error> {
    if replicas != before {
        change.insert("spec".to_owned(), json!({"replicas": replicas}));
    }
    // The fields are ours by the same name as when they are applied.
    let parameters = PatchParams {
        field_manager: Some(field_managers::OPERATOR.to_owned()),
        ..PatchParams::default()
    };
    let sets = context.api::<StatefulSet>(&inputs.names.namespace);
    let patched = sets
        .patch(name, &parameters, &Patch::Merge(Value::Object(change)))
        .await;
    patched.map(drop).map_err(|source| Error::Apply {
        kind: "StatefulSet".to_owned(),
        name: name.to_owned(),
        source,
    })
}

/// What of a StatefulSet can never change.
fn fixed(set: &StatefulSet) -> Fixed {
    let spec = set.spec.clone().unwrap_or_default();
    Fixed {
        selector: spec.selector.match_labels,
        service_name: spec.service_name,
        pod_management: spec.pod_management_policy,
        claim_templates: Some(json!(spec.volume_claim_templates.unwrap_or_default())),
    }
}

async fn write_secrets(
    inputs: &Inputs,
    observed: &Observed,
    context: &Context,
    applied: &mut Applied,
) -> Result<(), Error> {
    let wanted = observed.certificates.clone();
    if wanted.authorities.is_empty() && wanted.leaves.is_empty() {
        return Ok(());
    }
    let (plane, names) = (inputs.plane.clone(), inputs.names.clone());
    let (secrets, now) = (inputs.secrets.clone(), inputs.now);
    for (leaf, fault) in &wanted.leaves {
        if let Some(fault) = fault {
            let note = format!(
                "renewed the certificate in Secret {}: {fault}",
                leaf.secret_name(&names.cluster)
            );
            applied.events.push(("CertificateRenewed", note));
        }
    }
    // A key takes a tenth of a second.
    let made =
        tokio::task::spawn_blocking(move || certificates::make(&plane, &names, &secrets, &wanted, now))
            .await
            .map_err(|_| Error::Interrupted)?
            .map_err(Error::Pki)?;
    let Made { created, renewed } = made;
    let api = context.api::<Secret>(&inputs.names.namespace);
    let failed = |name: String| move |source| Error::Secret { name, source };
    for secret in &created {
        // Creates and never overwrites: one that appeared meanwhile is a user's, and the next pass reads it.
        let name = secret.name_any();
        api.create(&PostParams::default(), secret)
            .await
            .map_err(failed(name))?;
    }
    for secret in &renewed {
        let name = secret.name_any();
        let version = secret.resource_version();
        let patch = json!({"metadata": {"resourceVersion": version}, "data": secret.data});
        let patched = api
            .patch(&name, &PatchParams::default(), &Patch::Merge(patch))
            .await;
        patched.map_err(failed(name))?;
    }
    Ok(())
}

async fn write_kubeconfig(
    inputs: &Inputs,
    observed: &Observed,
    context: &Context,
    applied: &mut Applied,
) -> Result<(), Error> {
    let (plane, names) = (inputs.plane.as_ref(), &inputs.names);
    let Some(authority) = inputs.authority(Authority::Cluster).map(certificates::authority) else {
        return Ok(());
    };
    let url = server_url(plane, names, &observed.facts);
    let content = Layout::of_hosted(&names.cluster)
        .admin_kubeconfig(&url, None, &authority, inputs.now)
        .map_err(Error::Pki)?;
    let api = context.api::<Secret>(&names.namespace);
    let name = contract::kubeconfig(&names.cluster);
    let failed = |source| Error::Secret {
        name: name.clone(),
        source,
    };
    if let Some(present) = inputs.kubeconfig() {
        let content = ByteString(content.expose_secret().as_bytes().to_vec());
        let patch = json!({
            "metadata": {"resourceVersion": present.resource_version()},
            "data": {contract::VALUE: content},
        });
        api.patch(&name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .map_err(failed)?;
        if let super::observed::Kubeconfig::Stale(reason) = &observed.kubeconfig {
            applied.events.push((
                "KubeconfigReissued",
                format!("issued the kubeconfig anew: {reason}"),
            ));
        }
        return Ok(());
    }
    let data = [(contract::VALUE, content.expose_secret().to_owned())];
    let owner = plane.controller_owner_ref(&());
    let mut secret = secrets::cluster_secret(&names.namespace, &name, &names.cluster, data, owner);
    let users = plane.spec.kubeconfig_secret_metadata.clone().unwrap_or_default();
    let mut all =
        super::names::with_component(super::names::base(plane), super::names::Component::Kubeconfig);
    all.extend(users.labels);
    // Last word: Cluster API does not see the Secret without its own label.
    all.insert(labels::CLUSTER_NAME.to_owned(), names.cluster.clone());
    secret.metadata.labels = Some(all);
    if !users.annotations.is_empty() {
        secret.metadata.annotations = Some(users.annotations);
    }
    api.create(&PostParams::default(), &secret)
        .await
        .map(drop)
        .map_err(failed)
}

/// Deletes what we made and do not make any more.
async fn prune(inputs: &Inputs, wanted: &[Object], context: &Context) -> Result<(), Error> {
    let uid = inputs.plane.uid();
    let sets = [inputs.names.k0s(), inputs.names.etcd()];
    for ((kind, name), live) in &inputs.live {
        let is_wanted = wanted
            .iter()
            .any(|object| object.kind == *kind && object.name == *name);
        let is_set = *kind == Kind::StatefulSet && sets.contains(name);
        let owners = live
            .pointer("/metadata/ownerReferences")
            .and_then(Value::as_array);
        let is_ours = owners.into_iter().flatten().any(|owner| {
            owner.get("uid").and_then(Value::as_str) == uid.as_deref()
                && owner.get("controller") == Some(&json!(true))
        });
        let leaves = live.pointer("/metadata/deletionTimestamp").is_some();
        if is_wanted || is_set || !is_ours || leaves {
            continue;
        }
        let resource = kind.resource();
        let api: Api<DynamicObject> =
            Api::namespaced_with(context.client.clone(), &inputs.names.namespace, &resource);
        let deleted = api.delete(name, &DeleteParams::default()).await;
        ignore_missing(deleted.map(drop)).map_err(deletion("object", name))?;
    }
    Ok(())
}
