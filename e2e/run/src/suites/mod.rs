//! Test suites on machines. A failed suite leaves its machines as they are, to be looked at; the next run, or
//! `e2e down <instance>`, clears them away.

mod bad_input;
mod machines;

use anyhow::{Result, bail};

/// Runs a suite by name. The last line is `passed N, failed N` in words that a runner understands.
///
/// # Errors
/// With what failed.
pub async fn run(name: &str) -> Result<()> {
    match name {
        "smoke" => machines::smoke().await,
        "machines" => machines::all().await,
        _ => bail!("there is no suite {name:?}; there are smoke and machines"),
    }
}
