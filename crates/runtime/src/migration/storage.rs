//! Writes every object again, unchanged, until none is stored as an older version, and says so in the definition.
//!
//! Pages of metadata are read, and each object written against the version that was read: who changed it meanwhile has
//! stored it anew himself. After an interruption it begins again, which costs little: what is stored rightly already is
//! compared by the API server and not written to etcd.

use std::{collections::BTreeSet, time::Duration};

use futures::{FutureExt, StreamExt};
use k0smotron_api::{
    conversion,
    webhooks::{Kind, VERSION},
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Resource, ResourceExt,
    api::{ListParams, ObjectMeta, Patch, PatchParams},
    core::{DynamicObject, PartialObjectMeta},
};
use serde_json::{Value, json};
use tokio::time::MissedTickBehavior;

use super::{FIELD_MANAGER, Migration, api_of, resource};
use crate::{controller::chain, definitions};

/// Generation of the definition that was looked at last, as Cluster API's own providers write it (contract CT29).
const OBSERVED: &str = "crd-migration.cluster.x-k8s.io/observed-generation";
const PAGE: u32 = 100;
/// One write in this time: a fleet is migrated in minutes, and nobody else has to wait for it.
const PACE: Duration = Duration::from_millis(20);
/// First and longest wait after an error.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(600));

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("cannot {verb} CustomResourceDefinition {name}")]
    Definition {
        verb: &'static str,
        name: String,
        source: kube::Error,
    },
    #[error("cannot list {plural}")]
    List {
        plural: &'static str,
        source: kube::Error,
    },
    #[error("{count} of {plural} cannot be stored as {VERSION}, the first is {first}")]
    Refused {
        count: usize,
        plural: &'static str,
        first: String,
        source: kube::Error,
    },
    #[error("CustomResourceDefinition {0} was changed meanwhile")]
    Changed(String),
}

/// Looks at each definition now and whenever it changes. Runs until dropped.
pub(super) async fn run(migration: &Migration) {
    let mut changes = std::pin::pin!(migration.definitions.changes());
    let mut pending: BTreeSet<String> = migration.kinds.iter().map(|kind| kind.definition()).collect();
    let mut failures = 0_u32;
    loop {
        let mut failed = BTreeSet::new();
        for kind in &migration.kinds {
            let name = kind.definition();
            if !pending.contains(&name) {
                continue;
            }
            if let Err(error) = migrate(migration, kind, &name).await {
                tell(migration, &name, &error).await;
                failed.insert(name);
            }
        }
        failures = if failed.is_empty() {
            0
        } else {
            failures.saturating_add(1)
        };
        pending = failed;
        let wait = BACKOFF
            .0
            .saturating_mul(2_u32.saturating_pow(failures))
            .min(BACKOFF.1);
        let mut note = |change: Option<String>| match change {
            Some(name) => {
                pending.insert(name);
            }
            None => pending.extend(migration.kinds.iter().map(|kind| kind.definition())),
        };
        tokio::select! {
            Some(change) = changes.next() => {
                note(change);
                while let Some(Some(change)) = changes.next().now_or_never() {
                    note(change);
                }
            }
            () = tokio::time::sleep(wait), if failures > 0 => {}
        }
    }
}

async fn tell(migration: &Migration, name: &str, error: &Error) {
    let text = chain(error);
    if matches!(error, Error::Changed(_)) {
        return tracing::info!("{text}; the migration begins again");
    }
    tracing::warn!(error = %text, "the migration of stored objects is not complete; trying again");
    if matches!(error, Error::Refused { .. }) {
        let mut definition = CustomResourceDefinition::default();
        *definition.meta_mut() = ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        };
        migration
            .events
            .warning(&definition, "MigrationIncomplete", &text)
            .await;
    }
}

async fn migrate(migration: &Migration, kind: &'static Kind, name: &str) -> Result<(), Error> {
    let api = definitions::api(&migration.client);
    let failed = |verb| {
        move |source| Error::Definition {
            verb,
            name: name.to_owned(),
            source,
        }
    };
    let Some(definition) = api.get_opt(name).await.map_err(failed("read"))? else {
        return Ok(());
    };
    // A definition of another release stores what that release wants.
    if !stores_our_version(&definition) {
        return Ok(());
    }
    let before = stored(&definition);
    let only_ours = before.iter().all(|version| version == VERSION);
    if !only_ours && !migration.skipped.storage {
        tracing::info!(
            kind = kind.kind,
            group = kind.group,
            ?before,
            "objects are stored as {VERSION}"
        );
        let count = store_all(migration, kind).await?;
        let now = api.get(name).await.map_err(failed("read"))?;
        if !stores_our_version(&now) || stored(&now) != before {
            return Err(Error::Changed(name.to_owned()));
        }
        let patch = json!({
            "metadata": { "resourceVersion": now.resource_version() },
            "status": { "storedVersions": [VERSION] },
        });
        match api.patch_status(name, &parameters(), &Patch::Merge(&patch)).await {
            Ok(_) => tracing::info!(
                kind = kind.kind,
                group = kind.group,
                count,
                "all objects are stored as {VERSION}"
            ),
            Err(kube::Error::Api(status)) if status.is_conflict() => {
                return Err(Error::Changed(name.to_owned()));
            }
            Err(source) => return Err(failed("update the status of")(source)),
        }
    }
    let generation = definition.metadata.generation.unwrap_or_default().to_string();
    if definition.annotations().get(OBSERVED) != Some(&generation) {
        let patch = json!({ "metadata": { "annotations": { OBSERVED: generation } } });
        api.patch(name, &parameters(), &Patch::Merge(&patch))
            .await
            .map_err(failed("annotate"))?;
    }
    Ok(())
}

fn stores_our_version(definition: &definitions::Definition) -> bool {
    let mut versions = definition.spec.versions.iter();
    versions.any(|version| version.storage && version.name == VERSION)
}

fn stored(definition: &definitions::Definition) -> Vec<String> {
    let status = definition.status.as_ref();
    status
        .and_then(|status| status.stored_versions.clone())
        .unwrap_or_default()
}

fn parameters() -> PatchParams {
    PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    }
}

/// Writes every object of the kind; the answer is how many there were.
async fn store_all(migration: &Migration, kind: &'static Kind) -> Result<usize, Error> {
    let api: Api<PartialObjectMeta<DynamicObject>> = Api::all_with(migration.client.clone(), &resource(kind));
    let mut page = ListParams::default().limit(PAGE);
    let mut pace = tokio::time::interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut count = 0_usize;
    let mut refused: Option<(usize, String, kube::Error)> = None;
    loop {
        let list = api.list(&page).await.map_err(|source| Error::List {
            plural: kind.plural,
            source,
        })?;
        for object in &list.items {
            pace.tick().await;
            count = count.saturating_add(1);
            if let Err(source) = store(migration, kind, object).await {
                // The others do not have to wait for it.
                match &mut refused {
                    Some((count, ..)) => *count = count.saturating_add(1),
                    None => refused = Some((1, described(object), source)),
                }
            }
        }
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => break,
        }
    }
    match refused {
        None => Ok(count),
        Some((count, first, source)) => Err(Error::Refused {
            count,
            plural: kind.plural,
            first,
            source,
        }),
    }
}

async fn store(
    migration: &Migration,
    kind: &Kind,
    object: &PartialObjectMeta<DynamicObject>,
) -> Result<(), kube::Error> {
    let api = api_of(&migration.client, kind, &object.namespace().unwrap_or_default());
    let mut metadata = json!({ "resourceVersion": object.resource_version() });
    let mut entries = object.managed_fields().to_vec();
    if !migration.skipped.managed_fields
        && conversion::managed_fields(kind.group, kind.kind, &mut entries)
        && let Value::Object(metadata) = &mut metadata
    {
        metadata.insert("managedFields".to_owned(), json!(entries));
    }
    let patch = Patch::Merge(json!({ "metadata": metadata }));
    match api.patch(&object.name_any(), &parameters(), &patch).await {
        Ok(_) => Ok(()),
        // Written or deleted by somebody else: stored as it should be either way.
        Err(kube::Error::Api(status)) if status.is_conflict() || status.is_not_found() => Ok(()),
        Err(error) => Err(error),
    }
}

fn described(object: &PartialObjectMeta<DynamicObject>) -> String {
    format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any())
}
