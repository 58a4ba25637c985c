//! Hosts that go wrong at one step: a server of our own, in this process, that does everything else rightly.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure ends the test"
)]

mod support;

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use k0smotron_ssh::{Command, Error, HostKeyPolicy, Session, SshTransport, Target, Transport};
use russh::server::{self, Auth, ChannelOpenHandle, Msg, VerifiedPublicKey};
use russh::{Channel, ChannelId, Disconnect, Sig};
use support::{ED25519, LONG, keygen, usable};
use tempfile::TempDir;
use tokio::net::TcpListener;

/// Longer than a login takes, and far shorter than any test waits for its failure.
const SHORT: Duration = Duration::from_secs(3);

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// The key is never answered.
    Login,
    /// Channels are never confirmed.
    Channel,
    /// Channels are refused.
    NoChannel,
    /// A command is never answered.
    Command,
    /// Commands are refused.
    NoCommand,
    /// After some output the connection ends with a message.
    CutInOutput,
    /// The channel ends without a word about how the command ended.
    NoStatus,
    /// A signal that SSH has no name for.
    OddSignal,
    /// More output after the status of the command.
    StatusFirst,
    /// A connection to another host is confirmed, and nothing ever comes of it.
    Forward,
}

struct Host(Fault);

impl server::Handler for Host {
    type Error = russh::Error;

    async fn auth_publickey(
        &mut self,
        _user: &str,
        _key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, russh::Error> {
        if self.0 == Fault::Login {
            pending::<()>().await;
        }
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        _channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut server::Session,
    ) -> Result<(), russh::Error> {
        match self.0 {
            Fault::Channel => pending().await,
            Fault::NoChannel => drop(reply),
            _ => reply.accept().await,
        }
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        _host: &str,
        _port: u32,
        _from: &str,
        _from_port: u32,
        reply: ChannelOpenHandle,
        _session: &mut server::Session,
    ) -> Result<(), russh::Error> {
        reply.accept().await;
        // Dropped, it would be closed.
        std::mem::forget(channel);
        Ok(())
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        _line: &[u8],
        session: &mut server::Session,
    ) -> Result<(), russh::Error> {
        match self.0 {
            Fault::Command => return Ok(()),
            Fault::NoCommand => return session.channel_failure(channel),
            _ => session.channel_success(channel)?,
        }
        session.data(channel, "half of the out".as_bytes().to_vec())?;
        match self.0 {
            Fault::CutInOutput => {
                return session.disconnect(Disconnect::ByApplication, "going down for maintenance", "");
            }
            Fault::OddSignal => {
                let signal = Sig::Custom("SYS@example.org".to_owned());
                session.exit_signal_request(channel, signal, false, "", "")?;
            }
            Fault::StatusFirst => {
                session.exit_status_request(channel, 3)?;
                session.data(channel, "put".as_bytes().to_vec())?;
            }
            _ => {}
        }
        session.eof(channel)?;
        session.close(channel)
    }
}

/// The way to a host that goes wrong in this way, for as long as the directory is kept.
async fn host(fault: Fault) -> (Target, TempDir) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("key");
    keygen(&path, ED25519);
    let config = Arc::new(server::Config {
        keys: vec![russh::keys::load_secret_key(&path, None).unwrap()],
        ..server::Config::default()
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let running = server::run_stream(config.clone(), stream, Host(fault)).await;
            // How it ends is what the client is asked about.
            tokio::spawn(async move { running.unwrap().await });
        }
    });
    let target = Target {
        address: "127.0.0.1".into(),
        port,
        user: "root".into(),
        key: std::fs::read_to_string(path).unwrap().into(),
        passphrase: None,
        certificate: None,
        elevation: Default::default(),
        host_keys: HostKeyPolicy::FirstUse,
        via: None,
    };
    (target, directory)
}

async fn session(fault: Fault) -> (Session, TempDir) {
    let (target, directory) = host(fault).await;
    (
        usable(SshTransport.connect(&target, LONG).await.unwrap()),
        directory,
    )
}

/// What comes of a command that may take so long.
async fn failure(fault: Fault, deadline: Duration) -> Error {
    let (session, _directory) = session(fault).await;
    let command = Command::new("true").named("testing");
    session.run(&command, deadline).await.unwrap_err()
}

#[tokio::test]
async fn a_login_that_is_never_answered_is_given_up() {
    let (target, _directory) = host(Fault::Login).await;
    let error = SshTransport.connect(&target, SHORT).await.unwrap_err();
    assert!(
        matches!(&error, Error::Deadline { what, .. } if what == "the SSH login"),
        "{error}"
    );
}

#[tokio::test]
async fn a_command_that_is_never_answered_is_given_up() {
    for fault in [Fault::Channel, Fault::Command] {
        let error = failure(fault, SHORT).await;
        assert!(
            matches!(&error, Error::Deadline { what, .. } if what == "testing"),
            "{fault:?}: {error}"
        );
    }
}

#[tokio::test]
async fn a_host_that_refuses_commands_is_told_so() {
    for fault in [Fault::NoChannel, Fault::NoCommand] {
        let error = failure(fault, LONG).await;
        assert!(
            matches!(error, Error::ExecutionRefused { .. }),
            "{fault:?}: {error}"
        );
    }
}

#[tokio::test]
async fn a_command_whose_end_is_not_told_is_no_success() {
    let error = failure(Fault::CutInOutput, LONG).await;
    assert_eq!((error.reason(), error.is_retryable()), ("ConnectionLost", true));
    assert!(
        error.to_string().contains("going down for maintenance"),
        "{error}"
    );
    let error = failure(Fault::NoStatus, LONG).await;
    assert_eq!(error.reason(), "ConnectionLost");
    assert!(error.to_string().contains("without an exit status"), "{error}");
}

#[tokio::test]
async fn the_end_of_a_command_is_told_whatever_the_order_and_the_name() {
    let (odd, _directory) = session(Fault::OddSignal).await;
    let output = odd.run(&Command::new("true"), LONG).await.unwrap();
    assert_eq!(
        (output.signal.as_deref(), output.exit_status),
        (Some("SYS@example.org"), 255)
    );
    let (early, _directory) = session(Fault::StatusFirst).await;
    let output = early.run(&Command::new("true"), LONG).await.unwrap();
    assert_eq!(
        (output.stdout.as_str(), output.exit_status),
        ("half of the output", 3)
    );
}

#[tokio::test]
async fn a_jump_host_that_leads_nowhere_is_given_up() {
    let (jump, _directory) = host(Fault::Forward).await;
    let (mut target, _other) = host(Fault::Login).await;
    target.via = Some(Box::new(jump.clone()));
    let error = SshTransport.connect(&target, SHORT).await.unwrap_err();
    assert!(
        matches!(&error, Error::Deadline { address, what, .. } if *address == target.endpoint() && what.contains("key exchange")),
        "{error}"
    );
}
