//! The pods of k0s.
//!
//! k0s runs as root, as it starts its programs under users of their own; of a root's rights it keeps what that takes. Its
//! probes open a port and no more, since its API server answers nobody unknown: k0s opens the port of its join API only
//! after `/readyz` of its API server was fine (k0s v1.36, order of components in `cmd/controller`), which is what the
//! startup probe waits for; from then on the API server's own port tells whether it runs. Liveness asks k0s and not the
//! API server, which ends when etcd is away: a restart would not bring etcd back.

use std::collections::BTreeMap;

use k0smotron_api::{
    k0smotron::v1beta2::{Cluster, PersistenceType},
    names::hosted::annotations as hosted,
};
use k0smotron_k0s::{arguments, cluster_config};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    Facts, Kind, Object, SHAPE, annotations, digest, insert, metadata, pods, replicas, version, without_unset,
};
use crate::k0smotron_cluster::{
    certificates::{Authority, Leaf},
    config, flags,
    names::{self, Component, Labels, Names, with_component},
};

/// Where k0s reads its configuration, and its key in the ConfigMap.
const CONFIG: &str = "/etc/k0s/k0s.yaml";
pub const CONFIG_KEY: &str = "k0s.yaml";
const DATA_DIR: &str = "/var/lib/k0s";
/// Where the keys are that the first container copies: k0s wants to own the files.
const KEYS: &str = "/certs-init";
/// What k0s needs of a root's rights: files and processes of other users, and ports below 1024.
const CAPABILITIES: [&str; 7] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "KILL",
    "NET_BIND_SERVICE",
    "SETGID",
    "SETUID",
];

/// The parts of an existing StatefulSet that cannot change.
#[derive(Clone, Debug, Default)]
pub struct Fixed {
    pub selector: Option<Labels>,
    pub service_name: Option<String>,
    pub pod_management: Option<String>,
    pub claim_templates: Option<Value>,
}

/// What the pods are made from: a change of it, and of nothing else, makes them anew.
pub fn inputs(plane: &Cluster, facts: &Facts, configuration: &Value) -> String {
    let spec = &plane.spec;
    let users_labels: BTreeMap<_, _> = names::base(plane);
    let references: Vec<_> = Authority::ALL
        .map(|authority| authority.secret_name(plane))
        .into();
    digest(&without_unset(json!({
        "version": version(plane).map(|version| version.to_string()),
        "image": spec.image(),
        "serviceAccount": spec.service_account,
        "ports": [spec.service.api_port, spec.service.konnectivity_port],
        "persistence": spec.persistence.as_ref().map(|it| json!([kind(it.r#type), it.host_path, it.persistent_volume_claim])),
        "configuration": match flags::is_dynamic(&spec.control_plane_flags) {
            true => config::node_local(configuration),
            false => configuration.clone(),
        },
        "flags": spec.control_plane_flags,
        "manifests": spec.manifests,
        "mounts": spec.mounts,
        "resources": spec.resources,
        "spread": spec.topology_spread_constraints,
        "scheduling": spec.scheduling,
        "security": spec.security,
        "labels": users_labels,
        "annotations": annotations(plane),
        "secrets": references,
        "authorities": facts.authorities,
        "etcd": facts.etcd_addresses,
    })))
}

fn kind(kind: PersistenceType) -> &'static str {
    match kind {
        PersistenceType::EmptyDir | PersistenceType::Unset => "emptyDir",
        PersistenceType::HostPath => "hostPath",
        PersistenceType::Pvc => "pvc",
    }
}

/// The StatefulSet.
pub fn stateful_set(
    plane: &Cluster,
    names: &Names,
    facts: &Facts,
    configuration: &Value,
    fixed: &Fixed,
) -> Object {
    let inputs = inputs(plane, facts, configuration);
    let selector = fixed
        .selector
        .clone()
        .unwrap_or_else(|| names::k0s_selector(plane));
    let name = names.k0s();
    let mut metadata = metadata(
        plane,
        names,
        &name,
        names::k0s_selector(plane),
        Component::ControlPlane,
    );
    set(&mut metadata, "annotations", hosted::INPUTS, json!(inputs));
    set(&mut metadata, "annotations", hosted::SHAPE, json!(SHAPE));

    let mut labels = names::k0s_selector(plane);
    labels.extend(selector.clone());
    let mut of_pods = annotations(plane);
    of_pods.insert(hosted::INPUTS.to_owned(), inputs);
    let template = json!({
        "metadata": {"labels": with_component(labels, Component::ControlPlane), "annotations": of_pods},
        "spec": pod(plane, names, facts, configuration),
    });
    let mut spec = json!({
        "replicas": replicas(plane),
        "serviceName": fixed.service_name.clone().unwrap_or_default(),
        "podManagementPolicy": fixed.pod_management.clone().unwrap_or_else(|| "Parallel".to_owned()),
        "selector": {"matchLabels": selector},
        "template": template,
    });
    let persistence = plane.spec.persistence.clone().unwrap_or_default();
    let claims = match (&fixed.claim_templates, claim(plane, names)) {
        (Some(fixed), _) => Some(fixed.clone()),
        (None, claim) => claim.map(|claim| json!([claim])),
    };
    if let Some(claims) = claims {
        insert(&mut spec, "volumeClaimTemplates", claims);
    }
    if persistence.r#type == PersistenceType::Pvc && persistence.auto_delete_pvcs {
        insert(
            &mut spec,
            "persistentVolumeClaimRetentionPolicy",
            json!({"whenDeleted": "Delete", "whenScaled": "Retain"}),
        );
    }
    Object {
        kind: Kind::StatefulSet,
        value: json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": metadata, "spec": spec}),
        name,
    }
}

/// Sets a field of an object within an object.
pub fn set(object: &mut Value, field: &str, key: &str, value: Value) {
    if let Some(fields) = object.as_object_mut() {
        let inner = fields.entry(field).or_insert_with(|| json!({}));
        if let Some(inner) = inner.as_object_mut() {
            inner.insert(key.to_owned(), value);
        }
    }
}

/// The claim of k0s' data directory, if the spec asks for one.
fn claim(plane: &Cluster, names: &Names) -> Option<Value> {
    let persistence = plane.spec.persistence.as_ref()?;
    if persistence.r#type != PersistenceType::Pvc {
        return None;
    }
    let mut claim = json!(persistence.persistent_volume_claim.as_ref()?);
    let name = data_volume(plane, names);
    set(&mut claim, "metadata", "name", json!(name));
    let fields = claim.as_object_mut()?;
    fields.remove("status");
    fields.insert("apiVersion".to_owned(), json!("v1"));
    fields.insert("kind".to_owned(), json!("PersistentVolumeClaim"));
    Some(claim)
}

/// How names of the claims begin, and the size that the spec asks for, if it asks for claims.
pub fn claimed(plane: &Cluster, names: &Names) -> Option<(String, String)> {
    let claim = claim(plane, names)?;
    let size = match claim.pointer("/spec/resources/requests/storage")? {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    Some((format!("{}-{}-", data_volume(plane, names), names.k0s()), size))
}

fn data_volume(plane: &Cluster, names: &Names) -> String {
    let persistence = plane.spec.persistence.as_ref();
    let persistence = persistence.filter(|persistence| persistence.r#type == PersistenceType::Pvc);
    let claim = persistence.and_then(|persistence| persistence.persistent_volume_claim.as_ref());
    let named = claim.and_then(|claim| claim.fields().get("metadata")?.get("name")?.as_str());
    named
        .filter(|name| !name.is_empty())
        .map_or_else(|| names.k0s(), str::to_owned)
}

/// k0s' image: the version is the tag, which may bear no plus sign.
pub fn image(plane: &Cluster) -> String {
    let tag = match version(plane) {
        Some(version) => version.to_string().replacen("+k0s.", "-k0s.", 1),
        None => plane.spec.version().to_owned(),
    };
    format!("{}:{tag}", plane.spec.image())
}

fn pod(plane: &Cluster, names: &Names, facts: &Facts, configuration: &Value) -> Value {
    let image = image(plane);
    let data = data_volume(plane, names);
    let Volumes { mut volumes, mounts } = volumes(plane, names);
    let persistence = plane.spec.persistence.clone().unwrap_or_default();
    match persistence.r#type {
        PersistenceType::HostPath => {
            volumes
                .push(json!({"name": data, "hostPath": {"path": persistence.host_path.unwrap_or_default()}}));
        }
        PersistenceType::EmptyDir | PersistenceType::Unset => {
            volumes.push(json!({"name": data, "emptyDir": {}}));
        }
        // Its volume comes of the claim.
        PersistenceType::Pvc => {}
    }
    // Found by scripts as the second one.
    let mut all = vec![
        json!({"name": "config", "mountPath": CONFIG, "subPath": CONFIG_KEY, "readOnly": true}),
        json!({"name": data, "mountPath": DATA_DIR}),
        json!({"name": "etcd-client", "mountPath": "/etc/k0smotron/etcd", "readOnly": true}),
    ];
    all.extend(mounts);

    let ports = &plane.spec.service;
    let lowest = ports.api_port.min(ports.konnectivity_port);
    let mut context = json!({"seccompProfile": {"type": "RuntimeDefault"}});
    if lowest < 1024 {
        // kube-apiserver is no root.
        insert(
            &mut context,
            "sysctls",
            json!([{"name": "net.ipv4.ip_unprivileged_port_start", "value": lowest.to_string()}]),
        );
    }
    let apart = BTreeMap::from([
        (names::APP.0.to_owned(), names::APP.1.to_owned()),
        (names::CLUSTER.to_owned(), names.cluster.clone()),
    ]);
    let mut spec = pods::spec(plane, &apart, context);
    spec.insert("hostAliases".to_owned(), etcd_by_address(names, facts));
    let rights = pods::rights(
        plane,
        json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"], "add": CAPABILITIES}}),
    );
    let arguments = flags::controller(&plane.spec.control_plane_flags, CONFIG);
    let mut command = vec!["k0s".to_owned(), "controller".to_owned()];
    command.extend(arguments.iter().cloned());
    let mut controller = json!({
        "name": "controller",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        // The image's own entry point stays: it forwards signals and collects orphans.
        "args": command,
        "env": [
            pods::variable("POD_NAME", "metadata.name"),
            pods::variable("POD_NAMESPACE", "metadata.namespace"),
            pods::variable("POD_IP", "status.podIP"),
            // Go's collector lets heaps grow to twice of what lives in them; of what a plane has, that is a fifth.
            {"name": "GOGC", "value": "50"},
        ],
        "ports": [
            {"name": "api", "containerPort": ports.api_port, "protocol": "TCP"},
            {"name": "konnectivity", "containerPort": ports.konnectivity_port, "protocol": "TCP"},
        ],
        // Clients are sent elsewhere before the API server ends.
        "lifecycle": {"preStop": {"sleep": {"seconds": 3}}},
        "terminationMessagePolicy": pods::LAST_WORDS,
        "securityContext": rights,
        "volumeMounts": all,
    });
    if let Some(resources) = &plane.spec.resources {
        insert(&mut controller, "resources", json!(resources));
    }
    probe(&mut controller, ports.api_port, &arguments, configuration);
    let keys = key_files(plane);
    let copied = keys
        .iter()
        .map(|(_, files)| files)
        .flat_map(|files| files.iter().map(|(_, file)| format!("{KEYS}/{file}")));
    let copy: Vec<_> = ["cp".to_owned(), "-f".to_owned()]
        .into_iter()
        .chain(copied)
        .chain(["/pki/".to_owned()])
        .collect();
    spec.insert(
        "initContainers".to_owned(),
        json!([{
            "name": "certs-init",
            "image": image,
            "imagePullPolicy": "IfNotPresent",
            "command": copy,
            "terminationMessagePolicy": pods::LAST_WORDS,
            "securityContext": rights,
            "volumeMounts": [
                {"name": "certs", "mountPath": KEYS, "readOnly": true},
                {"name": data, "mountPath": "/pki", "subPath": "pki"},
            ],
        }]),
    );
    spec.insert("containers".to_owned(), json!([controller]));
    spec.insert("volumes".to_owned(), json!(volumes));
    Value::Object(spec)
}

/// Where etcd is, without a question to cluster DNS: that may be away when it is needed most, and for half a minute it knows
/// the address of a former control plane of the same name, for which API servers wait in vain.
fn etcd_by_address(names: &Names, facts: &Facts) -> Value {
    let addresses = facts.etcd_addresses.iter();
    addresses
        .map(|address| json!({"ip": address, "hostnames": [names.etcd_client()]}))
        .collect()
}

fn probe(controller: &mut Value, api_port: i64, arguments: &[String], configuration: &Value) {
    let open = |port: i64, period: i64, timeout: i64, failures: i64| json!({"tcpSocket": {"port": port}, "periodSeconds": period, "timeoutSeconds": timeout, "failureThreshold": failures});
    let serves = !arguments::disables_component(arguments, "control-api");
    let join = i64::from(cluster_config::join_port(Some(configuration)));
    insert(
        controller,
        "startupProbe",
        open(if serves { join } else { api_port }, 1, 1, 900),
    );
    insert(controller, "readinessProbe", open(api_port, 1, 2, 3));
    if serves {
        insert(controller, "livenessProbe", open(join, 30, 5, 10));
    }
}

/// The keys with which k0s signs, by Secret: keys of its data, and the files that they become. The authority of etcd is
/// not among them.
fn key_files(plane: &Cluster) -> Vec<(String, [(&'static str, &'static str); 2])> {
    let of = |authority: Authority, files| (authority.secret_name(plane), files);
    vec![
        of(Authority::Cluster, [("tls.crt", "ca.crt"), ("tls.key", "ca.key")]),
        of(
            Authority::ServiceAccount,
            [("tls.crt", "sa.pub"), ("tls.key", "sa.key")],
        ),
        of(
            Authority::FrontProxy,
            [
                ("tls.crt", "front-proxy-ca.crt"),
                ("tls.key", "front-proxy-ca.key"),
            ],
        ),
    ]
}

struct Volumes {
    volumes: Vec<Value>,
    /// Of the container of k0s.
    mounts: Vec<Value>,
}

fn projected(name: &str, secrets: &[(String, Vec<(&str, &str)>)]) -> Value {
    let sources: Vec<_> = secrets
        .iter()
        .map(|(secret, files)| {
            let items: Vec<_> = files
                .iter()
                .map(|(key, path)| json!({"key": key, "path": path}))
                .collect();
            json!({"secret": {"name": secret, "items": items}})
        })
        .collect();
    json!({"name": name, "projected": {"sources": sources}})
}

/// All but the volume of the data directory.
fn volumes(plane: &Cluster, names: &Names) -> Volumes {
    let keys: Vec<_> = key_files(plane)
        .into_iter()
        .map(|(secret, files)| (secret, files.to_vec()))
        .collect();
    let client = [
        (Authority::Etcd.secret_name(plane), vec![("tls.crt", "ca.crt")]),
        (
            Leaf::Client.secret_name(&names.cluster),
            vec![("tls.crt", "client.crt"), ("tls.key", "client.key")],
        ),
    ];
    let mut volumes = vec![
        json!({"name": "config", "configMap": {"name": names.config(), "items": [{"key": CONFIG_KEY, "path": CONFIG_KEY}]}}),
        projected("certs", &keys),
        projected("etcd-client", &client),
    ];
    let mut mounts = Vec::new();
    // Optional: the address may not be known when the first pod is made.
    let own = [
        (names.endpoint(), names.endpoint()),
        (names.telemetry(), "k0s-telemetry".to_owned()),
    ];
    for (name, stack) in &own {
        volumes.push(json!({"name": name, "configMap": {"name": name, "optional": true}}));
        mounts.push(
            json!({"name": name, "mountPath": format!("{DATA_DIR}/manifests/{stack}"), "readOnly": true}),
        );
    }
    for manifest in &plane.spec.manifests {
        let Some(name) = manifest.fields().get("name").and_then(Value::as_str) else {
            continue;
        };
        // Earlier releases wrote their own ones into the spec.
        if own.iter().any(|(ours, _)| ours == name) {
            continue;
        }
        volumes.push(json!(manifest));
        mounts.push(
            json!({"name": name, "mountPath": format!("{DATA_DIR}/manifests/{name}"), "readOnly": true}),
        );
    }
    for mount in &plane.spec.mounts {
        let name = volume_name(&mount.path);
        let mut volume = mount.source.fields().clone();
        let written_once = volume.contains_key("configMap") || volume.contains_key("secret");
        volume.insert("name".to_owned(), json!(name));
        volumes.push(Value::Object(volume));
        mounts.push(
            json!({"name": name, "mountPath": mount.path, "readOnly": mount.read_only || written_once}),
        );
    }
    Volumes { volumes, mounts }
}

/// Name of the volume that is mounted there, as earlier releases made it.
fn volume_name(path: &str) -> String {
    let base = path.strip_prefix('/').unwrap_or(path).replace('/', "-");
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !base.is_empty()
        && base.len() <= 63
        && base.chars().all(allowed)
        && !base.starts_with('-')
        && !base.ends_with('-')
    {
        return base;
    }
    let mut cleaned = String::new();
    for c in base.to_lowercase().chars() {
        match allowed(c) && c != '-' {
            true => cleaned.push(c),
            false if cleaned.ends_with('-') => {}
            false => cleaned.push('-'),
        }
    }
    let cut: String = cleaned.trim_matches('-').chars().take(57).collect();
    let hex: String = Sha256::digest(path.as_bytes())
        .iter()
        .take(3)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let digest = hex.get(..5).unwrap_or_default();
    match cut.trim_end_matches('-') {
        "" => digest.to_owned(),
        cut => format!("{cut}-{digest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_named_after_their_paths() {
        assert_eq!(volume_name("/etc/kubernetes/pki"), "etc-kubernetes-pki");
        assert_eq!(volume_name("/tmp/test"), "tmp-test");
        let odd = volume_name("/etc/My_Files/");
        assert!(
            odd.starts_with("etc-my-files-") && odd.len() == "etc-my-files-".len() + 5,
            "{odd}"
        );
        assert!(volume_name(&format!("/{}", "a".repeat(80))).len() <= 63);
        assert_eq!(volume_name("/").len(), 5);
    }
}
