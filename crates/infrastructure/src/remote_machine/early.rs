//! What Cluster API says of a machine's surroundings, read where it is known first: Cluster API reconciles an object at
//! most once a second, and each copy that is not waited for saves a machine that long. Fields of contracts only.

use std::fmt::Debug;

use k0smotron_api::{
    bootstrap::{
        self,
        v1beta2::{BootstrapStatus, K0sControllerConfig, K0sWorkerConfig},
    },
    capi::{Cluster, Machine},
    infrastructure::{self, v1beta2::RemoteCluster},
    names::annotations,
};
use k0smotron_runtime::Context;
use kube::{Resource, ResourceExt, core::NamespaceResourceScope};
use serde::de::DeserializeOwned;

use super::Error;
use crate::belonging::{core_owner, is_active};

/// Name of the Secret with the Machine's bootstrap data: of the Machine, or of its config until that was copied.
///
/// # Errors
/// When the API cannot be read.
pub async fn data_secret(context: &Context, machine: &Machine) -> Result<Option<String>, Error> {
    let bootstrap = &machine.spec.bootstrap;
    if let Some(name) = bootstrap
        .data_secret_name
        .as_ref()
        .filter(|name| !name.is_empty())
    {
        return Ok(Some(name.clone()));
    }
    let reference = bootstrap.config_ref.as_ref();
    let Some(reference) =
        reference.filter(|reference| reference.api_group == bootstrap::GROUP && is_active(machine))
    else {
        return Ok(None);
    };
    let namespace = machine.namespace().unwrap_or_default();
    Ok(match reference.kind.as_str() {
        "K0sControllerConfig" => get::<K0sControllerConfig>(context, &namespace, &reference.name)
            .await?
            .and_then(|config| made(&config, config.status.as_ref(), machine)),
        "K0sWorkerConfig" => get::<K0sWorkerConfig>(context, &namespace, &reference.name)
            .await?
            .and_then(|config| made(&config, config.status.as_ref(), machine)),
        _ => None,
    })
}

async fn get<K>(context: &Context, namespace: &str, name: &str) -> Result<Option<K>, Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let found = context.api::<K>(namespace).get_opt(name).await;
    found.map_err(Error::read("bootstrap config"))
}

/// The data that the config says it has made (contract B2, B3), if nobody else's Machine has the config.
fn made<K: ResourceExt>(config: &K, status: Option<&BootstrapStatus>, machine: &Machine) -> Option<String> {
    let is_its_own = core_owner(config, "Machine").is_none_or(|name| name == machine.name_any());
    let stays = config.meta().deletion_timestamp.is_none();
    let status = status.filter(|status| is_its_own && stays && status.data_secret_created())?;
    status.data_secret_name.clone().filter(|name| !name.is_empty())
}

/// Whether the Cluster's infrastructure is a RemoteCluster of ours, which is ready as soon as it is there. What somebody
/// else provisions (contract IC8) is waited for.
///
/// # Errors
/// When the API cannot be read.
pub async fn nothing_to_provision(context: &Context, cluster: &Cluster) -> Result<bool, Error> {
    let reference = cluster.spec.infrastructure_ref.as_ref();
    let Some(reference) = reference.filter(|reference| {
        !cluster.infrastructure_provisioned()
            && is_active(cluster)
            && reference.is(infrastructure::GROUP, &RemoteCluster::kind(&()))
    }) else {
        return Ok(false);
    };
    let namespace = cluster.namespace().unwrap_or_default();
    let found = context
        .api::<RemoteCluster>(&namespace)
        .get_opt(&reference.name)
        .await
        .map_err(Error::read("RemoteCluster"))?;
    Ok(found.is_some_and(|found| provisions_nothing(&found)))
}

/// Whether Cluster API is about to delete the infrastructure of the Machine, a second or two from now: Machine and
/// Cluster are being deleted and nobody holds the Machine back. Nodes of a cluster that goes are not drained.
pub fn goes_with_cluster(machine: &Machine, cluster: &Cluster) -> bool {
    let holds = |key: &String| {
        key == annotations::PAUSED
            || key.starts_with(annotations::PRE_DRAIN_HOOKS)
            || key.starts_with(annotations::PRE_TERMINATE_HOOKS)
    };
    machine.is_deleting()
        && cluster.metadata.deletion_timestamp.is_some()
        && !machine.annotations().keys().any(holds)
}

fn provisions_nothing(object: &RemoteCluster) -> bool {
    object.metadata.deletion_timestamp.is_none()
        && !object.annotations().contains_key(annotations::MANAGED_BY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: DeserializeOwned>(yaml: &str) -> T {
        serde_yaml::from_str(yaml).unwrap_or_else(|error| panic!("{error} in\n{yaml}"))
    }

    fn data(metadata: &str, status: &str) -> Option<String> {
        let machine: Machine = read(
            "apiVersion: cluster.x-k8s.io/v1beta2\nkind: Machine\nmetadata: {name: m, namespace: ns}\n\
             spec: {clusterName: c}\n",
        );
        let config: K0sWorkerConfig = read(&format!(
            "apiVersion: bootstrap.cluster.x-k8s.io/v1beta2\nkind: K0sWorkerConfig\n\
             metadata: {{name: m, namespace: ns, {metadata}}}\nspec: {{}}\nstatus: {{{status}}}\n"
        ));
        made(&config, config.status.as_ref(), &machine)
    }

    #[test]
    fn data_counts_once_the_config_says_that_it_is_made() {
        const MADE: &str = "dataSecretName: d, initialization: {dataSecretCreated: true}";
        assert_eq!(data("", MADE), Some("d".into()));
        assert_eq!(data("", "dataSecretName: d"), None);
        assert_eq!(data("", "initialization: {dataSecretCreated: true}"), None);
        assert_eq!(data("", ""), None);
        assert_eq!(data("deletionTimestamp: '2026-01-01T00:00:00Z'", MADE), None);
        let owned = |by: &str| {
            format!(
                "ownerReferences: [{{apiVersion: cluster.x-k8s.io/v1beta2, kind: Machine, name: {by}, uid: u}}]"
            )
        };
        assert_eq!(data(&owned("m"), MADE), Some("d".into()));
        assert_eq!(data(&owned("other"), MADE), None, "the config of another Machine");
    }

    #[test]
    fn a_machine_goes_with_its_cluster_once_nobody_holds_it() {
        const DELETED: &str = "deletionTimestamp: '2026-01-01T00:00:00Z'";
        let goes = |of_machine: &str, of_cluster: &str| {
            let object = |kind: &str, metadata: &str, spec: &str| {
                format!(
                    "apiVersion: cluster.x-k8s.io/v1beta2\nkind: {kind}\n\
                     metadata: {{name: c, namespace: ns, {metadata}}}\nspec: {{{spec}}}\n"
                )
            };
            let machine = read::<Machine>(&object("Machine", of_machine, "clusterName: c"));
            goes_with_cluster(&machine, &read::<Cluster>(&object("Cluster", of_cluster, "")))
        };
        assert!(goes(DELETED, DELETED));
        // A machine that is replaced: its node is drained first. A cluster that goes: backups and workers come first.
        assert!(!goes(DELETED, ""));
        assert!(!goes("", DELETED));
        for held in [
            "pre-terminate.delete.hook.machine.cluster.x-k8s.io/kcp-cleanup",
            "pre-drain.delete.hook.machine.cluster.x-k8s.io/backup",
            "cluster.x-k8s.io/paused",
        ] {
            let metadata = format!("{DELETED}, annotations: {{{held}: ''}}");
            assert!(!goes(&metadata, DELETED), "{held}");
        }
    }

    #[test]
    fn what_others_provision_is_waited_for() {
        let cluster = |metadata: &str| {
            read::<RemoteCluster>(&format!(
                "apiVersion: infrastructure.cluster.x-k8s.io/v1beta2\nkind: RemoteCluster\n\
                 metadata: {{name: c, {metadata}}}\nspec: {{}}\n"
            ))
        };
        assert!(provisions_nothing(&cluster("")));
        assert!(!provisions_nothing(&cluster(
            "annotations: {cluster.x-k8s.io/managed-by: crossplane}"
        )));
        assert!(!provisions_nothing(&cluster(
            "deletionTimestamp: '2026-01-01T00:00:00Z'"
        )));
    }
}
