//! Hosts behind other hosts, all of them real OpenSSH servers on the loopback.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure ends the test"
)]

mod support;

use std::time::Duration;

use k0smotron_ssh::{Command, Connected, Error, HostKeyPolicy, NewHost, SshTransport, Target, Transport};
use support::{ED25519, LONG, Sshd, refusal, usable};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

/// The way to the last of these, through the others in order; each with a key of its own.
fn chain(hosts: &[&Sshd]) -> Target {
    hosts
        .iter()
        .fold(None, |via: Option<Box<Target>>, host| {
            Some(Box::new(Target {
                via,
                ..host.target(host.user_key(ED25519))
            }))
        })
        .map(|target| *target)
        .unwrap()
}

fn pinned(mut target: Target, hosts: &[&Sshd]) -> Target {
    let mut hop = Some(&mut target);
    for host in hosts.iter().rev() {
        let this = hop.unwrap();
        this.host_keys = HostKeyPolicy::Pinned(vec![host.host_key("ed25519")].into());
        hop = this.via.as_deref_mut();
    }
    target
}

#[tokio::test]
async fn commands_and_files_reach_a_host_behind_two_others() {
    let (first, second, last) = (Sshd::start(), Sshd::start(), Sshd::start());
    let hosts = [&first, &second, &last];
    let target = chain(&hosts);
    let Connected::FirstUse(contact) = SshTransport.connect(&target, LONG).await.unwrap() else {
        panic!("three hosts are met for the first time");
    };
    let new = |host: &Sshd, is_target| NewHost {
        endpoint: format!("127.0.0.1:{}", host.port),
        is_target,
        host_key: host.host_key("ed25519"),
    };
    assert_eq!(
        contact.new_hosts(),
        [new(&first, false), new(&second, false), new(&last, true)]
    );
    drop(contact);

    let target = pinned(target, &hosts);
    let Connected::Known(session) = SshTransport.connect(&target, LONG).await.unwrap() else {
        panic!("all three are pinned");
    };
    // As seen by the last one, the connection comes from the host before it.
    let output = session
        .run(&Command::new("echo $SSH_CONNECTION"), LONG)
        .await
        .unwrap();
    assert!(
        output
            .stdout
            .trim()
            .ends_with(&format!("127.0.0.1 {}", last.port)),
        "{}",
        output.stdout
    );
    // More than fits into any window on the way.
    let path = last.path("large");
    let content = vec![7; 5_000_000];
    session
        .put(path.to_str().unwrap(), 0o600, &content, LONG)
        .await
        .unwrap();
    assert_eq!(std::fs::read(path).unwrap(), content);
    session.close().await;
}

#[tokio::test]
async fn a_host_on_the_way_is_met_once() {
    let (bastion, last) = (Sshd::start(), Sshd::start());
    let mut target = pinned(chain(&[&bastion, &last]), &[&bastion, &last]);
    target.via.as_mut().unwrap().host_keys = HostKeyPolicy::FirstUse;
    let Connected::FirstUse(contact) = SshTransport.connect(&target, LONG).await.unwrap() else {
        panic!("nothing may be run before the key of the host on the way is kept");
    };
    assert_eq!(contact.new_hosts().len(), 1);
    assert!(!contact.new_hosts()[0].is_target);
    contact.pinned().close().await;
}

/// Each host has to be the right one, and each failure is told of the host that it happened on.
#[tokio::test]
async fn failures_name_their_host() {
    let (mut bastion, last, stranger) = (Sshd::start(), Sshd::start(), Sshd::start());
    let good = pinned(chain(&[&bastion, &last]), &[&bastion, &last]);
    let jump = |change: &dyn Fn(&mut Target)| {
        let mut target = good.clone();
        change(target.via.as_mut().unwrap());
        target
    };
    let names = |error: &Error, reason: &str, host: &Sshd| {
        assert_eq!(error.reason(), reason, "{error}");
        assert!(
            error.to_string().contains(&format!("127.0.0.1:{}", host.port)),
            "{error}"
        );
    };

    let other = HostKeyPolicy::Pinned(vec![stranger.host_key("ed25519")].into());
    let error = refusal(&jump(&|bastion| bastion.host_keys = other.clone())).await;
    names(&error, "HostKeyChanged", &bastion);
    let error = refusal(&Target {
        host_keys: other.clone(),
        ..good.clone()
    })
    .await;
    names(&error, "HostKeyChanged", &last);

    let error = refusal(&jump(&|bastion| bastion.key = stranger.user_key(ED25519))).await;
    names(&error, "AuthenticationFailed", &bastion);
    let error = refusal(&Target {
        key: stranger.user_key(ED25519),
        ..good.clone()
    })
    .await;
    names(&error, "AuthenticationFailed", &last);

    let error = refusal(&jump(&|bastion| bastion.port = 1)).await;
    assert!(
        matches!(&error, Error::Unreachable { address, .. } if address == "127.0.0.1:1"),
        "{error}"
    );
    let error = refusal(&Target {
        port: 1,
        ..good.clone()
    })
    .await;
    names(&error, "HostUnreachable", &bastion);
    assert!(
        error.to_string().starts_with("cannot reach 127.0.0.1:1: "),
        "{error}"
    );

    bastion.configure("AllowTcpForwarding no\n");
    let error = refusal(&good).await;
    names(&error, "HostUnreachable", &bastion);
    assert!(error.to_string().contains("AllowTcpForwarding"), "{error}");
}

/// A host behind the bastion that greets and falls silent costs no more than the deadline, and is the one that is named.
#[tokio::test]
async fn a_silent_host_behind_another_is_given_up() {
    let bastion = Sshd::start();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let target = Target {
        port,
        ..chain(&[&bastion, &bastion])
    };
    let host = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"SSH-2.0-Silent\r\n").await.unwrap();
        // Until the bastion, whose client is gone, closes it.
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    });
    let error = SshTransport
        .connect(&target, Duration::from_secs(3))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, Error::Deadline { address, .. } if *address == format!("127.0.0.1:{port}")),
        "{error}"
    );
    tokio::time::timeout(LONG, host)
        .await
        .expect("the connection stays open")
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_host_behind_another_is_used_by_many_at_once() {
    let (bastion, last) = (Sshd::start(), Sshd::start());
    let target = pinned(chain(&[&bastion, &last]), &[&bastion, &last]);
    let sessions = futures::future::join_all((0..5).map(|_| SshTransport.connect(&target, LONG))).await;
    for session in sessions {
        let session = usable(session.unwrap());
        assert!(session.run(&Command::new("true"), LONG).await.unwrap().success());
    }
}
