//! A control plane Machine and what belongs to it: infrastructure machine and K0sControllerConfig, all of one name.
//! Pure.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use k0smotron_api::{
    bootstrap::v1beta2::{K0sConfigSpec, K0sControllerConfig, K0sControllerConfigSpec},
    capi::{Bootstrap, Cluster, ContractReference, Machine, MachineSpec},
    control_plane::v1beta2::K0sControlPlane,
    drift,
    meta::LabelsAndAnnotations,
    names::{annotations, labels},
};
use k0smotron_k0s::arguments::worker_enabled;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::{Resource, ResourceExt, api::DynamicObject, core::TypeMeta};
use serde_json::{Value, json};

use super::{
    Error,
    fetch::{FoundTemplate, Inputs},
    observe::{config_for, version},
};

/// Longest value of a label.
const MAX_LABEL: usize = 63;

/// Labels of everything that belongs to a control plane Machine.
fn common_labels(plane: &K0sControlPlane, cluster: &Cluster) -> BTreeMap<String, String> {
    let mut all = template_metadata(plane).labels;
    all.extend([
        (labels::CLUSTER_NAME.to_owned(), cluster.name_any()),
        (
            labels::CONTROL_PLANE.to_owned(),
            labels::CONTROL_PLANE_VALUE.to_owned(),
        ),
        (
            labels::CONTROL_PLANE_NAME.to_owned(),
            label_value(&plane.name_any()),
        ),
    ]);
    all
}

fn template_metadata(plane: &K0sControlPlane) -> LabelsAndAnnotations {
    plane.spec.machine_template.metadata.clone().unwrap_or_default()
}

/// The name where it fits into a label, else a hash of it, as other control plane providers write it.
fn label_value(name: &str) -> String {
    let fits = name.len() <= MAX_LABEL
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if fits {
        return name.to_owned();
    }
    // FNV-1a, 32 bits.
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    format!("hash_{}_z", BASE64_URL_SAFE_NO_PAD.encode(hash.to_be_bytes()))
}

/// A reference to the control plane that is no controller's: who creates a Machine's parts owns them until Cluster API
/// hands them to the Machine, so that none is left behind by a crash.
fn creator(plane: &K0sControlPlane) -> Option<Vec<OwnerReference>> {
    plane.owner_ref(&()).map(|owner| vec![owner])
}

/// The infrastructure machine, made from its template.
pub fn infrastructure(
    inputs: &Inputs,
    cluster: &Cluster,
    template: &FoundTemplate,
    name: &str,
) -> Result<DynamicObject, Error> {
    let plane = inputs.plane.as_ref();
    let made_from = template.object.data.pointer("/spec/template");
    let of_template: LabelsAndAnnotations = made_from
        .and_then(|template| template.get("metadata"))
        .and_then(|metadata| serde_json::from_value(metadata.clone()).ok())
        .unwrap_or_default();
    let mut all_labels = of_template.labels;
    all_labels.extend(common_labels(plane, cluster));
    let mut all_annotations = of_template.annotations;
    all_annotations.extend(template_metadata(plane).annotations);
    let group_kind = format!("{}.{}", template.api.kind, template.api.group);
    all_annotations.extend([
        (
            annotations::CLONED_FROM_NAME.to_owned(),
            template.object.name_any(),
        ),
        (annotations::CLONED_FROM_GROUP_KIND.to_owned(), group_kind),
    ]);
    let spec = made_from.and_then(|template| template.get("spec")).cloned();
    Ok(DynamicObject {
        types: Some(TypeMeta {
            api_version: template.machine_api.api_version.clone(),
            kind: template.machine_api.kind.clone(),
        }),
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: plane.namespace(),
            labels: Some(all_labels),
            annotations: Some(all_annotations),
            owner_references: creator(plane),
            ..ObjectMeta::default()
        },
        data: json!({ "spec": spec.unwrap_or_else(|| json!({})) }),
    })
}

/// The K0sControllerConfig with the completed configuration, to found the cluster or to join it.
pub fn config(
    inputs: &Inputs,
    cluster: &Cluster,
    name: &str,
    config: &Value,
    founds: bool,
) -> Result<K0sControllerConfig, Error> {
    let plane = inputs.plane.as_ref();
    let config: K0sConfigSpec = serde_json::from_value(config.clone()).map_err(Error::Encoding)?;
    let version = version(inputs).map(|version| version.to_string());
    let mut object = K0sControllerConfig::new(name, K0sControllerConfigSpec { version, config });
    object.metadata.namespace = plane.namespace();
    object.metadata.labels = Some(common_labels(plane, cluster));
    let mut all_annotations = template_metadata(plane).annotations;
    if founds {
        all_annotations.insert(annotations::FOUNDS_CLUSTER.to_owned(), "true".to_owned());
    }
    object.metadata.annotations = Some(all_annotations);
    object.metadata.owner_references = creator(plane);
    Ok(object)
}

/// The Machine, in this failure domain if any.
pub fn machine(
    inputs: &Inputs,
    cluster: &Cluster,
    template: &FoundTemplate,
    name: &str,
    domain: Option<&str>,
    config: &Value,
) -> Result<Machine, Error> {
    let (api_version, kind) = (
        K0sControllerConfig::api_version(&()),
        K0sControllerConfig::kind(&()),
    );
    let group = api_version.split('/').next().unwrap_or_default();
    let spec = MachineSpec {
        cluster_name: cluster.name_any(),
        bootstrap: Bootstrap {
            config_ref: Some(ContractReference::new(group, kind, name)),
            data_secret_name: None,
        },
        infrastructure_ref: Some(ContractReference::new(
            &template.machine_api.group,
            &template.machine_api.kind,
            name,
        )),
        version: version(inputs).map(|version| version.to_string()),
        failure_domain: domain.map(str::to_owned),
        ..MachineSpec::default()
    };
    let made_from = annotated(config)?;
    let workers = worker_enabled(&inputs.plane.spec.k0s_config_spec.args);
    Ok(assemble(inputs, cluster, name, spec, Some(made_from), workers))
}

/// A Machine that stays, with what may change in place changed: labels, annotations, readiness gates, taints
/// and the bounds of its deletion.
/// What it was made from stays as it was.
pub fn kept(inputs: &Inputs, cluster: &Cluster, present: &Machine) -> Machine {
    let spec = MachineSpec {
        cluster_name: cluster.name_any(),
        bootstrap: Bootstrap {
            config_ref: present.spec.bootstrap.config_ref.clone(),
            data_secret_name: None,
        },
        infrastructure_ref: present.spec.infrastructure_ref.clone(),
        version: present.spec.version.clone(),
        failure_domain: present.spec.failure_domain.clone(),
        ..MachineSpec::default()
    };
    let made_from = present.annotations().get(annotations::K0S_CONFIG).cloned();
    let workers = present
        .labels()
        .contains_key(labels::CONTROL_PLANE_WORKER_ENABLED);
    let mut kept = assemble(inputs, cluster, &present.name_any(), spec, made_from, workers);
    if let Some(record) = present.annotations().get(annotations::REMEDIATION_FOR) {
        kept.annotations_mut()
            .insert(annotations::REMEDIATION_FOR.to_owned(), record.clone());
    }
    if let Some(adopted) = adopted(inputs, present) {
        kept.annotations_mut()
            .insert(annotations::ADOPTED_CONFIGURATION.to_owned(), adopted);
    }
    kept
}

/// What a Machine that does not say what it was made from is held to: what the spec asked for when it was first seen. Only
/// with it can be said later on that a change does not reach it.
fn adopted(inputs: &Inputs, present: &Machine) -> Option<String> {
    let known = present.annotations();
    if known.contains_key(annotations::K0S_CONFIG) {
        return None;
    }
    if let Some(adopted) = known.get(annotations::ADOPTED_CONFIGURATION) {
        return Some(adopted.clone());
    }
    // Without its endpoint the configuration is not complete.
    inputs.endpoint()?;
    let config = config_for(inputs, None).ok()?;
    serde_json::to_string(&drift::node_local(&config)).ok()
}

fn assemble(
    inputs: &Inputs,
    cluster: &Cluster,
    name: &str,
    spec: MachineSpec,
    made_from: Option<String>,
    workers: bool,
) -> Machine {
    let plane = inputs.plane.as_ref();
    let mut all_labels = common_labels(plane, cluster);
    if workers {
        all_labels.insert(labels::CONTROL_PLANE_WORKER_ENABLED.to_owned(), "true".to_owned());
    }
    let mut all_annotations = template_metadata(plane).annotations;
    all_annotations.insert(annotations::PRE_TERMINATE_HOOK.to_owned(), String::new());
    if let Some(made_from) = made_from {
        all_annotations.insert(annotations::K0S_CONFIG.to_owned(), made_from);
    }
    let settings = plane.spec.machine_template.settings();
    let spec = MachineSpec {
        deletion: plane.spec.machine_template.deletion(),
        readiness_gates: settings.readiness_gates,
        taints: settings.taints,
        ..spec
    };
    let mut machine = Machine::new(name, spec);
    machine.metadata.namespace = plane.namespace();
    machine.metadata.labels = Some(all_labels);
    machine.metadata.annotations = Some(all_annotations);
    machine.metadata.owner_references = plane.controller_owner_ref(&()).map(|owner| vec![owner]);
    machine
}

/// The configuration as it is written on the Machine. `provisioner` and `tunneling` are always there: readers take the
/// absence of the former for an older schema.
fn annotated(config: &Value) -> Result<String, Error> {
    let mut config = config.clone();
    if let Some(fields) = config.as_object_mut() {
        for key in ["provisioner", "tunneling"] {
            fields.entry(key).or_insert_with(|| json!({}));
        }
    }
    serde_json::to_string(&config).map_err(Error::Encoding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_become_hashes() {
        assert_eq!(label_value("demo"), "demo");
        let long = "a".repeat(64);
        let value = label_value(&long);
        assert!(
            value.starts_with("hash_") && value.ends_with("_z") && value.len() <= MAX_LABEL,
            "{value}"
        );
        assert_eq!(value, label_value(&long));
    }
}
