//! Certificates of users and of hosts, against a real OpenSSH server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure ends the test"
)]

mod support;

use std::fs;
use std::path::PathBuf;

use k0smotron_ssh::{Connected, Error, HostKeyPolicy, InvalidKey, Pins, SshTransport, Target, Transport};
use support::{ED25519, LONG, Sshd, keygen, refusal, sign, usable};

/// An authority with a key of this kind, in the directory of the server.
fn authority(sshd: &Sshd, name: &str, kind: &[&str]) -> PathBuf {
    let path = sshd.path(name);
    keygen(&path, kind);
    path
}

fn public(path: &std::path::Path) -> String {
    fs::read_to_string(path.with_extension("pub")).unwrap()
}

/// A user with a key of this kind whom the server knows by a certificate only, and the path of the public half.
fn certified(sshd: &Sshd, authority: &std::path::Path, kind: &[&str], arguments: &[&str]) -> Target {
    let path = sshd.path(&format!("certified_{:x}", rand::random::<u64>()));
    keygen(&path, kind);
    let mut target = sshd.target(fs::read_to_string(&path).unwrap().into());
    let user = target.user.clone();
    let arguments = [&["-I", "ops@example.org", "-n", user.as_str()], arguments].concat();
    target.certificate = Some(sign(authority, &path.with_extension("pub"), &arguments));
    target
}

#[tokio::test]
async fn a_user_is_let_in_by_a_certificate() {
    let mut sshd = Sshd::start();
    let ca = authority(&sshd, "user_ca", ED25519);
    sshd.configure(&format!("TrustedUserCAKeys {}.pub\n", ca.display()));
    for kind in [
        ED25519,
        &["-t", "ecdsa", "-b", "384", "-N", ""],
        &["-t", "rsa", "-b", "2048", "-N", ""],
    ] {
        let mut target = certified(&sshd, &ca, kind, &["-V", "-1h:+1h"]);
        usable(SshTransport.connect(&target, LONG).await.unwrap())
            .close()
            .await;
        // It is the certificate that opens the door.
        target.certificate = None;
        assert_eq!(
            refusal(&target).await.reason(),
            "AuthenticationFailed",
            "{kind:?}"
        );
    }
    let expired = certified(&sshd, &ca, ED25519, &["-V", "-2h:-1h"]);
    let error = refusal(&expired).await;
    assert_eq!(error.reason(), "AuthenticationFailed");
    assert!(
        error.to_string().contains("its certificate \"ops@example.org\""),
        "{error}"
    );
}

#[tokio::test]
async fn a_certificate_of_another_key_is_refused_without_a_connection() {
    let sshd = Sshd::start();
    let ca = authority(&sshd, "user_ca", ED25519);
    let (mut one, other) = (
        certified(&sshd, &ca, ED25519, &[]),
        certified(&sshd, &ca, ED25519, &[]),
    );
    one.port = 1;
    for (certificate, cause) in [
        (other.certificate.unwrap(), "is that of another key"),
        (
            "ssh-ed25519-cert-v01@openssh.com AAAA".to_owned(),
            "cannot be read",
        ),
    ] {
        one.certificate = Some(certificate);
        let error = refusal(&one).await;
        assert!(
            matches!(&error, Error::InvalidKey { cause: InvalidKey::Certificate(why), .. } if why.contains(cause)),
            "{error}"
        );
    }
}

/// A server whose host key the authority has signed.
fn signed(ca: &std::path::Path, arguments: &[&str]) -> Sshd {
    let mut sshd = Sshd::start();
    let arguments = [&["-h", "-I", "web 1"], arguments].concat();
    sign(ca, &sshd.path("host_ed25519.pub"), &arguments);
    sshd.configure(&format!(
        "HostCertificate {}\n",
        sshd.path("host_ed25519-cert.pub").display()
    ));
    sshd
}

fn trusting(sshd: &Sshd, pins: Pins) -> Target {
    Target {
        host_keys: HostKeyPolicy::Pinned(pins),
        ..sshd.target(sshd.user_key(ED25519))
    }
}

fn by(ca: &std::path::Path) -> Pins {
    let mut pins = Pins::default();
    pins.add_authority(&public(ca)).unwrap();
    pins
}

#[tokio::test]
async fn a_host_is_known_by_the_authority_that_signed_its_key() {
    let home = Sshd::start();
    for kind in [ED25519, &["-t", "ecdsa", "-b", "256", "-N", ""]] {
        let ca = authority(&home, &format!("host_ca_{}", kind[1]), kind);
        let sshd = signed(&ca, &["-n", "elsewhere,127.0.0.*", "-V", "-1h:+1h"]);
        let connected = SshTransport
            .connect(&trusting(&sshd, by(&ca)), LONG)
            .await
            .unwrap();
        let Connected::Known(session) = connected else {
            panic!("a signed host is not met for the first time");
        };
        assert_eq!(session.host_keys(), [sshd.host_key("ed25519")]);
        // The key alone is as good.
        let pins = Pins {
            keys: vec![sshd.host_key("ed25519")],
            ..by(&authority(&home, &format!("other_{}", kind[1]), ED25519))
        };
        usable(SshTransport.connect(&trusting(&sshd, pins), LONG).await.unwrap());
    }
}

#[tokio::test]
async fn a_certificate_that_does_not_hold_is_refused_with_the_reason() {
    let home = Sshd::start();
    let ca = authority(&home, "host_ca", ED25519);
    let refused = async |arguments: &[&str], pins: Pins| {
        let error = refusal(&trusting(&signed(&ca, arguments), pins)).await;
        assert_eq!(
            (error.reason(), error.is_retryable()),
            ("HostKeyRefused", false),
            "{error}"
        );
        error.to_string()
    };
    let says = |text: String, part: &str| assert!(text.contains(part), "{text}");
    says(
        refused(&["-n", "10.0.0.1"], by(&ca)).await,
        "\"web 1\" is for 10.0.0.1",
    );
    says(refused(&[], by(&ca)).await, "is for no host");
    says(
        refused(&["-n", "127.0.0.1", "-V", "-2h:-1h"], by(&ca)).await,
        "has expired",
    );
    says(
        refused(&["-n", "127.0.0.1", "-V", "+1h:+2h"], by(&ca)).await,
        "is not valid yet",
    );
    let revoked = Pins {
        revoked: by(&ca).authorities,
        ..by(&ca)
    };
    says(
        refused(&["-n", "127.0.0.1"], revoked).await,
        "is marked as revoked",
    );
}

#[tokio::test]
async fn a_host_of_no_known_authority_is_a_mismatch() {
    let home = Sshd::start();
    let (ca, other) = (
        authority(&home, "host_ca", ED25519),
        authority(&home, "other_ca", ED25519),
    );
    for sshd in [signed(&ca, &["-n", "127.0.0.1"]), Sshd::start()] {
        let error = refusal(&trusting(&sshd, by(&other))).await;
        assert_eq!(error.reason(), "HostKeyChanged");
        assert!(
            error
                .to_string()
                .contains("pinned a certificate of ssh-ed25519 SHA256:"),
            "{error}"
        );
    }
    let sshd = Sshd::start();
    let revoked = Pins {
        keys: vec![sshd.host_key("ed25519")],
        revoked: vec![sshd.host_key("ed25519")],
        ..Pins::default()
    };
    assert_eq!(
        refusal(&trusting(&sshd, revoked)).await.reason(),
        "HostKeyRefused"
    );
}
