//! What users write, through both versions; and the webhooks themselves: whom API servers trust, for how long, and what
//! they cost.

// clippy.toml allows these in test functions; the functions that they call are meant too.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod cost;
mod documents;
mod manifests;
mod trial;
mod trust;

use serde_json::{Value, json};

/// An object that is different for each `arg`.
fn worker(name: &str, arg: usize) -> Value {
    json!({
        "apiVersion": "bootstrap.cluster.x-k8s.io/v1beta2",
        "kind": "K0sWorkerConfig",
        "metadata": { "name": name },
        "spec": { "version": "v1.36.3+k0s.2", "args": [format!("--labels=n={arg}")] },
    })
}
