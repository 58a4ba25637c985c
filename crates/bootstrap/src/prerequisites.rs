//! What must be so before bootstrap data of either kind is made. Pure.

use crate::verdict::Verdict;

/// Reason: the control plane has no endpoint yet, or does not answer yet.
pub const WAITING_FOR_CONTROL_PLANE: &str = "WaitingForControlPlaneInitialization";
/// Reason: another Machine founds the cluster first.
pub const WAITING_FOR_FOUNDER: &str = "WaitingForFoundingMachine";
/// Reason: bootstrap data cannot be made from what is there.
pub const GENERATION_FAILED: &str = "DataSecretGenerationFailed";
/// Reason: right, and not supported yet.
pub const UNSUPPORTED: &str = "Unsupported";

/// The object of Cluster API that the config belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// No owner reference yet: Cluster API sets it.
    None,
    /// Named by the owner reference, and not there.
    Missing(String),
    /// A MachinePool of this name.
    Pool(String),
    /// A Machine of this name.
    Machine(String),
}

/// The Secret that the bootstrap data goes into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataSecret {
    Missing,
    /// It exists and the config controls it.
    Ours,
    /// The same, for a pool, and its join token is half over: machines to come need another one.
    Aging,
    /// It exists and somebody else's.
    Foreign,
}

/// What both kinds look at before anything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prerequisites {
    /// Name of the config, which is also that of its Secret.
    pub name: String,
    pub owner: Owner,
    /// Name of the Cluster, and whether it is there.
    pub cluster: Option<(String, bool)>,
    /// Why nothing may be done, when paused.
    pub paused: Option<String>,
    /// The config is being deleted.
    pub deleting: bool,
    /// The Machine is being deleted, and nothing holds it any more.
    pub machine_leaves: bool,
    pub secret: DataSecret,
    /// What of the spec cannot be followed: field, value and remedy.
    pub unsupported: Option<String>,
}

impl Prerequisites {
    /// Whether nobody needs the config any more. Cluster API deletes it too, but only in a pass of its own after the
    /// infrastructure machine is gone, a second later for every Machine; it is content to find it gone.
    pub fn obsolete(&self) -> bool {
        self.machine_leaves && self.paused.is_none() && !self.deleting
    }

    /// There is bootstrap data.
    pub fn available(&self) -> Verdict {
        Verdict::Available {
            secret: self.name.clone(),
            token_revoked: false,
        }
    }

    /// What is to be said without looking further; `None` when bootstrap data is to be made.
    pub fn verdict(&self) -> Option<Verdict> {
        let waiting = |reason, message: String| Some(Verdict::Waiting { reason, message });
        if let Some(message) = &self.paused {
            return Some(Verdict::Paused {
                message: message.clone(),
            });
        }
        match &self.owner {
            Owner::None => {
                return waiting(
                    "WaitingForMachine",
                    "no Machine refers to this config yet".to_owned(),
                );
            }
            Owner::Missing(name) => {
                return waiting("WaitingForMachine", format!("Machine {name} does not exist"));
            }
            Owner::Machine(_) | Owner::Pool(_) => {}
        }
        match &self.cluster {
            Some((_, true)) => {}
            Some((name, false)) => {
                return waiting("WaitingForCluster", format!("Cluster {name} does not exist"));
            }
            None => return waiting("WaitingForCluster", "the Machine names no Cluster".to_owned()),
        }
        match self.secret {
            // Made once: a machine that has it must not find another one under the same name. Also what a config
            // says whose status was lost by a move or a restore.
            DataSecret::Ours => {
                return Some(self.available());
            }
            DataSecret::Foreign => {
                let message = format!(
                    "Secret {} exists and is not controlled by this config: rename or delete it",
                    self.name
                );
                return Some(Verdict::Stalled {
                    reason: GENERATION_FAILED,
                    message,
                });
            }
            DataSecret::Missing | DataSecret::Aging => {}
        }
        if self.deleting {
            return waiting("Deleting", "the config is being deleted".to_owned());
        }
        self.unsupported.as_ref().map(|message| Verdict::Stalled {
            reason: UNSUPPORTED,
            message: message.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met() -> Prerequisites {
        Prerequisites {
            name: "w1".to_owned(),
            owner: Owner::Machine("w1".to_owned()),
            cluster: Some(("demo".to_owned(), true)),
            paused: None,
            deleting: false,
            machine_leaves: false,
            secret: DataSecret::Missing,
            unsupported: None,
        }
    }

    #[test]
    fn nothing_is_said_when_all_is_met() {
        assert_eq!(met().verdict(), None);
    }

    #[test]
    fn a_config_goes_with_its_machine_unless_paused() {
        let leaving = Prerequisites {
            machine_leaves: true,
            ..met()
        };
        assert!(!met().obsolete() && leaving.obsolete());
        let paused = Prerequisites {
            paused: Some("because".to_owned()),
            ..leaving.clone()
        };
        let going = Prerequisites {
            deleting: true,
            ..leaving
        };
        assert!(!paused.obsolete() && !going.obsolete());
    }

    #[test]
    fn what_is_missing_is_said_in_order() {
        let reason = |prerequisites: Prerequisites| match prerequisites.verdict() {
            Some(Verdict::Waiting { reason, .. } | Verdict::Stalled { reason, .. }) => reason.to_owned(),
            Some(Verdict::Available { secret, .. }) => format!("Available {secret}"),
            Some(Verdict::Paused { .. }) => "Paused".to_owned(),
            None => "none".to_owned(),
        };
        let table = [
            (
                Prerequisites {
                    owner: Owner::None,
                    ..met()
                },
                "WaitingForMachine",
            ),
            (
                Prerequisites {
                    owner: Owner::Missing("m".to_owned()),
                    ..met()
                },
                "WaitingForMachine",
            ),
            (
                Prerequisites {
                    owner: Owner::Pool("p".to_owned()),
                    secret: DataSecret::Aging,
                    ..met()
                },
                "none",
            ),
            (
                Prerequisites {
                    cluster: None,
                    ..met()
                },
                "WaitingForCluster",
            ),
            (
                Prerequisites {
                    cluster: Some(("demo".to_owned(), false)),
                    ..met()
                },
                "WaitingForCluster",
            ),
            (
                Prerequisites {
                    secret: DataSecret::Foreign,
                    ..met()
                },
                "DataSecretGenerationFailed",
            ),
            (
                Prerequisites {
                    secret: DataSecret::Ours,
                    ..met()
                },
                "Available w1",
            ),
            (
                Prerequisites {
                    deleting: true,
                    ..met()
                },
                "Deleting",
            ),
            (
                Prerequisites {
                    unsupported: Some("windows".to_owned()),
                    ..met()
                },
                "Unsupported",
            ),
            (
                Prerequisites {
                    unsupported: Some("windows".to_owned()),
                    paused: Some("because".to_owned()),
                    secret: DataSecret::Ours,
                    ..met()
                },
                "Paused",
            ),
        ];
        for (prerequisites, expected) in table {
            assert_eq!(reason(prerequisites.clone()), expected, "{prerequisites:?}");
        }
    }
}
