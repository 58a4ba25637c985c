//! What a way to a host has to offer. [`SshTransport`](crate::SshTransport) is the one that is shipped.
//!
//! The seam is as narrow as it can be (connect, execute, close), so that everything above it (elevation,
//! files, first use of a host key) is the same code over any transport, and in the tests of those who use
//! this crate.

use std::time::Duration;

use futures::future::BoxFuture;

use crate::{Captured, Connected, Error, Target};

/// Makes connections.
pub trait Transport: Send + Sync {
    /// Reaches the host, checks its key and logs in, all within `deadline`.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] before anything is sent; then [`Error::Unreachable`], [`Error::Handshake`],
    /// [`Error::HostKeyMismatch`], [`Error::HostKeyUnsupported`], [`Error::AuthenticationFailed`],
    /// [`Error::Disconnected`], [`Error::Deadline`].
    fn connect<'a>(
        &'a self,
        target: &'a Target,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Connected, Error>>;
}

/// One authenticated connection. Dropping it cuts it.
pub trait Connection: Send + Sync {
    /// Executes one command line, feeds it its input, and reads its output to the end.
    ///
    /// Dropping the future gives the command up and closes its channel. That does not stop what runs on the
    /// host: what must be stoppable is started with its own process group.
    ///
    /// # Errors
    /// [`Error::Deadline`], [`Error::Disconnected`] (also if the host closed the channel without telling how
    /// the command ended) and [`Error::ExecutionRefused`].
    fn exec<'a>(&'a self, exec: Exec<'a>) -> BoxFuture<'a, Result<RawOutput, Error>>;

    /// Says good-bye and closes.
    fn close(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// One execution.
#[derive(Clone, Copy)]
pub struct Exec<'a> {
    /// Command line for the login shell of the user.
    pub line: &'a str,
    /// Standard input.
    pub stdin: &'a [u8],
    /// How many bytes to keep of each of stdout and stderr.
    pub keep: usize,
    /// What errors call this execution.
    pub name: &'a str,
    /// From the opening of the channel to its end.
    pub deadline: Duration,
}

/// What came of an [`Exec`].
pub struct RawOutput {
    /// How it ended.
    pub exit: ExitStatus,
    /// Standard output.
    pub stdout: Captured,
    /// Standard error.
    pub stderr: Captured,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// By itself, with this status.
    Code(u32),
    /// By a signal of this name, without `SIG`.
    Signal(String),
}
