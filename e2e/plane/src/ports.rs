//! Which port of 127.0.0.1 is whose, so that planes of different instances run side by side.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::{Context, Result, ensure};

/// The ports of one instance: a hundred from `20000 + 100 × instance`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    base: u16,
}

impl Ports {
    /// The block of `instance`, 0 to 99: above that it would reach into the kernel's ephemeral ports.
    ///
    /// # Errors
    /// `instance` is greater than 99.
    pub fn of(instance: u8) -> Result<Self> {
        ensure!(
            instance < 100,
            "instance {instance}: instances are numbered 0 to 99"
        );
        Ok(Self {
            base: 20_000 + 100 * u16::from(instance),
        })
    }

    /// kube-apiserver, HTTPS.
    #[must_use]
    pub fn api_server(self) -> u16 {
        self.base
    }

    /// One of these ports, as an address.
    pub(crate) fn address(self, port: u16) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, port))
    }

    pub(crate) fn etcd_client(self) -> u16 {
        self.base + 1
    }

    pub(crate) fn etcd_peer(self) -> u16 {
        self.base + 2
    }

    pub(crate) fn controller_manager(self) -> u16 {
        self.base + 3
    }

    /// Cluster API core: admission and conversion webhooks, HTTPS.
    #[must_use]
    pub fn core_webhook(self) -> u16 {
        self.base + 10
    }

    /// Cluster API core: `/healthz` and `/readyz`, HTTP.
    #[must_use]
    pub fn core_health(self) -> u16 {
        self.base + 11
    }

    /// Cluster API core: `/metrics`, HTTP.
    #[must_use]
    pub fn core_diagnostics(self) -> u16 {
        self.base + 12
    }

    /// Our managers in order of their Deployments' names: health (HTTP), diagnostics (HTTP), webhooks (HTTPS).
    ///
    /// # Errors
    /// There is room for 20 managers.
    pub fn manager(self, index: usize) -> Result<[u16; 3]> {
        let offset = u16::try_from(index)
            .ok()
            .filter(|index| *index < 20)
            .context("too many managers")?;
        let first = self.base + 20 + 3 * offset;
        Ok([first, first + 1, first + 2])
    }
}

/// A port of 127.0.0.1 that nobody listens on at the moment.
///
/// # Errors
/// There is none.
pub fn free() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("no free port on 127.0.0.1")?;
    Ok(listener.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::Ports;

    #[test]
    fn blocks_do_not_overlap() {
        let (one, two) = (Ports::of(1).unwrap(), Ports::of(2).unwrap());
        assert_eq!(one.api_server(), 20_100);
        assert!(one.manager(19).unwrap()[2] < two.api_server());
        assert!(one.core_diagnostics() < one.manager(0).unwrap()[0]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(Ports::of(100).is_err());
        assert!(Ports::of(1).unwrap().manager(20).is_err());
    }
}
