//! Waiting for another process: asked again and again, bounded, and given up at once when it cannot come true.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

const INTERVAL: Duration = Duration::from_millis(50);

/// Asks until the answer is `true`.
///
/// # Errors
/// The first error of `ask`, which therefore means that waiting is pointless; or `what` is not so within `limit`.
pub(crate) async fn until(
    what: &str,
    limit: Duration,
    mut ask: impl AsyncFnMut() -> Result<bool>,
) -> Result<()> {
    let begin = Instant::now();
    while !ask().await? {
        if begin.elapsed() > limit {
            bail!("{what}: not so after {} s", limit.as_secs());
        }
        tokio::time::sleep(INTERVAL).await;
    }
    Ok(())
}
