//! Control planes in pods: `k0smotron.io` Cluster, K0smotronControlPlane and its template, which all have the same spec.

use serde_json::Value;

use super::super::Version;
use super::super::rules::{KindRules, Move, Object, Part, Rules, get, set, text};
use super::control_plane;

pub(super) const KINDS: &[KindRules] = &[
    KindRules {
        group: "k0smotron.io",
        kind: "Cluster",
        parts: &[("spec", &SPEC), ("status", &CLUSTER_STATUS)],
        annotations: LEGACY_SERVICE,
    },
    KindRules {
        group: "controlplane.cluster.x-k8s.io",
        kind: "K0smotronControlPlane",
        parts: &[("spec", &SPEC), ("status", &control_plane::STATUS)],
        annotations: LEGACY_SERVICE,
    },
    KindRules {
        group: "controlplane.cluster.x-k8s.io",
        kind: "K0smotronControlPlaneTemplate",
        parts: &[("spec.template.spec", &SPEC)],
        annotations: LEGACY_SERVICE,
    },
];

const SPEC: Rules = Rules {
    moves: &[
        Move::new("kubeconfigRef", "remoteHostCluster.kubeconfigRef"),
        Move::new("controllerPlaneFlags", "controlPlaneFlags"),
        Move::new("etcd", "storage.etcd"),
        Move::new("kineDataSourceURL", KINE_URL).down_if(kine_is_said_by_its_fields),
        Move::new("kineDataSourceSecretName", KINE_SECRET).down_if(kine_is_said_by_its_fields),
    ],
    computed: &[
        ("kineDataSourceURL", "storage.type"),
        ("kineDataSourceSecretName", "storage.type"),
    ],
    adopt: adopt_service_annotations,
    up: |part| {
        let kine = [KINE_URL, KINE_SECRET]
            .into_iter()
            .any(|path| is_set(part.object, path));
        let storage = if kine { "kine" } else { "etcd" };
        let _ = set(part.object, "storage.type", storage.into());
    },
    ..Rules::NONE
};

const KINE_URL: &str = "storage.kine.dataSourceURL";
const KINE_SECRET: &str = "storage.kine.dataSourceSecretName";

/// At v1beta1 the fields of kine choose the storage when they are not empty. Those of a plane that uses another storage stay behind.
fn kine_is_said_by_its_fields(part: &Object) -> bool {
    text(part, "storage.type") == Some("kine")
        || ![KINE_URL, KINE_SECRET].into_iter().any(|path| is_set(part, path))
}

fn is_set(part: &Object, path: &str) -> bool {
    get(part, path).is_some_and(|value| !value.is_null() && value != "")
}

/// Where the original's releases kept settings of the Service that their v1beta2 had no fields for; ours has. The values are JSON.
const LEGACY_SERVICE: &[&str] = &[
    "k0smotron.io/conversion-dropped-service.annotations",
    "k0smotron.io/conversion-dropped-service.externalTrafficPolicy",
    "k0smotron.io/conversion-dropped-service.labels",
    "k0smotron.io/conversion-dropped-service.loadBalancerClass",
];

/// From v1beta2 the annotations become the fields that they stand for, unless those are given. From v1beta1 they go: the fields are
/// there, and an annotation that came along would bring back what was removed from them.
///
/// Objects are written without these annotations once they have been written through v1beta1; until then controllers read them.
fn adopt_service_annotations(part: &mut Part<'_>, from: Version) {
    for name in LEGACY_SERVICE {
        let Some((field, value)) = legacy_service_setting(name, part.annotations) else {
            continue;
        };
        let path = format!("service.{field}");
        let taken_over = from == Version::V1Beta1
            || get(part.object, &path).is_some()
            || set(part.object, &path, value).is_ok();
        if taken_over {
            part.annotations.remove(*name);
        }
    }
}

/// The field and its value; nothing if the annotation does not hold what the field can.
fn legacy_service_setting<'a>(name: &'a str, annotations: &Object) -> Option<(&'a str, Value)> {
    let (_, field) = name.rsplit_once('.')?;
    let value: Value = serde_json::from_str(annotations.get(name)?.as_str()?).ok()?;
    let fits = match &value {
        Value::String(_) => ["externalTrafficPolicy", "loadBalancerClass"].contains(&field),
        Value::Object(entries) => {
            ["labels", "annotations"].contains(&field) && entries.values().all(Value::is_string)
        }
        _ => false,
    };
    fits.then_some((field, value))
}

const CLUSTER_STATUS: Rules = Rules {
    moves: &[
        Move::new("ready", "deprecated.v1beta1.ready"),
        Move::new(RECONCILIATION, "deprecated.v1beta1.reconciliationStatus"),
    ],
    down: |part| {
        // Computed as the original did, when nobody has written it down.
        let count = |field| part.object.get(field).and_then(Value::as_i64);
        let ready = count("readyReplicas").is_some_and(|ready| ready > 0 && Some(ready) == count("replicas"));
        part.object.entry("ready").or_insert(ready.into());
        require_reconciliation_status(part);
    },
    ..Rules::NONE
};

const RECONCILIATION: &str = "reconciliationStatus";

/// v1beta1 requires this text.
pub(super) fn require_reconciliation_status(part: &mut Part<'_>) {
    part.object.entry(RECONCILIATION).or_insert_with(|| "".into());
}
