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
};

use super::{build::build, fetch::Inputs};

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
        pki: Some(ControlPlanePki {
            ca: authority("cluster"),
            etcd_ca: authority("etcd"),
            front_proxy_ca: authority("front proxy"),
            service_account: ServiceAccountKeys {
                public_pem: "public\n".to_owned(),
                private_pem: "private\n".to_owned().into(),
            },
        }),
    }
}

#[test]
fn what_the_founder_runs() {
    let built = build(&inputs(), true).unwrap();
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
    assert_eq!(build(&inputs(), false).unwrap().appointment, None);
}

#[test]
fn nothing_is_built_without_the_authorities() {
    let without = Inputs {
        pki: None,
        ..inputs()
    };
    assert!(build(&without, true).is_err());
}
