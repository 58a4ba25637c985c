//! What both bootstrap configs say of themselves: one verdict, turned into status and conditions. Pure.

use k0smotron_api::{
    bootstrap::v1beta2::{BootstrapStatus, DataSecretInitialization},
    names::conditions::{
        reasons,
        types::{DATA_SECRET_AVAILABLE, JOIN_TOKEN_REVOKED, PAUSED, READY, STALLED, UNSUPPORTED},
    },
};
use k0smotron_runtime::conditions::Conditions;

/// Reason: the machine has joined.
const JOINED: &str = "Joined";

/// What is to be said about a config after a pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The bootstrap data is in this Secret. Its join token may have been revoked, for the machine has joined.
    Available { secret: String, token_revoked: bool },
    /// Something is awaited that comes by itself.
    Waiting { reason: &'static str, message: String },
    /// Somebody has to change something.
    Stalled { reason: &'static str, message: String },
    /// Nothing is done, because of this.
    Paused { message: String },
}

/// The status after a pass.
pub fn status(before: &BootstrapStatus, generation: Option<i64>, verdict: &Verdict) -> BootstrapStatus {
    let mut conditions = Conditions::of(&before.conditions, generation);
    let mut after = before.clone();
    if let Verdict::Paused { message } = verdict {
        conditions.set_true(PAUSED, reasons::PAUSED, message.as_str());
        after.conditions = conditions.into_vec();
        after.observed_generation = generation;
        return after;
    }
    conditions.set_false(PAUSED, reasons::NOT_PAUSED, "");
    match verdict {
        Verdict::Available {
            secret,
            token_revoked,
        } => {
            conditions.set_true(
                DATA_SECRET_AVAILABLE,
                reasons::AVAILABLE,
                "Bootstrap secret created",
            );
            conditions.set_true(READY, reasons::READY, "");
            conditions.set_false(STALLED, reasons::PROGRESSING, "");
            if *token_revoked {
                conditions.set_true(JOIN_TOKEN_REVOKED, JOINED, "");
            }
            after.data_secret_name = Some(secret.clone());
            after.initialization = Some(DataSecretInitialization {
                data_secret_created: Some(true),
            });
        }
        Verdict::Waiting { reason, message } => {
            conditions.set_false(DATA_SECRET_AVAILABLE, reason, message.as_str());
            conditions.set_false(
                READY,
                reasons::NOT_READY,
                format!("* {DATA_SECRET_AVAILABLE}: {message}"),
            );
            conditions.set_false(STALLED, reasons::PROGRESSING, "");
        }
        Verdict::Stalled { reason, message } => {
            conditions.set_false(DATA_SECRET_AVAILABLE, reason, message.as_str());
            conditions.set_false(
                READY,
                reasons::NOT_READY,
                format!("* {DATA_SECRET_AVAILABLE}: {message}"),
            );
            conditions.set_true(STALLED, reason, message.as_str());
        }
        // Answered above.
        Verdict::Paused { .. } => {}
    }
    // There is no condition for what is supported.
    match verdict {
        Verdict::Stalled { reason, message } if *reason == reasons::UNSUPPORTED => {
            conditions.set_true(UNSUPPORTED, reasons::UNSUPPORTED, message.as_str());
        }
        _ => conditions.remove(UNSUPPORTED),
    }
    after.conditions = conditions.into_vec();
    after.observed_generation = generation;
    after
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: &BootstrapStatus) -> Vec<String> {
        let mut said: Vec<_> = status
            .conditions
            .iter()
            .map(|c| format!("{}={} {} {}", c.type_, c.status, c.reason, c.message))
            .collect();
        said.sort();
        said
    }

    #[test]
    fn waiting_then_available_then_paused() {
        let waiting = Verdict::Waiting {
            reason: "WaitingForControlPlaneInitialization",
            message: "wait".to_owned(),
        };
        let first = status(&BootstrapStatus::default(), Some(1), &waiting);
        assert_eq!(
            said(&first),
            [
                "DataSecretAvailable=False WaitingForControlPlaneInitialization wait",
                "Paused=False NotPaused ",
                "Ready=False NotReady * DataSecretAvailable: wait",
                "Stalled=False Progressing ",
            ]
        );
        assert!(!first.data_secret_created());

        let available = status(
            &first,
            Some(1),
            &Verdict::Available {
                secret: "w1".to_owned(),
                token_revoked: false,
            },
        );
        assert!(available.data_secret_created());
        assert_eq!(available.data_secret_name.as_deref(), Some("w1"));

        let paused = status(
            &available,
            Some(2),
            &Verdict::Paused {
                message: "because".to_owned(),
            },
        );
        assert!(said(&paused).contains(&"Paused=True Paused because".to_owned()));
        assert!(
            said(&paused).contains(&"Ready=True Ready ".to_owned()),
            "what was true stays said"
        );
        assert!(paused.data_secret_created());
    }

    #[test]
    fn a_verdict_twice_changes_nothing() {
        let stalled = Verdict::Stalled {
            reason: "Unsupported",
            message: "windows".to_owned(),
        };
        let once = status(&BootstrapStatus::default(), Some(1), &stalled);
        assert_eq!(status(&once, Some(1), &stalled), once);
        assert!(said(&once).contains(&"Unsupported=True Unsupported windows".to_owned()));
        let mended = Verdict::Available {
            secret: "w1".to_owned(),
            token_revoked: true,
        };
        let after = status(&once, Some(2), &mended);
        assert!(
            !said(&after)
                .iter()
                .any(|condition| condition.starts_with("Unsupported"))
        );
        assert!(said(&after).contains(&"JoinTokenRevoked=True Joined ".to_owned()));
        let later = Verdict::Available {
            secret: "w1".to_owned(),
            token_revoked: false,
        };
        assert_eq!(status(&after, Some(2), &later), after, "what is revoked stays so");
    }
}
