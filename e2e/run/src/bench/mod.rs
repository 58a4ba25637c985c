//! Benchmarks: ratios of one run on the same machines, median of three. Absolute times are of this host only.

mod control_plane;
mod machines;

use anyhow::{Result, bail};

/// Runs a benchmark by name; figures go to `target/bench/<name>.json` and the terminal.
///
/// # Errors
/// With what failed.
pub async fn run(name: &str) -> Result<()> {
    match name {
        "machines" => machines::run().await,
        "control-plane" => control_plane::run().await,
        _ => bail!("there is no benchmark {name:?}; there are machines and control-plane"),
    }
}
