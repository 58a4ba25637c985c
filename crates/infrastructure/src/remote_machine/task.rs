//! Attempts on a host: everything they need is taken along, since the reconcile that began them is over by then.

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use k0smotron_api::infrastructure::v1beta2::{PooledRemoteMachine, RemoteMachine};
use k0smotron_runtime::Context;
use k0smotron_ssh::NewHost;
use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams},
    core::PartialObjectMeta,
};
use serde_json::json;

use super::{
    access,
    fetch::Sources,
    observed::{Data, Observed},
    plan, trust,
};
use crate::host::{
    Problem,
    redact::Secrets,
    script::{self, BOOTSTRAP_STEP, CLEANUP_STEP, Cleanup, Settings},
    work,
};

/// For a whole attempt to set a host up. Every step has its own deadline on the host; this one is for a manager that
/// would wait for a host which answers `running` for ever.
const PROVISIONING: Duration = Duration::from_secs(2 * 60 * 60);

/// An attempt to set the host up.
///
/// # Errors
/// When what is in the API does not lead to a host; nothing has been begun then.
pub fn provision(
    observed: &Observed,
    sources: &Sources,
) -> Result<impl Future<Output = Result<(), Problem>> + Send + 'static, Problem> {
    let Data::Ready(work) = &observed.data else {
        return Err(Problem::passing(
            "BootstrapDataGone",
            "the bootstrap data went away meanwhile",
        ));
    };
    let settings = Settings::new(BOOTSTRAP_STEP);
    let script = script::bootstrap(&plan::identity(observed), &work.bootstrap, &settings);
    let attempt = Attempt::new(observed, sources)?;
    let work = work.clone();
    Ok(async move {
        let asked = Asked {
            script: &script,
            settings: &settings,
            name: "bootstrap",
            steps: work.bootstrap.commands.len(),
            secrets: &work.secrets,
            deadline: PROVISIONING,
        };
        attempt.run(&asked).await
    })
}

/// An attempt to clean the host up.
///
/// # Errors
/// As [`provision`].
pub fn clean_up(
    observed: &Observed,
    sources: &Sources,
) -> Result<impl Future<Output = Result<(), Problem>> + Send + 'static, Problem> {
    let settings = Settings::new(CLEANUP_STEP);
    let cleanup = plan::cleanup(observed);
    let steps = match &cleanup {
        Cleanup::Reset => 1,
        Cleanup::Commands(commands) => commands.len(),
    };
    let is_provisioned = observed.machine.spec.provider_id.is_some();
    let script = script::cleanup(&plan::identity(observed), &cleanup, is_provisioned, &settings);
    let attempt = Attempt::new(observed, sources)?;
    Ok(async move {
        let secrets = Secrets::default();
        let asked = Asked {
            script: &script,
            settings: &settings,
            name: "clean-up",
            steps,
            secrets: &secrets,
            deadline: CLEANUP_STEP + Duration::from_secs(60),
        };
        attempt.run(&asked).await
    })
}

struct Asked<'a> {
    script: &'a script::Script,
    settings: &'a Settings,
    name: &'a str,
    steps: usize,
    secrets: &'a Secrets,
    deadline: Duration,
}

/// The way to the host, and where its key is kept.
struct Attempt {
    context: Context,
    transport: Arc<dyn k0smotron_ssh::Transport>,
    target: k0smotron_ssh::Target,
    on_changed_key: BTreeMap<String, String>,
    machine: Arc<RemoteMachine>,
    entry: Option<Arc<PooledRemoteMachine>>,
}

impl Attempt {
    fn new(observed: &Observed, sources: &Sources) -> Result<Self, Problem> {
        let target = access::target(observed)?;
        Ok(Self {
            context: sources.context.clone(),
            transport: sources.transport.clone(),
            on_changed_key: trust::on_changed_key(observed, &target),
            target,
            machine: observed.machine.clone(),
            entry: trust::entry(observed).cloned(),
        })
    }

    async fn run(&self, asked: &Asked<'_>) -> Result<(), Problem> {
        let work = work::Work {
            target: &self.target,
            script: asked.script,
            settings: asked.settings,
            name: asked.name,
            steps: asked.steps,
            secrets: asked.secrets,
            on_changed_key: &self.on_changed_key,
            deadline: asked.deadline,
        };
        work::attempt(self.transport.as_ref(), &work, |hosts| self.pin(hosts))
            .await
            .map(drop)
    }

    /// Keeps the keys of hosts that are met for the first time, on the object that stands for the last of them.
    async fn pin(&self, hosts: Vec<NewHost>) -> Result<(), Problem> {
        let namespace = self.machine.namespace().unwrap_or_default();
        let kept = match &self.entry {
            Some(entry) => keep(&self.context.api(&namespace), entry.as_ref(), &hosts).await,
            None => keep(&self.context.api(&namespace), self.machine.as_ref(), &hosts).await,
        };
        let kept = kept.map_err(|error| {
            Problem::passing(
                "HostKeyNotKept",
                format!("the key of the host could not be kept: {error}"),
            )
        })?;
        if !kept {
            // The next attempt compares with what was kept meanwhile.
            return Err(Problem::passing(
                "HostKeyNotKept",
                "another host key was pinned meanwhile",
            ));
        }
        for host in hosts {
            let note = format!(
                "{} is trusted from now on with the host key {}",
                host.endpoint, host.host_key
            );
            let events = &self.context.events;
            events.normal_later(self.machine.as_ref(), "HostKeyPinned", &note);
        }
        Ok(())
    }
}

/// Writes the annotations, unless there is one of another key. Returns whether these keys are the ones that are kept.
async fn keep<K>(api: &Api<K>, holder: &K, hosts: &[NewHost]) -> Result<bool, kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let name = holder.name_any();
    for _ in 0..5 {
        let now: PartialObjectMeta<K> = api.get_metadata(&name).await?;
        let Some(changes) = trust::to_keep(now.annotations(), hosts) else {
            return Ok(false);
        };
        if changes.is_empty() {
            return Ok(true);
        }
        let patch = json!({ "metadata": {
            "resourceVersion": now.resource_version(),
            "annotations": changes,
        }});
        match api
            .patch_metadata(&name, &PatchParams::default(), &Patch::Merge(patch))
            .await
        {
            Err(kube::Error::Api(status)) if status.is_conflict() => {}
            result => return result.map(|_| true),
        }
    }
    Ok(false)
}
