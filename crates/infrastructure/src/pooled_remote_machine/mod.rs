//! PooledRemoteMachine: shows in status who has the host. The reservation itself is an annotation ([`crate::pool`]),
//! which this controller never writes.

mod report;

use std::sync::Arc;

use k0smotron_api::infrastructure::v1beta2::{PooledRemoteMachine, RemoteMachine};
use k0smotron_runtime::{Context, Controller, Outcome, ReconcileError, status};
use kube::ResourceExt;

use crate::{belonging::paused, pool};

/// Runs the controller until dropped.
pub async fn run(context: Context) {
    Controller::<PooledRemoteMachine>::new("pooled-remote-machine", &context)
        .run(move |entry| reconcile(entry, context.clone()))
        .await;
}

async fn reconcile(entry: Arc<PooledRemoteMachine>, context: Context) -> Result<Outcome, Error> {
    if entry.metadata.deletion_timestamp.is_some() || paused(entry.as_ref(), None).is_some() {
        return Ok(Outcome::Waiting);
    }
    let namespace = entry.namespace().unwrap_or_default();
    let before = entry.status.clone().unwrap_or_default();
    // A reservation that the controller before this one kept in status only: the machine will say so itself, and until
    // then nobody else may think that the host is free.
    if pool::reserved_by(&entry).is_none()
        && let Some(by) = before
            .machine_ref
            .as_ref()
            .filter(|by| before.reserved && !by.name.is_empty())
    {
        let machines = context.api::<RemoteMachine>(&namespace);
        let machine = machines.get_opt(&by.name).await.map_err(Error::ReadMachine)?;
        if machine.is_some_and(|machine| pool::entry_of(&machine).is_none()) {
            return Ok(Outcome::Waiting);
        }
    }
    let after = report::status(&entry, &before);
    status::patch_if_changed(&context.api(&namespace), entry.as_ref(), Some(&before), &after).await?;
    Ok(Outcome::Done)
}

/// What a pass may fail with.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("failed to read the RemoteMachine that has the host")]
    ReadMachine(#[source] kube::Error),
    #[error(transparent)]
    WriteStatus(#[from] status::Error),
}

impl ReconcileError for Error {
    fn reason(&self) -> &'static str {
        match self {
            Self::ReadMachine(_) => "ReadRemoteMachineFailed",
            Self::WriteStatus(_) => "WriteStatusFailed",
        }
    }
}
