//! Logging in with the key of a user, or with a certificate of it.

use std::sync::Arc;

use russh::client::{AuthResult, Handle};
use russh::keys::{HashAlg, PrivateKeyWithHashAlg};
use russh::{MethodKind, MethodSet};

use super::handler::{Facts, HostKeyCheck};
use crate::user_key::{Private, RsaSigner, SignError, UserKey};
use crate::{Error, Target};

/// Logs in.
///
/// # Errors
/// [`Error::AuthenticationFailed`], [`Error::Disconnected`].
pub(super) async fn log_in(
    handle: &mut Handle<HostKeyCheck>,
    facts: &Arc<Facts>,
    target: &Target,
    key: &UserKey,
) -> Result<(), Error> {
    let outcome = authenticate(handle, &target.user, key)
        .await
        .map_err(|failure| lost(target, facts, &failure.to_string()))?;
    match outcome {
        AuthResult::Success => Ok(()),
        // So russh reports a connection that broke.
        AuthResult::Failure {
            ref remaining_methods,
            ..
        } if remaining_methods.is_empty() && handle.is_closed() => {
            Err(lost(target, facts, "the host closed the connection"))
        }
        AuthResult::Failure {
            remaining_methods,
            partial_success,
        } => {
            let methods = remaining_methods
                .iter()
                .map(String::from)
                .collect::<Vec<_>>()
                .join(", ");
            Err(Error::AuthenticationFailed {
                address: target.endpoint(),
                user: target.user.clone(),
                key: key.to_string(),
                cause: match (partial_success, methods.is_empty()) {
                    (true, _) => format!("the key is accepted, but the host also wants: {methods}"),
                    (false, true) => "it accepts no further method".to_owned(),
                    (false, false) => format!("it accepts: {methods}"),
                },
            })
        }
    }
}

async fn authenticate(
    handle: &mut Handle<HostKeyCheck>,
    user: &str,
    key: &UserKey,
) -> Result<AuthResult, SignError> {
    let gone = |_| SignError::Send(russh::SendError {});
    match (&key.private, &key.certificate) {
        (Private::Russh(private), Some(certificate)) => {
            let (private, certificate) = (private.clone(), certificate.clone());
            handle
                .authenticate_openssh_cert(user, private, certificate)
                .await
                .map_err(gone)
        }
        (Private::Russh(private), None) => {
            let private = PrivateKeyWithHashAlg::new(private.clone(), None);
            handle.authenticate_publickey(user, private).await.map_err(gone)
        }
        (Private::Rsa(pair), certificate) => {
            // RFC 8332. What the host announces is what it knows, not what it accepts: both hashes are tried.
            let hashes = match handle.best_supported_rsa_hash().await.map_err(gone)? {
                Some(Some(HashAlg::Sha512)) => [HashAlg::Sha512, HashAlg::Sha256],
                _ => [HashAlg::Sha256, HashAlg::Sha512],
            };
            let mut outcome = AuthResult::Failure {
                remaining_methods: MethodSet::empty(),
                partial_success: false,
            };
            for hash in hashes {
                let mut signer = RsaSigner(pair.clone());
                let hash = Some(hash);
                outcome = match certificate.clone() {
                    Some(certificate) => {
                        handle
                            .authenticate_certificate_with(user, certificate, hash, &mut signer)
                            .await?
                    }
                    None => {
                        let public = key.public.clone();
                        handle
                            .authenticate_publickey_with(user, public, hash, &mut signer)
                            .await?
                    }
                };
                if !may_try_again(&outcome) {
                    break;
                }
            }
            Ok(outcome)
        }
    }
}

/// The key was refused, and another attempt with it is welcome.
fn may_try_again(outcome: &AuthResult) -> bool {
    match outcome {
        AuthResult::Success => false,
        AuthResult::Failure {
            remaining_methods,
            partial_success,
        } => !partial_success && remaining_methods.contains(&MethodKind::PublicKey),
    }
}

fn lost(target: &Target, facts: &Facts, otherwise: &str) -> Error {
    Error::Disconnected {
        address: target.endpoint(),
        what: format!("logging in as {}", target.user),
        cause: facts.ended.get().map_or(otherwise, String::as_str).to_owned(),
    }
}
