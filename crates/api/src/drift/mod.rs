//! In what a control-plane Machine differs from what its control plane asks for now. Pure.
//!
//! For whoever has to know it: the provider that replaces Machines, and the command line that says beforehand which ones that would be.
//! Not for what is done about it.

mod comparison;

use std::collections::BTreeMap;

use jiff::Timestamp;
use k0smotron_k0s::{
    cluster_config::{self, ConfigError},
    version::Version,
};
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};

use crate::{
    capi::{Cluster, Machine},
    control_plane::v1beta2::{K0sControlPlane, K0sControlPlaneSpec},
    conversion::{self, convert},
    names::annotations,
};

pub use comparison::{Made, Wanted, differences, in_place, node_local, node_local_differences};

/// The version that Machines get; none if the spec's cannot be read, which is refused.
#[must_use]
pub fn version(spec: &K0sControlPlaneSpec) -> Option<Version> {
    Version::parse_lenient(&spec.version)
        .ok()
        .map(|version| version.with_default_suffix())
}

/// When Machines that are from before then are to be replaced.
#[must_use]
pub fn rollout_after(spec: &K0sControlPlaneSpec) -> Option<Timestamp> {
    let after = spec.rollout.as_ref()?.after.as_ref()?;
    Some(after.0)
}

/// The spec's K0sConfigSpec completed by what the cluster knows, as JSON. `endpoint_host`: where the API server is to answer, once that is
/// known. For a Machine that is to be made, with the name of its etcd member.
///
/// # Errors
/// The k0s configuration cannot be used, which is refused before.
pub fn config(
    spec: &K0sControlPlaneSpec,
    cluster: Option<&Cluster>,
    endpoint_host: Option<&str>,
    machine: Option<&str>,
) -> Result<Value, ConfigError> {
    let named = version(spec).is_some_and(|version| version.names_etcd_members());
    let known = cluster_config::Inputs {
        endpoint_host: endpoint_host.unwrap_or_default().to_owned(),
        pod_cidrs: cluster
            .map(|cluster| cluster.pod_cidrs().to_vec())
            .unwrap_or_default(),
        service_cidrs: cluster
            .map(|cluster| cluster.service_cidrs().to_vec())
            .unwrap_or_default(),
        service_domain: cluster
            .and_then(Cluster::service_domain)
            .unwrap_or_default()
            .to_owned(),
        etcd_member_name: machine.filter(|_| named).map(str::to_owned),
        ..cluster_config::Inputs::default()
    };
    let mut config = spec.k0s_config_spec.clone();
    config.k0s = Some(cluster_config::effective(config.k0s.as_ref(), &known)?);
    Ok(serde_json::to_value(config).unwrap_or(Value::Null))
}

/// What Machines are to be made from at `now`.
#[must_use]
pub fn wanted(
    spec: &K0sControlPlaneSpec,
    cluster: Option<&Cluster>,
    endpoint_host: Option<&str>,
    now: Timestamp,
) -> Wanted {
    let template = spec.machine_template.infrastructure_ref().unwrap_or_default();
    Wanted {
        version: version(spec),
        config: config(spec, cluster, endpoint_host, None).unwrap_or(Value::Null),
        template_group_kind: format!("{}.{}", template.kind, template.api_group),
        template_name: template.name,
        since: rollout_after(spec).filter(|after| *after <= now),
    }
}

/// What a Machine was made from. `origin`: annotations of its infrastructure machine, if there is one.
#[must_use]
pub fn made(machine: &Machine, origin: Option<&BTreeMap<String, String>>) -> Made {
    let origin = |key: &str| origin.and_then(|annotations| annotations.get(key)).cloned();
    let config = machine.annotations().get(annotations::K0S_CONFIG);
    let mut config: Option<Value> = config
        .and_then(|text| serde_json::from_str(text).ok())
        .map(recorded);
    // Its own member name is no difference.
    if let Some(arguments) = config
        .as_mut()
        .and_then(|config| config.pointer_mut("/k0s/spec/storage/etcd/extraArgs"))
        .and_then(Value::as_object_mut)
        && arguments.get("name").and_then(Value::as_str) == Some(&machine.name_any())
    {
        arguments.remove("name");
    }
    let adopted = machine.annotations().get(annotations::ADOPTED_CONFIGURATION);
    Made {
        version: machine.spec.version.clone(),
        config,
        adopted: adopted.and_then(|text| serde_json::from_str(text).ok()),
        template_name: origin(annotations::CLONED_FROM_NAME),
        template_group_kind: origin(annotations::CLONED_FROM_GROUP_KIND),
        created: machine.creation_timestamp().map(|time| time.0),
    }
}

/// A K0sConfigSpec as a Machine bears it. Releases before 2.0 wrote it with the field names of v1beta1, which have no
/// `provisioner`; later ones always write that.
fn recorded(config: Value) -> Value {
    if config.get("provisioner").is_some() {
        return config;
    }
    let plane = json!({
        "apiVersion": format!("{}/v1beta1", K0sControlPlane::group(&())),
        "kind": K0sControlPlane::kind(&()),
        "spec": { "k0sConfigSpec": &config },
    });
    let converted = convert(plane, conversion::Version::V1Beta2).ok();
    converted
        .and_then(|mut plane| plane.pointer_mut("/spec/k0sConfigSpec").map(Value::take))
        .unwrap_or(config)
}
