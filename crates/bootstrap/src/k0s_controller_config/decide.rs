//! Whether a controller's bootstrap data can be made now, and whether it founds the cluster. Pure and total.
//!
//! Two founders would be two clusters under one name. So the founder is appointed on the Cluster object, by a write
//! that only one of two can win, and nobody is appointed while there is evidence that the cluster exists.

use k0smotron_api::names::conditions::reasons;

use crate::{
    prerequisites::{GENERATION_FAILED, Prerequisites, WAITING_FOR_CONTROL_PLANE, WAITING_FOR_FOUNDER},
    verdict::Verdict,
};

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    pub prerequisites: Prerequisites,
    /// The Cluster has a control plane endpoint, or who made the config knew it.
    pub endpoint: bool,
    /// What the bootstrap data is made from; looked for only when [`premature`] has nothing against it.
    pub sources: Option<Sources>,
}

/// Whether what the bootstrap data is made from is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources {
    /// There is evidence that the cluster exists.
    pub exists: bool,
    /// Its control plane made the config while there was no cluster, so that it founds one. Evidence that the cluster
    /// exists may then be older than the config's first pass, and is of its own making.
    pub made_to_found: bool,
    pub founder: Founder,
    /// The version that cannot be read, if it cannot.
    pub bad_version: Option<String>,
    /// The reference that leads nowhere, if one does.
    pub missing_content: Option<String>,
    /// The Secrets of the cluster's authorities that are missing or unusable, in words. Who joins needs the first one.
    pub missing_authorities: Vec<String>,
    /// What there is for joining; looked for only when the cluster exists.
    pub joining: Joining,
}

impl Sources {
    /// Whether the controller joins a cluster, instead of founding it.
    pub fn joins(&self) -> bool {
        self.founder != Founder::This && self.exists && !self.made_to_found
    }
}

/// What there is for joining.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Joining {
    /// Why the workload cluster cannot be asked for a token, if it cannot.
    pub unreachable: Option<String>,
    /// Others have tokens under all ids that would do.
    pub token_taken: bool,
    /// Why there is no controller to join through, if there is none.
    pub no_peer: Option<String>,
}

/// Who was appointed to found the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Founder {
    /// Nobody, or a Machine that is gone.
    None,
    /// The Machine of this config.
    This,
    /// Another Machine, which is still there.
    Other(String),
}

/// What to do about a config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing but to say this.
    Say(Verdict),
    /// Delete the config, which nobody needs any more.
    Remove,
    /// Make the bootstrap data of the founder, after it was appointed.
    Found { appoint: bool },
    /// Make the bootstrap data of a controller that joins.
    Join,
}

/// What stands against looking for the sources at all.
pub fn premature(observed: &Observed) -> Option<Verdict> {
    observed.prerequisites.verdict().or_else(|| {
        (!observed.endpoint).then(|| Verdict::Waiting {
            reason: WAITING_FOR_CONTROL_PLANE,
            message: "the Cluster has no control plane endpoint yet".to_owned(),
        })
    })
}

/// What to do about a config.
pub fn decide(observed: &Observed) -> Step {
    if observed.prerequisites.obsolete() {
        return Step::Remove;
    }
    if let Some(verdict) = premature(observed) {
        return Step::Say(verdict);
    }
    let waiting = |reason, message: String| Step::Say(Verdict::Waiting { reason, message });
    let Some(sources) = &observed.sources else {
        return waiting(
            reasons::PROGRESSING,
            "bootstrap data is being prepared".to_owned(),
        );
    };
    if let Some(message) = &sources.bad_version {
        return Step::Say(Verdict::Stalled {
            reason: reasons::INVALID_VERSION,
            message: message.clone(),
        });
    }
    let step = match &sources.founder {
        _ if sources.joins() => Step::Join,
        Founder::This => Step::Found { appoint: false },
        Founder::None => Step::Found { appoint: true },
        Founder::Other(name) => {
            let message = format!("Machine {name} founds the cluster first");
            return waiting(WAITING_FOR_FOUNDER, message);
        }
    };
    if let Some(message) = &sources.missing_content {
        return waiting(reasons::CONTENT_SOURCE_NOT_FOUND, message.clone());
    }
    // Without all of them k0s would make up its own, and nobody would trust it.
    if !sources.missing_authorities.is_empty() {
        return waiting(
            reasons::WAITING_FOR_CERTIFICATES,
            sources.missing_authorities.join("; "),
        );
    }
    if step == Step::Join
        && let Some(verdict) = obstacle(&sources.joining)
    {
        return Step::Say(verdict);
    }
    step
}

/// What stands against joining now.
fn obstacle(joining: &Joining) -> Option<Verdict> {
    if let Some(message) = &joining.unreachable {
        return Some(Verdict::Waiting {
            reason: reasons::CONNECTION_DOWN,
            message: message.clone(),
        });
    }
    if joining.token_taken {
        let message = "the workload cluster has foreign tokens under every id for this config: delete the Secrets \
                       bootstrap-token-* in kube-system that nobody needs";
        return Some(Verdict::Stalled {
            reason: GENERATION_FAILED,
            message: message.to_owned(),
        });
    }
    joining.no_peer.as_ref().map(|message| Verdict::Waiting {
        reason: reasons::CONNECTION_DOWN,
        message: message.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prerequisites::{DataSecret, Owner};

    fn sources() -> Sources {
        Sources {
            exists: false,
            made_to_found: false,
            founder: Founder::None,
            bad_version: None,
            missing_content: None,
            missing_authorities: Vec::new(),
            joining: Joining::default(),
        }
    }

    fn observed(sources: Sources) -> Observed {
        Observed {
            prerequisites: Prerequisites {
                name: "demo-bcdfg".to_owned(),
                owner: Owner::Machine("demo-bcdfg".to_owned()),
                cluster: Some(("demo".to_owned(), true)),
                paused: None,
                deleting: false,
                machine_leaves: false,
                secret: DataSecret::Missing,
                unsupported: None,
            },
            endpoint: true,
            sources: Some(sources),
        }
    }

    fn reason(step: &Step) -> &'static str {
        match step {
            Step::Found { appoint: true } => "appoint",
            Step::Found { appoint: false } => "found",
            Step::Join => "join",
            Step::Say(Verdict::Waiting { reason, .. } | Verdict::Stalled { reason, .. }) => reason,
            Step::Say(Verdict::Available { .. }) => "available",
            Step::Say(Verdict::Paused { .. }) => "paused",
            Step::Remove => "remove",
        }
    }

    #[test]
    fn one_founder_and_none_for_a_cluster_that_exists() {
        let other = || Founder::Other("demo-other".to_owned());
        let table = [
            (false, Founder::None, "appoint"),
            (false, Founder::This, "found"),
            (false, other(), "WaitingForFoundingMachine"),
            (true, Founder::None, "join"),
            (true, other(), "join"),
            // Its Secret was deleted: the same host gets the same data again.
            (true, Founder::This, "found"),
        ];
        for (exists, founder, expected) in table {
            let step = decide(&observed(Sources {
                exists,
                founder: founder.clone(),
                ..sources()
            }));
            assert_eq!(reason(&step), expected, "{exists} {founder:?}");
        }
        // The endpoint answered before the data was made: only where something else stands behind it.
        let made = |founder| Sources {
            exists: true,
            made_to_found: true,
            founder,
            ..sources()
        };
        assert_eq!(reason(&decide(&observed(made(Founder::None)))), "appoint");
        assert_eq!(
            reason(&decide(&observed(made(other())))),
            "WaitingForFoundingMachine"
        );
    }

    #[test]
    fn who_joins_waits_for_a_token_and_a_peer() {
        let table = [
            (
                Joining {
                    unreachable: Some("down".to_owned()),
                    ..Joining::default()
                },
                "ConnectionDown",
            ),
            (
                Joining {
                    token_taken: true,
                    ..Joining::default()
                },
                "DataSecretGenerationFailed",
            ),
            (
                Joining {
                    no_peer: Some("none".to_owned()),
                    ..Joining::default()
                },
                "ConnectionDown",
            ),
        ];
        for (joining, expected) in table {
            let step = decide(&observed(Sources {
                exists: true,
                joining,
                ..sources()
            }));
            assert_eq!(reason(&step), expected);
        }
    }

    #[test]
    fn nothing_is_made_from_less_than_everything() {
        let table = [
            (
                Sources {
                    bad_version: Some("x".to_owned()),
                    ..sources()
                },
                "InvalidVersion",
            ),
            (
                Sources {
                    missing_content: Some("x".to_owned()),
                    ..sources()
                },
                "ContentSourceNotFound",
            ),
            (
                Sources {
                    missing_authorities: vec!["x".to_owned()],
                    ..sources()
                },
                "WaitingForCertificates",
            ),
        ];
        for (sources, expected) in table {
            assert_eq!(reason(&decide(&observed(sources))), expected);
        }
        let without_endpoint = Observed {
            endpoint: false,
            ..observed(sources())
        };
        assert_eq!(
            reason(&decide(&without_endpoint)),
            "WaitingForControlPlaneInitialization"
        );
    }
}
