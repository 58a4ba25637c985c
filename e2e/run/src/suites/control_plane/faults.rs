//! Control planes with faults that pass: an etcd that dies, a leader that nobody reaches, a slow network. Nothing is
//! replaced for them, nothing is lost, and what is wrong is said while it is.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use k0smotron_api::control_plane::v1beta2::{K0sControlPlaneStatus, UpdateStrategy};
use k0smotron_e2e_machines as machines;
use kube::ResourceExt;

use super::{etcd, goes, plane::ControlPlane, replace_one};
use crate::{
    progress::{seconds, until},
    testbed::Testbed,
};

const POLL: Duration = Duration::from_millis(250);
const LIMIT: Duration = Duration::from_secs(240);
/// Longer than k0s' leases last (60 s), by which it knows which controllers are alive.
const HELD: Duration = Duration::from_secs(75);
/// From one machine to another; an answer comes after twice as much.
const DELAY: Duration = Duration::from_millis(30);

/// Three controllers: etcd is killed on one, the leader is cut off, and one is replaced over a slow network.
///
/// # Errors
/// With what was not as it should be.
pub async fn pass(testbed: &Testbed, hosts: &[&str]) -> Result<()> {
    println!("== faults pass, and nothing is lost or replaced for them");
    let strategy = UpdateStrategy::RecreateDeleteFirst;
    let plane = ControlPlane::create(testbed, "faults", hosts, hosts.len(), strategy).await?;
    an_etcd_dies(&plane).await?;
    for cut in [Cut::FromPeers, Cut::FromAll] {
        the_leader_is_cut_off(&plane, cut).await?;
    }
    one_is_replaced_over_a_slow_network(testbed, &plane, hosts).await?;
    goes(testbed, plane).await
}

/// etcd dies on one controller as by `kill -9`: k0s starts it again.
async fn an_etcd_dies(plane: &ControlPlane<'_>) -> Result<()> {
    let members = Members::of(plane).await?;
    let (_, host) = members.all.first().context("no Machine")?;
    let fault = async {
        let before = host.processes("etcd")?;
        host.kill("etcd").await?;
        let begun = Instant::now();
        until("another etcd", LIMIT, POLL, || async {
            let now = host.processes("etcd")?;
            Ok((!now.is_empty() && now.iter().all(|process| !before.contains(process))).then_some(()))
        })
        .await?;
        until("an etcd that takes part again", LIMIT, POLL, || async {
            Ok((etcd::members(host).await? == members.all.len()).then_some(()))
        })
        .await?;
        let back = begun.elapsed();
        plane.until_settled(members.all.len()).await?;
        Ok(back)
    };
    let (back, _) = plane.under_load("etcd-dies", fault).await?;
    println!("  etcd killed: back by itself after {}", seconds(back));
    members.are_the_same(plane).await
}

/// How much of the network is away.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// The other members only: its API server is still there for everybody.
    FromPeers,
    FromAll,
}

impl Cut {
    async fn begin(self, host: &machines::Machine) -> Result<()> {
        match self {
            Self::FromPeers => peers(host, "-I").await,
            Self::FromAll => host.cut().await,
        }
    }

    async fn end(self, host: &machines::Machine) -> Result<()> {
        match self {
            Self::FromPeers => peers(host, "-D").await,
            Self::FromAll => host.mend().await,
        }
    }

    const fn run(self) -> &'static str {
        match self {
            Self::FromPeers => "cut-from-peers",
            Self::FromAll => "cut-from-all",
        }
    }
}

/// Adds or takes away the rules by which what members say to each other vanishes.
async fn peers(host: &machines::Machine, change: &str) -> Result<()> {
    let rule = |chain: &str, side: &str| format!("iptables {change} {chain} -p tcp --{side} 2380 -j DROP");
    let rules = [
        rule("INPUT", "dport"),
        rule("INPUT", "sport"),
        rule("OUTPUT", "dport"),
        rule("OUTPUT", "sport"),
    ];
    host.exec(&rules.join(" && ")).await.map(drop)
}

/// The leader is cut off for longer than k0s waits for anybody. It is said, nothing is removed for it, and it comes back to
/// the cluster that it left.
async fn the_leader_is_cut_off(plane: &ControlPlane<'_>, cut: Cut) -> Result<()> {
    let members = Members::of(plane).await?;
    let (name, host) = members.leader().await?;
    let others: Vec<_> = members.all.iter().filter(|(other, _)| other != name).collect();
    let fault = async {
        let begun = Instant::now();
        cut.begin(host).await?;
        let what = "what is wrong, in conditions";
        let said = plane.cluster.until(what, LIMIT, POLL, || async {
            let status = plane.status().await?;
            let told = condition(&status, "EtcdClusterHealthy", "False").filter(|told| told.contains(name));
            let serve = status.ready_replicas == Some(i32::try_from(others.len())?);
            let available = condition(&status, "Available", "True").is_some();
            let ill = ill_members(plane).await? == BTreeSet::from([name.clone()]);
            Ok(told.filter(|_| serve && available && ill))
        });
        let said = said.await?;
        println!("  after {}: {said}", seconds(begun.elapsed()));
        while begun.elapsed() < HELD {
            let staying = plane.cluster.machines().await?;
            let deleted = staying.iter().filter(|machine| machine.is_deleting()).count();
            ensure!(
                deleted == 0 && staying.len() == members.all.len(),
                "Machines: {:?}",
                plane.machines().await?
            );
            for (other, host) in &others {
                let count = etcd::members(host).await?;
                ensure!(count == members.all.len(), "{other} knows of {count} members");
            }
            tokio::time::sleep(POLL * 4).await;
        }
        let status = plane.status().await?;
        ensure!(
            condition(&status, "Available", "True").is_some(),
            "not available: {:?}",
            status.conditions
        );
        cut.end(host).await?;
        let settled = plane.until_settled(members.all.len()).await?;
        let begun = Instant::now();
        until("members that hear each other", LIMIT, POLL, || {
            members.hear_each_other()
        })
        .await?;
        println!("  all hear each other {} after that", seconds(begun.elapsed()));
        Ok(settled)
    };
    let (healed, _) = plane.under_load(cut.run(), fault).await?;
    println!(
        "  {}: all serve {} after it is connected again",
        cut.run(),
        seconds(healed)
    );
    members.are_the_same(plane).await
}

/// A Machine is deleted while every machine is far from every other one: its member leaves, and another one joins.
async fn one_is_replaced_over_a_slow_network(
    testbed: &Testbed,
    plane: &ControlPlane<'_>,
    hosts: &[&str],
) -> Result<()> {
    let hosts = hosts.iter().map(|host| testbed.machine(host));
    let hosts = hosts.collect::<Result<Vec<_>>>()?;
    // Half of it on the way out of one machine, half on the way into the other.
    let delays = try_join_all(hosts.iter().map(|host| host.delay(DELAY / 2))).await?;
    println!("  {} ms away from each other:", DELAY.as_millis());
    replace_one(testbed, plane, "slow").await?;
    for delay in delays {
        delay.remove().await?;
    }
    Ok(())
}

/// The controllers before a fault, which are to be the same afterwards.
struct Members<'a> {
    /// Names of the Machines, with their hosts.
    all: Vec<(String, &'a machines::Machine)>,
    /// etcd's and Kubernetes' id of the cluster.
    ids: BTreeSet<String>,
}

impl<'a> Members<'a> {
    async fn of(plane: &ControlPlane<'a>) -> Result<Self> {
        let found = plane.cluster.machines().await?;
        let all = found
            .iter()
            .map(|machine| Ok((machine.name_any(), plane.host_of(machine)?)))
            .collect::<Result<Vec<_>>>()?;
        let ids = ids(&all).await?;
        Ok(Self { all, ids })
    }

    async fn leader(&self) -> Result<&(String, &'a machines::Machine)> {
        for member in &self.all {
            let view = etcd::view(member.1).await?;
            if view.leader == view.member {
                return Ok(member);
            }
        }
        anyhow::bail!("nobody leads")
    }

    /// Whether nothing that one of them has sent to another one waits to be sent again. One fault at a time is what the
    /// scenario is about.
    async fn hear_each_other(&self) -> Result<Option<()>> {
        for (_, host) in &self.all {
            if !etcd::is_heard(host).await? {
                return Ok(None);
            }
        }
        Ok(Some(()))
    }

    /// One cluster, the same as before, of the same controllers.
    async fn are_the_same(&self, plane: &ControlPlane<'_>) -> Result<()> {
        let names: BTreeSet<_> = self.all.iter().map(|(name, _)| name.clone()).collect();
        let now = plane.machines().await?;
        ensure!(now == names, "Machines were replaced: {now:?}");
        ensure!(
            plane.members().await? == names.len(),
            "members that are no controllers"
        );
        let ids = ids(&self.all).await?;
        ensure!(ids == self.ids, "not the cluster of before: {ids:?}");
        Ok(())
    }
}

/// Ids of the clusters that the hosts know of: etcd's and, from each API server, that of Kubernetes.
async fn ids(members: &[(String, &machines::Machine)]) -> Result<BTreeSet<String>> {
    let mut ids = BTreeSet::new();
    for (_, host) in members {
        ids.insert(etcd::view(host).await?.cluster);
        let uid = host
            .exec("k0s kubectl get namespace kube-system -o jsonpath='{.metadata.uid}'")
            .await?;
        ids.insert(uid);
    }
    ensure!(ids.len() == 2, "more than one cluster: {ids:?}");
    Ok(ids)
}

/// The message of a condition with this status.
fn condition(status: &K0sControlPlaneStatus, type_: &str, value: &str) -> Option<String> {
    let mut conditions = status.conditions.iter();
    let found = conditions.find(|condition| condition.type_ == type_ && condition.status == value);
    found.map(|condition| condition.message.clone())
}

/// Machines whose own condition says that their member is not healthy.
async fn ill_members(plane: &ControlPlane<'_>) -> Result<BTreeSet<String>> {
    let machines = plane.cluster.machines().await?;
    let ill = machines.iter().filter(|machine| {
        let healthy = machine.condition("EtcdMemberHealthy");
        healthy.is_none_or(|condition| condition.status != "True")
    });
    Ok(ill.map(ResourceExt::name_any).collect())
}
