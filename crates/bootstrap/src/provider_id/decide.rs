//! Which node a Machine is, and what is to be written to it. Pure and total.

/// A node of the workload cluster, as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    pub name: String,
    pub provider_id: Option<String>,
    /// Value of the label with the Machine's name.
    pub machine_label: Option<String>,
    pub addresses: Vec<String>,
}

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Name of the Machine.
    pub machine: String,
    /// Whether it is bootstrapped by k0s and becomes a node.
    pub becomes_node: bool,
    pub deleting: bool,
    pub paused: bool,
    /// The Machine has been matched to its node by Cluster API.
    pub has_node: bool,
    pub provider_id: Option<String>,
    /// Addresses of the Machine.
    pub addresses: Vec<String>,
    /// The workload cluster's API has answered.
    pub control_plane_initialized: bool,
    /// The nodes, once they are followed and were listed.
    pub nodes: Option<Vec<Node>>,
}

/// What to do about a Machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing, now or ever: its nodes need not be followed for it.
    Finished,
    /// Something is awaited that comes as an event of the Machine or its Cluster.
    Wait,
    /// Its node is awaited: follow the nodes of its cluster.
    Follow,
    /// Set the provider ID and the Machine's name on this node.
    Identify { node: String, provider_id: String },
    /// The node has a provider ID already, and another one.
    Mismatch { node: String, present: String },
}

/// What to do about a Machine.
pub fn decide(observed: &Observed) -> Step {
    if !observed.becomes_node || observed.deleting || observed.has_node {
        return Step::Finished;
    }
    if observed.paused || !observed.control_plane_initialized {
        return Step::Wait;
    }
    let Some(provider_id) = observed.provider_id.as_ref().filter(|id| !id.is_empty()) else {
        return Step::Wait;
    };
    let Some(nodes) = &observed.nodes else {
        return Step::Follow;
    };
    if nodes
        .iter()
        .any(|node| node.provider_id.as_ref() == Some(provider_id))
    {
        return Step::Finished;
    }
    match (node_of(observed, nodes), provider_id) {
        (None, _) => Step::Follow,
        (
            Some(Node {
                name,
                provider_id: None,
                ..
            }),
            provider_id,
        ) => Step::Identify {
            node: name.clone(),
            provider_id: provider_id.clone(),
        },
        (
            Some(Node {
                name,
                provider_id: Some(present),
                ..
            }),
            _,
        ) => Step::Mismatch {
            node: name.clone(),
            present: present.clone(),
        },
    }
}

/// The Machine's node: by name, else by label, else by an address they share.
fn node_of<'a>(observed: &Observed, nodes: &'a [Node]) -> Option<&'a Node> {
    let shares_address = |node: &&Node| {
        node.addresses
            .iter()
            .any(|address| !is_loopback(address) && observed.addresses.contains(address))
    };
    nodes
        .iter()
        .find(|node| node.name == observed.machine)
        .or_else(|| {
            nodes
                .iter()
                .find(|node| node.machine_label.as_ref() == Some(&observed.machine))
        })
        .or_else(|| nodes.iter().find(shares_address))
}

fn is_loopback(address: &str) -> bool {
    address == "localhost" || address.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(nodes: Option<Vec<Node>>) -> Observed {
        Observed {
            machine: "w1".to_owned(),
            becomes_node: true,
            deleting: false,
            paused: false,
            has_node: false,
            provider_id: Some("remote-machine://10.0.0.2:22".to_owned()),
            addresses: vec!["10.0.0.2".to_owned(), "127.0.0.1".to_owned()],
            control_plane_initialized: true,
            nodes,
        }
    }

    fn node(name: &str) -> Node {
        Node {
            name: name.to_owned(),
            ..Node::default()
        }
    }

    fn identify(name: &str) -> Step {
        Step::Identify {
            node: name.to_owned(),
            provider_id: "remote-machine://10.0.0.2:22".to_owned(),
        }
    }

    #[test]
    fn nothing_is_followed_before_it_can_help() {
        assert_eq!(
            decide(&Observed {
                becomes_node: false,
                ..observed(None)
            }),
            Step::Finished
        );
        assert_eq!(
            decide(&Observed {
                deleting: true,
                ..observed(None)
            }),
            Step::Finished
        );
        assert_eq!(
            decide(&Observed {
                has_node: true,
                ..observed(None)
            }),
            Step::Finished
        );
        assert_eq!(
            decide(&Observed {
                paused: true,
                ..observed(None)
            }),
            Step::Wait
        );
        assert_eq!(
            decide(&Observed {
                control_plane_initialized: false,
                ..observed(None)
            }),
            Step::Wait
        );
        assert_eq!(
            decide(&Observed {
                provider_id: None,
                ..observed(None)
            }),
            Step::Wait
        );
        assert_eq!(decide(&observed(None)), Step::Follow);
        assert_eq!(decide(&observed(Some(vec![]))), Step::Follow);
    }

    #[test]
    fn a_node_is_matched_by_name_then_label_then_address() {
        let labelled = Node {
            machine_label: Some("w1".to_owned()),
            ..node("host-a")
        };
        let addressed = Node {
            addresses: vec!["10.0.0.2".to_owned()],
            ..node("host-b")
        };
        let local = Node {
            addresses: vec!["127.0.0.1".to_owned()],
            ..node("host-c")
        };
        assert_eq!(decide(&observed(Some(vec![local.clone()]))), Step::Follow);
        assert_eq!(
            decide(&observed(Some(vec![local, addressed.clone()]))),
            identify("host-b")
        );
        assert_eq!(
            decide(&observed(Some(vec![addressed.clone(), labelled.clone()]))),
            identify("host-a")
        );
        assert_eq!(
            decide(&observed(Some(vec![addressed, labelled, node("w1")]))),
            identify("w1")
        );
    }

    #[test]
    fn what_is_identified_is_left_alone() {
        let ours = Node {
            provider_id: Some("remote-machine://10.0.0.2:22".to_owned()),
            ..node("elsewhere")
        };
        assert_eq!(decide(&observed(Some(vec![node("w1"), ours]))), Step::Finished);
        let other = Node {
            provider_id: Some("other://x".to_owned()),
            ..node("w1")
        };
        let expected = Step::Mismatch {
            node: "w1".to_owned(),
            present: "other://x".to_owned(),
        };
        assert_eq!(decide(&observed(Some(vec![other]))), expected);
    }
}
