//! What a pass is to do. Pure and total; what may be done to members of etcd is [`super::membership`]'s.

use super::{
    membership::{self, Plan},
    observed::{Kubeconfig, Observed, Set},
};

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Leave(Leave),
    /// Let it go: what belongs to it goes with it.
    Delete,
    Live(Box<Live>),
}

/// Why nothing is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leave {
    Paused,
    /// The spec asks for what is not done; what there is stays as it is.
    Unsupported(String),
}

/// What to do for a control plane that lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    pub k0s: Pods,
    pub etcd: Pods,
    /// What becomes of etcd's members; `None` where pods look after that themselves.
    pub plan: Option<Plan>,
    /// Issue the administrator's kubeconfig.
    pub kubeconfig: bool,
    /// A pod of k0s that is to start anew.
    pub restart: Option<String>,
}

/// What becomes of a StatefulSet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pods {
    /// It is not made yet.
    Wait(Waits),
    /// Make it what the spec asks for.
    Make,
    /// Its pods were made by an earlier release and are as the spec asks for: record what they were made from.
    Adopt,
    /// Leave its pods as they are; only their number may change.
    Keep,
}

/// What a StatefulSet waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// Authorities or keys.
    Certificates,
    /// A spec that can be used.
    Spec,
    Services,
    /// The load balancer's address.
    Address,
}

/// Decides.
pub fn decide(observed: &Observed) -> Step {
    if observed.deleting {
        return Step::Delete;
    }
    if observed.paused {
        return Step::Leave(Leave::Paused);
    }
    if let Some(message) = &observed.unsupported {
        return Step::Leave(Leave::Unsupported(message.clone()));
    }
    let etcd = etcd(observed);
    // Pods of an earlier release look after their membership themselves.
    let managed = etcd == Pods::Make || etcd == Pods::Keep && observed.etcd.managed;
    Step::Live(Box::new(Live {
        k0s: k0s(observed),
        plan: managed.then(|| membership::plan(&observed.membership)),
        etcd,
        restart: observed.aged.clone(),
        kubeconfig: matches!(observed.kubeconfig, Kubeconfig::Missing | Kubeconfig::Stale(_)),
    }))
}

fn k0s(observed: &Observed) -> Pods {
    if let Some(wait) = early(observed) {
        return match observed.k0s.exists {
            true => Pods::Keep,
            false => Pods::Wait(wait),
        };
    }
    pods(&observed.k0s, observed.converge)
}

fn etcd(observed: &Observed) -> Pods {
    let waits = match early(observed) {
        // Members need neither the spec of k0s nor the API server's address.
        Some(wait @ (Waits::Certificates | Waits::Services)) => Some(wait),
        Some(Waits::Spec | Waits::Address) | None => None,
    };
    if let Some(wait) = waits {
        return match observed.etcd.exists {
            true => Pods::Keep,
            false => Pods::Wait(wait),
        };
    }
    // Members are added to what an earlier release made only as this release adds them.
    let wanted = i32::try_from(observed.membership.wanted).unwrap_or(1);
    let grows = observed.etcd.exists && !observed.etcd.managed && wanted > observed.etcd.replicas;
    if grows {
        return Pods::Make;
    }
    pods(&observed.etcd, observed.converge)
}

fn early(observed: &Observed) -> Option<Waits> {
    let certificates = &observed.certificates;
    // Certificates of authorities are part of what pods are made from, so new ones are read back first.
    if !certificates.problems.is_empty() || !certificates.authorities.is_empty() {
        Some(Waits::Certificates)
    } else if !observed.services {
        Some(Waits::Services)
    } else if observed.invalid.is_some() {
        Some(Waits::Spec)
    } else if observed.awaits_address {
        Some(Waits::Address)
    } else {
        None
    }
}

fn pods(set: &Set, converge: bool) -> Pods {
    if !set.exists {
        return Pods::Make;
    }
    let changed = match &set.inputs {
        Some(inputs) => *inputs != set.wanted,
        None => !set.differences.is_empty(),
    };
    if changed || converge && !set.current {
        Pods::Make
    } else if set.inputs.is_none() {
        Pods::Adopt
    } else {
        Pods::Keep
    }
}

/// Whether every object that this release does not make may go: nothing that an earlier one made is in use.
pub fn is_converged(observed: &Observed, live: &Live) -> bool {
    let converged = |pods: &Pods, set: &Set| match pods {
        Pods::Make => set.exists && set.current,
        Pods::Keep => set.current,
        Pods::Wait(_) | Pods::Adopt => false,
    };
    converged(&live.k0s, &observed.k0s)
        && converged(&live.etcd, &observed.etcd)
        && observed.k0s.updated >= observed.k0s.replicas
        && !observed.membership.pods.values().any(|pod| pod.outdated)
}
