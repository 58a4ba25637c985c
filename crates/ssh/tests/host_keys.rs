//! Which hosts are believed, against a real OpenSSH server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure ends the test"
)]

mod support;

use k0smotron_ssh::{
    Command, Connected, Error, HostKey, HostKeyAlgorithm, HostKeyPolicy, NewHost, SshTransport, Target,
    Transport,
};
use support::{ED25519, LONG, Sshd, refusal, usable};

fn pinned(sshd: &Sshd, pins: &[HostKey]) -> Target {
    Target {
        host_keys: HostKeyPolicy::Pinned(pins.to_vec().into()),
        ..sshd.target(sshd.user_key(ED25519))
    }
}

async fn key_of_known_host(target: &Target) -> HostKey {
    match SshTransport.connect(target, LONG).await.unwrap() {
        Connected::Known(session) => session.host_keys().last().unwrap().clone(),
        Connected::FirstUse(_) => panic!("a pinned host is not met for the first time"),
    }
}

#[tokio::test]
async fn first_use_reports_the_key_and_the_pin_is_good_from_then_on() {
    let sshd = Sshd::start();
    let target = sshd.target(sshd.user_key(ED25519));
    let Connected::FirstUse(contact) = SshTransport.connect(&target, LONG).await.unwrap() else {
        panic!("an unknown host must be reported as such");
    };
    let expected = NewHost {
        endpoint: target.endpoint(),
        is_target: true,
        host_key: sshd.host_key("ed25519"),
    };
    assert_eq!(contact.new_hosts(), [expected]);
    // As it is stored and read again.
    let pin: HostKey = contact.new_hosts()[0].host_key.to_string().parse().unwrap();
    let output = contact.pinned().run(&Command::new("true"), LONG).await.unwrap();
    assert!(output.success());
    assert_eq!(
        key_of_known_host(&pinned(&sshd, std::slice::from_ref(&pin))).await,
        pin
    );
}

#[tokio::test]
async fn a_changed_key_is_refused_with_both_fingerprints() {
    let mut sshd = Sshd::start();
    let old = sshd.host_key("ed25519");
    let target = pinned(&sshd, std::slice::from_ref(&old));
    key_of_known_host(&target).await;

    sshd.replace_host_keys(&["ed25519"]);
    let new = sshd.host_key("ed25519");
    assert_ne!(old, new);
    let error = refusal(&target).await;
    let expected = Error::HostKeyMismatch {
        address: target.endpoint(),
        presented: new.clone(),
        expected: Box::new(vec![old.clone()].into()),
    };
    assert_eq!(error, expected);
    assert_eq!((error.reason(), error.is_retryable()), ("HostKeyChanged", false));
    for part in [old.to_string(), new.to_string(), target.endpoint()] {
        assert!(error.to_string().contains(&part), "{error}");
    }
}

#[tokio::test]
async fn a_host_that_lost_the_pinned_kind_of_key_is_refused_with_both_fingerprints() {
    let mut sshd = Sshd::start();
    let old = sshd.host_key("ed25519");
    let target = pinned(&sshd, std::slice::from_ref(&old));
    sshd.replace_host_keys(&["ecdsa"]);
    let error = refusal(&target).await;
    let expected = Error::HostKeyMismatch {
        address: target.endpoint(),
        presented: sshd.host_key("ecdsa"),
        expected: Box::new(vec![old].into()),
    };
    assert_eq!(error, expected);
}

/// Left alone, such a host shows its Ed25519 key.
#[tokio::test]
async fn a_host_with_several_keys_is_known_by_any_of_them() {
    let sshd = Sshd::with_host_keys(&["rsa", "ecdsa", "ed25519"]);
    for kind in ["ecdsa", "ed25519"] {
        let pin = sshd.host_key(kind);
        assert_eq!(
            key_of_known_host(&pinned(&sshd, std::slice::from_ref(&pin))).await,
            pin
        );

        // A pin that does not name its algorithm.
        let bare = HostKey {
            algorithm: None,
            ..pin.clone()
        };
        assert_eq!(
            key_of_known_host(&pinned(&sshd, std::slice::from_ref(&bare))).await,
            pin
        );

        // A stale pin beside it.
        let stale = HostKey {
            algorithm: None,
            ..Sshd::start().host_key("ed25519")
        };
        assert_eq!(
            key_of_known_host(&pinned(&sshd, &[stale, pin.clone()])).await,
            pin
        );
    }
}

#[tokio::test]
async fn bare_pins_that_fit_no_key_are_a_mismatch() {
    let sshd = Sshd::with_host_keys(&["ecdsa", "ed25519"]);
    let stranger = HostKey {
        algorithm: None,
        ..Sshd::start().host_key("ed25519")
    };
    let error = refusal(&pinned(&sshd, std::slice::from_ref(&stranger))).await;
    let presented = sshd.host_key("ed25519");
    assert!(
        matches!(&error, Error::HostKeyMismatch { presented: p, expected, .. } if *p == presented && expected.keys == [stranger]),
        "{error}"
    );
}

#[tokio::test]
async fn the_right_fingerprint_under_another_algorithm_is_a_mismatch() {
    let sshd = Sshd::start();
    let pin = HostKey {
        algorithm: Some(HostKeyAlgorithm::EcdsaP256),
        ..sshd.host_key("ed25519")
    };
    assert_eq!(refusal(&pinned(&sshd, &[pin])).await.reason(), "HostKeyChanged");
}

#[tokio::test]
async fn no_pin_accepts_no_host() {
    let sshd = Sshd::start();
    assert_eq!(refusal(&pinned(&sshd, &[])).await.reason(), "HostKeyChanged");
}

#[tokio::test]
async fn a_host_with_nothing_but_rsa_is_told_so() {
    let sshd = Sshd::with_host_keys(&["rsa"]);
    let error = refusal(&sshd.target(sshd.user_key(ED25519))).await;
    assert!(
        matches!(&error, Error::HostKeyUnsupported { offered, .. } if offered.contains("rsa-sha2-512")),
        "{error}"
    );
    assert!(error.to_string().contains("ssh-keygen -A"), "{error}");
    // A pin of it can be written down, and does not help.
    assert_eq!(
        refusal(&pinned(&sshd, &[sshd.host_key("rsa")])).await.reason(),
        "HostKeyUnsupported"
    );
}

#[tokio::test]
async fn a_mismatch_is_found_before_the_login() {
    let sshd = Sshd::start();
    let mut target = pinned(&sshd, &[]);
    target.user = "nobody-knows-me".into();
    assert_eq!(refusal(&target).await.reason(), "HostKeyChanged");
    target.host_keys = HostKeyPolicy::FirstUse;
    assert_eq!(refusal(&target).await.reason(), "AuthenticationFailed");
    let session = usable(
        SshTransport
            .connect(&sshd.target(sshd.user_key(ED25519)), LONG)
            .await
            .unwrap(),
    );
    session.close().await;
}
