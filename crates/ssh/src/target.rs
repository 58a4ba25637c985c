//! Where a connection goes, as whom, and what is trusted there.

use secrecy::SecretString;

use crate::{Elevation, Pins};

/// One host and the way into it. `Debug` shows everything but what is secret.
#[derive(Clone, Debug)]
pub struct Target {
    /// Host name, IPv4 or IPv6 address (with or without brackets).
    pub address: String,
    /// TCP port of the SSH server.
    pub port: u16,
    /// Account to log in as. Its login shell has to understand POSIX single quotes.
    pub user: String,
    /// Private key in OpenSSH ("openssh-key-v1") or PEM form (PKCS#1, PKCS#8, SEC1): Ed25519, ECDSA
    /// P-256/P-384/P-521 or RSA of 2048 bits and more. See [`UserKey`](crate::UserKey).
    pub key: SecretString,
    /// What the private key is encrypted with, if it is.
    pub passphrase: Option<SecretString>,
    /// An OpenSSH certificate of the key, as in its `-cert.pub` file. Only it is offered to the host then.
    pub certificate: Option<String>,
    /// How commands become root. Has no effect for the user `root`, nor on a host that is only gone through.
    pub elevation: Elevation,
    /// Which host keys are accepted.
    pub host_keys: HostKeyPolicy,
    /// The host to go through, as seen from which `address` is; directly without it. It has to forward TCP connections
    /// for its user.
    pub via: Option<Box<Target>>,
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

    /// All hosts on the way, in the order in which they are reached; the last one is this.
    pub fn hops(&self) -> Vec<&Self> {
        let mut hops: Vec<_> = std::iter::successors(Some(self), |hop| hop.via.as_deref()).collect();
        hops.reverse();
        hops
    }

    /// The address as a resolver wants it: without brackets and blanks.
    pub fn host(&self) -> &str {
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
    /// One of these, nothing else. None at all accept no host.
    Pinned(Pins),
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
            passphrase: Some("top secret".into()),
            certificate: None,
            elevation: Elevation::Sudo(Some("top secret".into())),
            host_keys: HostKeyPolicy::FirstUse,
            via: None,
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
    fn hosts_are_gone_through_in_order() {
        let mut last = target("10.0.0.1", "root");
        let mut middle = target("10.0.0.2", "root");
        middle.via = Some(Box::new(target("10.0.0.3", "root")));
        last.via = Some(Box::new(middle));
        let ends: Vec<_> = last.hops().into_iter().map(Target::endpoint).collect();
        assert_eq!(ends, ["10.0.0.3:22", "10.0.0.2:22", "10.0.0.1:22"]);
    }

    #[test]
    fn debug_does_not_show_the_key() {
        assert!(!format!("{:?}", target("10.0.0.1", "root")).contains("top secret"));
    }
}
