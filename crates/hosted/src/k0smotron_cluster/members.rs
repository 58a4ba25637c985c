//! The members of a control plane's etcd: how they are reached, and what is done to them.

use k0smotron_api::names::secrets as contract;
use k0smotron_runtime::{
    Context,
    dial::{EtcdClient, EtcdError, EtcdTls, Target},
    secrets,
};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::{
    ResourceExt,
    api::{DeleteParams, Preconditions},
};

use super::{
    Error,
    apply::{Applied, deletion, ignore_missing},
    build::services::ETCD_CLIENT,
    certificates::{Authority, Leaf},
    etcd_health,
    fetch::Inputs,
    membership::{Plan, Step as Change},
    observed::is_ready,
};

/// How to speak TLS with members, once their certificates are there.
pub fn etcd_tls(inputs: &Inputs) -> Option<EtcdTls> {
    let client = inputs
        .secrets
        .get(&Leaf::Client.secret_name(&inputs.names.cluster))?;
    Some(EtcdTls {
        ca: secrets::text(inputs.authority(Authority::Etcd)?, contract::TLS_CRT)?,
        certificate: secrets::text(client, contract::TLS_CRT)?,
        key: secrets::text(client, contract::TLS_KEY)?.into(),
        server_name: inputs.names.etcd(),
    })
}

/// Pods of etcd to talk to, the likeliest to answer first.
pub fn etcd_targets(inputs: &Inputs) -> Vec<Target> {
    let pods = inputs
        .pods
        .iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none());
    let mut pods: Vec<_> = pods
        .filter_map(|pod| Some((inputs.names.etcd_ordinal(&pod.name_any())?, pod)))
        .filter(|(_, pod)| pod.status.as_ref().is_some_and(|status| status.pod_ip.is_some()))
        .collect();
    pods.sort_by_key(|(ordinal, pod)| (!is_ready(pod), *ordinal));
    pods.into_iter()
        .map(|(_, pod)| Target::pod(inputs.names.namespace.clone(), pod.name_any(), ETCD_CLIENT))
        .collect()
}

/// Brings about the one change of the members.
///
/// # Errors
/// What etcd or the API server answers.
pub async fn change(
    inputs: &Inputs,
    plan: &Plan,
    context: &Context,
    applied: &mut Applied,
) -> Result<(), Error> {
    let names = &inputs.names;
    let name = |ordinal: &Option<usize>| {
        ordinal.map_or_else(|| "of another origin".to_owned(), |it| names.etcd_pod(it))
    };
    match &plan.step {
        Change::Founded | Change::Wait(_) | Change::Steady => Ok(()),
        Change::Add(ordinal) => {
            applied.members_changed = true;
            let urls = [names.etcd_peer_url(*ordinal)];
            match client(inputs, context)?.member_add_as_learner(&urls).await {
                Err(error) if error.is_member_present() => Ok(()),
                Err(error) if error.is_too_early() => {
                    applied.look_again = true;
                    return Ok(());
                }
                result => done(result.map(drop), "add", &names.etcd_pod(*ordinal)),
            }?;
            let note = format!(
                "added member {} to etcd, as yet without a vote",
                names.etcd_pod(*ordinal)
            );
            applied.events.push(("MemberAdded", note));
            Ok(())
        }
        Change::Promote { id, ordinal } => match client(inputs, context)?.member_promote(*id).await {
            Err(error) if error.is_learner_behind() => {
                applied.look_again = true;
                Ok(())
            }
            result => {
                applied.members_changed = true;
                done(result, "promote", &name(ordinal))?;
                applied.events.push((
                    "MemberPromoted",
                    format!("member {} of etcd votes", name(ordinal)),
                ));
                Ok(())
            }
        },
        Change::Remove { id, ordinal, why } => {
            applied.members_changed = true;
            match client(inputs, context)?.member_remove(*id).await {
                Err(error) if error.is_member_absent() => Ok(()),
                result => done(result, "remove", &name(ordinal)),
            }?;
            let note = format!(
                "removed member {} from etcd: {}",
                name(ordinal),
                etcd_health::why(*why)
            );
            applied.events.push(("MemberRemoved", note));
            Ok(())
        }
        Change::Restart { ordinal, why } => {
            let pod = names.etcd_pod(*ordinal);
            delete_pod(inputs, &pod, context).await?;
            let note = format!("deleted Pod {pod}, which starts anew: {}", etcd_health::why(*why));
            applied.events.push(("MemberRestarted", note));
            Ok(())
        }
        Change::Discard(ordinal) => {
            let claim = names.etcd_claim(*ordinal);
            let claims = context.api::<PersistentVolumeClaim>(&names.namespace);
            let deleted = claims.delete(&claim, &DeleteParams::default()).await;
            ignore_missing(deleted.map(drop)).map_err(deletion("PersistentVolumeClaim", &claim))?;
            delete_pod(inputs, &names.etcd_pod(*ordinal), context).await?;
            let note = format!("deleted PersistentVolumeClaim {claim}: what is on it is no member's");
            applied.events.push(("ClaimDeleted", note));
            Ok(())
        }
    }
}

/// Deletes the pod that was seen, and not one that took its place.
///
/// # Errors
/// What the API server answers.
pub async fn delete_pod(inputs: &Inputs, name: &str, context: &Context) -> Result<(), Error> {
    let Some(seen) = inputs.pods.iter().find(|pod| pod.name_any() == name) else {
        return Ok(());
    };
    let pods = context.api::<Pod>(&inputs.names.namespace);
    let parameters = DeleteParams::default().preconditions(Preconditions {
        uid: seen.uid(),
        resource_version: None,
    });
    match pods.delete(name, &parameters).await {
        Err(kube::Error::Api(status)) if status.is_conflict() => Ok(()),
        deleted => ignore_missing(deleted.map(drop)).map_err(deletion("Pod", name)),
    }
}

fn client(inputs: &Inputs, context: &Context) -> Result<EtcdClient, Error> {
    let (Some(tls), Some(target)) = (etcd_tls(inputs), etcd_targets(inputs).into_iter().next()) else {
        return Err(Error::Interrupted);
    };
    EtcdClient::new(&context.pods, &target, &tls).map_err(Error::EtcdClient)
}

fn done(result: Result<(), EtcdError>, verb: &'static str, name: &str) -> Result<(), Error> {
    result.map_err(|source| Error::Member {
        verb,
        name: name.to_owned(),
        source,
    })
}
