//! The model of the decisions about membership, held to real etcd.
//!
//! The model checker of the crate `k0smotron-control-plane` proves what the decisions do in a world that is written down
//! there. Here histories of that world, walked at random, are replayed with etcd processes. After every step etcd must
//! write with a quorum and not without one, have every write that it acknowledged, and tell of the very members that the
//! model has; and what the model says that etcd refuses, it must refuse.
//!
//! `K0SMOTRON_SEED` walks the same histories again, `K0SMOTRON_HISTORIES` says how many.

// clippy.toml allows these in test functions; the functions that they call are meant too.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod etcd;
#[path = "../../../../crates/control-plane/tests/membership/future.rs"]
mod future;
mod history;
#[path = "../../../../crates/control-plane/tests/membership/model.rs"]
mod model;
mod replay;
#[path = "../../../../crates/control-plane/tests/membership/updates.rs"]
mod updates;
#[path = "../../../../crates/control-plane/tests/membership/world.rs"]
mod world;

use std::time::Instant;

use tokio::task::JoinSet;

/// All at once: they wait for etcd most of the time.
const HISTORIES: usize = 4;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_model_says_of_members_is_what_etcd_does() {
    let seed = number("K0SMOTRON_SEED").unwrap_or_else(rand::random);
    let count = number("K0SMOTRON_HISTORIES").map_or(HISTORIES, |count| usize::try_from(count).unwrap());
    println!("K0SMOTRON_SEED={seed} K0SMOTRON_HISTORIES={count}");
    let mut replays = JoinSet::new();
    for history in history::histories(seed, count) {
        replays.spawn(async move {
            let begun = Instant::now();
            (replay::replay(&history).await, history.changes, begun.elapsed())
        });
    }
    while let Some(ended) = replays.join_next().await {
        let (replayed, changes, took) = ended.unwrap();
        match replayed {
            Ok(replayed) => println!("{replayed:?} in {took:?}, of {changes:?}"),
            Err(error) => panic!("with K0SMOTRON_SEED={seed}: {error:?}"),
        }
    }
}
