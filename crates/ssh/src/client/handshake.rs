//! From an address to an authenticated connection.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use russh::client::{AuthResult, Config, Handle};
use russh::keys::{Algorithm, HashAlg, PrivateKeyWithHashAlg};
use russh::{AlgorithmKind, MethodKind, MethodSet, Preferred, SshId};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::connection::RusshConnection;
use super::handler::{Facts, Failure, HostKeyCheck};
use super::stream::Cuttable;
use crate::host_key::HostKeyAlgorithm;
use crate::user_key::{Private, RsaSigner, SignError, UserKey};
use crate::{Connected, Error, HostKey, HostKeyPolicy, Target};

/// A host that says nothing for this long is asked whether it is still there; after three questions without
/// an answer the connection is given up.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVE_MAX: usize = 3;

/// How far an attempt got.
#[derive(Clone, Copy)]
enum Stage {
    Tcp,
    KeyExchange,
    Authentication,
}

pub(super) async fn connect(target: &Target, deadline: Duration) -> Result<Connected, Error> {
    let address = target.endpoint();
    let key = UserKey::parse(&target.key).map_err(|cause| Error::InvalidKey {
        address: address.clone(),
        user: target.user.clone(),
        cause,
    })?;
    let mut stage = Stage::Tcp;
    match timeout(deadline, negotiate(target, &key, &mut stage)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(match stage {
            Stage::Tcp => Error::Unreachable {
                address,
                cause: format!("no answer within {deadline:?}"),
            },
            Stage::KeyExchange => Error::Deadline {
                address,
                what: "the SSH key exchange".into(),
                after: deadline,
            },
            Stage::Authentication => Error::Deadline {
                address,
                what: "the SSH login".into(),
                after: deadline,
            },
        }),
    }
}

/// Connects until the host shows a pinned key.
///
/// A host has several keys and shows one of them: the first kind in our list that it has. Pins that name
/// their algorithm decide the head of that list. For a pin that does not, the other kinds are tried, so that
/// a host is called changed only if none of its keys fits.
async fn negotiate(target: &Target, key: &UserKey, stage: &mut Stage) -> Result<Connected, Error> {
    let mut offered = preference(&target.host_keys);
    let mut first_presented: Option<HostKey> = None;
    loop {
        let failure = match attempt(target, key, &offered, stage).await? {
            Ok(connected) => return Ok(connected),
            Err(failure) => failure,
        };
        match (failure, &target.host_keys) {
            (Failure::Mismatch(presented), HostKeyPolicy::Pinned(pins)) => {
                let tried = presented.algorithm;
                let first = first_presented.get_or_insert(presented).clone();
                offered.retain(|algorithm| Some(*algorithm) != tried);
                let others_may_fit = pins.iter().any(|pin| pin.algorithm.is_none()) && !offered.is_empty();
                if !others_may_fit {
                    return Err(mismatch(target, first));
                }
            }
            (failure, _) => {
                return Err(match first_presented {
                    Some(first) if no_common_host_key(&failure).is_some() => mismatch(target, first),
                    _ => described(target, failure),
                });
            }
        }
    }
}

/// The kinds of host keys to ask for, best first.
fn preference(policy: &HostKeyPolicy) -> Vec<HostKeyAlgorithm> {
    let mut offered = HostKeyAlgorithm::SUPPORTED.to_vec();
    if let HostKeyPolicy::Pinned(pins) = policy {
        // Stable: within pinned and within not pinned kinds the order stays. The kinds that are not pinned
        // remain at the end, so that a host that lost the pinned key can be told by the one that it shows.
        offered.sort_by_key(|algorithm| !pins.iter().any(|pin| pin.algorithm == Some(*algorithm)));
    }
    offered
}

/// One TCP connection. The outer error ends everything, the inner one may be worth another connection.
async fn attempt(
    target: &Target,
    key: &UserKey,
    offered: &[HostKeyAlgorithm],
    stage: &mut Stage,
) -> Result<Result<Connected, Failure>, Error> {
    *stage = Stage::Tcp;
    let tcp = TcpStream::connect((target.host(), target.port))
        .await
        .and_then(|tcp| tcp.set_nodelay(true).map(|()| tcp))
        .map_err(|error| Error::Unreachable {
            address: target.endpoint(),
            cause: error.to_string(),
        })?;
    let (stream, cut) = Cuttable::new(tcp);

    *stage = Stage::KeyExchange;
    let facts = Arc::new(Facts::default());
    let check = HostKeyCheck {
        policy: target.host_keys.clone(),
        facts: facts.clone(),
    };
    let mut handle = match russh::client::connect_stream(Arc::new(config(offered)), stream, check).await {
        Ok(handle) => handle,
        Err(failure) => return Ok(Err(failure)),
    };
    let Some(host_key) = facts.host_key.get().cloned() else {
        return Ok(Err(Failure::Russh(russh::Error::UnknownKey)));
    };

    *stage = Stage::Authentication;
    let outcome = match authenticate(&mut handle, &target.user, key).await {
        Ok(outcome) => outcome,
        Err(failure) => return Err(lost(target, &facts, &failure.to_string())),
    };
    match outcome {
        AuthResult::Success => {
            let connection = RusshConnection::new(handle, facts, target.endpoint(), cut);
            Ok(Ok(Connected::new(Box::new(connection), target, host_key)))
        }
        // So russh reports a connection that broke.
        AuthResult::Failure {
            ref remaining_methods,
            ..
        } if remaining_methods.is_empty() && handle.is_closed() => {
            Err(lost(target, &facts, "the host closed the connection"))
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

fn config(offered: &[HostKeyAlgorithm]) -> Config {
    let key: Vec<Algorithm> = offered
        .iter()
        .filter_map(|algorithm| algorithm.negotiable())
        .collect();
    Config {
        client_id: SshId::Standard(Cow::Borrowed("SSH-2.0-k0smotron")),
        keepalive_interval: Some(KEEPALIVE_INTERVAL),
        keepalive_max: KEEPALIVE_MAX,
        preferred: Preferred {
            key: Cow::Owned(key),
            ..Preferred::DEFAULT
        },
        ..Config::default()
    }
}

async fn authenticate(
    handle: &mut Handle<HostKeyCheck>,
    user: &str,
    key: &UserKey,
) -> Result<AuthResult, SignError> {
    let gone = |_| SignError::Send(russh::SendError {});
    match &key.private {
        Private::Russh(private) => {
            let private = PrivateKeyWithHashAlg::new(private.clone(), None);
            handle.authenticate_publickey(user, private).await.map_err(gone)
        }
        Private::Rsa(pair) => {
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
                let public = key.public.clone();
                outcome = handle
                    .authenticate_publickey_with(user, public, Some(hash), &mut signer)
                    .await?;
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

fn mismatch(target: &Target, presented: HostKey) -> Error {
    let expected = match &target.host_keys {
        HostKeyPolicy::Pinned(pins) => pins.clone(),
        HostKeyPolicy::FirstUse => Vec::new(),
    };
    Error::HostKeyMismatch {
        address: target.endpoint(),
        presented,
        expected,
    }
}

fn lost(target: &Target, facts: &Facts, otherwise: &str) -> Error {
    Error::Disconnected {
        address: target.endpoint(),
        what: format!("logging in as {}", target.user),
        cause: facts.ended.get().map_or(otherwise, String::as_str).to_owned(),
    }
}

/// What the host offers, if the two sides have no kind of host key in common.
fn no_common_host_key(failure: &Failure) -> Option<&[String]> {
    match failure {
        Failure::Russh(russh::Error::NoCommonAlgo {
            kind: AlgorithmKind::Key,
            theirs,
            ..
        }) => Some(theirs),
        _ => None,
    }
}

fn described(target: &Target, failure: Failure) -> Error {
    let address = target.endpoint();
    if let Some(offered) = no_common_host_key(&failure) {
        return Error::HostKeyUnsupported {
            address,
            offered: offered.join(", "),
        };
    }
    match failure {
        Failure::Mismatch(presented) => mismatch(target, presented),
        Failure::Russh(error) => Error::Handshake {
            address,
            cause: error.to_string(),
        },
    }
}
