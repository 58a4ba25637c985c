//! Kinds of `bootstrap.cluster.x-k8s.io`, and the bootstrap settings that control planes embed.

use serde_json::Value;

use super::super::rules::{KindRules, Move, Object, Part, Rules, get, set, text};

pub(super) const KINDS: &[KindRules] = &[
    KindRules {
        group: "bootstrap.cluster.x-k8s.io",
        kind: "K0sControllerConfig",
        parts: &[("spec", &CONTROLLER), ("status", &STATUS)],
        ..KindRules::NONE
    },
    KindRules {
        group: "bootstrap.cluster.x-k8s.io",
        kind: "K0sWorkerConfig",
        parts: &[("spec", &WORKER), ("status", &STATUS)],
        ..KindRules::NONE
    },
    KindRules {
        group: "bootstrap.cluster.x-k8s.io",
        kind: "K0sWorkerConfigTemplate",
        parts: &[("spec.template.spec", &WORKER)],
        ..KindRules::NONE
    },
];

/// How controllers are set up.
pub(super) const CONTROLLER: Rules = Rules {
    moves: MOVES,
    computed: COMPUTED,
    up: |part| {
        provisioner_type(part);
        // Controllers have always run on Linux. For workers the default of the schema says so.
        let _ = set(part.object, "provisioner.platform", "linux".into());
    },
    ..Rules::NONE
};

const WORKER: Rules = Rules {
    moves: MOVES,
    computed: COMPUTED,
    up: provisioner_type,
    ..Rules::NONE
};

const MOVES: &[Move] = &[
    // At v1beta1 its presence chooses the format, so it may be there only if the format is this one.
    Move::new("ignition", "provisioner.ignition")
        .down_if(|part| text(part, "provisioner.type") == Some("ignition")),
    Move::new("customUserDataRef", "provisioner.customUserDataRef"),
    Move::new("preStartCommands", "preK0sCommands"),
    Move::new("postStartCommands", "postK0sCommands"),
];

const COMPUTED: &[(&str, &str)] = &[("ignition", "provisioner.type")];

fn provisioner_type(part: &mut Part<'_>) {
    let ignition = get(part.object, "provisioner.ignition").is_some_and(|value| !value.is_null());
    let format = if ignition { "ignition" } else { "cloud-config" };
    let _ = set(part.object, "provisioner.type", format.into());
}

const STATUS: Rules = Rules {
    moves: &[Move::new("ready", "initialization.dataSecretCreated")],
    down: |part| not_ready_by_default(part.object),
    ..Rules::NONE
};

/// Readiness is a plain boolean at v1beta1, never absent.
pub(super) fn not_ready_by_default(status: &mut Object) {
    status.entry("ready").or_insert(Value::Bool(false));
}
