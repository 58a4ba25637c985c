//! One controller and one worker: by hand over plain ssh, and through Cluster API, on the same machines in one run.
//!
//! With `UPSTREAM_OPERATOR=/path` another operator's manager that serves the same API is measured too, in place of
//! ours.

use std::{collections::BTreeMap, time::Instant};

use anyhow::{Context, Result};
use k0smotron_e2e_plane::{
    managers::{self, Manager},
    other_operator,
};
use serde::Serialize;

use super::{ROUNDS, median};
use crate::{
    by_hand,
    cluster::{Timeline, WorkloadCluster, client},
    k0s,
    progress::{step, until},
    ssh,
    testbed::{self, Purpose, Testbed},
};

const HOSTS: [&str; 2] = ["controller", "worker"];
/// The bench cluster's k0s configuration; every published figure comes from it.
const CONFIG: &str = include_str!("cluster.yaml");
const CONTROLLER_ARGUMENTS: &str =
    "--disable-components=coredns,kube-proxy,metrics-server,konnectivity-server,helm";
const WORKER_ARGUMENTS: &str = "--profile=v1 --ignore-pre-flight-checks";

/// Seconds from the beginning, deletion from its own.
#[derive(Clone, Debug, Serialize)]
struct Figures {
    api_answers: f64,
    initialized: Option<f64>,
    worker_ready: f64,
    deleted: Option<f64>,
    /// Resident memory of the operator while the cluster runs, in MiB, of all its processes.
    memory: Option<f64>,
}

#[derive(Serialize)]
struct Report {
    k0s: String,
    rounds: BTreeMap<&'static str, Vec<Figures>>,
    median: BTreeMap<&'static str, Figures>,
    worker_ready_by_hand_ratio: BTreeMap<&'static str, f64>,
}

/// Measures, prints a table and writes `target/bench/machines.json`.
///
/// # Errors
/// With the round that failed.
pub async fn run() -> Result<()> {
    let instance = Purpose::Bench.instance()?;
    testbed::down(instance)
        .await
        .context("what an earlier run left behind")?;
    let testbed = Testbed::up(instance, &HOSTS).await?;
    step("k0s on the machines", testbed.install_k0s()).await?;
    let other = testbed::other_operator();

    let mut rounds: BTreeMap<&'static str, Vec<Figures>> = BTreeMap::new();
    for round in 1..=ROUNDS {
        let figures = step(&format!("round {round}: by hand"), two_by_hand(&testbed)).await?;
        rounds.entry("by hand").or_default().push(figures);
        let managers = managers::start(&testbed.plane, &testbed::manager_binary()?).await?;
        let figures = step(
            &format!("round {round}: k0smotron"),
            through_cluster_api(&testbed, &managers, round),
        )
        .await?;
        rounds.entry("k0smotron").or_default().push(figures);
        if let Some(other) = &other {
            let operator = other_operator::start(&testbed.plane, other).await?;
            let figures = step(
                &format!("round {round}: other operator"),
                through_cluster_api(&testbed, &[operator], round),
            )
            .await?;
            rounds.entry("other operator").or_default().push(figures);
            // It may leave a failed service behind, over which k0s does not install anew.
            for host in HOSTS {
                ssh::run(
                    testbed.key.path(),
                    testbed.machine(host)?.address(),
                    by_hand::RESET,
                )
                .await?;
            }
        }
    }
    report(&testbed, rounds)?;
    testbed::down(instance).await
}

fn report(testbed: &Testbed, rounds: BTreeMap<&'static str, Vec<Figures>>) -> Result<()> {
    let median: BTreeMap<_, _> = rounds
        .iter()
        .map(|(name, figures)| (*name, median_of(figures)))
        .collect();
    let hand = median
        .get("by hand")
        .map(|figures| figures.worker_ready)
        .context("no rounds")?;
    let ratios = median
        .iter()
        .map(|(name, figures)| (*name, figures.worker_ready / hand))
        .collect();
    println!("\nk0s: {}; seconds, median of {ROUNDS}", testbed.k0s.kind);
    println!(
        "{:<16}{:>12}{:>13}{:>14}{:>9}{:>10}{:>9}",
        "", "API answers", "initialized", "worker Ready", "deleted", "/ by hand", "MiB"
    );
    for (name, figures) in &median {
        let or_dash =
            |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"));
        println!(
            "{name:<16}{:>12.1}{:>13}{:>14.1}{:>9}{:>10.2}{:>9}",
            figures.api_answers,
            or_dash(figures.initialized),
            figures.worker_ready,
            or_dash(figures.deleted),
            figures.worker_ready / hand,
            or_dash(figures.memory)
        );
    }
    super::save(
        "machines",
        &Report {
            k0s: testbed.k0s.kind.to_string(),
            rounds,
            median,
            worker_ready_by_hand_ratio: ratios,
        },
    )
}

/// Of each figure its own median.
fn median_of(rounds: &[Figures]) -> Figures {
    Figures {
        api_answers: median(rounds.iter().map(|round| round.api_answers).collect()).unwrap_or_default(),
        initialized: median(rounds.iter().filter_map(|round| round.initialized).collect()),
        worker_ready: median(rounds.iter().map(|round| round.worker_ready).collect()).unwrap_or_default(),
        deleted: median(rounds.iter().filter_map(|round| round.deleted).collect()),
        memory: median(rounds.iter().filter_map(|round| round.memory).collect()),
    }
}

/// What a person types: the same commands with the same settings, one host after the other.
async fn two_by_hand(testbed: &Testbed) -> Result<Figures> {
    let key = testbed.key.path();
    let controller = testbed.machine(HOSTS[0])?.address();
    let worker = testbed.machine(HOSTS[1])?.address();
    let config = CONFIG.replace("ENDPOINT", &controller.to_string());

    let begun = Instant::now();
    let install = format!(
        "cat >/etc/k0s.yaml <<'END'\n{config}\nEND\n\
         k0s install controller --force --enable-dynamic-config {CONTROLLER_ARGUMENTS} --config /etc/k0s.yaml && k0s start"
    );
    ssh::run(key, controller, &install).await?;
    let pause = std::time::Duration::from_millis(100);
    let limit = std::time::Duration::from_secs(120);
    let kubeconfig = by_hand::kubeconfig(testbed, controller).await?;
    let workload = client(&kubeconfig).await?;
    until("API server", limit, pause, || async {
        Ok(workload.apiserver_version().await.ok())
    })
    .await?;
    let api_answers = begun.elapsed();
    let token = by_hand::token(testbed, controller, "worker").await?;
    by_hand::worker(testbed, worker, &token, WORKER_ARGUMENTS).await?;
    until("worker Ready", limit, pause, || async {
        let nodes: kube::Api<k8s_openapi::api::core::v1::Node> = kube::Api::all(workload.clone());
        let ready = nodes
            .list(&kube::api::ListParams::default())
            .await?
            .iter()
            .any(crate::cluster::is_ready);
        Ok(ready.then_some(()))
    })
    .await?;
    let worker_ready = begun.elapsed();
    for host in [worker, controller] {
        ssh::run(key, host, by_hand::RESET).await?;
    }
    Ok(Figures {
        api_answers: api_answers.as_secs_f64(),
        initialized: None,
        worker_ready: worker_ready.as_secs_f64(),
        deleted: None,
        memory: None,
    })
}

async fn through_cluster_api(testbed: &Testbed, operator: &[Manager], round: usize) -> Result<Figures> {
    let cluster = WorkloadCluster::new(testbed, &format!("bench-{round}"))?;
    let Timeline {
        api_answers,
        initialized,
        node_ready,
    } = cluster
        .create(&manifests(testbed, &cluster.name)?, 1, |_| {})
        .await?;
    cluster.wait_until_running(1).await?;
    let mut memory = 0;
    for process in operator {
        memory += process.memory(&testbed.plane)?;
    }
    let deleted = cluster.delete().await?;
    Ok(Figures {
        api_answers: api_answers.as_secs_f64(),
        initialized: Some(initialized.as_secs_f64()),
        worker_ready: node_ready.as_secs_f64(),
        deleted: Some(deleted.as_secs_f64()),
        memory: Some((memory / (1 << 20)) as f64),
    })
}

fn manifests(testbed: &Testbed, name: &str) -> Result<String> {
    let controller = testbed.machine(HOSTS[0])?.address().to_string();
    let worker = testbed.machine(HOSTS[1])?.address().to_string();
    let config = CONFIG.replace("ENDPOINT", &controller).replace('\n', "\n      ");
    let key = testbed.key_data()?;
    Ok(include_str!("manifests.yaml")
        .replace("NAME", name)
        .replace("VERSION", k0s::VERSION)
        .replace("CONTROLLER_HOST", &controller)
        .replace("WORKER_HOST", &worker)
        .replace("SSH_KEY", &key)
        .replace("K0S_CONFIG", config.trim_end()))
}
