//! Leases. The whole process works under them: whoever loses one exits, so that no work outlives leadership.

use std::future::Future;

use k8s_controller::LeaderElection;
use kube::Client;

/// Who we are to other candidates, and where leases live.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Namespace of the leases: the manager's own.
    pub namespace: String,
    /// Unique among candidates; the pod's name and a random suffix.
    pub identity: String,
}

/// Leadership was lost; the process has to end.
#[derive(Debug, thiserror::Error)]
#[error("lost the lease {0}")]
pub struct Lost(String);

/// Runs `work` while holding the lease, released when `stop` resolves.
///
/// # Errors
/// When the lease was lost; `work` has been dropped then.
pub async fn lead(
    client: Client,
    candidate: &Candidate,
    lease: &str,
    work: impl Future<Output = ()>,
    stop: impl Future<Output = ()>,
) -> Result<(), Lost> {
    let election = LeaderElection::new(client, &candidate.namespace, lease, &candidate.identity);
    let ended = tokio::select! {
        ended = election.with_lease(work) => Some(ended),
        () = stop => None,
    };
    match ended {
        Some(Some(())) => Ok(()),
        Some(None) => Err(Lost(lease.to_owned())),
        None => {
            election.release().await;
            Ok(())
        }
    }
}
