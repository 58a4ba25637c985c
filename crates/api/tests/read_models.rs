//! Objects of Cluster API and k0s as they are found in clusters, and a Machine as it is created.

// clippy.toml allows these in test functions; the functions that they call are meant too.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use k0smotron_api::{
    capi::{Bootstrap, Cluster, ContractReference, Machine, MachineDeletion, MachineDeployment, MachineSpec},
    k0s_objects::{ClusterConfig, ControlNode, EtcdMember, Plan},
    names::labels,
};
use kube::{Resource, core::ObjectMeta};
use serde::de::DeserializeOwned;

fn read<T: DeserializeOwned>(yaml: &str) -> T {
    serde_yaml::from_str(yaml).unwrap()
}

#[test]
fn cluster() {
    let cluster: Cluster = read(
        "
apiVersion: cluster.x-k8s.io/v1beta2
kind: Cluster
metadata: {name: c, annotations: {k0sproject.io/cluster-id: 'kube-system:1'}}
spec:
  paused: true
  availabilityGates: [{conditionType: Other}]
  clusterNetwork:
    pods: {cidrBlocks: [10.244.0.0/16, 'fd00::/48']}
    services: {cidrBlocks: [10.96.0.0/12]}
    serviceDomain: cluster.local
  controlPlaneEndpoint: {host: 192.0.2.1, port: 6443}
  controlPlaneRef: {apiGroup: controlplane.cluster.x-k8s.io, kind: K0sControlPlane, name: c}
status:
  initialization: {infrastructureProvisioned: true}
  conditions:
  - {type: ControlPlaneInitialized, status: 'True', reason: Initialized, message: '', lastTransitionTime: '2026-01-01T00:00:00Z'}
",
    );
    assert!(cluster.is_paused());
    assert_eq!(cluster.endpoint(), Some(("192.0.2.1", 6443)));
    assert_eq!(cluster.pod_cidrs(), ["10.244.0.0/16", "fd00::/48"]);
    assert_eq!(cluster.service_cidrs(), ["10.96.0.0/12"]);
    assert_eq!(cluster.service_domain(), Some("cluster.local"));
    assert!(cluster.infrastructure_provisioned());
    assert!(cluster.control_plane_initialized());
    assert_eq!(cluster.recorded_cluster_id(), Some("kube-system:1"));
    assert!(
        cluster
            .spec
            .control_plane_ref
            .unwrap()
            .is("controlplane.cluster.x-k8s.io", "K0sControlPlane")
    );
}

/// A cluster that has only been written knows nothing yet, and half an endpoint is none.
#[test]
fn fresh_cluster() {
    let fresh: Cluster =
        read("{apiVersion: cluster.x-k8s.io/v1beta2, kind: Cluster, metadata: {name: c}, spec: {}}");
    assert!(!fresh.is_paused() && !fresh.infrastructure_provisioned() && !fresh.control_plane_initialized());
    assert_eq!(fresh.endpoint(), None);
    assert!(fresh.pod_cidrs().is_empty());
    for endpoint in [
        "{host: a}",
        "{port: 6443}",
        "{host: a, port: 70000}",
        "{host: '', port: 6443}",
    ] {
        let text = format!("{{metadata: {{name: c}}, spec: {{controlPlaneEndpoint: {endpoint}}}}}");
        let cluster: Cluster = read(&format!(
            "{{apiVersion: cluster.x-k8s.io/v1beta2, kind: Cluster, {}",
            &text[1..]
        ));
        assert_eq!(cluster.endpoint(), None, "{endpoint}");
    }
}

#[test]
fn machine() {
    let machine: Machine = read(
        "
apiVersion: cluster.x-k8s.io/v1beta2
kind: Machine
metadata: {name: m, labels: {cluster.x-k8s.io/control-plane: ''}}
spec:
  clusterName: c
  version: v1.36.3+k0s.2
  providerID: remote-machine://192.0.2.1:22
  bootstrap:
    configRef: {apiGroup: bootstrap.cluster.x-k8s.io, kind: K0sControllerConfig, name: m}
    dataSecretName: m
  infrastructureRef: {apiGroup: infrastructure.cluster.x-k8s.io, kind: RemoteMachine, name: m}
  readinessGates: [{conditionType: Ready}]
status:
  phase: Running
  nodeRef: {name: node}
  nodeInfo: {kubeletVersion: v1.36.3+k0s}
  addresses: [{type: ExternalIP, address: 192.0.2.1}]
  initialization: {infrastructureProvisioned: true, bootstrapDataSecretCreated: true}
",
    );
    assert!(machine.is_control_plane() && !machine.is_deleting() && machine.infrastructure_provisioned());
    assert_eq!(machine.node_name(), Some("node"));
    assert_eq!(machine.phase(), Some("Running"));
    assert_eq!(machine.addresses()[0].address, "192.0.2.1");
    assert!(!machine.condition_is_true("Ready"));
    assert_eq!(machine.spec.bootstrap.data_secret_name.as_deref(), Some("m"));
}

/// Server-side apply owns what is sent, so nothing is sent that was not set.
#[test]
fn machine_to_create() {
    let mut machine = Machine::new(
        "cp-x2bcd",
        MachineSpec {
            cluster_name: "c".to_owned(),
            version: Some("v1.36.3+k0s.2".to_owned()),
            bootstrap: Bootstrap {
                config_ref: Some(ContractReference::new(
                    "bootstrap.cluster.x-k8s.io",
                    "K0sControllerConfig",
                    "cp-x2bcd",
                )),
                data_secret_name: None,
            },
            infrastructure_ref: Some(ContractReference::new(
                "infrastructure.cluster.x-k8s.io",
                "RemoteMachine",
                "cp-x2bcd",
            )),
            deletion: MachineDeletion {
                node_drain_timeout_seconds: Some(60),
                ..MachineDeletion::default()
            },
            ..MachineSpec::default()
        },
    );
    *machine.meta_mut() = ObjectMeta {
        labels: Some([(labels::CLUSTER_NAME.to_owned(), "c".to_owned())].into()),
        ..machine.meta().clone()
    };
    insta::assert_snapshot!(serde_yaml::to_string(&machine).unwrap(), @r#"
    apiVersion: cluster.x-k8s.io/v1beta2
    kind: Machine
    metadata:
      labels:
        cluster.x-k8s.io/cluster-name: c
      name: cp-x2bcd
    spec:
      clusterName: c
      bootstrap:
        configRef:
          apiGroup: bootstrap.cluster.x-k8s.io
          kind: K0sControllerConfig
          name: cp-x2bcd
      infrastructureRef:
        apiGroup: infrastructure.cluster.x-k8s.io
        kind: RemoteMachine
        name: cp-x2bcd
      version: v1.36.3+k0s.2
      deletion:
        nodeDrainTimeoutSeconds: 60
    "#);
}

#[test]
fn machine_deployment() {
    let deployment: MachineDeployment = read(
        "
apiVersion: cluster.x-k8s.io/v1beta2
kind: MachineDeployment
metadata: {name: d}
spec:
  clusterName: c
  replicas: 2
  selector: {matchLabels: {a: b}}
  template: {metadata: {labels: {a: b}}, spec: {clusterName: c, version: v1.36.3}}
status: {replicas: 2, readyReplicas: 1}
",
    );
    assert_eq!(deployment.spec.template.spec.version.as_deref(), Some("v1.36.3"));
    assert_eq!(deployment.status.unwrap().ready_replicas, Some(1));
}

#[test]
fn objects_of_k0s() {
    let member: EtcdMember = read(
        "
apiVersion: etcd.k0sproject.io/v1beta1
kind: EtcdMember
metadata: {name: m}
spec: {leave: true}
status:
  peerAddress: 192.0.2.1
  memberID: b9a1c5f2
  reconcileStatus: Success
  conditions: [{type: Joined, status: 'False', lastTransitionTime: '2026-01-01T00:00:00Z'}]
",
    );
    assert!(member.spec.leave);
    assert_eq!(member.joined(), Some(false));
    let unknown: EtcdMember =
        read("{apiVersion: etcd.k0sproject.io/v1beta1, kind: EtcdMember, metadata: {name: m}, spec: {}}");
    assert_eq!(unknown.joined(), None);

    let node: ControlNode = read(
        "
apiVersion: autopilot.k0sproject.io/v1beta2
kind: ControlNode
metadata: {name: m}
status: {addresses: [{type: InternalIP, address: 192.0.2.1}], k0sVersion: v1.36.3+k0s.2}
",
    );
    assert_eq!(node.status.unwrap().k0s_version.as_deref(), Some("v1.36.3+k0s.2"));

    let plan: Plan = read(
        "
apiVersion: autopilot.k0sproject.io/v1beta2
kind: Plan
metadata: {name: autopilot}
spec: {id: i, timestamp: t, commands: [{k0supdate: {version: v1.36.3+k0s.2}}]}
status: {state: Completed, commands: [{id: 0, state: Completed}]}
",
    );
    assert_eq!(plan.status.unwrap().state, "Completed");

    let text = "
apiVersion: k0s.k0sproject.io/v1beta1
kind: ClusterConfig
metadata:
  name: k0s
  namespace: kube-system
spec:
  network:
    provider: custom
";
    let config: ClusterConfig = read(text);
    assert_eq!(config.spec.0["network"]["provider"], "custom");
    assert_eq!(serde_yaml::to_string(&config).unwrap().trim(), text.trim());
}
