//! What russh asks us while a connection lives: whether the host key is accepted.

use std::sync::{Arc, OnceLock};

use russh::client::{DisconnectReason, Handler};
use russh::keys::PublicKeyOrCertificate;

use crate::pins::Refusal;
use crate::{HostKey, HostKeyPolicy};

/// What a connection tells about itself. The first value of each wins.
#[derive(Default)]
pub(super) struct Facts {
    /// The key that the host presented, and proved to hold.
    pub(super) host_key: OnceLock<HostKey>,
    /// Why the connection ended, in words.
    pub(super) ended: OnceLock<String>,
}

pub(super) struct HostKeyCheck {
    /// What certificates have to name.
    pub(super) host: String,
    pub(super) policy: HostKeyPolicy,
    pub(super) facts: Arc<Facts>,
}

/// Why russh gave up on a connection.
#[derive(Debug)]
pub(super) enum Failure {
    Russh(russh::Error),
    Refused(HostKey, Refusal),
}

impl From<russh::Error> for Failure {
    fn from(error: russh::Error) -> Self {
        Self::Russh(error)
    }
}

impl Handler for HostKeyCheck {
    type Error = Failure;

    /// Called after the signature of the key exchange was verified: the host holds the key, the question is
    /// whether it is the right one. A certificate is asked for only where an authority is trusted.
    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, Failure> {
        let Some(presented) = HostKey::presented(&key.public_key()) else {
            return Ok(false);
        };
        if let HostKeyPolicy::Pinned(pins) = &self.policy
            && let Err(refusal) = pins.check(&self.host, &presented, key.certificate())
        {
            return Err(Failure::Refused(presented, refusal));
        }
        Ok(self.facts.host_key.get_or_init(|| presented.clone()) == &presented)
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Failure>) -> Result<(), Failure> {
        self.facts.ended.get_or_init(|| match reason {
            DisconnectReason::ReceivedDisconnect(info) => format!("the host said {:?}", info.message),
            DisconnectReason::Error(Failure::Russh(error)) => error.to_string(),
            DisconnectReason::Error(Failure::Refused(key, _)) => format!("the host presented {key}"),
        });
        Ok(())
    }
}
