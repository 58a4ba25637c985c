//! Asks for the members of etcd: what k0s tells of them, and each one's own API server whether its etcd answers. And for
//! what k0s does with them, which is read with them and not watched: see [`super::autopilot`].
//!
//! Where the controllers share a store that is none of theirs there are no members; then the controllers are asked for.
//!
//! etcd itself is reachable from its own host only (facts: how members join and leave). `/readyz/etcd` of an API server
//! reads through the etcd beside it, which answers only while that one is a voter of a quorum.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures::{StreamExt, future::join_all, stream::FuturesUnordered};
use k0smotron_api::k0s_objects::EtcdMember;
use k0smotron_runtime::{
    absence::{self, is_missing},
    workload::{ClusterKey, Dialer, api_server_url},
};
use kube::{Api, ResourceExt, api::ListParams};
use tokio::time::{Instant, timeout};

use super::autopilot::{self, Seen};

/// How long the list of members may take.
const LIST: Duration = Duration::from_secs(5);
/// How long one API server may take. They are asked all at once.
const HEALTH: Duration = Duration::from_secs(2);
/// Whether the etcd beside it answers.
const HAS_ETCD: &str = "/readyz/etcd";
/// Whether it serves, its store included.
const SERVES: &str = "/readyz";
/// A survey that is older says nothing about now.
const FRESH: Duration = Duration::from_secs(5);

/// Where the API servers are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// The controllers share a store, and there are no members.
    pub shared: bool,
    pub port: u16,
    /// Addresses by name of the Machine.
    pub addresses: BTreeMap<String, Vec<String>>,
    /// Names of the Machines that were adopted.
    pub adopted: BTreeSet<String>,
}

/// A member, or a controller where there are none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surveyed {
    /// Name of its Machine; its own where it is none's.
    pub name: String,
    /// Its own name. Members of clusters that were not made by us are named like their hosts, not like their Machines.
    pub member: String,
    pub left: bool,
    pub leaving: bool,
    pub ready: bool,
    pub message: String,
}

/// What was found out.
#[derive(Clone, Debug)]
pub struct Survey {
    pub begun: Instant,
    /// The members, or why nobody told of them.
    pub members: Result<Vec<Surveyed>, String>,
    /// What k0s' autopilot does, or why nobody told.
    pub autopilot: Result<Seen, String>,
}

impl Survey {
    /// Whether it tells of what is so after this moment.
    pub fn is_fresh(&self, since: Instant) -> bool {
        self.begun > since && self.begun.elapsed() < FRESH
    }
}

impl Survey {
    /// The name of the member that a Machine runs.
    pub fn member_of<'a>(&'a self, machine: &'a str) -> &'a str {
        let members = self.members.as_deref().unwrap_or_default();
        let found = members.iter().find(|member| member.name == machine);
        found.map_or(machine, |member| &member.member)
    }
}

impl Places {
    /// The Machine that runs this member: of its name, else the adopted one at its address. Of others an address says nothing:
    /// a host keeps it when a Machine and its member have gone and the next ones come.
    fn machine_of<'a>(&'a self, member: &'a str, address: &str) -> &'a str {
        if self.addresses.contains_key(member) {
            return member;
        }
        let mut adopted = self.adopted.iter();
        let found = adopted.find(|machine| self.hosts(machine).iter().any(|host| host == address));
        found.map_or(member, String::as_str)
    }

    fn hosts(&self, machine: &str) -> &[String] {
        self.addresses.get(machine).map_or(&[], Vec::as_slice)
    }

    /// An adopted Machine whose member cannot be told from the others. Nothing may change before it is: the Machine would be taken
    /// for one that has no member, and be replaced.
    fn unplaced(&self, members: &[EtcdMember]) -> Option<&String> {
        let is_named = |machine: &str| members.iter().any(|member| member.name_any() == machine);
        let mut adopted = self.adopted.iter();
        adopted.find(|machine| self.hosts(machine).is_empty() && !is_named(machine))
    }
}

/// Asks for the members. Bounded.
pub async fn survey(dialer: &Dialer, cluster: &ClusterKey, places: &Places) -> Survey {
    let begun = Instant::now();
    let looked = async {
        timeout(LIST, autopilot::look(dialer, cluster))
            .await
            .unwrap_or_else(|_| Err("the Plan does not come in time".to_owned()))
    };
    let (members, autopilot) = if places.shared {
        let (serving, autopilot) = tokio::join!(serving(dialer, cluster, places), looked);
        let known = autopilot.as_ref().map_err(String::clone);
        (known.map(|known| controllers(&serving, known)), autopilot)
    } else {
        tokio::join!(members(dialer, cluster, places), looked)
    };
    Survey {
        begun,
        members,
        autopilot,
    }
}

/// Machines whose API servers serve.
async fn serving(dialer: &Dialer, cluster: &ClusterKey, places: &Places) -> BTreeSet<String> {
    let asked = places.addresses.iter().map(|(machine, hosts)| async move {
        let serves = any_answers(hosts, places.port, SERVES, dialer, cluster).await;
        serves.then(|| machine.clone())
    });
    join_all(asked).await.into_iter().flatten().collect()
}

/// Who is a controller: whoever serves, and whoever k0s knows as one.
fn controllers(serving: &BTreeSet<String>, known: &Seen) -> Vec<Surveyed> {
    let known = known.controllers.iter().map(|controller| &controller.name);
    let all: BTreeSet<_> = serving.iter().chain(known).collect();
    all.into_iter()
        .map(|name| Surveyed {
            name: name.clone(),
            member: name.clone(),
            left: false,
            leaving: false,
            ready: serving.contains(name),
            message: String::new(),
        })
        .collect()
}

async fn members(dialer: &Dialer, cluster: &ClusterKey, places: &Places) -> Result<Vec<Surveyed>, String> {
    let listed = timeout(LIST, list(dialer, cluster))
        .await
        .unwrap_or_else(|_| Err("the list of EtcdMembers does not come in time".to_owned()))?;
    if let Some(machine) = places.unplaced(&listed) {
        return Err(format!(
            "the member of Machine {machine}, which was adopted, is known by its address, and its infrastructure machine tells none yet"
        ));
    }
    let looks = listed
        .iter()
        .map(|member| look_at(member, dialer, cluster, places));
    Ok(join_all(looks).await)
}

/// Lists as a read that a quorum confirms, which is what a list without a version is.
async fn list(dialer: &Dialer, cluster: &ClusterKey) -> Result<Vec<EtcdMember>, String> {
    let client = dialer.client(cluster).await.map_err(|error| error.to_string())?;
    let api: Api<EtcdMember> = Api::all(client.clone());
    match api.list(&ListParams::default()).await {
        Ok(members) => Ok(members.items),
        Err(error) => match absence::of::<EtcdMember>(&client, error).await {
            Ok(_) => Err("its k0s has no EtcdMembers; update it to v1.31.6 or later".to_owned()),
            Err(error) => Err(no_answer(error)),
        },
    }
}

/// Why an API server that was asked tells nothing.
pub fn no_answer(error: kube::Error) -> String {
    match error {
        error if is_missing(&error) => "it does not serve all kinds of its cluster yet".to_owned(),
        kube::Error::Api(status) => format!("it answers {status}"),
        _ => "no connection to it can be made".to_owned(),
    }
}

async fn look_at(member: &EtcdMember, dialer: &Dialer, cluster: &ClusterKey, places: &Places) -> Surveyed {
    let own = member.name_any();
    let status = member.status.clone().unwrap_or_default();
    let name = places.machine_of(&own, &status.peer_address).to_owned();
    // Not known is not left.
    let left = member.joined() == Some(false);
    let mut hosts = places.addresses.get(&name).cloned().unwrap_or_default();
    if !status.peer_address.is_empty() && !hosts.contains(&status.peer_address) {
        hosts.push(status.peer_address);
    }
    let votes = member.joined() == Some(true);
    Surveyed {
        left,
        leaving: member.spec.leave,
        ready: votes && any_answers(&hosts, places.port, HAS_ETCD, dialer, cluster).await,
        message: status.message.unwrap_or_default(),
        member: own,
        name,
    }
}

/// Whether the API server says yes to this at one of its addresses.
async fn any_answers(
    hosts: &[String],
    port: u16,
    question: &str,
    dialer: &Dialer,
    cluster: &ClusterKey,
) -> bool {
    let mut tries: FuturesUnordered<_> = hosts
        .iter()
        .map(|host| async move {
            let url = api_server_url(host, port);
            timeout(HEALTH, answers(&url, question, dialer, cluster))
                .await
                .unwrap_or(false)
        })
        .collect();
    while let Some(answer) = tries.next().await {
        if answer {
            return true;
        }
    }
    false
}

async fn answers(url: &str, question: &str, dialer: &Dialer, cluster: &ClusterKey) -> bool {
    let Ok(client) = dialer.client_at(cluster, url).await else {
        return false;
    };
    let Ok(request) = http::Request::get(question).body(Vec::new()) else {
        return false;
    };
    client.request_text(request).await.is_ok()
}

#[cfg(test)]
mod tests {
    use k0smotron_api::k0s_objects::ControlNode;

    use super::*;

    #[test]
    fn a_member_is_its_machines_by_name_and_if_adopted_by_address() {
        let places = Places {
            shared: false,
            port: 6443,
            addresses: [("cp-0", "10.0.0.1"), ("cp-1", "10.0.0.2"), ("cp-2", "10.0.0.3")]
                .map(|(name, address)| (name.to_owned(), vec![address.to_owned()]))
                .into(),
            adopted: ["cp-0", "cp-1"].map(str::to_owned).into(),
        };
        for (member, address, machine) in [
            ("cp-0", "10.0.0.1", "cp-0"),
            // A name says more than an address that another host had before.
            ("cp-0", "10.0.0.2", "cp-0"),
            ("host-1", "10.0.0.2", "cp-1"),
            // What was at this address before cp-2 was made there.
            ("cp-before", "10.0.0.3", "cp-before"),
            ("host-2", "", "host-2"),
        ] {
            assert_eq!(
                places.machine_of(member, address),
                machine,
                "{member} at {address}"
            );
        }
    }

    #[test]
    fn an_adopted_machine_whose_member_may_be_any_is_not_taken_for_one_without() {
        let named = |name: &str| -> EtcdMember {
            serde_json::from_value(serde_json::json!({
                "apiVersion": "etcd.k0sproject.io/v1beta1", "kind": "EtcdMember",
                "metadata": { "name": name }, "spec": {},
            }))
            .unwrap()
        };
        let mut places = Places {
            addresses: [("cp-0".to_owned(), Vec::new())].into(),
            adopted: ["cp-0".to_owned()].into(),
            ..Places::default()
        };
        assert_eq!(places.unplaced(&[named("host-0")]), Some(&"cp-0".to_owned()));
        assert_eq!(places.unplaced(&[named("cp-0")]), None);
        places
            .addresses
            .insert("cp-0".to_owned(), vec!["10.0.0.1".to_owned()]);
        assert_eq!(places.unplaced(&[named("host-0")]), None);
    }

    #[test]
    fn controllers_are_those_that_serve_and_those_that_k0s_knows() {
        let named =
            |names: &[&str]| -> BTreeSet<String> { names.iter().map(|name| (*name).to_owned()).collect() };
        let node = |name: &str| -> ControlNode {
            let text = format!(
                "{{apiVersion: autopilot.k0sproject.io/v1beta2, kind: ControlNode, metadata: {{name: {name}}}}}"
            );
            serde_yaml::from_str(&text).unwrap()
        };
        let known = Seen {
            plan: None,
            controllers: ["cp-0", "cp-1"].map(|name| autopilot::seen(&node(name))).into(),
        };
        let found = controllers(&named(&["cp-1", "cp-2"]), &known);
        let found: Vec<_> = found
            .iter()
            .map(|controller| (controller.name.as_str(), controller.ready))
            .collect();
        assert_eq!(found, [("cp-0", false), ("cp-1", true), ("cp-2", true)]);
    }
}
