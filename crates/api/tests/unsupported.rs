//! What specs list as set and not supported yet: each field alone, with its path.

// clippy.toml allows these in test functions; the functions that they call are meant too.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use k0smotron_api::{
    bootstrap::v1beta2::K0sControllerConfigSpec,
    control_plane::v1beta2::K0sControlPlaneSpec,
    infrastructure::v1beta2::{PooledRemoteMachineSpec, RemoteMachineSpec},
    k0smotron::v1beta2::ClusterSpec,
};

fn read<T: serde::de::DeserializeOwned>(spec: &str) -> T {
    serde_yaml::from_str(&format!("{{{spec}}}")).unwrap()
}

#[test]
fn control_planes() {
    let list = |spec: &str| read::<K0sControlPlaneSpec>(spec).unsupported();
    for supported in [
        "version: v1.36.3+k0s.2, replicas: 3",
        "kubeconfigSecretMetadata: {labels: {a: b}}",
        "machineTemplate: {nodeDrainTimeout: 5m, spec: {readinessGates: [{conditionType: Disk}], \
         taints: [{key: a, effect: NoExecute, propagation: Always}]}}",
        "remediation: {maxRetry: 2, retryPeriodSeconds: 60, minHealthyPeriodSeconds: 600}",
        "rollout: {after: 2027-03-09T09:00:00Z}, machineNaming: {template: 'a-{{ .random }}'}",
        "rollout: {}, machineNaming: {}, k0sConfigSpec: {tunneling: {serverNodePort: 31000}}",
    ] {
        assert_eq!(list(supported), [""; 0], "{supported}");
    }
    let table = [
        (
            "k0sConfigSpec: {tunneling: {enabled: true}}",
            "spec.k0sConfigSpec.tunneling.enabled: true",
        ),
        (
            "k0sConfigSpec: {provisioner: {type: powershell}}",
            "spec.k0sConfigSpec.provisioner.type: powershell",
        ),
    ];
    for (spec, field) in table {
        assert_eq!(list(spec), [field], "{spec}");
    }
}

#[test]
fn bootstrap_configs() {
    let controller = |spec: &str| read::<K0sControllerConfigSpec>(spec).unsupported();
    for supported in [
        "provisioner: {type: cloud-config, platform: linux}",
        "provisioner: {type: ignition, ignition: {variant: fcos, version: 1.5.0}}",
    ] {
        assert_eq!(controller(supported), [""; 0], "{supported}");
    }
    assert_eq!(
        controller("tunneling: {enabled: true}"),
        ["spec.tunneling.enabled: true"]
    );
    for (provisioner, field) in [
        (
            "provisioner: {type: powershell-xml}",
            "spec.provisioner.type: powershell-xml",
        ),
        (
            "provisioner: {platform: windows}",
            "spec.provisioner.platform: windows",
        ),
    ] {
        assert_eq!(controller(provisioner), [field]);
    }
}

#[test]
fn hosts() {
    let machine = |spec: &str| read::<RemoteMachineSpec>(spec).unsupported();
    let entry = |spec: &str| read::<PooledRemoteMachineSpec>(&format!("machine: {{{spec}}}")).unsupported();
    for supported in [
        "address: a, user: ops, useSudo: true, sshKeyRef: {name: key}, cleanUpCommands: []",
        "address: a, elevation: {method: sudo}, failureDomain: rack-1",
        "address: a, elevation: {method: none}",
        "address: a, elevation: {method: doas}",
        "address: a, sshKeyRef: {name: key, certificateKey: cert, passphraseKey: phrase}",
        "address: a, hostKeys: {fingerprints: [SHA256:a], knownHosts: a, authorities: [a]}",
        "address: a, jumpHosts: [{address: bastion}]",
        "address: a, elevation: {method: sudo, passwordRef: {name: a, key: b}}",
    ] {
        assert_eq!(machine(supported), [""; 0], "{supported}");
        assert_eq!(entry(supported), [""; 0], "{supported}");
    }
    let table = [
        (
            "elevation: {method: doas, passwordRef: {name: a, key: b}}",
            "elevation.passwordRef",
        ),
        (
            "uploads: [{url: 'https://example.com/k0s', path: /usr/local/bin/k0s}]",
            "uploads",
        ),
    ];
    for (spec, field) in table {
        assert_eq!(machine(spec), [format!("spec.{field}")], "{spec}");
        assert_eq!(entry(spec), [format!("spec.machine.{field}")], "{spec}");
    }
    assert_eq!(machine("poolSelector: {matchLabels: {a: b}}"), [""; 0]);
    assert_eq!(machine("provisionJob: {}"), ["spec.provisionJob"]);
}

#[test]
fn hosted_control_planes() {
    let list = |spec: &str| read::<ClusterSpec>(spec).unsupported();
    for supported in [
        "",
        "replicas: 3, service: {type: LoadBalancer}, persistence: {type: pvc}",
        // As earlier releases store what was never set.
        "storage: {type: '', etcd: {defragJob: {enabled: false, schedule: '', rule: '', image: ''}}}, \
         monitoring: {enabled: false, prometheusImage: '', proxyImage: ''}",
        "remoteHostCluster: {}, patches: []",
    ] {
        assert_eq!(list(supported), [""; 0], "{supported}");
    }
    let table = [
        (
            "remoteHostCluster: {kubeconfigRef: {name: a, namespace: b}}",
            "spec.remoteHostCluster",
        ),
        ("ingress: {apiHost: a, konnectivityHost: b}", "spec.ingress"),
        (
            "gateway: {apiHost: a, konnectivityHost: b, parentRefs: [{name: c}]}",
            "spec.gateway",
        ),
        ("storage: {type: kine}", "spec.storage.type: kine"),
        ("storage: {type: nats}", "spec.storage.type: nats"),
        (
            "storage: {etcd: {defragJob: {enabled: true}}}",
            "spec.storage.etcd.defragJob.enabled: true",
        ),
        ("monitoring: {enabled: true}", "spec.monitoring.enabled: true"),
        (
            "patches: [{target: {kind: Service, component: etcd}, patch: {type: json, content: '[]'}}]",
            "spec.patches",
        ),
    ];
    for (spec, field) in table {
        assert_eq!(list(spec), [field], "{spec}");
    }
}
