//! Reaching hosts over SSH: connect, run a command, write a file, read a small one.
//!
//! This crate is for everything between "an address and a private key" and "a command ran as root": the
//! choice and the check of the host key, authentication, elevation, quoting, deadlines, bounded output, and
//! errors that tell a user what to change. It is *not* for Kubernetes (no client, no object, no condition)
//! and not for what is run on a host: scripts belong to the callers.
//!
//! The parts:
//!
//! * [`Target`]: where to go, through which hosts, as whom, with which key, and which host keys are accepted.
//! * [`Pins`] and [`known_hosts`]: what a host has to prove that it is.
//! * [`Transport`] and [`Connection`]: what a way to a host has to offer. [`SshTransport`] is the one that is
//!   shipped; tests of callers can put their own in its place.
//! * [`Connected`]: a host that presented a pinned key is ready to be used ([`Connected::Known`]); one that
//!   is met for the first time, or is reached through such a one ([`Connected::FirstUse`]), offers nothing but
//!   the new keys until the caller says that they are stored.
//! * [`Session`]: commands and files on a host, elevated if the target asks for it.
//!
//! ```no_run
//! # use std::time::Duration;
//! # use k0smotron_ssh::{Command, Connected, Error, NewHost, SshTransport, Target, Transport};
//! # async fn store(_: &[NewHost]) {}
//! # async fn example(target: &Target) -> Result<(), Error> {
//! let session = match SshTransport.connect(target, Duration::from_secs(15)).await? {
//!     Connected::Known(session) => session,
//!     Connected::FirstUse(contact) => {
//!         store(contact.new_hosts()).await;
//!         contact.pinned()
//!     }
//! };
//! let output = session.run(&Command::new("k0s version"), Duration::from_secs(10)).await?;
//! assert!(output.success());
//! # Ok(()) }
//! ```

mod capture;
mod client;
mod command;
mod elevation;
mod error;
mod host_key;
mod known_hosts;
mod pins;
mod quote;
mod session;
mod target;
mod transport;
mod user_key;

pub use capture::Captured;
pub use client::SshTransport;
pub use command::{Command, Output};
pub use elevation::Elevation;
pub use error::Error;
pub use host_key::{Fingerprint, HostKey, HostKeyAlgorithm, ParseHostKeyError};
pub use known_hosts::{ParseKnownHostsError, known_hosts};
pub use pins::Pins;
pub use quote::quote;
pub use session::{Connected, FirstContact, NewHost, Session};
pub use target::{HostKeyPolicy, Target};
pub use transport::{Connection, Exec, ExitStatus, RawOutput, Transport};
pub use user_key::{InvalidKey, UserKey};
