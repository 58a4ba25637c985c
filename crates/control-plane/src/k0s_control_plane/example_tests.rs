//! From YAML that a user writes to the objects that are created and to what is said about them.

use std::{collections::BTreeMap, sync::Arc};

use insta::assert_yaml_snapshot;
use k0smotron_api::{
    bootstrap::v1beta2::TunnelingSpec,
    capi::Cluster,
    control_plane::v1beta2::{K0sControlPlane, K0sControlPlaneStatus},
    k0s_objects::ControlNode,
};
use kube::{ResourceExt, api::DynamicObject, core::ApiResource};
use tokio::time::Instant;

use super::{
    apply::Applied,
    autopilot::{Seen, seen},
    build::{Built, build},
    cluster::Offer,
    decide::decide,
    fetch::{FoundTemplate, Inputs, Template},
    observe::observe,
    observed::{Answer, Owner},
    report::next_look,
    status::{failed, status},
    survey::Survey,
};

const PLANE: &str = "
apiVersion: controlplane.cluster.x-k8s.io/v1beta2
kind: K0sControlPlane
metadata:
  name: demo
  namespace: default
  uid: 0c9a3c0e-4b4a-4d8e-9a58-6f6d2b0b8f11
  generation: 1
  annotations: {only-for-the-control-plane: 'true'}
spec:
  version: v1.36.3+k0s.2
  k0sConfigSpec:
    args: [--enable-worker]
    k0s:
      spec:
        storage: {etcd: {extraArgs: {quota-backend-bytes: '8589934592'}}}
  machineTemplate:
    metadata:
      labels: {team: a}
      annotations: {note: n}
    spec:
      infrastructureRef: {apiGroup: infrastructure.cluster.x-k8s.io, kind: RemoteMachineTemplate, name: controllers}
      deletion: {nodeDrainTimeoutSeconds: 30}
";

const CLUSTER: &str = "
apiVersion: cluster.x-k8s.io/v1beta2
kind: Cluster
metadata: {name: demo, namespace: default, uid: cluster-uid}
spec:
  clusterNetwork: {pods: {cidrBlocks: [10.244.0.0/16]}, services: {cidrBlocks: [10.96.0.0/12]}}
  controlPlaneEndpoint: {host: 10.88.1.10, port: 6443}
  controlPlaneRef: {apiGroup: controlplane.cluster.x-k8s.io, kind: K0sControlPlane, name: demo}
status:
  failureDomains: [{name: b, controlPlane: true}, {name: a, controlPlane: true}, {name: '0', controlPlane: false}]
";

const TEMPLATE: &str = "
apiVersion: infrastructure.cluster.x-k8s.io/v1beta2
kind: RemoteMachineTemplate
metadata: {name: controllers, namespace: default, resourceVersion: '7'}
spec:
  template:
    metadata: {labels: {rack: r1}}
    spec: {pool: controllers, provisionJob: null}
";

pub fn yaml<T: serde::de::DeserializeOwned>(text: &str) -> T {
    serde_yaml::from_str(text).unwrap()
}

fn resource(kind: &str) -> ApiResource {
    ApiResource {
        group: "infrastructure.cluster.x-k8s.io".to_owned(),
        version: "v1beta2".to_owned(),
        api_version: "infrastructure.cluster.x-k8s.io/v1beta2".to_owned(),
        kind: kind.to_owned(),
        plural: format!("{}s", kind.to_lowercase()),
    }
}

/// What is there right after the user applied the YAML and Cluster API set the owner.
pub fn inputs() -> Inputs {
    Inputs {
        plane: Arc::new(yaml::<K0sControlPlane>(PLANE)),
        owner: Owner::Found,
        cluster: Some(Arc::new(yaml::<Cluster>(CLUSTER))),
        offer: Offer::default(),
        machines: Vec::new(),
        workers: 0,
        workers_staying: 0,
        authorities: BTreeMap::new(),
        kubeconfig: None,
        template: Template::Found(Box::new(FoundTemplate {
            object: yaml::<DynamicObject>(TEMPLATE),
            api: resource("RemoteMachineTemplate"),
            machine_api: resource("RemoteMachine"),
        })),
        cloned_from: BTreeMap::new(),
        survey: None,
        answer: Answer::NotAsked,
        now: "2026-01-01T00:00:00Z".parse().unwrap(),
    }
}

pub fn built(inputs: &Inputs) -> Built {
    let observed = observe(inputs);
    build(inputs, &observed, &decide(&observed)).unwrap()
}

/// After a pass: what it created is there, and the API server says `answer`.
fn after(mut inputs: Inputs, answer: Answer) -> (Inputs, K0sControlPlaneStatus) {
    let built = built(&inputs);
    let applied = Applied {
        created: built.creation.map(|creation| creation.machine),
        ..Applied::default()
    };
    let observed = observe(&inputs);
    let said = status(&inputs, &observed, &decide(&observed), &applied);
    let mut plane = K0sControlPlane::clone(&inputs.plane);
    plane.status = Some(said.clone());
    let kept = built
        .marks
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)));
    plane.metadata.annotations.get_or_insert_default().extend(kept);
    for key in built.unmarks.keys() {
        plane.metadata.annotations.get_or_insert_default().remove(*key);
    }
    plane
        .metadata
        .finalizers
        .get_or_insert_default()
        .push("k0s.controlplane.cluster.x-k8s.io".to_owned());
    inputs.plane = Arc::new(plane);
    for secret in built.authorities {
        let name = secret.metadata.name.clone().unwrap();
        let authority = super::observed::Authority::ALL
            .into_iter()
            .find(|a| a.secret_name("demo") == name);
        inputs.authorities.insert(authority.unwrap(), secret);
    }
    if let Some(super::certificates::KubeconfigWrite::Create(secret)) = built.kubeconfig {
        inputs.kubeconfig = Some(*secret);
    }
    if let Some(machine) = applied.created {
        inputs.machines.push(machine);
        inputs.template = Template::NotLookedFor;
    }
    inputs.answer = answer;
    (inputs, said)
}

/// Type, status, reason and message of every condition.
fn said(status: &K0sControlPlaneStatus) -> Vec<String> {
    let line = |c: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| {
        format!("{}={} {} {}", c.type_, c.status, c.reason, c.message)
            .trim_end()
            .to_owned()
    };
    let mut said: Vec<_> = status.conditions.iter().map(line).collect();
    said.sort();
    said
}

#[test]
fn a_machine_with_all_that_belongs_to_it() {
    let built = built(&inputs());
    let creation = built.creation.unwrap();
    assert_yaml_snapshot!("machine", creation.machine);
    assert_yaml_snapshot!("config", creation.config);
    assert_yaml_snapshot!("infrastructure", creation.infrastructure);
    assert_yaml_snapshot!("marks", (built.finalizer, &built.marks, &built.unmarks));
    let secrets: Vec<_> = built
        .authorities
        .iter()
        .map(|secret| {
            (
                secret.metadata.name.clone(),
                secret.metadata.owner_references.as_ref().map(Vec::len),
            )
        })
        .collect();
    assert_yaml_snapshot!("secrets", secrets);
}

#[test]
fn the_whole_way_up() {
    let (inputs, first) = after(inputs(), Answer::No("no connection to it can be made".to_owned()));
    // Cluster API holds workers back until it sees a version.
    assert_eq!(first.versions[0].version, "v1.36.3+k0s.2");
    assert_eq!(first.version.as_deref(), Some("v1.36.3+k0s.2"));
    assert_yaml_snapshot!("created", said(&first));

    let (inputs, booting) = after(
        inputs,
        Answer::Yes {
            cluster_uid: "abc".to_owned(),
        },
    );
    assert!(!booting.control_plane_initialized());

    let observed = observe(&inputs);
    let step = decide(&observed);
    let built = build(&inputs, &observed, &step).unwrap();
    assert_eq!(built.cluster_id.as_deref(), Some("kube-system:abc"));
    assert_eq!(
        built.marks["k0smotron.io/cluster-initialized"].as_deref(),
        Some("kube-system:abc")
    );
    assert!(built.creation.is_none() && built.authorities.is_empty() && built.kubeconfig.is_none());
    assert_yaml_snapshot!(built.endpoints, @r#"
    apiVersion: v1
    kind: Endpoints
    metadata:
      name: kubernetes
      namespace: default
    subsets:
      - addresses:
          - ip: 10.88.1.10
        ports:
          - name: https
            port: 6443
            protocol: TCP
    "#);
    let up = status(&inputs, &observed, &step, &Applied::default());
    assert!(up.control_plane_initialized());
    assert_yaml_snapshot!("up", said(&up));
}

#[test]
fn nothing_is_written_over_a_settled_control_plane() {
    let yes = || Answer::Yes {
        cluster_uid: "abc".to_owned(),
    };
    let (mut inputs, _) = after(inputs(), yes());
    let mut cluster = Cluster::clone(inputs.cluster.as_ref().unwrap());
    cluster.metadata.annotations = Some(
        [(
            "k0sproject.io/cluster-id".to_owned(),
            "kube-system:abc".to_owned(),
        )]
        .into(),
    );
    inputs.cluster = Some(Arc::new(cluster));
    let (mut inputs, _) = after(inputs, yes());
    let conditions = built(&inputs).conditions;
    inputs.machines[0].status = Some(k0smotron_api::capi::MachineStatus {
        conditions: conditions[0].1.clone(),
        ..Default::default()
    });
    let (inputs, first) = after(inputs, yes());
    let (inputs, second) = after(inputs, yes());
    assert_eq!(first, second);
    let built = built(&inputs);
    assert!(!built.finalizer && built.marks.is_empty() && built.unmarks.is_empty());
    assert!(built.authorities.is_empty() && built.kubeconfig.is_none() && built.creation.is_none());
    assert!(built.conditions.is_empty() && built.deletions.is_empty() && built.releases.is_empty());
    assert_eq!((built.cluster_id, built.endpoints), (None, None));
    // Kept as it was made: an apply of it changes nothing.
    let (kept, present) = (&built.kept[0], &inputs.machines[0]);
    assert_eq!(kept.spec, present.spec);
    assert_eq!(kept.metadata, present.metadata);
}

#[test]
fn hooks_go_with_the_cluster_and_do_not_come_back() {
    let yes = Answer::Yes {
        cluster_uid: "abc".to_owned(),
    };
    let (mut inputs, _) = after(inputs(), yes);
    let mut cluster = Cluster::clone(inputs.cluster.as_ref().unwrap());
    cluster.metadata.deletion_timestamp = Some(yaml("'2026-01-01T00:00:00Z'"));
    inputs.cluster = Some(Arc::new(cluster));
    let name = inputs.machines[0].metadata.name.clone().unwrap();
    // Workers that stay: a hook of somebody may hold the deletion back.
    for (workers, workers_staying, released) in [(0, 0, 0), (2, 1, 0), (2, 0, 1)] {
        (inputs.workers, inputs.workers_staying) = (workers, workers_staying);
        let built = built(&inputs);
        assert_eq!(
            built.releases,
            vec![name.clone(); released],
            "{workers} {workers_staying}"
        );
        assert!(built.kept.is_empty());
        // The workload cluster is not asked for anything, so that its being gone holds nothing up.
        assert!(built.departed.is_empty() && built.forget.is_empty() && built.leave.is_none());
    }
}

#[test]
fn machines_from_before_a_rollout_are_replaced_once_its_time_has_come() {
    let (mut inputs, _) = after(inputs(), Answer::NotAsked);
    inputs.machines[0].metadata.creation_timestamp = Some(yaml("'2025-12-31T00:00:00Z'"));
    let look = |seconds: u64| Some(std::time::Duration::from_millis(seconds * 1000 + 100));
    for (after, outdated, again) in [
        ("2026-01-01T00:00:00Z", 1, None),
        ("2026-01-01T00:00:01Z", 0, look(1)),
    ] {
        let mut plane = K0sControlPlane::clone(&inputs.plane);
        plane.spec.rollout = Some(yaml(&format!("{{after: '{after}'}}")));
        inputs.plane = Arc::new(plane);
        let observed = observe(&inputs);
        assert_eq!(observed.machines[0].outdated.len(), outdated, "{after}");
        assert!(!observed.machines[0].in_place);
        assert_eq!(
            next_look(&inputs, &observed, &decide(&observed)),
            again,
            "{after}"
        );
    }
    inputs.machines[0].metadata.creation_timestamp = Some(yaml("'2026-01-01T00:00:00Z'"));
    assert_eq!(observe(&inputs).machines[0].outdated, [""; 0]);
}

#[test]
fn machines_are_named_as_asked_for() {
    let mut named = inputs();
    let mut plane = K0sControlPlane::clone(&named.plane);
    plane.spec.machine_naming = Some(yaml(
        "{template: 'x-{{ .cluster.name }}.{{ .random }}-{{ .controlPlane.name }}'}",
    ));
    named.plane = Arc::new(plane);
    let (plain, named) = (built(&inputs()), built(&named));
    let (plain, named) = (plain.creation.unwrap(), named.creation.unwrap());
    let random = plain.machine.metadata.name.unwrap().replace("demo-", "");
    let name = Some(format!("x-demo.{random}-demo"));
    assert_eq!(named.machine.metadata.name, name);
    assert_eq!(named.config.metadata.name, name);
    assert_eq!(named.infrastructure.metadata.name, name);
}

#[test]
fn what_cannot_be_followed_is_said_and_nothing_else_changes() {
    let mut tunneled = inputs();
    let mut plane = K0sControlPlane::clone(&tunneled.plane);
    plane.spec.k0s_config_spec.tunneling = Some(TunnelingSpec {
        enabled: true,
        ..TunnelingSpec::default()
    });
    tunneled.plane = Arc::new(plane);
    let nothing = built(&tunneled);
    assert!(!nothing.finalizer && nothing.authorities.is_empty() && nothing.creation.is_none());
    let (_, refused) = after(tunneled, Answer::NotAsked);
    assert_yaml_snapshot!("refused", said(&refused));
}

/// What is known after k0s was asked: the controller of the only Machine runs this version.
fn surveyed(inputs: &mut Inputs, version: &str) {
    let node: ControlNode = yaml(&format!(
        "{{apiVersion: autopilot.k0sproject.io/v1beta2, kind: ControlNode, metadata: {{name: {}}}, \
         status: {{k0sVersion: {version}}}}}",
        inputs.machines[0].name_any()
    ));
    let survey = Survey {
        begun: Instant::now(),
        members: Err("its k0s has no EtcdMembers".to_owned()),
        autopilot: Ok(Seen {
            plan: None,
            controllers: vec![seen(&node)],
        }),
    };
    inputs.survey = Some((survey, true));
}

#[test]
fn a_version_changes_in_place_and_is_recorded_when_it_runs() {
    let answer = || Answer::Yes {
        cluster_uid: "abc".to_owned(),
    };
    let (mut upgraded, _) = after(inputs(), answer());
    let mut plane = K0sControlPlane::clone(&upgraded.plane);
    plane.spec.version = "v1.36.4+k0s.0".to_owned();
    plane.spec.k0s_config_spec.download_url = Some("http://mirror/k0s".to_owned());
    upgraded.plane = Arc::new(plane);
    surveyed(&mut upgraded, "v1.36.3+k0s.2");
    let asked = built(&upgraded);
    assert!(asked.creation.is_none() && asked.deletions.is_empty() && asked.records.is_empty());
    assert_eq!(asked.kept[0].spec.version.as_deref(), Some("v1.36.3+k0s.2"));
    let plan = asked.plan.unwrap();
    assert_eq!(plan.spec.commands[0]["k0supdate"]["version"], "v1.36.4+k0s.0");
    let (mut upgraded, rolled) = after(upgraded, answer());
    assert_yaml_snapshot!("upgraded", said(&rolled));
    assert_eq!(rolled.up_to_date_replicas, Some(0));
    assert_eq!(rolled.versions[0].version, "v1.36.3+k0s.2");

    surveyed(&mut upgraded, "v1.36.4+k0s.0");
    let recorded = built(&upgraded);
    assert!(recorded.plan.is_none());
    let name = upgraded.machines[0].name_any();
    let spec = serde_json::json!({ "version": "v1.36.4+k0s.0", "downloadURL": "http://mirror/k0s" });
    assert_eq!(recorded.records, [(name, spec)]);
    assert_eq!(recorded.kept[0].spec.version.as_deref(), Some("v1.36.4+k0s.0"));

    // What is written makes up for the difference.
    upgraded.machines[0].spec.version = recorded.kept[0].spec.version.clone();
    upgraded.machines[0].metadata.annotations = recorded.kept[0].metadata.annotations.clone();
    let (upgraded, done) = after(upgraded, answer());
    assert_eq!(done.up_to_date_replicas, Some(1));
    assert_eq!(done.version.as_deref(), Some("v1.36.4+k0s.0"));
    assert!(built(&upgraded).records.is_empty());
}

/// A control plane that runs is looked at and not written to: what would be written lacks what its spec asks for.
#[test]
fn what_runs_is_not_written_without_what_is_not_supported() {
    let answer = || Answer::Yes {
        cluster_uid: "abc".to_owned(),
    };
    let (mut running, _) = after(inputs(), answer());
    assert!(!built(&running).kept.is_empty());
    let mut plane = K0sControlPlane::clone(&running.plane);
    plane.spec.k0s_config_spec.tunneling = Some(TunnelingSpec {
        enabled: true,
        ..TunnelingSpec::default()
    });
    running.plane = Arc::new(plane);
    let nothing = built(&running);
    assert!(nothing.kept.is_empty() && nothing.conditions.is_empty() && nothing.cluster_id.is_none());
    assert!(nothing.marks.is_empty() && nothing.unmarks.is_empty() && !nothing.finalizer);
    let (_, status) = after(running, answer());
    let lines = said(&status);
    let unsupported = lines.iter().find(|line| line.starts_with("Unsupported=True"));
    assert!(
        unsupported
            .unwrap()
            .contains("spec.k0sConfigSpec.tunneling.enabled: true"),
        "{lines:?}"
    );
    // What is true of the cluster is still said.
    assert_eq!(status.version.as_deref(), Some("v1.36.3+k0s.2"));
}

#[test]
fn a_kubeconfig_follows_the_endpoint() {
    let (mut moved, _) = after(inputs(), Answer::NotAsked);
    let mut cluster = Cluster::clone(moved.cluster.as_ref().unwrap());
    cluster.spec.control_plane_endpoint.as_mut().unwrap().host = "fd00::1".to_owned();
    moved.cluster = Some(Arc::new(cluster));
    let super::certificates::KubeconfigWrite::Reissue { present, content } =
        built(&moved).kubeconfig.unwrap()
    else {
        panic!("a Secret that exists is not created");
    };
    assert_eq!(present.metadata.name.as_deref(), Some("demo-kubeconfig"));
    let facts = k0smotron_k0s::kubeconfig::facts_of(secrecy::ExposeSecret::expose_secret(&content)).unwrap();
    assert_eq!(facts.server, "https://[fd00::1]:6443");
}

#[test]
fn the_infrastructures_endpoint_does_until_the_cluster_has_one() {
    let mut early = inputs();
    let mut cluster = Cluster::clone(early.cluster.as_ref().unwrap());
    let later = cluster.spec.control_plane_endpoint.take().unwrap();
    early.cluster = Some(Arc::new(cluster));
    assert!(built(&early).creation.is_none() && built(&early).kubeconfig.is_none());

    early.offer.endpoint = Some(later);
    let (now, before) = (built(&inputs()), built(&early));
    assert!(before.kubeconfig.is_some());
    let (now, before) = (now.creation.unwrap(), before.creation.unwrap());
    assert_eq!(now.config, before.config);
    assert_eq!(now.machine.metadata, before.machine.metadata);

    // The Cluster's own wins.
    let mut both = inputs();
    both.offer.endpoint = Some(k0smotron_api::capi::Endpoint {
        host: "10.88.1.99".to_owned(),
        port: 6443,
    });
    assert_eq!(both.endpoint(), Some(("10.88.1.10", 6443)));
}

#[test]
fn machines_are_spread_over_the_domains_of_the_infrastructure_until_the_cluster_has_them() {
    let placed = |inputs: &Inputs| built(inputs).creation.unwrap().machine.spec.failure_domain;
    let mut early = inputs();
    let mut cluster = Cluster::clone(early.cluster.as_ref().unwrap());
    let later = cluster.status.take().unwrap().failure_domains;
    early.cluster = Some(Arc::new(cluster));
    assert_eq!(placed(&early), None);
    early.offer.failure_domains = later;
    assert_eq!(placed(&early), placed(&inputs()));
    // The Cluster's own win.
    let mut both = inputs();
    both.offer.failure_domains = yaml("[{name: z, controlPlane: true}]");
    assert_eq!(placed(&both).as_deref(), Some("a"));
}

#[test]
fn a_pass_that_failed_says_so_and_what_was_seen() {
    let mut fresh = inputs();
    let mut cluster = Cluster::clone(fresh.cluster.as_ref().unwrap());
    let endpoint = cluster.spec.control_plane_endpoint.take();
    fresh.cluster = Some(Arc::new(cluster.clone()));
    let (mut fresh, waiting) = after(fresh, Answer::NotAsked);
    let line = |status: &K0sControlPlaneStatus, of: &str| {
        said(status)
            .into_iter()
            .find(|line| line.starts_with(of))
            .unwrap()
    };
    assert!(line(&waiting, "Ready=").contains("no control plane endpoint"));

    cluster.spec.control_plane_endpoint = endpoint;
    fresh.cluster = Some(Arc::new(cluster));
    // It answers, and what would have persisted that may be just what failed.
    fresh.answer = Answer::Yes {
        cluster_uid: "abc".to_owned(),
    };
    let observed = observe(&fresh);
    let step = decide(&observed);
    let after = failed(&fresh, observed, &step, "TemplateFailed", "forbidden");
    assert_eq!(line(&after, "Ready="), "Ready=False TemplateFailed forbidden");
    assert!(
        said(&after)
            .iter()
            .all(|line| !line.contains("no control plane endpoint")),
        "{:?}",
        said(&after)
    );
    assert!(!after.control_plane_initialized());
    assert!(line(&after, "Initialized=").starts_with("Initialized=False"));
}

#[test]
fn a_kubeconfig_of_the_users_is_theirs() {
    let (mut supplied, _) = after(inputs(), Answer::NotAsked);
    let secret = supplied.kubeconfig.as_mut().unwrap();
    secret.metadata.owner_references = None;
    secret.data.as_mut().unwrap().insert(
        "value".to_owned(),
        k8s_openapi::ByteString(
            b"{apiVersion: v1, kind: Config, current-context: me, contexts: [], clusters: [], users: []}"
                .to_vec(),
        ),
    );
    assert!(built(&supplied).kubeconfig.is_none());

    // Cluster API sees no Secret without this label.
    supplied.kubeconfig.as_mut().unwrap().metadata.labels = None;
    let Some(super::certificates::KubeconfigWrite::Label { name, cluster }) = built(&supplied).kubeconfig
    else {
        panic!("it is not labelled");
    };
    assert_eq!((name.as_str(), cluster.as_str()), ("demo-kubeconfig", "demo"));
}
