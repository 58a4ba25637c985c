//! Control planes in pods: one, five and ten at once, through our manager and by hand.
//!
//! By hand are the same Secrets, ConfigMaps, Services and StatefulSets, applied all at once: what our manager had made for
//! planes that are available, so that there is nothing to compute and nothing to wait for. With `UPSTREAM_OPERATOR` this
//! bench has nothing to do yet: that operator runs outside of the management cluster.

mod by_hand;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use futures::future::try_join_all;
use k0smotron_api::k0smotron::v1beta2::Cluster;
use k0smotron_e2e_machines::Machine;
use k0smotron_e2e_plane::manifests;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams},
};
use serde::Serialize;
use serde_json::json;

use super::{ROUNDS, median};
use crate::{
    cluster,
    hosted::HostedTestbed,
    k0s,
    progress::{step, until},
    testbed::{self, Purpose},
};

/// How many planes are made at once.
const SIZES: [usize; 3] = [1, 5, 10];
/// Name of every plane, each in a namespace of its own.
const NAME: &str = "plane";
const FIRST_PORT: usize = 30500;
const LIMIT: Duration = Duration::from_secs(300);
const POLL: Duration = Duration::from_millis(100);

/// Of planes that were made at once: seconds until each was available, and processor seconds of the node for each.
#[derive(Clone, Debug, Default, Serialize)]
struct Figures {
    median: f64,
    last: f64,
    cpu: f64,
}

#[derive(Serialize)]
struct Report {
    k0s: String,
    /// By who made them and how many they were.
    rounds: BTreeMap<String, Vec<Figures>>,
    median: BTreeMap<String, Figures>,
    /// Median of the planes, ours to those by hand, by their number.
    by_hand_ratio: BTreeMap<usize, f64>,
}

/// Measures, prints a table and writes `target/bench/hosted.json`.
///
/// # Errors
/// With the round that failed.
pub async fn run() -> Result<()> {
    let instance = Purpose::Bench.instance()?;
    testbed::down(instance)
        .await
        .context("what an earlier run left behind")?;
    let testbed = HostedTestbed::up(instance, &[]).await?;
    let mut rounds: BTreeMap<String, Vec<Figures>> = BTreeMap::new();
    for size in SIZES {
        for round in 1..=ROUNDS {
            let (figures, objects) = step(
                &format!("round {round}: {size} through k0smotron"),
                ours(&testbed, size),
            )
            .await?;
            rounds
                .entry(format!("k0smotron {size}"))
                .or_default()
                .push(figures);
            let figures = step(
                &format!("round {round}: {size} by hand"),
                by_hand(&testbed, &objects),
            )
            .await?;
            rounds.entry(format!("by hand {size}")).or_default().push(figures);
        }
    }
    report(&testbed, rounds)?;
    testbed::down(instance).await
}

/// Makes planes, and takes down what they are made of before they go.
async fn ours(testbed: &HostedTestbed, size: usize) -> Result<(Figures, Vec<by_hand::Objects>)> {
    let client = testbed.plane.client()?;
    let namespaces = make_namespaces(&client, size).await?;
    let measured = measure(testbed.plane.machine(), &namespaces, |namespace, port| {
        let client = client.clone();
        async move {
            manifests::apply(&client, &manifest(port), &namespace).await?;
            let planes: Api<Cluster> = Api::namespaced(client, &namespace);
            until("a plane is available", LIMIT, POLL, || async {
                let status = planes.get(NAME).await?.status.unwrap_or_default();
                let available = status
                    .conditions
                    .iter()
                    .any(|condition| condition.type_ == "Available" && condition.status == "True");
                Ok(available.then_some(()))
            })
            .await
        }
    });
    let figures = measured.await?;
    let objects = try_join_all(
        namespaces
            .iter()
            .map(|namespace| by_hand::Objects::of(&client, namespace)),
    )
    .await?;
    for namespace in &namespaces {
        let planes: Api<Cluster> = Api::namespaced(client.clone(), namespace);
        planes.delete(NAME, &DeleteParams::default()).await?;
    }
    for namespace in &namespaces {
        let planes: Api<Cluster> = Api::namespaced(client.clone(), namespace);
        until("deletion of a plane", LIMIT, POLL, || async {
            Ok(planes.get_opt(NAME).await?.is_none().then_some(()))
        })
        .await?;
    }
    remove_namespaces(&client, &namespaces).await?;
    Ok((figures, objects))
}

/// Applies what planes were made of, and waits until their API servers answer where clients reach them.
async fn by_hand(testbed: &HostedTestbed, objects: &[by_hand::Objects]) -> Result<Figures> {
    let client = testbed.plane.client()?;
    let namespaces = make_namespaces(&client, objects.len()).await?;
    let figures = measure(testbed.plane.machine(), &namespaces, |namespace, _| {
        let client = client.clone();
        async move {
            let found = objects.iter().find(|objects| objects.namespace == namespace);
            found.context("no objects")?.apply(&client).await?;
            let secrets: Api<Secret> = Api::namespaced(client, &namespace);
            let secret = secrets.get(&format!("{NAME}-kubeconfig")).await?;
            let kubeconfig = secret
                .data
                .unwrap_or_default()
                .remove("value")
                .context("no kubeconfig")?;
            let workload = cluster::client(&String::from_utf8(kubeconfig.0)?).await?;
            until("a plane answers", LIMIT, POLL, || async {
                let request = http::Request::get("/readyz").body(Vec::new())?;
                Ok(workload.request_text(request).await.ok().map(drop))
            })
            .await
        }
    })
    .await?;
    remove_namespaces(&client, &namespaces).await?;
    Ok(figures)
}

/// Makes one plane in each namespace, all at once, each with its own port.
async fn measure<Making>(
    node: &Machine,
    namespaces: &[String],
    make: impl Fn(String, usize) -> Making,
) -> Result<Figures>
where
    Making: Future<Output = Result<()>>,
{
    let cpu = cpu_seconds(node).await?;
    let begun = Instant::now();
    let made = (FIRST_PORT..)
        .step_by(2)
        .zip(namespaces)
        .map(|(port, namespace)| {
            let making = make(namespace.clone(), port);
            async move {
                making.await?;
                anyhow::Ok(begun.elapsed().as_secs_f64())
            }
        });
    let seconds = try_join_all(made).await?;
    let cpu = cpu_seconds(node).await? - cpu;
    Ok(Figures {
        median: median(seconds.clone()).unwrap_or_default(),
        last: seconds.iter().copied().fold(0.0, f64::max),
        cpu: cpu / f64::from(u32::try_from(namespaces.len())?),
    })
}

/// Processor time of everything on the machine since it was started.
async fn cpu_seconds(machine: &Machine) -> Result<f64> {
    let text = machine
        .exec("cat /sys/fs/cgroup/cpuacct/cpuacct.usage 2>/dev/null || awk '/usage_usec/ {print $2 * 1000}' /sys/fs/cgroup/cpu.stat")
        .await?;
    let nanoseconds: f64 = text.trim().parse().context("processor time of the node")?;
    Ok(nanoseconds / 1e9)
}

fn manifest(port: usize) -> String {
    json!({
        "apiVersion": "k0smotron.io/v1beta2",
        "kind": "Cluster",
        "metadata": {"name": NAME},
        "spec": {
            "version": k0s::VERSION,
            "service": {"type": "NodePort", "apiPort": port, "konnectivityPort": port + 1},
            "k0sConfig": {
                "apiVersion": "k0s.k0sproject.io/v1beta1",
                "kind": "ClusterConfig",
                "metadata": {"name": "k0s"},
                "spec": {
                    "network": {"provider": "custom"},
                    "telemetry": {"enabled": false},
                    "images": {"default_pull_policy": "Never"},
                },
            },
        },
    })
    .to_string()
}

async fn make_namespaces(client: &Client, size: usize) -> Result<Vec<String>> {
    let names: Vec<_> = (0..size).map(|number| format!("bench-{number}")).collect();
    for name in &names {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        manifests::apply(client, &namespace.to_string(), "").await?;
    }
    Ok(names)
}

/// With everything in them: claims of a former plane would make the next one start from its data.
async fn remove_namespaces(client: &Client, names: &[String]) -> Result<()> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    for name in names {
        namespaces.delete(name, &DeleteParams::default()).await?;
    }
    until("deletion of the namespaces", LIMIT, POLL, || async {
        let left = namespaces.list_metadata(&ListParams::default()).await?;
        let left = left
            .items
            .iter()
            .filter_map(|namespace| namespace.metadata.name.as_ref());
        Ok((!left.into_iter().any(|name| names.contains(name))).then_some(()))
    })
    .await
}

fn report(testbed: &HostedTestbed, rounds: BTreeMap<String, Vec<Figures>>) -> Result<()> {
    let medians: BTreeMap<_, _> = rounds
        .iter()
        .map(|(name, figures)| (name.clone(), median_of(figures)))
        .collect();
    println!("\nk0s: {}; seconds, median of {ROUNDS}", testbed.k0s.kind);
    println!("{:<16}{:>10}{:>8}{:>14}", "", "median", "last", "CPU a plane");
    for (name, figures) in &medians {
        println!(
            "{name:<16}{:>10.1}{:>8.1}{:>14.1}",
            figures.median, figures.last, figures.cpu
        );
    }
    let mut by_hand_ratio = BTreeMap::new();
    for size in SIZES {
        let of = |who: &str| {
            medians
                .get(&format!("{who} {size}"))
                .map(|figures| figures.median)
        };
        let ratio = of("k0smotron").context("no rounds")? / of("by hand").context("no rounds")?;
        println!("{size} at once: {ratio:.2} times as long as by hand");
        by_hand_ratio.insert(size, ratio);
    }
    super::save(
        "hosted",
        &Report {
            k0s: testbed.k0s.kind.to_string(),
            rounds,
            median: medians,
            by_hand_ratio,
        },
    )
}

/// Of each figure its own median.
fn median_of(rounds: &[Figures]) -> Figures {
    let of = |figure: fn(&Figures) -> f64| median(rounds.iter().map(figure).collect()).unwrap_or_default();
    Figures {
        median: of(|figures| figures.median),
        last: of(|figures| figures.last),
        cpu: of(|figures| figures.cpu),
    }
}
