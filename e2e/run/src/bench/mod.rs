//! Benchmarks: ratios of one run on the same machines, median of three. Absolute times are of this host only.

mod control_plane;
mod hosted;
mod machines;

use std::fs;

use anyhow::{Result, bail};
use serde::Serialize;

/// How often each is measured.
const ROUNDS: usize = 3;

/// Runs a benchmark by name; figures go to `target/bench/<name>.json` and the terminal.
///
/// # Errors
/// With what failed.
pub async fn run(name: &str) -> Result<()> {
    match name {
        "machines" => machines::run().await,
        "control-plane" => control_plane::run().await,
        "hosted" => hosted::run().await,
        _ => bail!("there is no benchmark {name:?}; there are machines, control-plane and hosted"),
    }
}

/// The value in the middle; none of nothing.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Writes `target/bench/<name>.json`.
fn save(name: &str, report: &impl Serialize) -> Result<()> {
    fs::create_dir_all("target/bench")?;
    fs::write(
        format!("target/bench/{name}.json"),
        serde_json::to_string_pretty(report)?,
    )?;
    Ok(())
}
