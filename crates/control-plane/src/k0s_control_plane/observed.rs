//! What the decision rests on: plain facts, without a client and without whole objects, so that a model checker can
//! make a million of them. [`super::fetch`] reads them from the world.

pub use k0smotron_runtime::answers::Answer;
use std::collections::BTreeMap;

pub use k0smotron_api::control_plane::refusals::{Refusal, RefusalKind};

use super::autopilot::Autopilot;

/// One of the four key pairs that a cluster is founded on (contract C14).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Authority {
    /// Signs the certificates of the API server and its clients.
    Cluster,
    /// Signs the certificates of etcd.
    Etcd,
    /// Signs the certificates of the front proxy.
    FrontProxy,
    /// Signs service account tokens. A key pair, not a certificate.
    ServiceAccount,
}

impl Authority {
    pub const ALL: [Self; 4] = [Self::Cluster, Self::Etcd, Self::FrontProxy, Self::ServiceAccount];

    /// The Secret that holds it.
    pub fn secret_name(self, cluster: &str) -> String {
        let suffix = match self {
            Self::Cluster => "ca",
            Self::Etcd => "etcd",
            Self::FrontProxy => "proxy",
            Self::ServiceAccount => "sa",
        };
        format!("{cluster}-{suffix}")
    }
}

/// The state of an authority's Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthorityState {
    Missing,
    Present,
    /// It exists and cannot be used, for this reason.
    Unusable(String),
}

/// The state of `<cluster>-kubeconfig`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KubeconfigState {
    Missing,
    /// It says what it should, or is one that a user made and that is not ours to change.
    Good,
    /// It is of our making and out of date, for this reason.
    Stale(String),
}

/// The Cluster that the control plane belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// No owner reference yet, and no Cluster names the control plane.
    None,
    /// Named by the owner reference, and not there.
    Missing(String),
    Found,
}

/// One control plane Machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineFacts {
    pub name: String,
    pub deleting: bool,
    /// Whether our pre-terminate hook holds it.
    pub hooked: bool,
    /// In what it differs from the spec; empty when it is up to date.
    pub outdated: Vec<String>,
    /// Only its version differs, or where that comes from, and the strategy is to change that in place.
    pub in_place: bool,
    /// Its infrastructure has come up: its host may run k0s, or may have run it.
    pub started: bool,
    /// It was started so long ago that it would have joined by now if it ever could.
    pub stalled: bool,
    /// Nothing but pre-terminate hooks holds its deletion any more.
    pub drained: bool,
    /// Somebody asks that it be the one to go when one has to.
    pub preferred: bool,
    /// Somebody asks that it be replaced, because it is unhealthy.
    pub repair: Option<Repair>,
    /// The failure domain that it was made for, else the one that its infrastructure says it stands in.
    pub domain: Option<String>,
}

/// A request to replace an unhealthy Machine (contract 2.8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repair {
    Due,
    /// The limits that the spec sets to replacements stand against it, in these words.
    Waits(String),
}

/// How changes of the spec reach Machines that they replace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// A new Machine comes before an old one goes.
    CreateFirst,
    /// An old Machine goes before a new one comes, where enough others are left.
    DeleteFirst,
}

/// The members of etcd, as k0s tells them through the API of the cluster, or what is instead of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Etcd {
    /// There is no answer, for this reason.
    Unknown(String),
    /// There is an answer.
    Members {
        /// Asked for, and answered by a quorum, after the last change that this controller made.
        fresh: bool,
        members: Vec<MemberFacts>,
    },
    /// The cluster keeps its data in a store that its controllers share and none of them has. There are no members then, and
    /// these are the controllers: one that serves is ready, one whose Machine is gone has left.
    Shared {
        /// As of members.
        fresh: bool,
        members: Vec<MemberFacts>,
    },
    /// The cluster keeps its data on its controller, and k0s cannot tell of it.
    Elsewhere,
}

/// One member of etcd. Named like its Machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberFacts {
    pub name: String,
    /// It has left: it votes never again.
    pub left: bool,
    /// It was asked to leave.
    pub leaving: bool,
    /// It votes, and the API server beside it says that its etcd answers.
    pub ready: bool,
    /// What k0s says about its leaving.
    pub message: String,
    /// It belongs to a Machine that this control plane has made.
    pub ours: bool,
}

/// A Machine whose creation was begun: the name is persisted before anything is created under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    pub name: String,
}

/// Everything that [`super::decide`] looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    pub owner: Owner,
    /// Why nothing may be done, when paused.
    pub paused: Option<String>,
    /// Being deleted.
    pub deleting: bool,
    /// Carries our finalizer.
    pub finalizer: bool,
    /// The Cluster, or its infrastructure, has a usable control plane endpoint.
    pub endpoint: bool,
    /// What of the spec cannot be followed.
    pub refusals: Vec<Refusal>,
    /// There is evidence that this cluster exists: an API server answered at some time. Never taken back.
    pub exists: bool,
    /// That evidence is persisted in the control plane's metadata.
    pub exists_persisted: bool,
    /// The Machine whose creation was begun and not confirmed.
    pub begun: Option<Begun>,
    /// The name that the next Machine gets.
    pub next_name: String,
    pub authorities: BTreeMap<Authority, AuthorityState>,
    pub kubeconfig: KubeconfigState,
    /// Why there is no infrastructure machine to be had from the template, if so.
    pub template: Option<String>,
    /// Number of controllers asked for.
    pub replicas: usize,
    pub strategy: Strategy,
    /// Failure domains that the infrastructure offers to controllers.
    pub domains: Vec<String>,
    /// The control plane Machines of this control plane, oldest first.
    pub machines: Vec<MachineFacts>,
    pub etcd: Etcd,
    pub autopilot: Autopilot,
    /// Where k0s' binaries come from, if the spec says so.
    pub download: Option<String>,
    /// Machines of the Cluster that are not control plane Machines.
    pub workers: usize,
    /// The Cluster is being deleted.
    pub goes: bool,
    /// The Cluster is being deleted, and Cluster API has got to its workers: the control plane is next.
    pub goes_next: bool,
    pub answer: Answer,
}

impl Observed {
    /// Fields that this version does not support yet, each with its value and a remedy.
    pub fn unsupported(&self) -> Option<String> {
        let fields: Vec<_> = self
            .refusals
            .iter()
            .filter(|refusal| refusal.kind == RefusalKind::Unsupported)
            .map(ToString::to_string)
            .collect();
        (!fields.is_empty()).then(|| fields.join("; "))
    }

    pub fn active(&self) -> impl Iterator<Item = &MachineFacts> {
        self.machines.iter().filter(|machine| !machine.deleting)
    }

    pub fn going(&self) -> impl Iterator<Item = &MachineFacts> {
        self.machines.iter().filter(|machine| machine.deleting)
    }
}
