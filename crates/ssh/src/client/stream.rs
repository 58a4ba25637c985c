//! The stream under a connection, which can be cut from outside: TCP, or a channel of the connection to the host before.
//!
//! russh reads and writes in a task of its own, which ends when its stream ends. Left to itself it would
//! outlive us: during the handshake, or while data waits for a window, it does not notice that nobody holds
//! its handle any more.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::FutureExt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

/// What a connection runs over.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

/// Ends the stream when dropped.
pub(super) struct CutOnDrop(#[allow(dead_code, reason = "held for its drop")] oneshot::Sender<()>);

pub(super) struct Cuttable {
    stream: Box<dyn Duplex>,
    /// `None` once it has fired: a oneshot receiver must not be polled again.
    cut: Option<oneshot::Receiver<()>>,
}

impl Cuttable {
    pub(super) fn new(stream: Box<dyn Duplex>) -> (Self, CutOnDrop) {
        let (sender, receiver) = oneshot::channel();
        (
            Self {
                stream,
                cut: Some(receiver),
            },
            CutOnDrop(sender),
        )
    }

    /// An error if the stream was cut; else the task is woken when it will be.
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if let Some(cut) = &mut self.cut
            && cut.poll_unpin(cx).is_ready()
        {
            self.cut = None;
        }
        match self.cut {
            Some(_) => Ok(()),
            None => Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "closed by this side",
            )),
        }
    }
}

impl AsyncRead for Cuttable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Cuttable {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
