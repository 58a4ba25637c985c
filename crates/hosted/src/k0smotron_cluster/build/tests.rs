//! Objects made from manifests as users write them.

use std::collections::BTreeSet;

use super::*;
use crate::k0smotron_cluster::membership::{Plan, Step};

fn plane(spec: &str) -> Cluster {
    serde_yaml::from_str(&format!(
        "apiVersion: k0smotron.io/v1beta2
kind: Cluster
metadata:
  name: basic
  namespace: ns
  uid: 6f9f42d1
  labels: {{team: a}}
  annotations: {{mesh.example.com/inject: 'true', kubectl.kubernetes.io/last-applied-configuration: '{{}}'}}
spec: {{{spec}}}
"
    ))
    .unwrap()
}

fn facts() -> Facts {
    Facts {
        external_address: Some("10.0.0.1".to_owned()),
        service_addresses: BTreeSet::from(["10.96.0.7".to_owned()]),
        etcd_addresses: ["10.96.0.9".to_owned()].into(),
        authorities: "a1".to_owned(),
        etcd_authority: "e1".to_owned(),
    }
}

fn k0s_set(plane: &Cluster, facts: &Facts) -> Object {
    let names = Names::of(plane);
    let [ours, _] = configurations(plane, &names, facts).unwrap();
    k0s::stateful_set(plane, &names, facts, &ours, &k0s::Fixed::default())
}

fn etcd_set(plane: &Cluster) -> Object {
    etcd::stateful_set(plane, &Names::of(plane), &facts(), 1, &k0s::Fixed::default())
}

fn yaml(object: &Object) -> String {
    serde_yaml::to_string(&object.value).unwrap()
}

const BASIC: &str = "version: v1.36.3-k0s.2, service: {type: NodePort}";

#[test]
fn pods_of_k0s() {
    insta::assert_snapshot!(yaml(&k0s_set(&plane(BASIC), &facts())));
}

#[test]
fn pods_of_etcd() {
    insta::assert_snapshot!(yaml(&etcd_set(&plane(BASIC))));
}

#[test]
fn surroundings_of_one_and_of_three() {
    let of = |replicas: u8| {
        let plane = plane(&format!("{BASIC}, replicas: {replicas}"));
        let names = Names::of(&plane);
        let configurations = configurations(&plane, &names, &facts()).unwrap();
        let objects = surroundings(&plane, &names, &facts(), &configurations);
        let all: Vec<_> = objects
            .iter()
            .map(|object| format!("{:?} {}", object.kind, object.name))
            .collect();
        (all, objects)
    };
    let (one, objects) = of(1);
    assert_eq!(
        one,
        [
            "Service kmc-basic-nodeport",
            "Service kmc-basic-etcd",
            "Service kmc-basic-etcd-client",
            "ConfigMap kmc-basic-config",
            "ConfigMap kmc-basic-telemetry-config",
            "ConfigMap kmc-basic-endpoint",
            "NetworkPolicy kmc-basic-etcd"
        ]
    );
    let (three, _) = of(3);
    assert_eq!(
        three[one.len()..],
        [
            "PodDisruptionBudget kmc-basic",
            "PodDisruptionBudget kmc-basic-etcd"
        ]
    );
    let all: Vec<_> = objects.iter().map(yaml).collect();
    insta::assert_snapshot!(all.join("---\n"));
}

/// What a member is started with says who may found a cluster, and who may join one.
#[test]
fn members_are_started_as_it_is_planned() {
    let plane = plane(BASIC);
    let data = |founding, joining| {
        let plan = Plan {
            step: Step::Steady,
            replicas: 1,
            founding,
            joining,
            claims: [(0, "u0".to_owned())].into(),
        };
        etcd::membership(&plane, &Names::of(&plane), &plan).value["data"].clone()
    };
    assert_eq!(
        data(true, None),
        json!({"state": "new", "peers": "", "claims": "{\"0\":\"u0\"}"})
    );
    assert_eq!(
        data(false, Some((1, vec![0, 2])))["peers"],
        json!(
            ",kmc-basic-etcd-0=https://kmc-basic-etcd-0.kmc-basic-etcd:2380,\
             kmc-basic-etcd-2=https://kmc-basic-etcd-2.kmc-basic-etcd:2380"
        )
    );
}

/// Pods are made anew for what concerns them, and for nothing else.
#[test]
fn pods_are_made_anew_only_for_what_they_are_made_from() {
    let digests = |spec: &str, facts: &Facts| {
        let plane = plane(spec);
        let names = Names::of(&plane);
        let [ours, _] = configurations(&plane, &names, facts).unwrap();
        (k0s::inputs(&plane, facts, &ours), etcd::inputs(&plane, facts))
    };
    let before = digests(BASIC, &facts());
    for same in [
        "replicas: 3",
        "k0sConfig: {spec: {network: {provider: calico}, telemetry: {enabled: false}}}",
        "kubeconfigSecretMetadata: {labels: {a: b}}, disruption: {budget: None}",
    ] {
        assert_eq!(digests(&format!("{BASIC}, {same}"), &facts()), before, "{same}");
    }
    for (k0s_only, spec) in [
        (true, "controlPlaneFlags: [--debug]"),
        (true, "k0sConfig: {spec: {api: {sans: [a.example.com]}}}"),
        (true, "resources: {requests: {cpu: 200m}}"),
        (true, "manifests: [{name: a, configMap: {name: a}}]"),
        (false, "serviceAccount: mine"),
        (false, "scheduling: {nodeSelector: {a: b}}"),
    ] {
        let (k0s, etcd) = digests(&format!("{BASIC}, {spec}"), &facts());
        assert_ne!(k0s, before.0, "{spec}");
        assert_eq!(etcd == before.1, k0s_only, "{spec}");
    }
    let (k0s, etcd) = digests(
        &format!("{BASIC}, storage: {{etcd: {{args: [--quota-backend-bytes=8589934592]}}}}"),
        &facts(),
    );
    assert_eq!(k0s, before.0);
    assert_ne!(etcd, before.1);
    // A missing suffix is the first build.
    let version = |version: &str| digests(&format!("version: {version}"), &facts());
    assert_eq!(version("v1.36.3"), version("v1.36.3-k0s.0"));
    assert_eq!(version("v1.36.3+k0s.0"), version("v1.36.3-k0s.0"));
    let moved = Facts {
        external_address: Some("10.0.0.2".to_owned()),
        ..facts()
    };
    assert_ne!(digests(BASIC, &moved).0, before.0);
    assert_eq!(digests(BASIC, &moved).1, before.1);
}

#[test]
fn what_users_bring_goes_through_as_it_was_written() {
    let plane = plane(
        "version: v1.36.3, service: {type: LoadBalancer, apiPort: 443, loadBalancerClass: mine, annotations: {lb: x}},
  persistence: {type: pvc, autoDeletePVCs: true, persistentVolumeClaim: {metadata: {name: data}, spec: {newerThanUs: 1}}},
  manifests: [{name: stack, configMap: {name: stack}}, {name: kmc-basic-endpoint, configMap: {name: kmc-basic-endpoint}}],
  mounts: [{path: /etc/extra, secret: {secretName: extra}}, {path: /data, hostPath: {path: /d}}],
  security: {securityContext: {capabilities: {add: [ALL]}}, podSecurityContext: {runAsUser: 0}},
  scheduling: {tolerations: [{key: a, operator: Exists}], priorityClassName: high, imagePullSecrets: [{name: pull}]}",
    );
    insta::assert_snapshot!(yaml(&k0s_set(&plane, &facts())));
    insta::assert_snapshot!(yaml(&services::k0s(&plane, &Names::of(&plane))));
}

/// What of a StatefulSet cannot change is as it is, whatever would be made now.
#[test]
fn what_cannot_change_stays() {
    let plane = plane(BASIC);
    let fixed = k0s::Fixed {
        selector: Some([("old".to_owned(), "label".to_owned())].into()),
        service_name: Some(String::new()),
        pod_management: Some("OrderedReady".to_owned()),
        claim_templates: Some(json!([{"metadata": {"name": "etcd-data"}}])),
    };
    let spec = etcd::stateful_set(&plane, &Names::of(&plane), &facts(), 3, &fixed).value["spec"].clone();
    assert_eq!(spec["selector"], json!({"matchLabels": {"old": "label"}}));
    assert_eq!(spec["template"]["metadata"]["labels"]["old"], "label");
    assert_eq!(spec["podManagementPolicy"], "OrderedReady");
    assert_eq!(
        spec["volumeClaimTemplates"],
        json!([{"metadata": {"name": "etcd-data"}}])
    );
}

/// No pod has the key of an authority that it does not sign with.
#[test]
fn keys_of_authorities_are_where_they_sign() {
    let plane = plane(BASIC);
    assert!(!yaml(&etcd_set(&plane)).contains("ca.key"));
    let k0s = yaml(&k0s_set(&plane, &facts()));
    let etcd = k0s
        .split("name: basic-etcd\n")
        .next()
        .unwrap()
        .rsplit("- secret:")
        .next()
        .unwrap();
    assert!(etcd.contains("ca.crt") && !etcd.contains("tls.key"), "{etcd}");
}

/// Older members of etcd do not know all that is asked.
#[test]
fn members_are_asked_what_they_know() {
    for (image, ready) in [
        ("quay.io/k0sproject/etcd:v3.7.1", "/readyz"),
        ("mirror.example.com:5000/etcd:3.5.11", "/readyz"),
        ("quay.io/k0sproject/etcd:v3.5.9", "/health"),
        ("mirror.example.com:5000/etcd@sha256:0", "/health"),
    ] {
        let set = etcd_set(&plane(&format!(
            "{BASIC}, storage: {{etcd: {{image: '{image}'}}}}"
        )));
        let container = &set.value["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["readinessProbe"]["httpGet"]["path"], ready, "{image}");
    }
}
