//! Three controllers behind a load balancer: by hand over plain ssh, one join after the other, and through Cluster API; then
//! all of them replaced, each way.
//!
//! By hand the update in place is a Plan of autopilot that names all three. There is no replacement that a person would do in
//! one go: what those rolls take has its bounds from elsewhere, and is said in seconds.
//!
//! With `UPSTREAM_OPERATOR=/path` another operator's manager that serves the same API is measured too, in place of ours. It is
//! judged by what is there, since its status says other things at other times. Where it does not come to an end, that is said.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use futures::future::try_join_all;
use k0smotron_api::{
    control_plane::v1beta2::UpdateStrategy,
    k0s_objects::{ControlNode, Plan},
};
use k0smotron_e2e_endpoint::LoadBalancer;
use k0smotron_e2e_plane::{managers, other_operator};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, PostParams},
};
use serde::Serialize;
use serde_json::json;

use super::ROUNDS;
use crate::{
    by_hand,
    progress::{step, until},
    ssh,
    suites::control_plane::{
        any_operator::{AnyOperators, Request},
        in_place,
        plane::ControlPlane,
        roll,
    },
    testbed::{self, Purpose, Testbed},
};

/// One more than there are controllers: a new one may come before an old one goes.
const HOSTS: [&str; 4] = ["one", "two", "three", "four"];
const CONTROLLERS: usize = 3;

/// Seconds by name of what was measured, one for each round.
type Rounds = BTreeMap<&'static str, Vec<f64>>;

#[derive(Serialize)]
struct Report {
    k0s: String,
    rounds: Rounds,
    median: BTreeMap<&'static str, f64>,
    three_by_hand_ratio: f64,
    in_place_by_hand_ratio: f64,
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
    let another = testbed.serve_another_k0s(in_place::ANOTHER).await?;
    let mut rounds = Rounds::new();
    for round in 1..=ROUNDS {
        // Not only for what they do: the other operator has the port of the join API on this host.
        managers::start(&testbed.plane, &testbed::manager_binary()?).await?;
        // Each round ends with another release on the hosts.
        step("k0s on the machines", testbed.install_k0s()).await?;
        step(
            &format!("round {round}: by hand"),
            three_by_hand(&testbed, &another, &mut rounds),
        )
        .await?;
        println!("round {round}: k0smotron");
        through_cluster_api(&testbed, &another, round, &mut rounds).await?;
        if let Some(other) = testbed::other_operator() {
            println!("round {round}: other operator");
            step("k0s on the machines", testbed.install_k0s()).await?;
            other_operator::start(&testbed.plane, &other).await?;
            through_other(&testbed, round, &mut rounds).await?;
        }
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
    let three = of("three serve")? / of("three by hand")?;
    let in_place = of("updated in place")? / of("updated in place by hand")?;
    println!("\nk0s: {}; seconds, median of {ROUNDS}", testbed.k0s.kind);
    for (what, seconds) in &median {
        let all = rounds.get(what).map(Vec::as_slice).unwrap_or_default();
        let all: Vec<_> = all.iter().map(|value| format!("{value:.1}")).collect();
        println!("{what:<36}{seconds:>8.1}   ({})", all.join(", "));
    }
    println!("three serve / three by hand: {three:.2}");
    println!("updated in place / by hand: {in_place:.2}");
    super::save(
        "control-plane",
        &Report {
            k0s: testbed.k0s.kind.to_string(),
            rounds,
            median,
            three_by_hand_ratio: three,
            in_place_by_hand_ratio: in_place,
        },
    )
}

/// What a person types: a controller, a token, and the next one once this one answers; then a Plan for all of them.
async fn three_by_hand(testbed: &Testbed, another: &str, rounds: &mut Rounds) -> Result<()> {
    let hosts = testbed.addresses(&HOSTS[..CONTROLLERS])?;
    let balancer = LoadBalancer::start(&testbed.network, &hosts).await?;
    let begun = Instant::now();
    by_hand::controllers(testbed, &hosts, |_| String::new()).await?;
    note(rounds, "three by hand", begun.elapsed());

    let clients = try_join_all(hosts.iter().map(|host| by_hand::client(testbed, *host))).await?;
    let took = update_by_hand(&clients, another).await?;
    note(rounds, "updated in place by hand", took);
    for host in hosts.iter().rev() {
        ssh::run(testbed.key.path(), *host, by_hand::RESET).await?;
    }
    balancer.end().await
}

/// Has autopilot update all controllers. It is done when each of them says so and answers.
async fn update_by_hand(clients: &[Client], url: &str) -> Result<Duration> {
    let first = clients.first().context("no controllers")?;
    let nodes: Api<ControlNode> = Api::all(first.clone());
    let names = until("ControlNodes", by_hand::LIMIT, by_hand::PAUSE, || async {
        let found = nodes.list(&ListParams::default()).await?;
        let names: Vec<_> = found.iter().map(ResourceExt::name_any).collect();
        Ok((names.len() == clients.len()).then_some(names))
    })
    .await?;
    let plans: Api<Plan> = Api::all(first.clone());
    let plan = serde_json::from_value(json!({
        "apiVersion": "autopilot.k0sproject.io/v1beta2",
        "kind": "Plan",
        "metadata": { "name": "autopilot" },
        "spec": {
            "id": "by-hand",
            "timestamp": "now",
            "commands": [{ "k0supdate": {
                "version": in_place::ANOTHER,
                "platforms": { "linux-amd64": { "url": url } },
                "targets": { "controllers": { "discovery": { "static": { "nodes": names } } } },
            } }],
        },
    }))?;
    let begun = Instant::now();
    plans.create(&PostParams::default(), &plan).await?;
    until("updated controllers", by_hand::LIMIT, by_hand::PAUSE, || async {
        let updated = nodes.list(&ListParams::default()).await?.into_iter().all(|node| {
            let status = node.status.unwrap_or_default();
            status.k0s_version.as_deref() == Some(in_place::ANOTHER)
        });
        Ok(updated.then_some(()))
    })
    .await?;
    for client in clients {
        by_hand::until_ready(client).await?;
    }
    Ok(begun.elapsed())
}

/// Creates three, replaces all of them one way and the other way, updates them in place, and deletes the cluster.
async fn through_cluster_api(
    testbed: &Testbed,
    another: &str,
    round: usize,
    rounds: &mut Rounds,
) -> Result<()> {
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
        .edit(json!({ "updateStrategy": UpdateStrategy::Recreate }))
        .await?;
    let (took, gap) = roll(&plane, &format!("create-first-{round}")).await?;
    note(rounds, "rolled, create first", took);
    note(rounds, "rolled, create first: longest gap", gap);
    plane
        .edit(json!({ "updateStrategy": UpdateStrategy::InPlace }))
        .await?;
    let (took, gap) = in_place::update(&plane, another, CONTROLLERS).await?;
    note(rounds, "updated in place", took);
    note(rounds, "updated in place: longest gap", gap);
    note(rounds, "deleted", plane.cluster.delete().await?);
    plane.balancer.end().await
}

/// The same with another operator, as far as it goes: three, all of them replaced by new ones that come first, deleted. Not
/// measured is deleting first, for which k0smotron 2.1 has been seen to lose its quorum every time.
async fn through_other(testbed: &Testbed, round: usize, rounds: &mut Rounds) -> Result<()> {
    let name = format!("other-{round}");
    let request = Request {
        name: &name,
        hosts: &HOSTS,
        controllers: CONTROLLERS,
        worker: None,
        strategy: UpdateStrategy::Recreate,
    };
    let made = AnyOperators::create(testbed, &request).await?;
    note(rounds, "other operator: one answers", made.came_up.api_answers);
    note(
        rounds,
        "other operator: answers, then initialized",
        made.came_up.initialized.saturating_sub(made.came_up.api_answers),
    );
    note(rounds, "other operator: three serve", made.came_up.all_serve);
    match made.roll(&format!("create-first-{round}")).await {
        Ok(took) => note(rounds, "other operator: rolled, create first", took),
        Err(error) => println!("  never rolled: {error:#}"),
    }
    note(rounds, "other operator: deleted", made.cluster.delete().await?);
    made.balancer.end().await
}
