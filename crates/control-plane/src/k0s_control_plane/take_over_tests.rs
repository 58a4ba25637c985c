//! Control planes that other releases made: taken over as they are, with nothing replaced, restarted or made anew.
//!
//! The objects are written from what those releases are known to write, and not taken from them.

use std::{collections::BTreeMap, sync::Arc};

use k0smotron_api::{
    capi::{Cluster, Machine},
    control_plane::v1beta2::K0sControlPlane,
    conversion::{Version, convert},
    names::annotations,
};
use k0smotron_k0s::live_config;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    autopilot::Seen,
    decide::{Live, Step, decide},
    example_tests::{built, inputs, yaml},
    fetch::Inputs,
    membership::Membership,
    observe::{self, observe},
    observed::Answer,
    survey::{Survey, Surveyed},
};

const CLUSTER: &str = "
apiVersion: cluster.x-k8s.io/v1beta2
kind: Cluster
metadata: {name: demo, namespace: default, uid: cluster-uid}
spec:
  clusterNetwork: {pods: {cidrBlocks: [10.244.0.0/16]}, services: {cidrBlocks: [10.96.0.0/12]}}
  controlPlaneEndpoint: {host: 192.0.2.10, port: 6443}
  controlPlaneRef: {apiGroup: controlplane.cluster.x-k8s.io, kind: K0sControlPlane, name: demo}
status: {initialization: {controlPlaneInitialized: true}}
";

/// As 1.10 stores it: fields of v1beta1, a k0s configuration that its controller has completed.
const PLANE_1_10: &str = "
apiVersion: controlplane.cluster.x-k8s.io/v1beta1
kind: K0sControlPlane
metadata: {name: demo, namespace: default, uid: 0d2b6b9e, finalizers: [k0s.controlplane.cluster.x-k8s.io]}
spec:
  replicas: 3
  version: v1.31.6+k0s.0
  updateStrategy: Recreate
  machineTemplate:
    infrastructureRef: {apiVersion: infrastructure.cluster.x-k8s.io/v1beta1, kind: RemoteMachineTemplate, name: demo, namespace: default}
  k0sConfigSpec:
    args: [--labels=k0sproject.io/foo=bar]
    downloadURL: https://get.k0s.sh
    preStartCommands: [echo before]
    customUserDataRef: {configMapRef: {name: user-data, key: value}}
    tunneling: {enabled: false, mode: tunnel, serverNodePort: 31700, tunnelingNodePort: 31443}
    k0s:
      apiVersion: k0s.k0sproject.io/v1beta1
      kind: ClusterConfig
      metadata: {name: k0s}
      spec:
        api: {externalAddress: 192.0.2.10, sans: [192.0.2.10]}
        network: {podCIDR: 10.244.0.0/16, serviceCIDR: 10.96.0.0/12}
        telemetry: {enabled: false}
status: {initialized: true, initialization: {controlPlaneInitialized: true}, ready: true, replicas: 3, version: v1.31.6+k0s.0}
";

/// As 2.1 stores it.
const PLANE_2_1: &str = "
apiVersion: controlplane.cluster.x-k8s.io/v1beta2
kind: K0sControlPlane
metadata: {name: demo, namespace: default, uid: 0d2b6b9e, finalizers: [k0s.controlplane.cluster.x-k8s.io]}
spec:
  replicas: 3
  version: v1.36.3+k0s.0
  updateStrategy: InPlace
  machineTemplate:
    infrastructureRef: {apiVersion: infrastructure.cluster.x-k8s.io/v1beta2, kind: RemoteMachineTemplate, name: demo, namespace: default}
  k0sConfigSpec:
    provisioner: {type: cloud-config, platform: linux}
    args: [--enable-worker]
    k0sInstallDir: /usr/local/bin
    useSystemHostname: false
    preK0sCommands: [echo before]
    tunneling: {enabled: false, mode: tunnel, serverNodePort: 31700, tunnelingNodePort: 31443}
    k0s:
      apiVersion: k0s.k0sproject.io/v1beta1
      kind: ClusterConfig
      metadata: {name: k0s}
      spec:
        api: {externalAddress: 192.0.2.10, sans: [192.0.2.10]}
        network: {podCIDR: 10.244.0.0/16, serviceCIDR: 10.96.0.0/12}
status: {initialization: {controlPlaneInitialized: true}, replicas: 3, version: v1.36.3+k0s.0}
";

const NAMES: [&str; 3] = ["demo-x7k2p", "demo-b4v9q", "demo-zt6wc"];

/// A Machine as those releases make it. `config`: the K0sConfigSpec in its annotation, if it bears one.
fn machine(name: &str, version: &str, config: Option<&Value>) -> Machine {
    let mut machine: Machine = yaml(&format!(
        "
apiVersion: cluster.x-k8s.io/v1beta2
kind: Machine
metadata:
  name: {name}
  namespace: default
  labels: {{cluster.x-k8s.io/cluster-name: demo, cluster.x-k8s.io/control-plane: 'true', cluster.x-k8s.io/control-plane-name: demo}}
  annotations: {{{hook}: ''}}
  ownerReferences:
  - {{apiVersion: controlplane.cluster.x-k8s.io/v1beta1, kind: K0sControlPlane, name: demo, uid: 0d2b6b9e, controller: true, blockOwnerDeletion: true}}
spec:
  clusterName: demo
  version: {version}
  bootstrap:
    configRef: {{apiGroup: bootstrap.cluster.x-k8s.io, kind: K0sControllerConfig, name: {name}}}
    dataSecretName: {name}
  infrastructureRef: {{apiGroup: infrastructure.cluster.x-k8s.io, kind: RemoteMachine, name: {name}}}
status:
  initialization: {{bootstrapDataSecretCreated: true, infrastructureProvisioned: true}}
  phase: Running
",
        hook = annotations::PRE_TERMINATE_HOOK,
    ));
    if let Some(config) = config {
        let annotations = machine.metadata.annotations.get_or_insert_default();
        annotations.insert(annotations::K0S_CONFIG.to_owned(), config.to_string());
    }
    machine
}

/// What such a Machine bears: the plane's K0sConfigSpec, with the name of its own member.
fn recorded(plane: &str, name: &str) -> Value {
    let mut config = yaml::<Value>(plane)["spec"]["k0sConfigSpec"].take();
    config["k0s"]["spec"]["storage"] = json!({ "etcd": { "extraArgs": { "name": name } } });
    config
}

/// The plane with three Machines and three healthy members.
fn taken_over(plane: &str, bears_config: bool) -> Inputs {
    let stored = convert(yaml(plane), Version::V1Beta2).unwrap();
    let plane_now: K0sControlPlane = serde_json::from_value(stored).unwrap();
    let version = plane_now.spec.version.clone();
    let cloned_from = BTreeMap::from([
        (annotations::CLONED_FROM_NAME.to_owned(), "demo".to_owned()),
        (
            annotations::CLONED_FROM_GROUP_KIND.to_owned(),
            "RemoteMachineTemplate.infrastructure.cluster.x-k8s.io".to_owned(),
        ),
    ]);
    let members = NAMES.map(|name| Surveyed {
        name: name.to_owned(),
        member: name.to_owned(),
        left: false,
        leaving: false,
        ready: true,
        message: String::new(),
    });
    let survey = Survey {
        begun: Instant::now(),
        autopilot: Ok(Seen::default()),
        members: Ok(members.to_vec()),
    };
    Inputs {
        plane: Arc::new(plane_now),
        cluster: Some(Arc::new(yaml::<Cluster>(CLUSTER))),
        machines: NAMES
            .map(|name| {
                let config = bears_config.then(|| recorded(plane, name));
                machine(name, &version, config.as_ref())
            })
            .to_vec(),
        cloned_from: NAMES.map(|name| (name.to_owned(), cloned_from.clone())).into(),
        survey: Some((survey, true)),
        answer: Answer::Yes {
            cluster_uid: "abc".to_owned(),
        },
        ..inputs()
    }
}

fn assert_left_as_it_is(inputs: &Inputs, which: &str) {
    let observed = observe(inputs);
    for machine in &observed.machines {
        assert_eq!(machine.outdated, [""; 0], "{which}: {}", machine.name);
    }
    assert_eq!(observed.refusals, [], "{which}");
    assert!(observed.exists, "{which}");
    let Step::Live(Live {
        membership, release, ..
    }) = decide(&observed)
    else {
        panic!("{which}: it is not looked after");
    };
    assert_eq!(membership, Membership::Steady, "{which}");
    assert_eq!(release, [""; 0], "{which}");
    let built = built(inputs);
    assert!(built.creation.is_none() && built.deletions.is_empty(), "{which}");
    assert!(built.leave.is_none() && built.forget.is_empty(), "{which}");
    for (kept, present) in built.kept.iter().zip(&inputs.machines) {
        let written = |machine: &Machine| machine.metadata.annotations.clone().unwrap_or_default();
        let before = written(present).get(annotations::K0S_CONFIG).cloned();
        if let Some(after) = written(kept).get(annotations::K0S_CONFIG) {
            assert_eq!(
                Some(after),
                before.as_ref(),
                "{which}: what a Machine was made with"
            );
        }
        assert_eq!(kept.spec.version, present.spec.version, "{which}");
    }
    let cluster_wide = |config: &Value| live_config::cluster_wide(config);
    let wanted = observe::config_for(inputs, None).unwrap();
    let wanted = cluster_wide(&wanted["k0s"]);
    if let Some(made_with) = observe::made_with(inputs) {
        let live = cluster_wide(&made_with);
        assert_eq!(live_config::patch(&live, &wanted, &live), None, "{which}");
    }
}

#[test]
fn control_planes_of_other_releases_are_left_as_they_are() {
    assert_left_as_it_is(&taken_over(PLANE_1_10, true), "1.10");
    assert_left_as_it_is(
        &taken_over(PLANE_1_10, false),
        "1.10, whose Machines bear no configuration",
    );
    assert_left_as_it_is(&taken_over(PLANE_2_1, true), "2.1");
    assert_left_as_it_is(
        &taken_over(PLANE_2_1, false),
        "2.1, whose Machines bear no configuration",
    );
}

/// Else the test above could pass for nothing.
#[test]
fn a_change_after_that_is_seen() {
    for plane in [PLANE_1_10, PLANE_2_1] {
        let mut inputs = taken_over(plane, true);
        let mut changed = K0sControlPlane::clone(&inputs.plane);
        changed.spec.k0s_config_spec.pre_k0s_commands = vec!["echo other".to_owned()];
        inputs.plane = Arc::new(changed);
        let observed = observe(&inputs);
        assert!(
            observed
                .machines
                .iter()
                .all(|machine| !machine.outdated.is_empty())
        );
    }
}

/// Machines that bear no configuration are held to what was asked for when they were first seen.
#[test]
fn a_change_that_controllers_of_others_do_not_hear_of_is_said() {
    let mut inputs = taken_over(PLANE_2_1, false);
    inputs.machines = built(&inputs).kept;
    assert_left_as_it_is(&inputs, "seen");
    let kept = built(&inputs).kept;
    let seen = |machines: &[Machine]| -> Vec<_> {
        let all = machines
            .iter()
            .map(|machine| machine.metadata.annotations.clone());
        all.map(|annotations| annotations.unwrap()[annotations::ADOPTED_CONFIGURATION].clone())
            .collect()
    };
    assert_eq!(seen(&kept), seen(&inputs.machines));

    let mut changed = K0sControlPlane::clone(&inputs.plane);
    let k0s = changed.spec.k0s_config_spec.k0s.as_mut().unwrap();
    k0s["spec"]["api"]["extraArgs"] = json!({ "audit-log-path": "-" });
    inputs.plane = Arc::new(changed);
    let refusals = observe(&inputs).refusals;
    assert_eq!(refusals.len(), NAMES.len());
    let told = refusals[0].to_string();
    assert!(
        told.contains("spec.api") && told.contains("was adopted"),
        "{told}"
    );
    assert_eq!(
        seen(&built(&inputs).kept),
        seen(&inputs.machines),
        "not forgotten for it"
    );
}
