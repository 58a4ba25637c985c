//! What is to be done about a control plane. Pure and total.

use k0smotron_api::names::conditions::reasons;

/// What is known about a control plane.
#[derive(Clone, Debug)]
pub struct Observed {
    pub deleted: bool,
    /// It has our finalizer.
    pub held: bool,
    pub unsupported: Option<String>,
    pub paused: Option<String>,
    /// A Cluster of Cluster API has it, or names it.
    pub cluster: bool,
    /// That Cluster is being deleted.
    pub cluster_goes: bool,
    pub hosted: Hosted,
    /// Worker Machines of the Cluster.
    pub workers: usize,
}

/// The hosted Cluster with the name of Cluster API's Cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hosted {
    Absent,
    /// It is somebody else's.
    Foreign(String),
    /// It is being deleted.
    Going,
    Ours,
}

/// The one thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing, and nothing is said.
    Rest,
    /// Nothing but that the hosted Cluster is left alone too, because of this.
    Pause(String),
    /// It is to be held.
    Hold,
    /// The hosted Cluster is to be as the spec says, and the Cluster to know where it is.
    Host,
    /// The hosted Cluster is to be deleted.
    Delete,
    /// Nothing is left.
    Release,
    Say(Verdict),
}

/// What is awaited, or in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Something is awaited that comes by itself.
    Waiting { reason: &'static str, message: String },
    /// Somebody has to change something.
    Stalled { reason: &'static str, message: String },
    /// It goes, and this is awaited.
    Deleting { reason: &'static str, message: String },
}

impl Observed {
    /// Whether the hosted Cluster is to be, and to be as the spec says.
    pub fn is_live(&self) -> bool {
        self.cluster && !self.deleted && self.paused.is_none() && self.unsupported.is_none()
    }
}

/// The step to take.
pub fn decide(observed: &Observed) -> Step {
    if let Some(message) = &observed.paused {
        return Step::Pause(message.clone());
    }
    if observed.deleted {
        return end(observed);
    }
    if let Some(message) = &observed.unsupported {
        return Step::Say(Verdict::Stalled {
            reason: reasons::UNSUPPORTED,
            message: message.clone(),
        });
    }
    if !observed.cluster {
        return Step::Say(Verdict::Waiting {
            reason: reasons::WAITING_FOR_OWNER,
            message: "no Cluster has this control plane yet".to_owned(),
        });
    }
    if let Hosted::Foreign(name) = &observed.hosted {
        return Step::Say(Verdict::Stalled {
            reason: reasons::NAME_TAKEN,
            message: format!(
                "the Cluster {name} of k0smotron.io is not this control plane's; delete it, or give the Cluster another name"
            ),
        });
    }
    if !observed.held {
        return Step::Hold;
    }
    if observed.hosted == Hosted::Going {
        return Step::Say(Verdict::Waiting {
            reason: reasons::DELETING,
            message: "the hosted Cluster is being deleted, and is made again once it is gone".to_owned(),
        });
    }
    Step::Host
}

/// What is left to do for a control plane that goes.
fn end(observed: &Observed) -> Step {
    if !observed.held {
        return Step::Rest;
    }
    match observed.hosted {
        Hosted::Absent | Hosted::Foreign(_) => Step::Release,
        Hosted::Going => Step::Say(Verdict::Deleting {
            reason: reasons::DELETING,
            message: "the pods are going".to_owned(),
        }),
        // Machines are drained through the API server. Where the whole cluster goes, Cluster API has seen to that.
        Hosted::Ours if observed.workers > 0 && observed.cluster && !observed.cluster_goes => {
            Step::Say(Verdict::Deleting {
                reason: reasons::WAITING_FOR_WORKERS_DELETION,
                message: format!("{} worker Machines are to be gone first", observed.workers),
            })
        }
        Hosted::Ours => Step::Delete,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed() -> Observed {
        Observed {
            deleted: false,
            held: true,
            unsupported: None,
            paused: None,
            cluster: true,
            cluster_goes: false,
            hosted: Hosted::Ours,
            workers: 0,
        }
    }

    fn reason(observed: &Observed) -> &'static str {
        match decide(observed) {
            Step::Say(
                Verdict::Waiting { reason, .. }
                | Verdict::Stalled { reason, .. }
                | Verdict::Deleting { reason, .. },
            ) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn it_is_held_before_anything_is_made() {
        let new = Observed {
            held: false,
            hosted: Hosted::Absent,
            ..observed()
        };
        assert_eq!(decide(&new), Step::Hold);
        let held = Observed { held: true, ..new };
        assert_eq!(decide(&held), Step::Host);
        assert_eq!(decide(&observed()), Step::Host);
    }

    #[test]
    fn what_is_awaited_and_what_is_in_the_way() {
        let alone = Observed {
            cluster: false,
            ..observed()
        };
        assert_eq!(reason(&alone), "WaitingForOwner");
        let taken = Observed {
            hosted: Hosted::Foreign("c".to_owned()),
            ..observed()
        };
        assert_eq!(reason(&taken), "NameTaken");
        let unsupported = Observed {
            unsupported: Some("spec.ingress".to_owned()),
            held: false,
            ..observed()
        };
        assert_eq!(reason(&unsupported), "Unsupported");
        let going = Observed {
            hosted: Hosted::Going,
            ..observed()
        };
        assert_eq!(reason(&going), "Deleting");
    }

    #[test]
    fn paused_comes_before_everything() {
        let paused = Observed {
            paused: Some("why".to_owned()),
            deleted: true,
            ..observed()
        };
        assert_eq!(decide(&paused), Step::Pause("why".to_owned()));
    }

    #[test]
    fn it_goes_after_the_workers_and_the_pods() {
        let going = Observed {
            deleted: true,
            workers: 2,
            ..observed()
        };
        assert_eq!(reason(&going), "WaitingForWorkersDeletion");
        for freed in [
            Observed {
                workers: 0,
                ..going.clone()
            },
            Observed {
                cluster: false,
                ..going.clone()
            },
            Observed {
                cluster_goes: true,
                ..going.clone()
            },
        ] {
            assert_eq!(decide(&freed), Step::Delete);
        }
        let hosted = |hosted| Observed {
            hosted,
            ..going.clone()
        };
        assert_eq!(reason(&hosted(Hosted::Going)), "Deleting");
        for gone in [Hosted::Absent, Hosted::Foreign("c".to_owned())] {
            assert_eq!(decide(&hosted(gone)), Step::Release);
        }
        let free = Observed { held: false, ..going };
        assert_eq!(decide(&free), Step::Rest);
    }
}
