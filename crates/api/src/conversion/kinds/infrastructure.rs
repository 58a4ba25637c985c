//! Kinds of `infrastructure.cluster.x-k8s.io`.

use super::super::rules::{KindRules, Move, Rules};
use super::bootstrap::not_ready_by_default;

pub(super) const KINDS: &[KindRules] = &[
    KindRules {
        group: "infrastructure.cluster.x-k8s.io",
        kind: "RemoteCluster",
        parts: &[("status", &STATUS)],
        ..KindRules::NONE
    },
    KindRules {
        group: "infrastructure.cluster.x-k8s.io",
        kind: "RemoteMachine",
        parts: &[("spec", &MACHINE), ("status", &MACHINE_STATUS)],
        ..KindRules::NONE
    },
    KindRules {
        group: "infrastructure.cluster.x-k8s.io",
        kind: "RemoteMachineTemplate",
        parts: &[("spec.template.spec", &MACHINE)],
        ..KindRules::NONE
    },
    KindRules {
        group: "infrastructure.cluster.x-k8s.io",
        kind: "PooledRemoteMachine",
        parts: &[("spec.machine", &MACHINE)],
        ..KindRules::NONE
    },
];

const MACHINE: Rules = Rules {
    moves: &[Move::new("customCleanUpCommands", "cleanUpCommands")],
    ..Rules::NONE
};

const STATUS: Rules = Rules {
    moves: &[Move::new("ready", "initialization.provisioned")],
    down: |part| not_ready_by_default(part.object),
    ..Rules::NONE
};

const MACHINE_STATUS: Rules = Rules {
    moves: &[
        Move::new("ready", "initialization.provisioned"),
        Move::new("failureReason", "deprecated.v1beta1.failureReason"),
        Move::new("failureMessage", "deprecated.v1beta1.failureMessage"),
    ],
    ..STATUS
};
