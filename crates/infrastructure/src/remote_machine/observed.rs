//! Everything a pass over a RemoteMachine looks at, read once.

use std::{collections::BTreeSet, sync::Arc};

use jiff::Timestamp;
use k0smotron_api::{
    capi::{Cluster, Machine},
    infrastructure::v1beta2::{PooledRemoteMachine, RemoteMachine},
};

use super::{access::Secrets, attempts::History};
use crate::host::{Problem, redact, script::Bootstrap};

/// The world as one pass sees it.
#[derive(Clone)]
pub struct Observed {
    pub machine: Arc<RemoteMachine>,
    pub now: Timestamp,
    /// Name of the owner as the owner reference has it, or of the Machine that names this object before it has one; and
    /// the Machine itself if it is there.
    pub owner: Option<(String, Option<Arc<Machine>>)>,
    pub cluster: Option<Arc<Cluster>>,
    /// The machine is being deleted, or is about to be with its Cluster.
    pub is_going: bool,
    /// The Cluster's infrastructure has nothing to provision: it is ready before Cluster API says so.
    pub nothing_to_provision: bool,
    /// Why nothing may be done.
    pub paused: Option<String>,
    /// The pool entries that the machine may get, and the one whose host it uses.
    pub entries: Vec<Arc<PooledRemoteMachine>>,
    /// All other RemoteMachines, while it matters what hosts they have.
    pub others: Vec<Arc<RemoteMachine>>,
    /// Names of the entries that this process is about to give to others.
    pub taken: BTreeSet<String>,
    pub data: Data,
    /// The Secrets that the way to the host needs, while it is needed.
    pub secrets: Secrets,
    pub provisioning: History,
    pub cleaning: History,
}

/// The bootstrap data.
#[derive(Clone)]
pub enum Data {
    /// Not looked at: it is of no use now.
    Unread,
    /// The Secret does not exist.
    Missing(String),
    Invalid(Problem),
    Ready(Arc<Work>),
}

/// What sets the host up.
pub struct Work {
    pub bootstrap: Bootstrap,
    /// What must not be shown of it.
    pub secrets: redact::Secrets,
    /// What the bootstrap data asks for and nobody does.
    pub ignored: Vec<String>,
}
