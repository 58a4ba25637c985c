//! The pods of etcd, and what its members are started with.
//!
//! A member names itself and, while it joins, those that it joins. One whose volume was lost therefore cannot start by
//! itself, as an empty member under an old name could cost what a majority had agreed on; and only the very first one
//! founds a cluster. A pod that is there before its member was added waits for that. All of this comes from a ConfigMap that is read when a container starts, so that they change without new pods.
//!
//! etcd runs as root, without any of a root's rights: it must be able to read data that earlier releases wrote as root, and
//! volumes of nodes (hostPath) belong to root whatever the pod asks for.

use k0smotron_api::{
    k0smotron::v1beta2::{Cluster, EtcdSpec},
    names::hosted::annotations as hosted,
};
use k0smotron_k0s::version::Version;
use serde_json::{Value, json};

use super::{
    Facts, Kind, Object, SHAPE, digest, insert,
    k0s::{Fixed, set},
    metadata, pods,
    services::{ETCD_CLIENT, ETCD_HEALTH, ETCD_PEER},
    without_unset,
};
use crate::k0smotron_cluster::{
    certificates::{Authority, Leaf},
    flags,
    membership::Plan,
    names::{self, Component, Names, with_component},
};

const DATA_DIR: &str = "/var/lib/k0s/etcd";
const PKI: &str = "/var/lib/k0s/pki/etcd";
/// Name of the claim template, from which claims have their names.
pub const CLAIM: &str = "etcd-data";
/// Keys of the ConfigMap: how a member starts, and which others it joins, each with a comma in front.
pub const STATE: &str = "state";
const PEERS: &str = "peers";
/// How every member starts once the cluster exists.
pub const EXISTING: &str = "existing";
/// Key of the ConfigMap: JSON object of the UIDs of claims with which members have run, by ordinal.
pub const CLAIMS: &str = "claims";

/// Waits until the pod is a member, unless it has been one or is the first. The images of etcd that users have here have
/// had to have this shell always.
const AWAITS: &str = r#"while [ "$STATE" != new ] && [ ! -e "$DATA_DIR/member" ]; do
  case "$(etcdctl member list --command-timeout=2s)" in
    *"https://$POD_NAME.$SVC_NAME:2380,"*) exit 0 ;;
  esac
  sleep 0.2
done"#;

/// etcd's settings.
pub fn settings(plane: &Cluster) -> EtcdSpec {
    plane.spec.storage.clone().unwrap_or_default().etcd
}

/// What the pods are made from: a change of it, and of nothing else, makes them anew.
pub fn inputs(plane: &Cluster, facts: &Facts) -> String {
    let spec = &plane.spec;
    let etcd = settings(plane);
    digest(&without_unset(json!({
        "image": etcd.image(),
        "args": etcd.args,
        "resources": etcd.resources,
        "serviceAccount": spec.service_account,
        "spread": spec.topology_spread_constraints,
        "scheduling": spec.scheduling,
        "security": spec.security,
        "labels": names::etcd_selector(plane),
        "authorities": facts.etcd_authority,
    })))
}

/// What members are started with from now on.
pub fn membership(plane: &Cluster, names: &Names, plan: &Plan) -> Object {
    let name = names.etcd_membership();
    let metadata = metadata(plane, names, &name, names::etcd_selector(plane), Component::Etcd);
    let others = plan.joining.iter().flat_map(|(_, others)| others);
    let peers: String = others
        .map(|other| format!(",{}={}", names.etcd_pod(*other), names.etcd_peer_url(*other)))
        .collect();
    let data = json!({
        STATE: if plan.founding { "new" } else { EXISTING },
        PEERS: peers,
        CLAIMS: json!(plan.claims).to_string(),
    });
    Object {
        kind: Kind::ConfigMap,
        value: json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}),
        name,
    }
}

/// The StatefulSet, with so many pods.
pub fn stateful_set(plane: &Cluster, names: &Names, facts: &Facts, replicas: usize, fixed: &Fixed) -> Object {
    let inputs = inputs(plane, facts);
    let selector = fixed
        .selector
        .clone()
        .unwrap_or_else(|| names::etcd_selector(plane));
    let name = names.etcd();
    let mut metadata = metadata(plane, names, &name, names::etcd_selector(plane), Component::Etcd);
    set(&mut metadata, "annotations", hosted::INPUTS, json!(inputs));
    set(&mut metadata, "annotations", hosted::SHAPE, json!(SHAPE));
    let mut labels = names::etcd_selector(plane);
    labels.extend(selector.clone());
    let etcd = settings(plane);
    let claims = fixed
        .claim_templates
        .clone()
        .unwrap_or_else(|| json!([claim(&etcd)]));
    let spec = json!({
        "replicas": replicas,
        "serviceName": fixed.service_name.clone().unwrap_or_else(|| names.etcd()),
        "podManagementPolicy": fixed.pod_management.clone().unwrap_or_else(|| "Parallel".to_owned()),
        // One at a time, and none while that could cost the quorum: nobody but we can tell.
        "updateStrategy": {"type": "OnDelete"},
        "selector": {"matchLabels": selector},
        "template": {
            "metadata": {
                "labels": with_component(labels, Component::Etcd),
                "annotations": {hosted::INPUTS: inputs},
            },
            "spec": pod(plane, names, facts, &etcd),
        },
        "volumeClaimTemplates": claims,
        // What a former member has written is of no use to a new one.
        "persistentVolumeClaimRetentionPolicy": {
            "whenDeleted": if etcd.auto_delete_pvcs { "Delete" } else { "Retain" },
            "whenScaled": "Delete",
        },
    });
    Object {
        kind: Kind::StatefulSet,
        value: json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": metadata, "spec": spec}),
        name,
    }
}

/// The claim of each member.
pub fn claim(etcd: &EtcdSpec) -> Value {
    let mut spec = json!({
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": etcd.persistence.size()}},
    });
    if !etcd.persistence.storage_class.is_empty() {
        insert(
            &mut spec,
            "storageClassName",
            json!(etcd.persistence.storage_class),
        );
    }
    json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": CLAIM}, "spec": spec})
}

fn pod(plane: &Cluster, names: &Names, facts: &Facts, etcd: &EtcdSpec) -> Value {
    let context = json!({"fsGroup": 1001, "seccompProfile": {"type": "RuntimeDefault"}});
    let mut spec = pods::spec(plane, &names::etcd_selector(plane), context);
    let from_membership = |name: &str, key: &str| json!({"name": name, "valueFrom": {"configMapKeyRef": {"name": names.etcd_membership(), "key": key}}});
    let (ready, live) = health_paths(etcd.image());
    let rights = pods::rights(
        plane,
        json!({
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
        }),
    );
    let mounts = json!([
        {"name": "certs", "mountPath": PKI, "readOnly": true},
        {"name": CLAIM, "mountPath": DATA_DIR},
    ]);
    let environment = |endpoints: &str| {
        json!([
            pods::variable("POD_NAME", "metadata.name"),
            pods::variable("POD_NAMESPACE", "metadata.namespace"),
            pods::variable("POD_IP", "status.podIP"),
            {"name": "SVC_NAME", "value": names.etcd()},
            {"name": "DATA_DIR", "value": DATA_DIR},
            from_membership("STATE", STATE),
            from_membership("PEERS", PEERS),
            // For etcdctl, which people use in this container.
            {"name": "ETCDCTL_ENDPOINTS", "value": format!("https://{endpoints}:{ETCD_CLIENT}")},
            {"name": "ETCDCTL_CACERT", "value": format!("{PKI}/ca.crt")},
            {"name": "ETCDCTL_CERT", "value": format!("{PKI}/server.crt")},
            {"name": "ETCDCTL_KEY", "value": format!("{PKI}/server.key")},
        ])
    };
    let awaits = json!({
        "name": "joins",
        "image": etcd.image(),
        "imagePullPolicy": "IfNotPresent",
        "command": ["/bin/bash", "-c", AWAITS],
        "env": environment(&names.etcd_client()),
        "terminationMessagePolicy": pods::LAST_WORDS,
        "securityContext": rights,
        "volumeMounts": mounts,
    });
    let mut container = json!({
        "name": "etcd",
        "image": etcd.image(),
        "imagePullPolicy": "IfNotPresent",
        "command": ["etcd"],
        "args": arguments(facts, etcd),
        "env": environment(&names.etcd()),
        "terminationMessagePolicy": pods::LAST_WORDS,
        "ports": [
            {"name": "client", "containerPort": ETCD_CLIENT, "protocol": "TCP"},
            {"name": "peer", "containerPort": ETCD_PEER, "protocol": "TCP"},
        ],
        "readinessProbe": health(ready, 1, 3, 3),
        "livenessProbe": health(live, 30, 10, 10),
        "securityContext": rights,
        "volumeMounts": mounts,
    });
    if let Some(resources) = &etcd.resources {
        insert(&mut container, "resources", json!(resources));
    }
    let secret = |name: String, items: &[(&str, &str)]| {
        let items: Vec<_> = items
            .iter()
            .map(|(key, path)| json!({"key": key, "path": path}))
            .collect();
        json!({"secret": {"name": name, "items": items}})
    };
    let sources = [
        secret(Authority::Etcd.secret_name(plane), &[("tls.crt", "ca.crt")]),
        secret(
            Leaf::Server.secret_name(&names.cluster),
            &[("tls.crt", "server.crt"), ("tls.key", "server.key")],
        ),
        secret(
            Leaf::Peer.secret_name(&names.cluster),
            &[("tls.crt", "peer.crt"), ("tls.key", "peer.key")],
        ),
    ];
    spec.insert("initContainers".to_owned(), json!([awaits]));
    spec.insert("containers".to_owned(), json!([container]));
    spec.insert(
        "volumes".to_owned(),
        json!([{"name": "certs", "projected": {"sources": sources}}]),
    );
    Value::Object(spec)
}

/// Where a member says that it is ready, which it is with a majority and a vote, and that it lives, which it does without
/// either: a restart brings no majority back. Versions before 3.5.11 know less, and there a member without a vote is ready.
fn health_paths(image: &str) -> (&'static str, &'static str) {
    let tag = image.rsplit_once(':').map(|(_, tag)| tag);
    let version = tag.and_then(|tag| Version::parse_lenient(tag).ok());
    match version {
        Some(version) if version.kubernetes() >= (3, 5, 11) => ("/readyz", "/livez"),
        _ => ("/health", "/health?serializable=true&exclude=NOSPACE"),
    }
}

fn health(path: &str, period: i64, timeout: i64, failures: i64) -> Value {
    json!({
        "httpGet": {"path": path, "port": ETCD_HEALTH},
        "periodSeconds": period,
        "timeoutSeconds": timeout,
        "failureThreshold": failures,
    })
}

/// The user's come after ours, so that they win; the data directory is not theirs to choose.
fn arguments(facts: &Facts, etcd: &EtcdSpec) -> Vec<String> {
    let ipv6 = facts.etcd_addresses.iter().any(|address| address.contains(':'));
    let any = if ipv6 { "[::]" } else { "0.0.0.0" };
    let own = [
        "--name=$(POD_NAME)".to_owned(),
        format!("--listen-peer-urls=https://{any}:{ETCD_PEER}"),
        format!("--listen-client-urls=https://{any}:{ETCD_CLIENT}"),
        format!("--advertise-client-urls=https://$(POD_NAME).$(SVC_NAME):{ETCD_CLIENT}"),
        format!("--initial-advertise-peer-urls=https://$(POD_NAME).$(SVC_NAME):{ETCD_PEER}"),
        format!("--initial-cluster=$(POD_NAME)=https://$(POD_NAME).$(SVC_NAME):{ETCD_PEER}$(PEERS)"),
        "--initial-cluster-state=$(STATE)".to_owned(),
        format!("--listen-metrics-urls=http://{any}:{ETCD_HEALTH}"),
        "--client-cert-auth=true".to_owned(),
        "--peer-client-cert-auth=true".to_owned(),
        "--tls-min-version=TLS1.2".to_owned(),
        format!("--trusted-ca-file={PKI}/ca.crt"),
        format!("--cert-file={PKI}/server.crt"),
        format!("--key-file={PKI}/server.key"),
        format!("--peer-trusted-ca-file={PKI}/ca.crt"),
        format!("--peer-cert-file={PKI}/peer.crt"),
        format!("--peer-key-file={PKI}/peer.key"),
        "--enable-pprof=false".to_owned(),
        "--auto-compaction-mode=periodic".to_owned(),
        "--auto-compaction-retention=5m".to_owned(),
        "--snapshot-count=10000".to_owned(),
    ];
    let users = etcd.args.iter().flat_map(|argument| flags::words(argument));
    let data = format!("--data-dir={DATA_DIR}");
    own.into_iter().chain(users).chain([data]).collect()
}
