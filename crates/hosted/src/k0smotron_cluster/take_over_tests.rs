//! Control planes as releases before 3.0 have left them, and what becomes of them: nothing, until the spec changes what
//! their pods are made from.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use k0smotron_api::{
    k0smotron::v1beta2::Cluster,
    names::{conditions::types, hosted},
};
use k0smotron_runtime::conditions::find;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::ResourceExt;
use serde_json::{Value, json};

use super::{
    build::Kind,
    certificates,
    decide::{Leave, Pods, Step, decide},
    fetch::Inputs,
    membership::{Step as Change, Wait},
    names::Names,
    observed::observe,
    probe::Answer,
    report,
};

fn now() -> Timestamp {
    "2027-06-01T12:00:00Z".parse().unwrap()
}

/// With what the controllers of those releases write into the spec.
const EARLIER: &str = "
apiVersion: k0smotron.io/v1beta2
kind: Cluster
metadata: {name: basic, namespace: ns, uid: u, generation: 3, finalizers: [k0smotron.io/finalizer]}
spec:
  replicas: 1
  version: v1.33.4-k0s.0
  externalAddress: 10.0.0.1
  service: {type: NodePort, apiPort: 30443, konnectivityPort: 30132}
  storage: {type: etcd, etcd: {image: 'quay.io/k0sproject/etcd:v3.5.13', defragJob: {enabled: false, schedule: '', rule: '', image: ''}}}
  monitoring: {enabled: false, prometheusImage: '', proxyImage: ''}
  certificateRefs:
  - {type: ca, name: basic-ca}
  - {type: proxy, name: basic-proxy}
  - {type: sa, name: basic-sa}
  - {type: etcd, name: basic-etcd}
  - {type: apiserver-etcd-client, name: basic-apiserver-etcd-client}
  manifests: [{name: kmc-basic-endpoint, configMap: {name: kmc-basic-endpoint}}]
";

/// What identifies those releases' pods: containers, image, arguments; what the rest is does not matter here.
const EARLIER_K0S: &str = "
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: kmc-basic
  namespace: ns
  annotations: {k0smotron.io/statefulset-hash: 5b9c77d}
  labels: {app: k0smotron, cluster: basic, component: cluster, cluster.x-k8s.io/control-plane: 'true', app.kubernetes.io/component: control-plane}
  ownerReferences: [{apiVersion: k0smotron.io/v1beta2, kind: Cluster, name: basic, uid: u, controller: true, blockOwnerDeletion: true}]
spec:
  replicas: 1
  podManagementPolicy: OrderedReady
  selector: {matchLabels: {app: k0smotron, cluster: basic, component: cluster, cluster.x-k8s.io/control-plane: 'true'}}
  template:
    metadata:
      labels: {app: k0smotron, cluster: basic, component: cluster, cluster.x-k8s.io/control-plane: 'true', app.kubernetes.io/component: control-plane}
    spec:
      initContainers:
      - {name: certs-init, image: 'quay.io/k0sproject/k0s:v1.33.4-k0s.0'}
      containers:
      - name: controller
        image: quay.io/k0sproject/k0s:v1.33.4-k0s.0
        args: [/bin/sh, -c, /k0smotron-entrypoint.sh]
        ports: [{name: api, containerPort: 30443}, {name: konnectivity, containerPort: 30132}]
status: {replicas: 1, readyReplicas: 1, updatedReplicas: 1, currentRevision: a, updateRevision: a}
";

const EARLIER_ETCD: &str = "
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: kmc-basic-etcd
  namespace: ns
  labels: {app: k0smotron, cluster: basic, component: etcd, app.kubernetes.io/component: etcd}
spec:
  replicas: 1
  serviceName: kmc-basic-etcd
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: k0smotron, cluster: basic, component: etcd}}
  template:
    metadata:
      labels: {app: k0smotron, cluster: basic, component: etcd, app.kubernetes.io/component: etcd}
    spec:
      containers:
      - {name: etcd, image: 'quay.io/k0sproject/etcd:v3.5.13', command: [/bin/bash, -c]}
status: {replicas: 1, readyReplicas: 1, updatedReplicas: 1, currentRevision: a, updateRevision: a}
";

const SERVICES: [&str; 2] = [
    "{apiVersion: v1, kind: Service, metadata: {name: kmc-basic-nodeport}, spec: {clusterIP: 10.96.0.7, clusterIPs: [10.96.0.7]}}",
    "{apiVersion: v1, kind: Service, metadata: {name: kmc-basic-etcd-client}, spec: {clusterIP: 10.96.0.8, clusterIPs: [10.96.0.8]}}",
];

fn inputs(plane: &str) -> Inputs {
    let plane: Cluster = serde_yaml::from_str(plane).unwrap();
    let names = Names::of(&plane);
    let nothing = BTreeMap::new();
    let wanted = certificates::wanted(&plane, &names, &nothing, false, now());
    let made = certificates::make(&plane, &names, &nothing, &wanted, now()).unwrap();
    let secrets: BTreeMap<String, Secret> = made
        .created
        .into_iter()
        .map(|secret| (secret.name_any(), secret))
        .collect();
    let mut inputs = Inputs {
        plane: Arc::new(plane),
        names,
        live: BTreeMap::new(),
        pods: Vec::new(),
        named: std::collections::BTreeSet::new(),
        claims: Vec::new(),
        secrets,
        nodes: Arc::default(),
        answer: Answer::Yes {
            cluster_uid: "w".to_owned(),
        },
        survey: None,
        now: now(),
    };
    for service in SERVICES {
        put(&mut inputs, Kind::Service, service);
    }
    inputs
}

fn put(inputs: &mut Inputs, kind: Kind, yaml: &str) {
    let value: Value = serde_yaml::from_str(yaml).unwrap();
    let name = value["metadata"]["name"].as_str().unwrap().to_owned();
    inputs.live.insert((kind, name), value);
}

fn earlier(plane: &str) -> Inputs {
    let mut inputs = inputs(plane);
    put(&mut inputs, Kind::StatefulSet, EARLIER_K0S);
    put(&mut inputs, Kind::StatefulSet, EARLIER_ETCD);
    inputs
}

fn step(inputs: &Inputs) -> (Pods, Pods, Option<Change>) {
    match decide(&observe(inputs)) {
        Step::Live(live) => (live.k0s, live.etcd, live.plan.map(|plan| plan.step)),
        other => panic!("{other:?}"),
    }
}

/// Records what the pods were made from, as a pass does.
fn adopt(inputs: &mut Inputs) {
    let observed = observe(inputs);
    for (name, wanted) in [
        ("kmc-basic", observed.k0s.wanted),
        ("kmc-basic-etcd", observed.etcd.wanted),
    ] {
        let set = inputs
            .live
            .get_mut(&(Kind::StatefulSet, name.to_owned()))
            .unwrap();
        set["metadata"]["annotations"] = json!({hosted::annotations::INPUTS: wanted});
    }
}

fn change(inputs: &mut Inputs, spec: &str) {
    let mut plane = serde_json::to_value(inputs.plane.as_ref()).unwrap();
    let change: Value = serde_yaml::from_str(spec).unwrap();
    for (key, value) in change.as_object().unwrap() {
        plane["spec"][key] = value.clone();
    }
    inputs.plane = Arc::new(serde_json::from_value(plane).unwrap());
}

#[test]
fn pods_of_an_earlier_release_stay() {
    let mut inputs = earlier(EARLIER);
    assert_eq!(step(&inputs), (Pods::Adopt, Pods::Adopt, None));
    adopt(&mut inputs);
    assert_eq!(step(&inputs), (Pods::Keep, Pods::Keep, None));
    // What is not part of the pods changes nothing; nor does another number of them, while etcd serves it.
    change(
        &mut inputs,
        "{replicas: 1, kubeconfigSecretMetadata: {labels: {a: b}}}",
    );
    assert_eq!(step(&inputs), (Pods::Keep, Pods::Keep, None));

    let observed = observe(&inputs);
    let status = report::status(&inputs, &observed, &decide(&observed));
    let converged = find(&status.conditions, hosted::types::CONVERGED).unwrap();
    assert_eq!(converged.status, "False");
    assert!(
        converged
            .message
            .contains("* StatefulSet kmc-basic\n* StatefulSet kmc-basic-etcd")
    );
    assert_eq!(
        find(&status.conditions, types::AVAILABLE).unwrap().status,
        "False",
        "no kubeconfig yet"
    );
}

#[test]
fn they_are_made_anew_once_the_spec_changes_what_they_are_made_from() {
    let mut inputs = earlier(EARLIER);
    adopt(&mut inputs);
    change(&mut inputs, "{version: v1.34.2-k0s.0}");
    assert_eq!(step(&inputs), (Pods::Make, Pods::Keep, None));
    change(
        &mut inputs,
        "{version: v1.33.4-k0s.0, storage: {etcd: {image: 'quay.io/k0sproject/etcd:v3.6.14'}}}",
    );
    let (k0s, etcd, change) = step(&inputs);
    assert_eq!((k0s, etcd), (Pods::Keep, Pods::Make));
    assert!(change.is_some(), "members are looked after from here on");
}

/// What was changed while nobody followed it.
#[test]
fn a_spec_that_they_do_not_match_is_followed() {
    let mut inputs = earlier(EARLIER);
    change(&mut inputs, "{version: v1.34.2-k0s.0}");
    assert_eq!(step(&inputs).0, Pods::Make);
}

#[test]
fn more_members_are_added_as_this_release_adds_them() {
    let mut inputs = earlier(EARLIER);
    adopt(&mut inputs);
    change(&mut inputs, "{replicas: 3}");
    let (k0s, etcd, change) = step(&inputs);
    assert_eq!((k0s, etcd), (Pods::Keep, Pods::Make));
    // The cluster exists, whatever is recorded: nobody founds it anew.
    assert_eq!(
        change,
        Some(Change::Wait(Wait::Quorum {
            healthy: 0,
            voters: 1
        }))
    );
}

#[test]
fn who_asks_for_it_gets_pods_of_this_release() {
    let mut inputs = earlier(EARLIER);
    adopt(&mut inputs);
    let mut plane = inputs.plane.as_ref().clone();
    plane
        .annotations_mut()
        .insert(hosted::annotations::CONVERGE.to_owned(), String::new());
    inputs.plane = Arc::new(plane);
    let (k0s, etcd, _) = step(&inputs);
    assert_eq!((k0s, etcd), (Pods::Make, Pods::Make));
}

/// What is not done by this release is left alone altogether.
#[test]
fn what_is_not_supported_is_not_touched() {
    for spec in [
        "{ingress: {apiHost: a, konnectivityHost: b}}",
        "{storage: {type: nats}}",
    ] {
        let mut inputs = earlier(EARLIER);
        change(&mut inputs, spec);
        let step = decide(&observe(&inputs));
        assert!(matches!(step, Step::Leave(Leave::Unsupported(_))), "{spec}");
    }
}

/// The first passes of a new control plane: pods are made once everything is known that they are made from.
#[test]
fn a_new_one_waits_for_what_its_pods_are_made_from() {
    let new = "apiVersion: k0smotron.io/v1beta2\nkind: Cluster\nmetadata: {name: basic, namespace: ns, uid: u}\n\
               spec: {version: v1.36.3, service: {type: LoadBalancer}}\n";
    let mut inputs = inputs(new);
    let secrets = std::mem::take(&mut inputs.secrets);
    let (k0s, etcd, _) = step(&inputs);
    assert!(matches!((k0s, etcd), (Pods::Wait(_), Pods::Wait(_))));
    inputs.secrets = secrets;
    put(
        &mut inputs,
        Kind::Service,
        "{metadata: {name: kmc-basic-lb}, spec: {clusterIPs: [10.96.0.9]}}",
    );
    let (k0s, etcd, change) = step(&inputs);
    assert_eq!(etcd, Pods::Make);
    assert_eq!(change, Some(Change::Wait(Wait::First)));
    assert!(
        matches!(k0s, Pods::Wait(_)),
        "without the load balancer's address"
    );
    put(
        &mut inputs,
        Kind::Service,
        "{metadata: {name: kmc-basic-lb}, spec: {clusterIPs: [10.96.0.9]}, status: {loadBalancer: {ingress: [{ip: 192.0.2.1}]}}}",
    );
    assert_eq!(step(&inputs).0, Pods::Make);
}

#[test]
fn what_keeps_pods_from_running_is_said_in_the_words_of_who_knows() {
    let mut inputs = earlier(EARLIER);
    inputs.answer = Answer::No("no connection to it can be made".to_owned());
    let pod: Pod = serde_yaml::from_str(
        "metadata: {name: kmc-basic-0}\nstatus: {conditions: [{type: PodScheduled, status: 'False', message: '0/1 nodes: Insufficient cpu'}]}",
    )
    .unwrap();
    inputs.pods.push(pod);
    let observed = observe(&inputs);
    let status = report::status(&inputs, &observed, &decide(&observed));
    let functional = find(&status.conditions, hosted::types::FUNCTIONAL).unwrap();
    assert!(
        functional
            .message
            .contains("Pod kmc-basic-0 finds no node: 0/1 nodes: Insufficient cpu")
    );
}

/// k0s signs certificates of its own when it starts, for a year.
#[test]
fn pods_do_not_grow_as_old_as_their_certificates() {
    let mut inputs = earlier(EARLIER);
    let pod = |born: &str, ready: &str| -> Pod {
        serde_yaml::from_str(&format!(
            "metadata: {{name: kmc-basic-0, creationTimestamp: '{born}'}}\nstatus: {{conditions: [{{type: Ready, status: '{ready}'}}]}}"
        ))
        .unwrap()
    };
    for (born, ready, aged) in [
        ("2026-09-01T00:00:00Z", "True", Some("kmc-basic-0")),
        ("2026-09-01T00:00:00Z", "False", None),
        ("2026-10-01T00:00:00Z", "True", None),
    ] {
        inputs.pods = vec![pod(born, ready)];
        assert_eq!(observe(&inputs).aged.as_deref(), aged, "{born} {ready}");
    }
}
