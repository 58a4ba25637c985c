//! A connection to a pod, however it was made.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::{FutureExt, future::BoxFuture};
use hyper_util::client::legacy::connect::{Connected, Connection};
use kube::api::Portforwarder;
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf},
    net::TcpStream,
};

/// A connection to a pod. Dropping it closes it.
pub struct Stream(Inner);

enum Inner {
    Direct(TcpStream),
    Forwarded(Forwarded),
}

struct Forwarded {
    stream: DuplexStream,
    /// What the node says when the pod's port cannot be used (any more). It says so beside the stream, which would
    /// merely stay silent. `None` once it was asked.
    trouble: Option<BoxFuture<'static, Option<String>>>,
    forwarder: Portforwarder,
}

impl Drop for Forwarded {
    fn drop(&mut self) {
        // Its task would go on until the pod closes the connection.
        self.forwarder.abort();
    }
}

impl Stream {
    /// The port of a forwarder; none if it was taken already.
    pub(super) fn forwarded(mut forwarder: Portforwarder, port: u16) -> Option<Self> {
        let stream = forwarder.take_stream(port)?;
        let trouble = forwarder.take_error(port).map(FutureExt::boxed);
        Some(Self(Inner::Forwarded(Forwarded {
            stream,
            trouble,
            forwarder,
        })))
    }
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self(Inner::Direct(stream))
    }
}

impl Forwarded {
    fn poll_trouble(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(trouble) = &mut self.trouble else {
            return Poll::Pending;
        };
        let said = ready!(trouble.as_mut().poll(context));
        self.trouble = None;
        match said {
            Some(message) => {
                let message = message.trim().to_owned();
                Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionRefused, message)))
            }
            None => Poll::Pending,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Inner::Direct(stream) => Pin::new(stream).poll_read(context, buffer),
            Inner::Forwarded(forwarded) => match Pin::new(&mut forwarded.stream).poll_read(context, buffer) {
                Poll::Pending => forwarded.poll_trouble(context),
                Poll::Ready(result) => Poll::Ready(result),
            },
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().0 {
            Inner::Direct(stream) => Pin::new(stream).poll_write(context, bytes),
            Inner::Forwarded(forwarded) => Pin::new(&mut forwarded.stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Inner::Direct(stream) => Pin::new(stream).poll_flush(context),
            Inner::Forwarded(forwarded) => Pin::new(&mut forwarded.stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Inner::Direct(stream) => Pin::new(stream).poll_shutdown(context),
            Inner::Forwarded(forwarded) => Pin::new(&mut forwarded.stream).poll_shutdown(context),
        }
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}
