//! The status of a RemoteCluster. Pure.

use k0smotron_api::{
    infrastructure::v1beta2::{Provisioning, RemoteClusterStatus},
    names::conditions::{reasons, types},
};
use k0smotron_runtime::conditions::Conditions;

use super::decide::Verdict;

/// The status after a pass.
pub fn status(
    before: &RemoteClusterStatus,
    generation: Option<i64>,
    verdict: &Verdict,
) -> RemoteClusterStatus {
    let mut conditions = Conditions::of(&before.conditions, generation);
    let mut after = before.clone();
    match verdict {
        Verdict::Paused(why) => conditions.set_true(types::PAUSED, reasons::PAUSED, why.as_str()),
        Verdict::WaitingForOwner => {
            conditions.set_false(types::PAUSED, reasons::NOT_PAUSED, "");
            let message = "waiting for a Cluster whose infrastructureRef names this object";
            conditions.set_false(types::READY, reasons::WAITING_FOR_OWNER, message);
            conditions.set_false(types::STALLED, reasons::PROGRESSING, "");
        }
        Verdict::Obsolete => {}
        Verdict::Provisioned => {
            conditions.set_false(types::PAUSED, reasons::NOT_PAUSED, "");
            conditions.set_true(types::READY, reasons::READY, "");
            conditions.set_false(types::STALLED, reasons::PROGRESSING, "");
            // Never taken back (contract IC4).
            after.initialization = Some(Provisioning {
                provisioned: Some(true),
            });
        }
    }
    after.conditions = conditions.into_vec();
    after.observed_generation = generation;
    after
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: &RemoteClusterStatus) -> Vec<String> {
        status
            .conditions
            .iter()
            .map(|c| format!("{}={} {}", c.type_, c.status, c.reason))
            .collect()
    }

    #[test]
    fn provisioning_is_never_taken_back() {
        let waiting = status(
            &RemoteClusterStatus::default(),
            Some(1),
            &Verdict::WaitingForOwner,
        );
        assert!(!waiting.provisioned());
        assert_eq!(
            said(&waiting),
            [
                "Paused=False NotPaused",
                "Ready=False WaitingForOwner",
                "Stalled=False Progressing"
            ]
        );
        let ready = status(&waiting, Some(1), &Verdict::Provisioned);
        assert!(ready.provisioned());
        let paused = status(&ready, Some(2), &Verdict::Paused("x".into()));
        assert!(paused.provisioned());
        assert_eq!(
            said(&paused),
            [
                "Paused=True Paused",
                "Ready=True Ready",
                "Stalled=False Progressing"
            ]
        );
        assert_eq!(paused.observed_generation, Some(2));
        assert_eq!(status(&ready, Some(1), &Verdict::Provisioned), ready);
    }
}
