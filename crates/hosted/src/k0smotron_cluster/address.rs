//! Where an API server is reached from outside. Pure.

use k0smotron_api::k0smotron::v1beta2::{ClusterSpec, ServiceType};
use k8s_openapi::api::core::v1::{Node, Service};
use kube::ResourceExt;

/// The address: the user's; else the load balancer's, or that of a node. One that was found before stays while it is one
/// of them, because certificates, kubeconfigs and tokens have it.
pub fn external(
    spec: &ClusterSpec,
    service: Option<&Service>,
    nodes: &[Node],
    before: Option<&str>,
) -> Option<String> {
    if !spec.external_address.is_empty() {
        return Some(spec.external_address.clone());
    }
    let found = match spec.service.r#type {
        ServiceType::ClusterIp => Vec::new(),
        ServiceType::LoadBalancer => service.map(of_load_balancer).unwrap_or_default(),
        ServiceType::NodePort => of_nodes(nodes),
    };
    let stays = before.filter(|before| found.iter().any(|address| address == before));
    stays.map(str::to_owned).or_else(|| found.into_iter().next())
}

/// A name says more than an address: clouds change addresses behind it.
fn of_load_balancer(service: &Service) -> Vec<String> {
    let status = service.status.as_ref();
    let ingress = status.and_then(|status| status.load_balancer.as_ref()?.ingress.as_ref());
    let all = || ingress.into_iter().flatten();
    let names = all().filter_map(|point| point.hostname.clone());
    names.chain(all().filter_map(|point| point.ip.clone())).collect()
}

/// Addresses for the outside first, those of nodes that are ready before the others.
fn of_nodes(nodes: &[Node]) -> Vec<String> {
    let mut nodes: Vec<_> = nodes.iter().collect();
    nodes.sort_by_key(|node| (!is_ready(node), node.name_any()));
    let addresses = |types: &'static [&'static str]| {
        let all = nodes
            .iter()
            .filter_map(|node| node.status.as_ref()?.addresses.as_ref());
        let wanted = all
            .flatten()
            .filter(|address| types.contains(&address.type_.as_str()));
        wanted.map(|address| address.address.clone())
    };
    addresses(&["ExternalDNS", "ExternalIP"])
        .chain(addresses(&["InternalIP"]))
        .collect()
}

fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(yaml: &str) -> ClusterSpec {
        serde_yaml::from_str(yaml).unwrap()
    }

    fn node(name: &str, ready: &str, addresses: &str) -> Node {
        serde_yaml::from_str(&format!(
            "metadata: {{name: {name}}}\nstatus: {{conditions: [{{type: Ready, status: '{ready}'}}], addresses: [{addresses}]}}"
        ))
        .unwrap()
    }

    #[test]
    fn what_the_user_says_counts_with_every_type() {
        for kind in ["ClusterIP", "NodePort", "LoadBalancer"] {
            let spec = spec(&format!(
                "{{externalAddress: a.example.com, service: {{type: {kind}}}}}"
            ));
            assert_eq!(
                external(&spec, None, &[], Some("x")).as_deref(),
                Some("a.example.com")
            );
        }
        assert_eq!(external(&spec("{}"), None, &[], Some("x")), None);
    }

    #[test]
    fn a_node_that_was_chosen_stays_while_it_exists() {
        let spec = spec("{service: {type: NodePort}}");
        let b = node("b", "True", "{type: InternalIP, address: 10.0.0.2}");
        let a = node("a", "False", "{type: InternalIP, address: 10.0.0.1}");
        let of = |nodes: &[Node], before| external(&spec, None, nodes, before);
        assert_eq!(of(&[a.clone(), b.clone()], None).as_deref(), Some("10.0.0.2"));
        assert_eq!(of(&[a, b.clone()], Some("10.0.0.1")).as_deref(), Some("10.0.0.1"));
        assert_eq!(
            of(std::slice::from_ref(&b), Some("10.0.0.1")).as_deref(),
            Some("10.0.0.2")
        );
        let outside = node("z", "True", "{type: ExternalIP, address: 192.0.2.1}");
        assert_eq!(of(&[b, outside], None).as_deref(), Some("192.0.2.1"));
        assert_eq!(of(&[], None), None);
    }

    #[test]
    fn a_load_balancer_says_where_it_is_when_it_knows() {
        let spec = spec("{service: {type: LoadBalancer}}");
        let service = |ingress: &str| -> Service {
            serde_yaml::from_str(&format!("status: {{loadBalancer: {{ingress: [{ingress}]}}}}")).unwrap()
        };
        let of = |ingress: &str| external(&spec, Some(&service(ingress)), &[], None);
        assert_eq!(of(""), None);
        assert_eq!(of("{ip: 192.0.2.1}").as_deref(), Some("192.0.2.1"));
        assert_eq!(
            of("{ip: 192.0.2.1}, {ip: 192.0.2.2, hostname: lb.example.com}").as_deref(),
            Some("lb.example.com")
        );
    }
}
