//! What conversion and admission add to a write.

use std::time::Instant;

use anyhow::Result;
use k0smotron_api::conversion::{Version, convert};
use k0smotron_e2e_api_tests::served::{Served, api_of, apply};
use kube::{
    ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::json;

use super::worker;

/// Told, not judged: the machine decides.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cost_of_a_write_is_measured() -> Result<()> {
    const WRITES: usize = 100;
    let served = Served::start().await?;
    served.install().await?;
    let manager = served.shipped().await?;
    manager.ready().await?;
    let client = served.server.client()?;
    let mut told = Vec::new();
    for (what, version, changed) in [
        ("v1beta2, labels", Version::V1Beta2, "metadata"),
        ("v1beta2, spec", Version::V1Beta2, "spec"),
        ("v1beta1, labels", Version::V1Beta1, "metadata"),
        ("v1beta1, spec", Version::V1Beta1, "spec"),
    ] {
        let first = apply(&client, &worker("cost", 0), "default", "test").await?;
        let document = convert(worker("cost", 0), version)?;
        let api = api_of(&client, &document, "default")?;
        let mut times = Vec::new();
        for write in 0..WRITES {
            let patch = match changed {
                "spec" => json!({ "spec": { "args": [format!("--labels=n={write}")] } }),
                _ => json!({ "metadata": { "labels": { "n": write.to_string() } } }),
            };
            let begun = Instant::now();
            api.patch(&first.name_any(), &PatchParams::default(), &Patch::Merge(patch))
                .await?;
            times.push(begun.elapsed());
        }
        times.sort();
        told.push(format!(
            "{what}: median {:?}, slowest {:?}",
            times[WRITES / 2],
            times[WRITES - 1]
        ));
    }
    println!("a write of a K0sWorkerConfig:\n{}", told.join("\n"));
    Ok(())
}
