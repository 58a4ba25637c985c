//! The signals that end a long-running command.

use anyhow::{Context as _, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT, from the moment of [`Signals::listen`].
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    seen: bool,
}

impl Signals {
    pub fn listen() -> Result<Self> {
        let listen = |kind| signal(kind).context("signals cannot be handled");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            seen: false,
        })
    }

    /// Waits for the next signal.
    pub async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        tracing::info!("shutting down");
        self.seen = true;
    }

    /// Whether a signal has come already.
    pub fn seen(&self) -> bool {
        self.seen
    }
}
