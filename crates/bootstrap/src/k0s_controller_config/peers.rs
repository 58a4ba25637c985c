//! Who a new controller joins through: the join API of the cluster's endpoint, or of any controller that answers.
//!
//! Not every load balancer carries the join API, and the oldest Machine may be the one that is gone: whoever answers
//! will do. Nothing is told to who answers; the new controller checks the certificate.

use std::time::Duration;

use futures::future::join_all;
use k0smotron_api::{
    bootstrap::v1beta2::K0sControllerConfig,
    capi::{Cluster, Machine, MachineAddressType},
};
use k0smotron_runtime::workload::api_server_url;
use kube::ResourceExt;
use tokio::{net::TcpStream, time::timeout};

/// Port of the join API where `spec.k0s.spec.api.k0sApiPort` says nothing.
const DEFAULT_PORT: u16 = 9443;
/// How long a connection may take to be made. They are tried all at once.
const LIMIT: Duration = Duration::from_millis(800);

/// A join API that may be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub host: String,
    pub port: u16,
}

/// Join APIs in the order in which they are preferred: the endpoint, then controllers that stay, then those that leave.
pub fn candidates(config: &K0sControllerConfig, cluster: &Cluster, machines: &[Machine]) -> Vec<Candidate> {
    let k0s = config.spec.config.k0s.as_ref();
    let port = k0s
        .and_then(|k0s| k0s.pointer("/spec/api/k0sApiPort"))
        .and_then(serde_json::Value::as_u64)
        .and_then(|port| u16::try_from(port).ok())
        .filter(|port| *port != 0)
        .unwrap_or(DEFAULT_PORT);
    let mut others: Vec<_> = machines
        .iter()
        .filter(|machine| machine.name_any() != config.name_any() && machine.infrastructure_provisioned())
        .collect();
    others.sort_by_key(|machine| (machine.is_deleting(), machine.creation_timestamp()));
    let endpoint = cluster.endpoint().map(|(host, _)| host.to_owned());
    let mut hosts: Vec<String> = endpoint.into_iter().collect();
    for machine in others {
        let mut addresses: Vec<_> = machine.addresses().iter().collect();
        addresses.sort_by_key(|address| preference(address.type_));
        for address in addresses {
            if !hosts.contains(&address.address) {
                hosts.push(address.address.clone());
            }
        }
    }
    hosts.into_iter().map(|host| Candidate { host, port }).collect()
}

fn preference(address: MachineAddressType) -> u8 {
    match address {
        MachineAddressType::ExternalIP => 0,
        MachineAddressType::InternalIP => 1,
        MachineAddressType::ExternalDNS => 2,
        MachineAddressType::InternalDNS => 3,
        MachineAddressType::Hostname => 4,
    }
}

/// URL of the first candidate that takes connections.
pub async fn first_to_answer(candidates: &[Candidate]) -> Option<String> {
    let tries = candidates.iter().map(|candidate| async move {
        let host = candidate.host.trim_matches(['[', ']']);
        let connection = timeout(LIMIT, TcpStream::connect((host, candidate.port))).await;
        matches!(connection, Ok(Ok(_)))
    });
    let answers = join_all(tries).await;
    let first = candidates.iter().zip(answers).find(|(_, answers)| *answers)?.0;
    Some(api_server_url(&first.host, first.port))
}

/// That no candidate answers, in words.
pub fn nobody(candidates: &[Candidate]) -> String {
    let tried: Vec<_> = candidates
        .iter()
        .map(|candidate| api_server_url(&candidate.host, candidate.port))
        .collect();
    format!(
        "no controller takes connections for joining: tried {}; open the port, or set spec.k0s.spec.api.k0sApiPort",
        tried.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn yaml<T: serde::de::DeserializeOwned>(text: &str) -> T {
        serde_yaml::from_str(text).unwrap()
    }

    fn config(k0s: &str) -> K0sControllerConfig {
        yaml(&format!(
            "{{apiVersion: bootstrap.cluster.x-k8s.io/v1beta2, kind: K0sControllerConfig, \
             metadata: {{name: c3}}, spec: {{version: v1.36.3, k0s: {k0s}}}}}"
        ))
    }

    fn machine(name: &str, address: &str) -> Machine {
        yaml(&format!(
            "{{apiVersion: cluster.x-k8s.io/v1beta2, kind: Machine, metadata: {{name: {name}}}, spec: {{}}, \
             status: {{initialization: {{infrastructureProvisioned: true}}, addresses: [\
             {{type: InternalIP, address: 10.0.0.1}}, {{type: ExternalIP, address: {address}}}]}}}}"
        ))
    }

    #[test]
    fn the_endpoint_comes_first_and_then_others_than_oneself() {
        let cluster: Cluster = yaml(
            "{apiVersion: cluster.x-k8s.io/v1beta2, kind: Cluster, metadata: {name: demo}, \
             spec: {controlPlaneEndpoint: {host: api.example.org, port: 6443}}}",
        );
        let mut leaving = machine("c1", "192.0.2.1");
        leaving.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
            "2026-01-01T00:00:00Z".parse().unwrap(),
        ));
        let machines = [leaving, machine("c2", "192.0.2.2"), machine("c3", "192.0.2.3")];
        let found = candidates(&config("{}"), &cluster, &machines);
        let hosts: Vec<_> = found.iter().map(|candidate| candidate.host.as_str()).collect();
        assert_eq!(hosts, ["api.example.org", "192.0.2.2", "10.0.0.1", "192.0.2.1"]);
        assert!(found.iter().all(|candidate| candidate.port == 9443));
        let moved = candidates(&config("{spec: {api: {k0sApiPort: 9999}}}"), &cluster, &[]);
        assert_eq!(moved[0].port, 9999);
    }

    #[tokio::test]
    async fn whoever_answers_will_do() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let candidate = |host: &str, port| Candidate {
            host: host.to_owned(),
            port,
        };
        let closed = candidate("127.0.0.1", 1);
        let open = candidate("127.0.0.1", port);
        let url = first_to_answer(&[closed.clone(), open]).await;
        assert_eq!(url, Some(format!("https://127.0.0.1:{port}")));
        assert_eq!(first_to_answer(std::slice::from_ref(&closed)).await, None);
        assert!(nobody(&[closed]).contains("https://127.0.0.1:1"));
    }
}
