//! Where a target is: which pod, at which address and port. As the API server says, so that it is known at once.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    net::{IpAddr, SocketAddr},
};

use k8s_openapi::{
    api::core::v1::{Pod, Service},
    apimachinery::pkg::util::intstr::IntOrString,
};
use kube::{Api, Client, Resource, ResourceExt, api::ListParams, core::NamespaceResourceScope};
use serde::de::DeserializeOwned;

use super::{Error, Target};

/// A port of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) pod: String,
    pub(super) port: u16,
}

/// Where the target is within the cluster: the virtual address of its Service if it has one, else a pod's.
pub(super) async fn address(client: &Client, target: &Target) -> Result<SocketAddr, Error> {
    let problem = |problem: &str| Error::Unreachable {
        target: target.clone(),
        problem: problem.to_owned(),
    };
    let (pod, port) = match &target.pod {
        Some(name) => (read::<Pod>(client, target, name).await?, target.port),
        None => {
            let service = service_of(client, target).await?;
            if let Some(address) = virtual_address(&service) {
                return Ok(SocketAddr::new(address, target.port));
            }
            behind(client, target, &service).await?
        }
    };
    let address = pod.status.as_ref().and_then(|status| status.pod_ip.as_ref());
    let address = address
        .ok_or_else(|| problem("the pod has no address yet"))?
        .parse()
        .map_err(|_| problem("the pod's address is none"))?;
    Ok(SocketAddr::new(address, port))
}

/// The pod that the target is, or one behind it.
pub(super) async fn pod(client: &Client, target: &Target) -> Result<Place, Error> {
    if let Some(pod) = &target.pod {
        return Ok(Place {
            pod: pod.clone(),
            port: target.port,
        });
    }
    let service = service_of(client, target).await?;
    let (pod, port) = behind(client, target, &service).await?;
    Ok(Place {
        pod: pod.name_any(),
        port,
    })
}

async fn service_of(client: &Client, target: &Target) -> Result<Service, Error> {
    let name = target.service.as_deref().ok_or_else(|| Error::Unreachable {
        target: target.clone(),
        problem: "neither Service nor pod is named".to_owned(),
    })?;
    read(client, target, name).await
}

async fn read<K>(client: &Client, target: &Target, name: &str) -> Result<K, Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    Api::namespaced(client.clone(), &target.namespace)
        .get(name)
        .await
        .map_err(|source| Error::Read {
            target: target.clone(),
            source,
        })
}

async fn behind(client: &Client, target: &Target, service: &Service) -> Result<(Pod, u16), Error> {
    let failed = |source| Error::Read {
        target: target.clone(),
        source,
    };
    let selector = selector(service).unwrap_or_default();
    let pods = match selector.is_empty() {
        // Without a selector a Service is anything but our pods.
        true => Vec::new(),
        false => {
            Api::<Pod>::namespaced(client.clone(), &target.namespace)
                .list(&ListParams::default().labels(&selector))
                .await
                .map_err(failed)?
                .items
        }
    };
    choose(pods, service, target.port).map_err(|problem| Error::Unreachable {
        target: target.clone(),
        problem: problem.to_owned(),
    })
}

/// The Service's own address; none when it is headless.
fn virtual_address(service: &Service) -> Option<IpAddr> {
    service.spec.as_ref()?.cluster_ip.as_ref()?.parse().ok()
}

fn selector(service: &Service) -> Option<String> {
    let labels: &BTreeMap<_, _> = service.spec.as_ref()?.selector.as_ref()?;
    let pairs: Vec<_> = labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    Some(pairs.join(","))
}

/// A running pod, a ready one if there is, and its port that is the Service's `port`.
fn choose(pods: Vec<Pod>, service: &Service, port: u16) -> Result<(Pod, u16), &'static str> {
    let mut running: Vec<_> = pods
        .into_iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none() && phase(pod) == Some("Running"))
        .collect();
    running.sort_by_key(|pod| (!is_ready(pod), pod.name_any()));
    let pod = running
        .into_iter()
        .next()
        .ok_or("none of the pods behind it is running")?;
    let port = port_of(&pod, service, port).ok_or("it has no such port")?;
    Ok((pod, port))
}

fn phase(pod: &Pod) -> Option<&str> {
    pod.status.as_ref()?.phase.as_deref()
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn port_of(pod: &Pod, service: &Service, port: u16) -> Option<u16> {
    let ports = service.spec.as_ref()?.ports.as_ref()?;
    let found = ports.iter().find(|candidate| candidate.port == i32::from(port))?;
    match &found.target_port {
        None => Some(port),
        Some(IntOrString::Int(number)) => u16::try_from(*number).ok(),
        Some(IntOrString::String(name)) => {
            let containers = &pod.spec.as_ref()?.containers;
            let named = containers
                .iter()
                .flat_map(|container| container.ports.iter().flatten())
                .find(|candidate| candidate.name.as_ref() == Some(name))?;
            u16::try_from(named.container_port).ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(yaml: &str) -> Service {
        serde_yaml::from_str(yaml).unwrap()
    }

    fn plane_service() -> Service {
        service(
            "metadata: {name: kmc-a, namespace: ns}
spec:
  clusterIP: 10.96.0.7
  selector: {app: k0smotron, cluster: a}
  ports:
  - {name: api, port: 6443, targetPort: api}
  - {name: konnectivity, port: 30132}
  - {name: plain, port: 80, targetPort: 8080}
",
        )
    }

    fn pod(name: &str, phase: &str, ready: &str, deleted: bool) -> Pod {
        let mut pod: Pod = serde_yaml::from_str(&format!(
            "metadata: {{name: {name}}}
spec:
  containers:
  - {{name: controller, ports: [{{name: api, containerPort: 30443}}]}}
status:
  phase: {phase}
  conditions: [{{type: Ready, status: '{ready}'}}]
",
        ))
        .unwrap();
        if deleted {
            let now = serde_yaml::from_str("2026-01-01T00:00:00Z").unwrap();
            pod.metadata.deletion_timestamp = Some(now);
        }
        pod
    }

    fn chosen(pods: Vec<Pod>, port: u16) -> Result<(String, u16), &'static str> {
        choose(pods, &plane_service(), port).map(|(pod, port)| (pod.name_any(), port))
    }

    #[test]
    fn ready_pods_come_before_running_ones_and_no_others_count() {
        let all = || {
            vec![
                pod("a-0", "Running", "False", false),
                pod("a-1", "Running", "True", false),
                pod("a-2", "Pending", "False", false),
                pod("a-3", "Running", "True", true),
            ]
        };
        assert_eq!(chosen(all(), 30132), Ok(("a-1".to_owned(), 30132)));
        let without_ready = all().into_iter().filter(|pod| pod.name_any() != "a-1").collect();
        assert_eq!(chosen(without_ready, 30132), Ok(("a-0".to_owned(), 30132)));
        let not_running = vec![pod("a-2", "Pending", "False", false)];
        assert!(chosen(not_running, 30132).is_err());
    }

    #[test]
    fn ports_are_those_of_the_container() {
        let pods = || vec![pod("a-0", "Running", "True", false)];
        assert_eq!(chosen(pods(), 6443), Ok(("a-0".to_owned(), 30443)));
        assert_eq!(chosen(pods(), 80), Ok(("a-0".to_owned(), 8080)));
        assert_eq!(chosen(pods(), 81), Err("it has no such port"));
    }

    #[test]
    fn a_headless_service_has_no_address_of_its_own() {
        assert_eq!(virtual_address(&plane_service()), Some([10, 96, 0, 7].into()));
        let headless = service("spec: {clusterIP: None, selector: {a: b}}");
        assert_eq!(virtual_address(&headless), None);
        assert_eq!(
            selector(&plane_service()).as_deref(),
            Some("app=k0smotron,cluster=a")
        );
        assert_eq!(selector(&service("spec: {}")), None);
    }
}
