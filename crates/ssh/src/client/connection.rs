//! An authenticated connection: one channel for each command, or to each host that is reached through this one.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use russh::client::{Handle, Msg};
use russh::{ChannelMsg, ChannelOpenFailure, ChannelWriteHalf, Disconnect, Sig};
use tokio::time::timeout;

use super::handler::{Facts, HostKeyCheck};
use super::stream::{CutOnDrop, Duplex};
use crate::transport::{Connection, Exec, ExitStatus, RawOutput};
use crate::{Captured, Error, Target};

/// How long a polite good-bye may take.
const GOOD_BYE: Duration = Duration::from_secs(1);

/// Stream number of stderr (RFC 4254 section 5.2).
const STDERR: u32 = 1;

pub(super) struct RusshConnection {
    handle: Handle<HostKeyCheck>,
    facts: Arc<Facts>,
    endpoint: String,
    cut: CutOnDrop,
    /// What this one runs through, if anything: ends after it.
    via: Option<Box<RusshConnection>>,
}

impl RusshConnection {
    pub(super) fn new(
        handle: Handle<HostKeyCheck>,
        facts: Arc<Facts>,
        endpoint: String,
        cut: CutOnDrop,
    ) -> Self {
        Self {
            handle,
            facts,
            endpoint,
            cut,
            via: None,
        }
    }

    /// This connection, which was made through that one.
    pub(super) fn through(self, via: Option<Self>) -> Self {
        Self {
            via: via.map(Box::new),
            ..self
        }
    }

    /// A stream from the host to another one.
    pub(super) async fn forward(&self, target: &Target) -> Result<Box<dyn Duplex>, Error> {
        // Whom the connection is made for is of interest for the log of the host only.
        let channel = self
            .handle
            .channel_open_direct_tcpip(target.host(), target.port.into(), "127.0.0.1", 0)
            .await;
        match channel {
            Ok(channel) => Ok(Box::new(channel.into_stream())),
            Err(russh::Error::ChannelOpenFailure(reason)) => Err(Error::Unreachable {
                address: target.endpoint(),
                cause: match reason {
                    ChannelOpenFailure::AdministrativelyProhibited => format!(
                        "{} does not forward connections for this user, see AllowTcpForwarding, PermitOpen and \
                         authorized_keys there",
                        self.endpoint
                    ),
                    ChannelOpenFailure::ConnectFailed => {
                        format!("{} gets no connection to it", self.endpoint)
                    }
                    reason => format!("{} did not open a channel ({reason:?})", self.endpoint),
                },
            }),
            Err(error) => Err(self.lost(&format!("going on to {}", target.endpoint()), &error.to_string())),
        }
    }

    async fn execute(&self, exec: Exec<'_>) -> Result<RawOutput, Error> {
        let gone = |error: russh::Error| match error {
            russh::Error::ChannelOpenFailure(reason) => {
                self.refused(exec.name, &format!("no channel ({reason:?})"))
            }
            error => self.lost(exec.name, &error.to_string()),
        };
        let channel = self.handle.channel_open_session().await.map_err(gone)?;
        let (mut reader, writer) = channel.split();
        let mut channel = OpenChannel(Some(writer));

        let (mut stdout, mut stderr) = (Captured::with_limit(exec.keep), Captured::with_limit(exec.keep));
        let (mut exit, mut complete) = (None, false);
        let mut feed = Box::pin(channel.start(exec.line, exec.stdin));
        let mut feeding = true;
        loop {
            let message = tokio::select! {
                message = reader.wait() => message,
                // Input and output at the same time: a command that prints while it reads would block for
                // ever. What happens if the input cannot be delivered is told by how the channel ends.
                _ = &mut feed, if feeding => {
                    feeding = false;
                    continue;
                }
            };
            match message {
                Some(ChannelMsg::Data { data }) => stdout.push(&data),
                Some(ChannelMsg::ExtendedData { data, ext: STDERR }) => stderr.push(&data),
                Some(ChannelMsg::ExitStatus { exit_status }) => exit = Some(ExitStatus::Code(exit_status)),
                Some(ChannelMsg::ExitSignal { signal_name, .. }) => {
                    exit = Some(ExitStatus::Signal(name(signal_name)));
                }
                Some(ChannelMsg::Failure) => {
                    return Err(self.refused(exec.name, "it does not execute commands"));
                }
                // The exit status may come before the last output: only these two say that there is no more.
                Some(ChannelMsg::Eof) => complete = true,
                Some(ChannelMsg::Close) => {
                    complete = true;
                    break;
                }
                None => break,
                Some(_) => {}
            }
        }
        drop(feed);
        channel.0 = None;
        match exit {
            Some(exit) if complete => Ok(RawOutput { exit, stdout, stderr }),
            _ => Err(self.lost(exec.name, "the host closed the channel without an exit status")),
        }
    }

    fn lost(&self, what: &str, otherwise: &str) -> Error {
        Error::Disconnected {
            address: self.endpoint.clone(),
            what: what.to_owned(),
            cause: self
                .facts
                .ended
                .get()
                .map_or(otherwise, String::as_str)
                .to_owned(),
        }
    }

    fn refused(&self, what: &str, cause: &str) -> Error {
        Error::ExecutionRefused {
            address: self.endpoint.clone(),
            what: what.to_owned(),
            cause: cause.to_owned(),
        }
    }
}

impl Connection for RusshConnection {
    fn exec<'a>(&'a self, exec: Exec<'a>) -> BoxFuture<'a, Result<RawOutput, Error>> {
        async move {
            timeout(exec.deadline, self.execute(exec))
                .await
                .unwrap_or_else(|_| {
                    Err(Error::Deadline {
                        address: self.endpoint.clone(),
                        what: exec.name.to_owned(),
                        after: exec.deadline,
                    })
                })
        }
        .boxed()
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        async move {
            let Self { handle, cut, via, .. } = *self;
            if handle.disconnect(Disconnect::ByApplication, "", "").await.is_ok() {
                // How the session ends does not matter any more.
                let _ = timeout(GOOD_BYE, handle).await;
            }
            drop(cut);
            if let Some(via) = via {
                via.close().await;
            }
        }
        .boxed()
    }
}

/// A channel whose command may still run; `None` once the channel has ended.
struct OpenChannel(Option<ChannelWriteHalf<Msg>>);

impl OpenChannel {
    async fn start(&self, line: &str, stdin: &[u8]) -> Result<(), russh::Error> {
        let Some(writer) = &self.0 else { return Ok(()) };
        writer.exec(true, line).await?;
        writer.data_bytes(stdin.to_vec()).await?;
        writer.eof().await
    }
}

/// Given up: the command is asked to end (OpenSSH passes the signal on to its process group) and the channel
/// closed.
impl Drop for OpenChannel {
    fn drop(&mut self) {
        let Some(writer) = self.0.take() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        // Ends with the connection at the latest: its queue then refuses.
        runtime.spawn(timeout(GOOD_BYE, async move {
            writer.signal(Sig::TERM).await?;
            writer.close().await
        }));
    }
}

fn name(signal: Sig) -> String {
    match signal {
        Sig::Custom(name) => name,
        // The names of the variants are the names on the wire.
        signal => format!("{signal:?}"),
    }
}
