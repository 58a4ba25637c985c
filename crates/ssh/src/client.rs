//! The transport that is shipped: SSH by russh.
//!
//! The only place of the crate that knows russh's connections; its releases break often.

mod connection;
mod handler;
mod handshake;
mod login;
mod stream;

use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};

use crate::transport::Transport;
use crate::{Connected, Error, Target};

/// Connects over TCP with SSH, by russh.
#[derive(Clone, Copy, Debug, Default)]
pub struct SshTransport;

impl Transport for SshTransport {
    fn connect<'a>(
        &'a self,
        target: &'a Target,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Connected, Error>> {
        handshake::connect(target, deadline).boxed()
    }
}
