//! Waiting for another process: asked again and again, but not for ever.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

const INTERVAL: Duration = Duration::from_millis(50);

/// How long one loop goes on asking: `while !ready().await { patience.wait().await?; }`.
pub(crate) struct Patience {
    what: String,
    limit: Duration,
    begin: Instant,
}

impl Patience {
    /// `what` says in an error message what has not come true.
    pub(crate) fn new(what: impl Into<String>, limit: Duration) -> Self {
        Self {
            what: what.into(),
            limit,
            begin: Instant::now(),
        }
    }

    /// Time until the next question.
    ///
    /// # Errors
    /// The limit has passed.
    pub(crate) async fn wait(&self) -> Result<()> {
        if self.begin.elapsed() > self.limit {
            bail!("{}: not so after {} s", self.what, self.limit.as_secs());
        }
        tokio::time::sleep(INTERVAL).await;
        Ok(())
    }
}
