//! Where a connection goes, as whom, and what is trusted there.

use secrecy::SecretString;

use crate::{Elevation, HostKey};

/// One host and the way into it. `Debug` shows everything but the key.
#[derive(Clone, Debug)]
pub struct Target {
    /// Host name, IPv4 or IPv6 address (with or without brackets).
    pub address: String,
    /// TCP port of the SSH server.
    pub port: u16,
    /// Account to log in as. Its login shell has to understand POSIX single quotes.
    pub user: String,
    /// Private key in OpenSSH ("openssh-key-v1") or PEM form (PKCS#1, PKCS#8, SEC1): Ed25519, ECDSA
    /// P-256/P-384/P-521 or RSA of 2048 bits and more, without a passphrase. See [`UserKey`](crate::UserKey).
    pub key: SecretString,
    /// How commands become root. Has no effect for the user `root`.
    pub elevation: Elevation,
    /// Which host keys are accepted.
    pub host_keys: HostKeyPolicy,
}

impl Target {
    /// `address:port`, with brackets around an IPv6 address: how errors name the host.
    pub fn endpoint(&self) -> String {
        let host = self.host();
        if host.contains(':') {
            format!("[{host}]:{}", self.port)
        } else {
            format!("{host}:{}", self.port)
        }
    }

    /// The address as a resolver wants it: without brackets and blanks.
    pub(crate) fn host(&self) -> &str {
        let address = self.address.trim();
        address
            .strip_prefix('[')
            .and_then(|inner| inner.strip_suffix(']'))
            .unwrap_or(address)
    }

    /// The elevation that is really needed: root needs none.
    pub(crate) fn effective_elevation(&self) -> Elevation {
        if self.user == "root" {
            Elevation::None
        } else {
            self.elevation.clone()
        }
    }
}

/// Which host keys are accepted. There is no policy that accepts any key without telling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostKeyPolicy {
    /// One of these keys, nothing else. An empty list accepts no host at all.
    Pinned(Vec<HostKey>),
    /// Whatever the host presents at this first contact; [`Connected::FirstUse`](crate::Connected::FirstUse)
    /// then hands out the key, and no session before the caller has stored it.
    FirstUse,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(address: &str, user: &str) -> Target {
        Target {
            address: address.into(),
            port: 22,
            user: user.into(),
            key: "top secret".into(),
            elevation: Elevation::Sudo(None),
            host_keys: HostKeyPolicy::FirstUse,
        }
    }

    #[test]
    fn endpoints_put_brackets_around_ipv6_only() {
        assert_eq!(target("10.0.0.1", "root").endpoint(), "10.0.0.1:22");
        assert_eq!(
            target("worker-0.example.org", "root").endpoint(),
            "worker-0.example.org:22"
        );
        assert_eq!(target("fd00::1", "root").endpoint(), "[fd00::1]:22");
        assert_eq!(target("[fd00::1]", "root").endpoint(), "[fd00::1]:22");
    }

    #[test]
    fn root_is_never_elevated() {
        let program = |user| target("10.0.0.1", user).effective_elevation().program();
        assert_eq!(program("root"), None);
        assert_eq!(program("debian"), Some("sudo"));
    }

    #[test]
    fn debug_does_not_show_the_key() {
        assert!(!format!("{:?}", target("10.0.0.1", "root")).contains("top secret"));
    }
}
