//! From an address to an authenticated connection, through whatever is on the way.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use russh::client::Config;
use russh::keys::Algorithm;
use russh::{AlgorithmKind, Preferred, SshId};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::connection::RusshConnection;
use super::handler::{Facts, Failure, HostKeyCheck};
use super::login;
use super::stream::{Cuttable, Duplex};
use crate::host_key::HostKeyAlgorithm;
use crate::pins::Refusal;
use crate::user_key::UserKey;
use crate::{Connected, Error, HostKey, HostKeyPolicy, Pins, Target};

/// A host that says nothing for this long is asked whether it is still there; after three questions without
/// an answer the connection is given up.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVE_MAX: usize = 3;

/// How far an attempt got.
#[derive(Clone, Copy)]
enum Stage {
    Stream,
    KeyExchange,
    Authentication,
}

/// How far, and on which host.
struct Progress<'a> {
    hop: &'a Target,
    stage: Stage,
}

impl Progress<'_> {
    /// The attempt ended here because it had no more time.
    fn late(&self, deadline: Duration) -> Error {
        let address = self.hop.endpoint();
        let what = match self.stage {
            Stage::Stream => {
                return Error::Unreachable {
                    address,
                    cause: format!("no answer within {deadline:?}"),
                };
            }
            Stage::KeyExchange => "the SSH key exchange",
            Stage::Authentication => "the SSH login",
        };
        Error::Deadline {
            address,
            what: what.into(),
            after: deadline,
        }
    }
}

pub(super) async fn connect(target: &Target, deadline: Duration) -> Result<Connected, Error> {
    let mut progress = Progress {
        hop: target,
        stage: Stage::Stream,
    };
    timeout(deadline, reach(target, &mut progress))
        .await
        .unwrap_or_else(|_| Err(progress.late(deadline)))
}

/// From host to host. All keys are read before anything is sent.
async fn reach<'a>(target: &'a Target, progress: &mut Progress<'a>) -> Result<Connected, Error> {
    let mut hops = Vec::new();
    for hop in target.hops() {
        let key = UserKey::of(hop).await.map_err(|cause| Error::InvalidKey {
            address: hop.endpoint(),
            user: hop.user.clone(),
            cause,
        })?;
        hops.push((hop, key));
    }
    let (mut connection, mut host_keys) = (None, Vec::new());
    for (hop, key) in &hops {
        progress.hop = hop;
        let (next, host_key) = negotiate(hop, key, connection.as_ref(), &mut progress.stage).await?;
        connection = Some(next.through(connection));
        host_keys.push(host_key);
    }
    match connection {
        Some(connection) => Ok(Connected::new(Box::new(connection), target, host_keys)),
        // There is at least the target.
        None => Err(progress.late(Duration::ZERO)),
    }
}

/// Connects until the host shows a pinned key.
///
/// A host has several keys and shows one of them: the first kind in our list that it has. Pins that name
/// their algorithm decide the head of that list. For a pin that does not, the other kinds are tried, so that
/// a host is called changed only if none of its keys fits.
async fn negotiate(
    target: &Target,
    key: &UserKey,
    via: Option<&RusshConnection>,
    stage: &mut Stage,
) -> Result<(RusshConnection, HostKey), Error> {
    let mut offered = preference(&target.host_keys);
    let mut first_presented: Option<HostKey> = None;
    loop {
        let failure = match attempt(target, key, via, &offered, stage).await? {
            Ok(connected) => return Ok(connected),
            Err(failure) => failure,
        };
        match (failure, &target.host_keys) {
            (Failure::Refused(presented, Refusal::Unknown), HostKeyPolicy::Pinned(pins)) => {
                let tried = presented.algorithm;
                let first = first_presented.get_or_insert(presented).clone();
                offered.retain(|algorithm| Some(*algorithm) != tried);
                let others_may_fit =
                    pins.keys.iter().any(|pin| pin.algorithm.is_none()) && !offered.is_empty();
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
        offered.sort_by_key(|algorithm| !pins.keys.iter().any(|pin| pin.algorithm == Some(*algorithm)));
    }
    offered
}

/// One connection. The outer error ends everything, the inner one may be worth another connection.
async fn attempt(
    target: &Target,
    key: &UserKey,
    via: Option<&RusshConnection>,
    offered: &[HostKeyAlgorithm],
    stage: &mut Stage,
) -> Result<Result<(RusshConnection, HostKey), Failure>, Error> {
    *stage = Stage::Stream;
    let stream = match via {
        Some(via) => via.forward(target).await?,
        None => direct(target).await?,
    };
    let (stream, cut) = Cuttable::new(stream);

    *stage = Stage::KeyExchange;
    let facts = Arc::new(Facts::default());
    let check = HostKeyCheck {
        host: target.host().to_owned(),
        policy: target.host_keys.clone(),
        facts: facts.clone(),
    };
    let config = Arc::new(config(offered, &target.host_keys));
    let mut handle = match russh::client::connect_stream(config, stream, check).await {
        Ok(handle) => handle,
        Err(failure) => return Ok(Err(failure)),
    };
    let Some(host_key) = facts.host_key.get().cloned() else {
        return Ok(Err(Failure::Russh(russh::Error::UnknownKey)));
    };

    *stage = Stage::Authentication;
    login::log_in(&mut handle, &facts, target, key).await?;
    let connection = RusshConnection::new(handle, facts, target.endpoint(), cut);
    Ok(Ok((connection, host_key)))
}

async fn direct(target: &Target) -> Result<Box<dyn Duplex>, Error> {
    let tcp = TcpStream::connect((target.host(), target.port)).await;
    match tcp.and_then(|tcp| tcp.set_nodelay(true).map(|()| tcp)) {
        Ok(tcp) => Ok(Box::new(tcp)),
        Err(error) => Err(Error::Unreachable {
            address: target.endpoint(),
            cause: error.to_string(),
        }),
    }
}

fn config(offered: &[HostKeyAlgorithm], policy: &HostKeyPolicy) -> Config {
    let key: Vec<Algorithm> = offered
        .iter()
        .filter_map(|algorithm| algorithm.negotiable())
        .collect();
    // Asked for a certificate, a host that has one shows no other key of the kind; it is in the certificate.
    let certificates = match policy {
        HostKeyPolicy::Pinned(pins) if !pins.authorities.is_empty() => key.clone(),
        HostKeyPolicy::Pinned(_) | HostKeyPolicy::FirstUse => Vec::new(),
    };
    Config {
        client_id: SshId::Standard(Cow::Borrowed("SSH-2.0-k0smotron")),
        keepalive_interval: Some(KEEPALIVE_INTERVAL),
        keepalive_max: KEEPALIVE_MAX,
        preferred: Preferred {
            key: Cow::Owned(key),
            host_key_certificates: Cow::Owned(certificates),
            ..Preferred::DEFAULT
        },
        ..Config::default()
    }
}

fn mismatch(target: &Target, presented: HostKey) -> Error {
    let expected = match &target.host_keys {
        HostKeyPolicy::Pinned(pins) => pins.clone(),
        HostKeyPolicy::FirstUse => Pins::default(),
    };
    Error::HostKeyMismatch {
        address: target.endpoint(),
        presented,
        expected: Box::new(expected),
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
        Failure::Refused(presented, Refusal::Unknown) => mismatch(target, presented),
        Failure::Refused(presented, Refusal::Invalid(cause)) => Error::HostKeyRefused {
            address,
            presented,
            cause,
        },
        Failure::Russh(error) => Error::Handshake {
            address,
            cause: error.to_string(),
        },
    }
}
