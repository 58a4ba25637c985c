//! Moves `metadata.managedFields` to the stored version whenever an entry of an older one appears: who owns what stays
//! as it is, in the words of the new version.
//!
//! Only metadata is watched and no object kept. Somebody who goes on writing the old version gets his entries moved ever
//! more slowly, so that two who react to each other's writes come to rest.

use std::{collections::HashMap, time::Duration};

use futures::{StreamExt, future, stream};
use k0smotron_api::{conversion, webhooks::Kind};
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
    core::{DynamicObject, PartialObjectMeta},
    runtime::{WatchStreamExt, watcher},
};
use serde_json::json;
use tokio::time::Instant;

use super::{FIELD_MANAGER, Migration, api_of, resource};
use crate::controller::chain;

/// First and longest time from seeing an old entry to moving it. Whoever writes often has finished by then.
const SETTLED: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(600));
/// An object that was left alone this long begins anew.
const FORGOTTEN: Duration = Duration::from_secs(3600);
/// One write in this time.
const PACE: Duration = Duration::from_millis(20);

/// An object with an old entry, or one that had one lately.
struct Seen {
    kind: &'static Kind,
    namespace: String,
    name: String,
    /// When to move it, if there is something to be moved.
    due: Option<Instant>,
    /// How often that has been tried lately, and when last.
    tries: u32,
    last: Instant,
}

/// Runs until dropped.
pub(super) async fn run(migration: &Migration) {
    if migration.skipped.managed_fields {
        return std::future::pending().await;
    }
    let streams = migration.kinds.iter().map(|kind| {
        let kind: &'static Kind = kind;
        let api: Api<PartialObjectMeta<DynamicObject>> =
            Api::all_with(migration.client.clone(), &resource(kind));
        watcher(api, watcher::Config::default().page_size(100))
            .default_backoff()
            .applied_objects()
            .filter_map(move |object| future::ready(object.ok().map(|object| (kind, object))))
            .boxed()
    });
    let mut objects = stream::select_all(streams);
    let mut seen: HashMap<String, Seen> = HashMap::new();
    loop {
        let next = seen.values().filter_map(|seen| seen.due).min();
        tokio::select! {
            Some((kind, object)) = objects.next() => note(&mut seen, kind, &object),
            () = until(next) => {
                let now = Instant::now();
                let due = seen.values_mut().find(|seen| seen.due.is_some_and(|due| due <= now));
                if let Some(due) = due {
                    move_entries(migration, due).await;
                    tokio::time::sleep(PACE).await;
                }
                seen.retain(|_, seen| seen.due.is_some() || now.duration_since(seen.last) < FORGOTTEN);
            }
        }
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

fn note(seen: &mut HashMap<String, Seen>, kind: &'static Kind, object: &PartialObjectMeta<DynamicObject>) {
    let mut entries = object.managed_fields().to_vec();
    if !conversion::managed_fields(kind.group, kind.kind, &mut entries) {
        return;
    }
    let (Some(uid), Some(namespace)) = (object.uid(), object.namespace()) else {
        return;
    };
    let now = Instant::now();
    let seen = seen.entry(uid).or_insert_with(|| Seen {
        kind,
        namespace,
        name: object.name_any(),
        due: None,
        tries: 0,
        last: now,
    });
    if seen.due.is_none() {
        seen.due = Some(now + delay(seen.tries));
    }
}

fn delay(tries: u32) -> Duration {
    SETTLED
        .0
        .saturating_mul(2_u32.saturating_pow(tries))
        .min(SETTLED.1)
}

async fn move_entries(migration: &Migration, seen: &mut Seen) {
    let now = Instant::now();
    seen.tries = seen.tries.saturating_add(1);
    seen.last = now;
    seen.due = None;
    if let Err(error) = try_to_move(migration, seen).await {
        tracing::info!(
            kind = seen.kind.kind, namespace = seen.namespace, name = seen.name, error = %chain(&error),
            "managed fields of an older version are not moved yet"
        );
        seen.due = Some(now + delay(seen.tries));
    }
}

async fn try_to_move(migration: &Migration, seen: &Seen) -> Result<(), kube::Error> {
    let api = api_of(&migration.client, seen.kind, &seen.namespace);
    let Some(object) = api.get_opt(&seen.name).await? else {
        return Ok(());
    };
    let mut entries = object.managed_fields().to_vec();
    if !conversion::managed_fields(seen.kind.group, seen.kind.kind, &mut entries) {
        return Ok(());
    }
    let parameters = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let patch = json!({ "metadata": {
        "resourceVersion": object.resource_version(),
        "managedFields": entries,
    } });
    match api.patch(&seen.name, &parameters, &Patch::Merge(&patch)).await {
        Ok(_) => {
            tracing::debug!(
                kind = seen.kind.kind,
                namespace = seen.namespace,
                name = seen.name,
                "managed fields moved"
            );
            Ok(())
        }
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(error),
    }
}
