//! Whether a worker's bootstrap data can be made now. Pure and total.

use k0smotron_api::names::conditions::reasons;

use crate::{
    prerequisites::{GENERATION_FAILED, Prerequisites, WAITING_FOR_CONTROL_PLANE},
    verdict::Verdict,
};

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    pub prerequisites: Prerequisites,
    /// The Cluster has a control plane endpoint.
    pub endpoint: bool,
    /// The cluster's API server has answered.
    pub control_plane_initialized: bool,
    /// What the bootstrap data is made from; looked for only when [`premature`] has nothing against it.
    pub sources: Option<Sources>,
}

/// Whether what the bootstrap data is made from is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// The version that cannot be read, if it cannot.
    pub bad_version: Option<String>,
    /// The reference that leads nowhere, if one does.
    pub missing_content: Option<String>,
    /// The Secret of the cluster's CA that is missing or holds no certificate, if so.
    pub missing_authority: Option<String>,
    /// Why the workload cluster cannot be asked for a token, if it cannot.
    pub unreachable: Option<String>,
    /// Others have tokens under all ids that would do.
    pub token_taken: bool,
}

/// What to do about a config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing but to say this.
    Say(Verdict),
    /// Delete the config, which nobody needs any more.
    Remove,
    /// Make token and bootstrap data.
    Generate,
}

/// What stands against looking for the sources at all.
pub fn premature(observed: &Observed) -> Option<Verdict> {
    let waiting = |message: &str| Verdict::Waiting {
        reason: WAITING_FOR_CONTROL_PLANE,
        message: message.to_owned(),
    };
    observed.prerequisites.verdict().or_else(|| {
        if !observed.endpoint {
            Some(waiting("the Cluster has no control plane endpoint yet"))
        } else if !observed.control_plane_initialized {
            Some(waiting("the control plane is not initialized yet"))
        } else {
            None
        }
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
    let Some(sources) = &observed.sources else {
        let message = "bootstrap data is being prepared".to_owned();
        return Step::Say(Verdict::Waiting {
            reason: reasons::PROGRESSING,
            message,
        });
    };
    if let Some(message) = &sources.bad_version {
        return Step::Say(Verdict::Stalled {
            reason: reasons::INVALID_VERSION,
            message: message.clone(),
        });
    }
    if let Some(message) = &sources.missing_content {
        let (reason, message) = (reasons::CONTENT_SOURCE_NOT_FOUND, message.clone());
        return Step::Say(Verdict::Waiting { reason, message });
    }
    if let Some(message) = &sources.missing_authority {
        let (reason, message) = (reasons::WAITING_FOR_CERTIFICATES, message.clone());
        return Step::Say(Verdict::Waiting { reason, message });
    }
    if let Some(message) = &sources.unreachable {
        let (reason, message) = (reasons::CONNECTION_DOWN, message.clone());
        return Step::Say(Verdict::Waiting { reason, message });
    }
    if sources.token_taken {
        let message = "the workload cluster has foreign tokens under every id for this config: delete \
                       the Secrets bootstrap-token-* in kube-system that nobody needs"
            .to_owned();
        return Step::Say(Verdict::Stalled {
            reason: GENERATION_FAILED,
            message,
        });
    }
    Step::Generate
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prerequisites::{DataSecret, Owner};

    fn observed() -> Observed {
        Observed {
            prerequisites: Prerequisites {
                name: "w1".to_owned(),
                owner: Owner::Machine("w1".to_owned()),
                cluster: Some(("demo".to_owned(), true)),
                paused: None,
                deleting: false,
                machine_leaves: false,
                secret: DataSecret::Missing,
                unsupported: None,
            },
            endpoint: true,
            control_plane_initialized: true,
            sources: Some(Sources::default()),
        }
    }

    fn reason(observed: &Observed) -> &'static str {
        match decide(observed) {
            Step::Generate => "generate",
            Step::Say(Verdict::Waiting { reason, .. } | Verdict::Stalled { reason, .. }) => reason,
            Step::Say(Verdict::Available { .. }) => "available",
            Step::Say(Verdict::Paused { .. }) => "paused",
            Step::Remove => "remove",
        }
    }

    #[test]
    fn data_is_made_once_everything_is_there() {
        assert_eq!(decide(&observed()), Step::Generate);
    }

    #[test]
    fn whatever_is_missing_is_said() {
        let with = |change: fn(&mut Sources)| {
            let mut sources = Sources::default();
            change(&mut sources);
            Observed {
                sources: Some(sources),
                ..observed()
            }
        };
        let table = [
            (
                Observed {
                    endpoint: false,
                    ..observed()
                },
                "WaitingForControlPlaneInitialization",
            ),
            (
                Observed {
                    control_plane_initialized: false,
                    ..observed()
                },
                "WaitingForControlPlaneInitialization",
            ),
            (with(|s| s.bad_version = Some("x".to_owned())), "InvalidVersion"),
            (
                with(|s| s.missing_content = Some("x".to_owned())),
                "ContentSourceNotFound",
            ),
            (
                with(|s| s.missing_authority = Some("x".to_owned())),
                "WaitingForCertificates",
            ),
            (with(|s| s.unreachable = Some("x".to_owned())), "ConnectionDown"),
            (with(|s| s.token_taken = true), "DataSecretGenerationFailed"),
        ];
        for (observed, expected) in table {
            assert_eq!(reason(&observed), expected, "{observed:?}");
        }
    }

    #[test]
    fn existing_data_is_never_made_again() {
        let mut again = Observed {
            endpoint: false,
            control_plane_initialized: false,
            ..observed()
        };
        again.prerequisites.secret = DataSecret::Ours;
        assert_eq!(reason(&again), "available");
    }
}
