//! Three controllers behind a load balancer: by hand over plain ssh, one join after the other, and through Cluster API; then
//! all of them replaced, each way.
//!
//! By hand there are autopilot and no replacement that a person would do in one go: what rolls take has its bounds from
//! elsewhere, and is said in seconds.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use k0smotron_api::control_plane::v1beta2::UpdateStrategy;
use k0smotron_e2e_endpoint::LoadBalancer;
use kube::{Client, Config, config::Kubeconfig};
use serde::Serialize;

use super::{RESET, ROUNDS};
use crate::{
    progress::{step, until},
    ssh,
    suites::control_plane::{plane::ControlPlane, roll},
    testbed::{self, Purpose, Testbed},
};

/// One more than there are controllers: a new one may come before an old one goes.
const HOSTS: [&str; 4] = ["one", "two", "three", "four"];
const CONTROLLERS: usize = 3;
const CONFIG: &str = include_str!("control_plane.yaml");
const ARGUMENTS: &str = "--enable-dynamic-config \
    --disable-components=coredns,kube-proxy,metrics-server,konnectivity-server,helm --config /etc/k0s.yaml";
const LIMIT: Duration = Duration::from_secs(240);
const PAUSE: Duration = Duration::from_millis(100);

/// Seconds by name of what was measured, one for each round.
type Rounds = BTreeMap<&'static str, Vec<f64>>;

#[derive(Serialize)]
struct Report {
    k0s: String,
    rounds: Rounds,
    median: BTreeMap<&'static str, f64>,
    three_by_hand_ratio: f64,
}

/// Measures, prints a table and writes `target/bench/control-plane.json`.
///
/// # Errors
/// With the round that failed.
pub async fn run() -> Result<()> {
    let instance = Purpose::Bench.instance()?;
    testbed::down(instance)
        .await
        .context("what an earlier run left behind")?;
    let testbed = Testbed::up(instance, &HOSTS).await?;
    step("k0s on the machines", super::machines::install_binary(&testbed)).await?;
    let mut rounds = Rounds::new();
    for round in 1..=ROUNDS {
        let three = step(&format!("round {round}: three by hand"), by_hand(&testbed)).await?;
        note(&mut rounds, "three by hand", three);
        println!("round {round}: k0smotron");
        through_cluster_api(&testbed, round, &mut rounds).await?;
    }
    report(&testbed, rounds)?;
    testbed::down(instance).await
}

fn note(rounds: &mut Rounds, what: &'static str, took: Duration) {
    rounds.entry(what).or_default().push(took.as_secs_f64());
}

fn report(testbed: &Testbed, rounds: Rounds) -> Result<()> {
    let median: BTreeMap<_, _> = rounds
        .iter()
        .filter_map(|(what, values)| Some((*what, super::median(values.clone())?)))
        .collect();
    let of = |what: &str| median.get(what).copied().context("no rounds");
    let ratio = of("three serve")? / of("three by hand")?;
    println!("\nk0s: {}; seconds, median of {ROUNDS}", testbed.k0s.kind);
    for (what, seconds) in &median {
        let all = rounds.get(what).map(Vec::as_slice).unwrap_or_default();
        let all: Vec<_> = all.iter().map(|value| format!("{value:.1}")).collect();
        println!("{what:<36}{seconds:>8.1}   ({})", all.join(", "));
    }
    println!("three serve / three by hand: {ratio:.2}");
    super::save(
        "control-plane",
        &Report {
            k0s: testbed.k0s.kind.to_string(),
            rounds,
            median,
            three_by_hand_ratio: ratio,
        },
    )
}

/// What a person types: a controller, a token, and the next one once this one answers.
async fn by_hand(testbed: &Testbed) -> Result<Duration> {
    let key = testbed.key.path();
    let hosts = HOSTS
        .iter()
        .take(CONTROLLERS)
        .map(|host| Ok(testbed.machine(host)?.address()))
        .collect::<Result<Vec<Ipv4Addr>>>()?;
    let balancer = LoadBalancer::start(&testbed.network, &hosts).await?;
    let config = CONFIG.replace("ENDPOINT", &testbed.network.host().to_string());
    let first = *hosts.first().context("no hosts")?;

    let begun = Instant::now();
    let mut join = String::new();
    for host in &hosts {
        let install = format!(
            "umask 077; cat >/etc/k0s.yaml <<'END'\n{config}\nEND\n{join}\n\
             k0s install controller --force {ARGUMENTS} {} && k0s start",
            if join.is_empty() {
                ""
            } else {
                "--token-file /etc/k0s.token"
            }
        );
        ssh::run(key, *host, &install).await?;
        answers(testbed, *host).await?;
        if join.is_empty() {
            let token = until("join token", LIMIT, PAUSE, || async {
                Ok(Some(
                    ssh::run(key, first, "k0s token create --role controller").await?,
                ))
            })
            .await?;
            join = format!("printf %s '{}' >/etc/k0s.token", token.trim());
        }
    }
    let took = begun.elapsed();
    for host in hosts.iter().rev() {
        ssh::run(key, *host, RESET).await?;
    }
    balancer.end().await?;
    Ok(took)
}

/// Waits until the API server of a host says that it is ready.
async fn answers(testbed: &Testbed, host: Ipv4Addr) -> Result<()> {
    let kubeconfig = until("admin kubeconfig", LIMIT, PAUSE, || async {
        Ok(Some(
            ssh::run(testbed.key.path(), host, "k0s kubeconfig admin").await?,
        ))
    })
    .await?;
    let kubeconfig = Kubeconfig::from_yaml(&kubeconfig)?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await?;
    config.cluster_url = format!("https://{host}:6443").parse()?;
    config.default_retry = false;
    let client = Client::try_from(config)?;
    until("API server", LIMIT, PAUSE, || async {
        let request = http::Request::get("/readyz").body(Vec::new())?;
        Ok(client.request_text(request).await.ok())
    })
    .await
    .map(drop)
}

/// Creates three, replaces all of them one way, and the other way, and deletes the cluster.
async fn through_cluster_api(testbed: &Testbed, round: usize, rounds: &mut Rounds) -> Result<()> {
    let plane = ControlPlane::create(
        testbed,
        &format!("bench-{round}"),
        &HOSTS,
        CONTROLLERS,
        UpdateStrategy::RecreateDeleteFirst,
    )
    .await?;
    note(rounds, "one answers", plane.came_up.api_answers);
    note(
        rounds,
        "answers, then initialized",
        plane
            .came_up
            .initialized
            .saturating_sub(plane.came_up.api_answers),
    );
    note(rounds, "three serve", plane.came_up.all_serve);
    let (took, gap) = roll(&plane, &format!("delete-first-{round}")).await?;
    note(rounds, "rolled, delete first", took);
    note(rounds, "rolled, delete first: longest gap", gap);
    plane
        .edit(serde_json::json!({ "updateStrategy": UpdateStrategy::Recreate }))
        .await?;
    let (took, gap) = roll(&plane, &format!("create-first-{round}")).await?;
    note(rounds, "rolled, create first", took);
    note(rounds, "rolled, create first: longest gap", gap);
    note(rounds, "deleted", plane.cluster.delete().await?);
    plane.balancer.end().await
}
