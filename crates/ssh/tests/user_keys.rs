//! Which private keys let a user in, against a real OpenSSH server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure ends the test"
)]

mod support;

use k0smotron_ssh::{Command, Error, InvalidKey, SshTransport, Transport};
use support::{ED25519, LONG, Sshd, keygen, refusal, usable};

async fn gets_in(keygen_arguments: &[&str]) {
    let sshd = Sshd::start();
    let target = sshd.target(sshd.user_key(keygen_arguments));
    let session = usable(SshTransport.connect(&target, LONG).await.unwrap());
    let output = session.run(&Command::new("echo in"), LONG).await.unwrap();
    assert_eq!((output.exit_status, output.stdout.as_str()), (0, "in\n"));
    session.close().await;
}

#[tokio::test]
async fn ed25519() {
    gets_in(ED25519).await;
}

#[tokio::test]
async fn ecdsa_of_every_curve() {
    for bits in ["256", "384", "521"] {
        gets_in(&["-t", "ecdsa", "-b", bits, "-N", ""]).await;
    }
}

#[tokio::test]
async fn ecdsa_as_sec1_and_pkcs8() {
    gets_in(&["-t", "ecdsa", "-m", "PEM", "-N", ""]).await;
    gets_in(&["-t", "ecdsa", "-m", "PKCS8", "-N", ""]).await;
}

#[tokio::test]
async fn rsa_in_the_form_of_openssh() {
    gets_in(&["-t", "rsa", "-b", "2048", "-N", ""]).await;
    gets_in(&["-t", "rsa", "-b", "3072", "-N", ""]).await;
}

#[tokio::test]
async fn rsa_as_pkcs1_and_pkcs8() {
    gets_in(&["-t", "rsa", "-b", "2048", "-m", "PEM", "-N", ""]).await;
    gets_in(&["-t", "rsa", "-b", "2048", "-m", "PKCS8", "-N", ""]).await;
}

/// Hosts differ in what they accept; both hashes of RFC 8332 have to work.
#[tokio::test]
async fn rsa_with_the_only_hash_that_the_host_accepts() {
    for algorithm in ["rsa-sha2-256", "rsa-sha2-512"] {
        let mut sshd = Sshd::start();
        sshd.configure(&format!("PubkeyAcceptedAlgorithms {algorithm}\n"));
        let target = sshd.target(sshd.user_key(&["-t", "rsa", "-b", "2048", "-N", ""]));
        usable(SshTransport.connect(&target, LONG).await.unwrap())
            .close()
            .await;
    }
}

#[tokio::test]
async fn a_key_that_the_host_does_not_know_is_refused_with_its_fingerprint() {
    let sshd = Sshd::start();
    for arguments in [ED25519, &["-t", "rsa", "-b", "2048", "-N", ""]] {
        let stranger = sshd.path("stranger");
        let _ = std::fs::remove_file(&stranger);
        keygen(&stranger, arguments);
        let target = sshd.target(std::fs::read_to_string(&stranger).unwrap().into());
        let error = refusal(&target).await;
        assert!(matches!(error, Error::AuthenticationFailed { .. }), "{error}");
        assert_eq!(error.reason(), "AuthenticationFailed");
        assert!(!error.is_retryable());
        let message = error.to_string();
        assert!(message.contains(&target.endpoint()), "{message}");
        assert!(message.contains("SHA256:"), "{message}");
        assert!(message.contains("authorized_keys"), "{message}");
    }
}

/// The key is read before anything is sent: nobody listens on this port.
#[tokio::test]
async fn an_encrypted_key_is_refused_without_a_connection() {
    let sshd = Sshd::start();
    let mut target = sshd.target(sshd.user_key(&["-t", "ed25519", "-a", "1", "-N", "correct horse"]));
    target.port = 1;
    let error = refusal(&target).await;
    assert!(
        matches!(
            error,
            Error::InvalidKey {
                cause: InvalidKey::Encrypted,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(error.reason(), "InvalidSSHKey");
    assert!(error.to_string().contains("give its passphrase"), "{error}");
}

#[tokio::test]
async fn a_passphrase_opens_the_key() {
    let sshd = Sshd::start();
    for arguments in [
        &["-t", "ed25519", "-a", "1", "-N", "correct horse"][..],
        &["-t", "rsa", "-b", "2048", "-a", "1", "-N", "correct horse"],
    ] {
        let mut target = sshd.target(sshd.user_key(arguments));
        target.passphrase = Some("correct horse".into());
        usable(SshTransport.connect(&target, LONG).await.unwrap())
            .close()
            .await;
        target.passphrase = Some("battery staple".into());
        let error = refusal(&target).await;
        assert!(
            matches!(
                error,
                Error::InvalidKey {
                    cause: InvalidKey::Passphrase,
                    ..
                }
            ),
            "{error}"
        );
    }
}
