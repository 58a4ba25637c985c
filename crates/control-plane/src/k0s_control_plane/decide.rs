//! What to do next, from facts alone: pure and total.
//!
//! How many Machines there are, and which, is decided in [`super::membership`].

use super::{
    membership::{self, Changes, Membership, Wait},
    observed::{Answer, Authority, AuthorityState, KubeconfigState, Observed, Owner},
    plan::{self, Updates},
};

/// What a pass does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Touch nothing, and say why.
    Leave(Leave),
    /// Work towards the spec.
    Live(Live),
    /// Take the control plane down.
    Delete(Deletion),
}

/// Why nothing is touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leave {
    /// No Cluster names the control plane or owns it yet.
    NoOwner,
    /// The owner reference names a Cluster that is not there.
    OwnerMissing(String),
    Paused(String),
    /// The spec asks for what cannot be done, and nothing was begun yet.
    Refused,
}

/// The parts of a pass over a control plane that is to live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// Persist that the cluster exists, before any status says so.
    pub persist_existence: bool,
    /// Authorities to generate.
    pub generate: Vec<Authority>,
    /// Authorities without which nothing can go on.
    pub lacking: Vec<Authority>,
    pub issue_kubeconfig: bool,
    pub membership: Membership,
    pub updates: Updates,
    /// The Machine that was begun exists: forget that it was begun.
    pub confirm: bool,
    /// Machines whose pre-terminate hook is removed.
    pub release: Vec<String>,
    /// Members that have left, of Machines that are gone: what k0s keeps of them is removed.
    pub forget: Vec<String>,
    /// Whether the API server is to be asked whether it answers.
    pub probe: bool,
}

impl Live {
    /// Whether the pass changes who the members are or will be, or what k0s does with them.
    pub fn changes_members(&self) -> bool {
        self.membership.is_change() || !self.release.is_empty() || self.updates.update.is_change()
    }
}

/// The parts of taking a control plane down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// Worker Machines that go first.
    pub workers: usize,
    /// Machines to delete.
    pub delete: Vec<String>,
    /// Machines whose pre-terminate hook is removed, those already being deleted among them.
    pub release: Vec<String>,
    /// Machines that are awaited.
    pub remaining: usize,
    /// Nothing is left to wait for.
    pub finished: bool,
}

/// What to do next.
pub fn decide(observed: &Observed) -> Step {
    if let Some(message) = &observed.paused {
        return Step::Leave(Leave::Paused(message.clone()));
    }
    if observed.deleting {
        return Step::Delete(deletion(observed));
    }
    match &observed.owner {
        Owner::None => return Step::Leave(Leave::NoOwner),
        Owner::Missing(name) => return Step::Leave(Leave::OwnerMissing(name.clone())),
        Owner::Found => {}
    }
    let untouched = !observed.exists && observed.begun.is_none() && observed.machines.is_empty();
    if untouched && !observed.refusals.is_empty() {
        return Step::Leave(Leave::Refused);
    }
    Step::Live(live(observed))
}

fn live(observed: &Observed) -> Live {
    // What answers from a Machine that was let go already is gone in a moment: no evidence that would outlast it.
    let stands = observed
        .machines
        .iter()
        .any(|machine| machine.hooked || !machine.deleting);
    let answers = matches!(observed.answer, Answer::Yes { .. }) && (stands || observed.machines.is_empty());
    let exists = observed.exists || answers;
    // New authorities for a cluster whose hosts have the old ones would shut everybody out.
    let founding = !exists && observed.machines.is_empty();
    let missing = |authority: &Authority| {
        observed
            .authorities
            .get(authority)
            .is_none_or(|state| *state == AuthorityState::Missing)
    };
    let generate: Vec<_> = Authority::ALL
        .into_iter()
        .filter(|authority| founding && missing(authority))
        .collect();
    let lacking: Vec<_> = Authority::ALL
        .into_iter()
        .filter(|authority| {
            !generate.contains(authority)
                && observed.authorities.get(authority) != Some(&AuthorityState::Present)
        })
        .collect();
    let issue_kubeconfig = observed.endpoint
        && !lacking.contains(&Authority::Cluster)
        && observed.kubeconfig != KubeconfigState::Good;
    let changes = membership::next(observed, exists, obstacle(observed, &lacking));
    let (changes, updates) = plan::next(observed, exists, changes);
    let Changes {
        membership,
        mut release,
        forget,
    } = changes;
    if observed.goes_next {
        // Nobody has to leave a cluster that goes. Let go now, the Machines need no look of Cluster API, a second each,
        // only to see that they were held.
        release = hooked(observed);
    }
    let probe = observed.endpoint
        && (observed.kubeconfig != KubeconfigState::Missing || issue_kubeconfig)
        && (exists || !observed.machines.is_empty() || matches!(membership, Membership::Create { .. }));
    Live {
        persist_existence: exists && !observed.exists_persisted,
        generate,
        lacking,
        issue_kubeconfig,
        membership,
        updates,
        confirm: observed
            .begun
            .as_ref()
            .is_some_and(|begun| observed.machines.iter().any(|machine| machine.name == begun.name)),
        release,
        forget,
        probe,
    }
}

/// What stands against making a Machine.
fn obstacle(observed: &Observed, lacking: &[Authority]) -> Option<Wait> {
    if !observed.endpoint {
        Some(Wait::Endpoint)
    } else if !lacking.is_empty() {
        Some(Wait::Certificates)
    } else {
        observed.template.clone().map(Wait::Template)
    }
}

fn hooked(observed: &Observed) -> Vec<String> {
    let hooked = observed.machines.iter().filter(|machine| machine.hooked);
    hooked.map(|machine| machine.name.clone()).collect()
}

fn deletion(observed: &Observed) -> Deletion {
    let owned = observed.owner == Owner::Found;
    // Workers need the control plane to leave cleanly. Without a Cluster nobody drains or counts them.
    let workers = if owned { observed.workers } else { 0 };
    let first = workers > 0;
    let delete: Vec<_> = observed
        .active()
        .filter(|_| !first)
        .map(|machine| machine.name.clone())
        .collect();
    let release = if first { Vec::new() } else { hooked(observed) };
    let remaining = observed.machines.len();
    Deletion {
        workers,
        delete,
        release,
        remaining,
        // Cluster API finishes no Machine whose Cluster is gone: waiting for them would be for ever.
        finished: !first && (remaining == 0 || !owned),
    }
}
