//! Hosts that are not there, do not answer, answer nonsense or fall silent; and that nothing of ours is left
//! behind.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure ends the test"
)]

mod support;

use std::time::{Duration, Instant};

use k0smotron_ssh::{Command, Error, SshTransport, Target, Transport};
use support::{ED25519, LONG, Sshd, refusal, usable};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Far shorter than any test waits for its failure.
const SHORT: Duration = Duration::from_millis(500);

async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// Waits until the other side has closed the connection, whatever it said before.
async fn closed(mut stream: TcpStream) {
    let mut rest = [0; 4096];
    let end = async { while matches!(stream.read(&mut rest).await, Ok(1..)) {} };
    tokio::time::timeout(LONG, end)
        .await
        .expect("the connection stays open");
}

#[tokio::test]
async fn nobody_listens() {
    let sshd = Sshd::start();
    let (listener, port) = listener().await;
    drop(listener);
    let target = Target {
        port,
        ..sshd.target(sshd.user_key(ED25519))
    };
    let error = refusal(&target).await;
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    assert_eq!((error.reason(), error.is_retryable()), ("HostUnreachable", true));
    assert!(
        error
            .to_string()
            .starts_with(&format!("cannot reach 127.0.0.1:{port}: Connection refused")),
        "{error}"
    );

    let target = Target {
        address: "no-such-host.invalid".into(),
        ..target
    };
    assert_eq!(refusal(&target).await.reason(), "HostUnreachable");
}

#[tokio::test]
async fn a_silent_host_is_given_up_and_its_connection_closed() {
    let sshd = Sshd::start();
    // One says nothing at all, one greets and then falls silent in the key exchange.
    for greeting in ["", "SSH-2.0-Silent\r\n"] {
        let (listener, port) = listener().await;
        let target = Target {
            port,
            ..sshd.target(sshd.user_key(ED25519))
        };
        let host = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(greeting.as_bytes()).await.unwrap();
            closed(stream).await;
        });
        let start = Instant::now();
        let error = SshTransport.connect(&target, SHORT).await.unwrap_err();
        assert!(start.elapsed() < LONG / 2);
        assert!(
            matches!(&error, Error::Deadline { what, .. } if what.contains("key exchange")),
            "{error}"
        );
        host.await.unwrap();
    }
}

#[tokio::test]
async fn a_host_that_speaks_something_else_is_told_so() {
    let sshd = Sshd::start();
    for answer in [
        "HTTP/1.1 400 Bad Request\r\n\r\n",
        "SSH-2.0-Odd\r\nnot a packet at all, by any means",
        "\0\0\0\0",
    ] {
        let (listener, port) = listener().await;
        let target = Target {
            port,
            ..sshd.target(sshd.user_key(ED25519))
        };
        let host = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            closed(stream).await;
        });
        let error = refusal(&target).await;
        assert!(matches!(error, Error::Handshake { .. }), "{answer:?}: {error}");
        assert_eq!(
            (error.reason(), error.is_retryable()),
            ("SSHHandshakeFailed", true)
        );
        host.await.unwrap();
    }
}

/// A way to the server that can fall silent, as a host does whose power or network is gone: then nothing is
/// taken from either side any more.
struct Wire {
    port: u16,
    silence: Option<oneshot::Sender<()>>,
    look: oneshot::Sender<()>,
    client_gone: JoinHandle<()>,
}

impl Wire {
    async fn to(sshd: &Sshd) -> Self {
        let (listener, port) = listener().await;
        let (silence, silent) = oneshot::channel();
        let (look, looks) = oneshot::channel();
        let server_port = sshd.port;
        let client_gone = tokio::spawn(async move {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut server = TcpStream::connect(("127.0.0.1", server_port)).await.unwrap();
            tokio::select! {
                biased;
                Ok(()) = silent => {}
                _ = tokio::io::copy_bidirectional(&mut client, &mut server) => return,
            }
            looks.await.unwrap();
            closed(client).await;
        });
        Self {
            port,
            silence: Some(silence),
            look,
            client_gone,
        }
    }

    fn fall_silent(&mut self) {
        self.silence.take().unwrap().send(()).unwrap();
    }

    async fn client_gone(self) {
        let _ = self.look.send(());
        tokio::time::timeout(LONG, self.client_gone)
            .await
            .expect("the connection stays open")
            .unwrap();
    }
}

#[tokio::test]
async fn a_host_that_falls_silent_costs_no_more_than_the_deadline() {
    let sshd = Sshd::start();
    let mut wire = Wire::to(&sshd).await;
    let target = Target {
        port: wire.port,
        ..sshd.target(sshd.user_key(ED25519))
    };
    let session = usable(SshTransport.connect(&target, LONG).await.unwrap());
    assert!(session.run(&Command::new("true"), LONG).await.unwrap().success());

    wire.fall_silent();
    let error = session
        .run(&Command::new("true").named("testing"), SHORT)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, Error::Deadline { what, .. } if what == "testing"),
        "{error}"
    );
    // More than fits into any window or buffer on the way.
    let path = sshd.path("file");
    let error = session
        .put(path.to_str().unwrap(), 0o644, &vec![0; 10_000_000], SHORT)
        .await
        .unwrap_err();
    assert_eq!(error.reason(), "DeadlineExceeded");

    drop(session);
    wire.client_gone().await;
}

#[tokio::test]
async fn a_dropped_session_closes_its_connection() {
    let sshd = Sshd::start();
    let wire = Wire::to(&sshd).await;
    let target = Target {
        port: wire.port,
        ..sshd.target(sshd.user_key(ED25519))
    };
    drop(usable(SshTransport.connect(&target, LONG).await.unwrap()));
    wire.client_gone().await;

    // In the middle of a command as well.
    let wire = Wire::to(&sshd).await;
    let session = usable(
        SshTransport
            .connect(
                &Target {
                    port: wire.port,
                    ..target
                },
                LONG,
            )
            .await
            .unwrap(),
    );
    let command = Command::new("while echo still here; do sleep 0.02; done");
    assert!(
        tokio::time::timeout(SHORT, session.run(&command, LONG))
            .await
            .is_err()
    );
    drop(session);
    wire.client_gone().await;
}

#[tokio::test]
async fn a_dropped_attempt_closes_its_connection() {
    let sshd = Sshd::start();
    let (listener, port) = listener().await;
    let target = Target {
        port,
        ..sshd.target(sshd.user_key(ED25519))
    };
    let host = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"SSH-2.0-Silent\r\n").await.unwrap();
        closed(stream).await;
    });
    let attempt = tokio::spawn(async move { SshTransport.connect(&target, LONG).await.map(|_| ()) });
    tokio::time::sleep(SHORT).await;
    attempt.abort();
    host.await.unwrap();
}

#[tokio::test]
async fn addresses_may_be_names_and_ipv6() {
    let mut sshd = Sshd::start();
    let key = sshd.user_key(ED25519);
    let mut addresses = vec!["localhost", "127.0.0.1"];
    // Some containers have no IPv6 at all.
    if TcpListener::bind("[::1]:0").await.is_ok() {
        sshd.configure(&format!("ListenAddress [::1]:{}\n", sshd.port));
        addresses.extend(["::1", "[::1]"]);
    }
    for address in addresses {
        let target = Target {
            address: address.into(),
            ..sshd.target(key.clone())
        };
        usable(SshTransport.connect(&target, LONG).await.unwrap())
            .close()
            .await;
    }
}
