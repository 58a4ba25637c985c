//! From the YAML of a controller to what its host runs.

use std::sync::Arc;

use insta::assert_snapshot;
use k0smotron_api::{
    bootstrap::v1beta2::K0sControllerConfig,
    capi::{Cluster, Machine},
};
use k0smotron_k0s::{
    controller::ControlPlanePki,
    pki::{CertificateAuthority, ServiceAccountKeys},
    token::BootstrapToken,
};

use k0smotron_runtime::gates::FeatureGates;

use crate::join_token::Found;

use super::{build::build, decide::Step, fetch::Inputs};

fn yaml<T: serde::de::DeserializeOwned>(text: &str) -> T {
    serde_yaml::from_str(text).unwrap()
}

fn authority(name: &str) -> CertificateAuthority {
    CertificateAuthority {
        cert_pem: format!("{name} certificate\n"),
        key_pem: format!("{name} key\n").into(),
    }
}

fn inputs() -> Inputs {
    let config: K0sControllerConfig = yaml(
        "
apiVersion: bootstrap.cluster.x-k8s.io/v1beta2
kind: K0sControllerConfig
metadata: {name: demo-b6bgd, namespace: default, uid: config-uid}
spec:
  version: v1.36.3+k0s.2
  args: [--enable-worker, --no-taints]
  k0s: {apiVersion: k0s.k0sproject.io/v1beta1, kind: ClusterConfig, spec: {api: {externalAddress: 10.88.1.10}}}
  downloadURL: http://10.88.1.1:8080/k0s
  secretMetadata: {labels: {backup: 'no'}}
",
    );
    let cluster = "{apiVersion: cluster.x-k8s.io/v1beta2, kind: Cluster, metadata: {name: demo}, spec: {}}";
    let machine = "{apiVersion: cluster.x-k8s.io/v1beta2, kind: Machine, \
                   metadata: {name: demo-b6bgd, uid: machine-uid}, spec: {}}";
    Inputs {
        config: Arc::new(config),
        machine: Some(Arc::new(yaml::<Machine>(machine))),
        cluster: Some(Arc::new(yaml::<Cluster>(cluster))),
        version: Some("v1.36.3+k0s.2".parse().unwrap()),
        files: Vec::new(),
        custom_user_data: None,
        gates: FeatureGates::default(),
        pki: Some(ControlPlanePki {
            ca: authority("cluster"),
            etcd_ca: authority("etcd"),
            front_proxy_ca: authority("front proxy"),
            service_account: ServiceAccountKeys {
                public_pem: "public\n".to_owned(),
                private_pem: "private\n".to_owned().into(),
            },
        }),
        authority: None,
        workload: None,
        token: None,
        issued: None,
        peer: None,
        now: "2026-01-01T00:00:00Z".parse().unwrap(),
    }
}

#[test]
fn what_the_founder_runs() {
    let built = build(&inputs(), &Step::Found { appoint: true }).unwrap();
    assert_eq!(built.appointment.as_deref(), Some("demo-b6bgd/machine-uid"));
    let data = built.data.data.unwrap();
    assert_eq!(data["format"].0, b"cloud-config");
    assert_snapshot!(
        "cloud_config",
        String::from_utf8(data["value"].0.clone()).unwrap()
    );
    // Unlike the original, which ignores it for controllers.
    assert_eq!(built.data.metadata.labels.unwrap()["backup"], "no");
}

#[test]
fn an_appointment_that_stands_is_not_written_again() {
    assert_eq!(
        build(&inputs(), &Step::Found { appoint: false })
            .unwrap()
            .appointment,
        None
    );
}

#[test]
fn nothing_is_built_without_the_authorities() {
    let without = Inputs {
        pki: None,
        ..inputs()
    };
    assert!(build(&without, &Step::Found { appoint: true }).is_err());
}

#[test]
fn who_joins_gets_a_token_and_no_key() {
    let token = BootstrapToken::parse("abc123.0123456789abcdef").unwrap();
    let joining = Inputs {
        authority: Some("cluster certificate\n".to_owned()),
        token: Some(Found::Usable(token)),
        peer: Some("https://10.88.1.10:9443".to_owned()),
        pki: None,
        ..inputs()
    };
    let built = build(&joining, &Step::Join).unwrap();
    assert!(built.appointment.is_none());
    assert_eq!(
        built.token.unwrap().metadata.name.as_deref(),
        Some("bootstrap-token-abc123")
    );
    let data = String::from_utf8(built.data.data.unwrap()["value"].0.clone()).unwrap();
    assert!(!data.contains(" key\n") && !data.contains("pki"), "{data}");
    assert!(data.contains("--token-file"), "{data}");

    let new = Inputs {
        token: Some(Found::Wanted {
            id: "abc123".to_owned(),
        }),
        ..joining
    };
    let secret = build(&new, &Step::Join).unwrap().token.unwrap();
    assert_eq!(secret.metadata.name.as_deref(), Some("bootstrap-token-abc123"));
}
