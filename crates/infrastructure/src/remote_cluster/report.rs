//! The status of a RemoteCluster. Pure.

use k0smotron_api::{
    infrastructure::v1beta2::{Provisioning, RemoteCluster, RemoteClusterStatus},
    names::conditions::{reasons, types},
};
use k0smotron_runtime::conditions::Conditions;

use super::decide::Verdict;

/// The status after a pass.
pub fn status(
    object: &RemoteCluster,
    before: &RemoteClusterStatus,
    verdict: &Verdict,
) -> RemoteClusterStatus {
    let generation = object.metadata.generation;
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
            after.failure_domains = object.spec.failure_domains.clone();
            after
                .failure_domains
                .sort_by(|one, other| one.name.cmp(&other.name));
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

    fn object(generation: i64, spec: &str) -> RemoteCluster {
        let text = format!(
            "apiVersion: infrastructure.cluster.x-k8s.io/v1beta2\nkind: RemoteCluster\n\
             metadata: {{name: c, generation: {generation}}}\nspec: {{{spec}}}\n"
        );
        serde_yaml::from_str(&text).unwrap()
    }

    #[test]
    fn provisioning_is_never_taken_back() {
        let first = object(1, "");
        let waiting = status(&first, &RemoteClusterStatus::default(), &Verdict::WaitingForOwner);
        assert!(!waiting.provisioned());
        assert_eq!(
            said(&waiting),
            [
                "Paused=False NotPaused",
                "Ready=False WaitingForOwner",
                "Stalled=False Progressing"
            ]
        );
        let ready = status(&first, &waiting, &Verdict::Provisioned);
        assert!(ready.provisioned());
        let paused = status(&object(2, ""), &ready, &Verdict::Paused("x".into()));
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
        assert_eq!(status(&first, &ready, &Verdict::Provisioned), ready);
    }

    #[test]
    fn failure_domains_are_published_as_they_are_now() {
        let names = |status: &RemoteClusterStatus| -> Vec<_> {
            let domains = status.failure_domains.iter();
            domains
                .map(|domain| (domain.name.clone(), domain.control_plane))
                .collect()
        };
        let racks = object(
            1,
            "failureDomains: [{name: rack-2, controlPlane: true}, {name: rack-1, attributes: {floor: '3'}}]",
        );
        let none = RemoteClusterStatus::default();
        // Together with the news that it is provisioned: whoever waits for that looks at them next.
        assert_eq!(names(&status(&racks, &none, &Verdict::WaitingForOwner)), []);
        let published = status(&racks, &none, &Verdict::Provisioned);
        assert_eq!(
            names(&published),
            [("rack-1".to_owned(), None), ("rack-2".to_owned(), Some(true))]
        );
        assert_eq!(published.failure_domains[0].attributes["floor"], "3");
        let fewer = object(2, "failureDomains: [{name: rack-2, controlPlane: true}]");
        assert_eq!(names(&status(&fewer, &published, &Verdict::Provisioned)).len(), 1);
    }
}
