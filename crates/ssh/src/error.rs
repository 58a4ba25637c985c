//! What can go wrong on the way to a host, said so that a user knows what to change.

use std::time::Duration;

use crate::{HostKey, InvalidKey, Pins};

/// Why something did not work on a host. Every message names the host (`address:port`), what failed, and the
/// remedy; none contains a secret.
///
/// [`reason`](Error::reason) is a stable word for a condition, [`is_retryable`](Error::is_retryable) tells
/// whether the world may heal by itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No TCP connection: name not found, refused, no route, no answer in time.
    #[error(
        "cannot reach {address}: {cause}; check that the host is up, that address and port are right, and that no firewall is in between"
    )]
    Unreachable {
        /// `address:port`.
        address: String,
        /// What the operating system said.
        cause: String,
    },

    /// There is a TCP connection, but no SSH connection could be agreed on.
    #[error("no SSH connection with {address}: {cause}; check that an SSH server listens on that port")]
    Handshake {
        /// `address:port`.
        address: String,
        /// Which step failed, and how.
        cause: String,
    },

    /// The host proves its identity only with kinds of keys that are not supported.
    #[error(
        "{address} offers no host key of a supported kind (it offers: {offered}); create one on the host with `ssh-keygen -A` and restart its SSH server"
    )]
    HostKeyUnsupported {
        /// `address:port`.
        address: String,
        /// Names of the algorithms, separated by commas.
        offered: String,
    },

    /// The host presented a key that is not among the pinned ones.
    #[error(
        "the host key of {address} changed: presented {presented}, pinned {expected}; if the host was reinstalled on purpose, compare the presented key with `ssh-keygen -lf /etc/ssh/ssh_host_*_key.pub` run on the host and replace the pin; if not, somebody may be between you and the host"
    )]
    HostKeyMismatch {
        /// `address:port`.
        address: String,
        /// What the host presented.
        presented: HostKey,
        /// What was expected.
        expected: Box<Pins>,
    },

    /// The host presented a key that is revoked, or a certificate that is not valid for it.
    #[error("the host key {presented} of {address} is not accepted: {cause}")]
    HostKeyRefused {
        /// `address:port`.
        address: String,
        /// What the host presented.
        presented: HostKey,
        /// What is wrong with it, and the remedy.
        cause: String,
    },

    /// The private key of the user cannot be used. Nothing was sent to the host.
    #[error("the SSH private key for {user} at {address} cannot be used: {cause}")]
    InvalidKey {
        /// `address:port`.
        address: String,
        /// Who would have logged in.
        user: String,
        /// What is wrong with the key.
        cause: InvalidKey,
    },

    /// The host did not accept the key of the user.
    #[error(
        "{address} did not let {user} in with the key {key} ({cause}); add its public half to ~{user}/.ssh/authorized_keys on the host, or check user and key"
    )]
    AuthenticationFailed {
        /// `address:port`.
        address: String,
        /// Who tried to log in.
        user: String,
        /// Algorithm and fingerprint of the key that was offered.
        key: String,
        /// What the host said.
        cause: String,
    },

    /// The user may not become root.
    #[error("{user} at {address} cannot become root with {program}: {cause}; {remedy}")]
    ElevationRefused {
        /// `address:port`.
        address: String,
        /// Who logged in.
        user: String,
        /// "sudo" or "doas".
        program: &'static str,
        /// What the program said.
        cause: String,
        /// What to change on the host.
        remedy: String,
    },

    /// Something took longer than its caller wanted to wait.
    #[error(
        "{what} on {address} took longer than {}; check what the host is doing, and whether it still answers",
        seconds(*after)
    )]
    Deadline {
        /// `address:port`.
        address: String,
        /// Which operation.
        what: String,
        /// How long was waited.
        after: Duration,
    },

    /// The connection broke, or the host closed the channel without telling how the command ended. Whether
    /// the command did its work is unknown.
    #[error("connection to {address} lost while {what}: {cause}; it is unknown whether that was completed")]
    Disconnected {
        /// `address:port`.
        address: String,
        /// Which operation.
        what: String,
        /// How the connection ended.
        cause: String,
    },

    /// The host does not execute commands for this user.
    #[error(
        "{address} refused {what}: {cause}; check the user's login shell, and ForceCommand, PermitTTY and MaxSessions of its SSH server"
    )]
    ExecutionRefused {
        /// `address:port`.
        address: String,
        /// Which operation.
        what: String,
        /// What the host said.
        cause: String,
    },

    /// A path that cannot name a file on the host.
    #[error("{path:?} cannot be a file on {address}: {cause}")]
    InvalidPath {
        /// `address:port`.
        address: String,
        /// The path as given.
        path: String,
        /// What is wrong with it.
        cause: &'static str,
    },

    /// A file could not be written or read.
    #[error(
        "cannot {verb} {path} on {address}: {cause}; check space, permissions and file system on the host"
    )]
    File {
        /// `address:port`.
        address: String,
        /// "write" or "read".
        verb: &'static str,
        /// The path as given.
        path: String,
        /// What the host said.
        cause: String,
    },
}

impl Error {
    /// A stable CamelCase word, fit for the reason of a condition or an Event.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "HostUnreachable",
            Self::Handshake { .. } => "SSHHandshakeFailed",
            Self::HostKeyUnsupported { .. } => "HostKeyUnsupported",
            Self::HostKeyMismatch { .. } => "HostKeyChanged",
            Self::HostKeyRefused { .. } => "HostKeyRefused",
            Self::InvalidKey { .. } => "InvalidSSHKey",
            Self::AuthenticationFailed { .. } => "AuthenticationFailed",
            Self::ElevationRefused { program: "doas", .. } => "DoasRefused",
            Self::ElevationRefused { .. } => "SudoRefused",
            Self::Deadline { .. } => "DeadlineExceeded",
            Self::Disconnected { .. } => "ConnectionLost",
            Self::ExecutionRefused { .. } => "ExecutionRefused",
            Self::InvalidPath { .. } => "InvalidPath",
            Self::File { .. } => "FileTransferFailed",
        }
    }

    /// True if trying again may help although nobody changed anything: a host that boots, a network that
    /// heals.
    ///
    /// False means that somebody has to act. Since that may happen on the host, where no event tells of it,
    /// callers still try again, at their slowest pace.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Handshake { .. }
            | Self::Deadline { .. }
            | Self::Disconnected { .. }
            | Self::ExecutionRefused { .. }
            | Self::File { .. } => true,
            Self::HostKeyUnsupported { .. }
            | Self::HostKeyMismatch { .. }
            | Self::HostKeyRefused { .. }
            | Self::InvalidKey { .. }
            | Self::AuthenticationFailed { .. }
            | Self::ElevationRefused { .. }
            | Self::InvalidPath { .. } => false,
        }
    }
}

fn seconds(duration: Duration) -> String {
    format!("{} s", (duration.as_secs_f64() * 10.0).round() / 10.0)
}
