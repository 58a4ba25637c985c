//! `k0smotronctl convert`: manifests in the other API version, with everything else as it was.

use std::collections::HashMap;

use anyhow::{Context as _, Result};
use k0smotron_api::conversion::{self, Version};
use serde_json::Value;

use crate::{
    comments::Comments,
    document::{self, Document, items, title},
    emit,
    path::{Index, Path, Step},
};

/// A stream in one version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Converted {
    pub text: String,
    /// What whoever asked for it should know, a line each.
    pub notes: Vec<String>,
}

/// The stream with every object of ours in version `to`. Comments and the order of keys stay; documents that need no conversion come out
/// to the byte as they went in.
///
/// # Errors
/// A document cannot be read, or an object cannot be converted.
pub fn stream(text: &str, to: Version) -> Result<Converted> {
    let mut all = Converted::default();
    for document in document::split(text) {
        all.text.push_str(document.marker);
        match converted(&document, to, &mut all.notes)? {
            Some(text) => all.text.push_str(&text),
            None => all.text.push_str(document.text),
        }
    }
    Ok(all)
}

/// The document's new text, if it has to be converted.
fn converted(document: &Document<'_>, to: Version, notes: &mut Vec<String>) -> Result<Option<String>> {
    let Some(value) = document.value()? else {
        return Ok(None);
    };
    let Some(new) = object(&value, to, notes)? else {
        return Ok(None);
    };
    let moved = |path: &Path| moved(&value, path, to);
    let places = Index::of(document.text)?.places;
    let positions: HashMap<_, _> = (0..)
        .zip(places)
        .map(|(n, place)| (moved(&place.path), n))
        .collect();
    let bare = emit::to_yaml(&new, &positions)?;
    Ok(Some(Comments::of(document.text)?.write(&bare, moved)?))
}

/// The object in version `to`, unless it is in it or not ours. A `List` is converted item by item.
fn object(value: &Value, to: Version, notes: &mut Vec<String>) -> Result<Option<Value>> {
    if let Some(items) = items(value) {
        let converted: Vec<_> = items
            .iter()
            .map(|item| object(item, to, notes))
            .collect::<Result<_>>()?;
        if converted.iter().all(Option::is_none) {
            return Ok(None);
        }
        let items = items.iter().zip(converted);
        let items: Vec<Value> = items
            .map(|(old, new)| new.unwrap_or_else(|| old.clone()))
            .collect();
        let mut list = value.clone();
        if let Some(fields) = list.as_object_mut() {
            fields.insert("items".to_owned(), items.into());
        }
        return Ok(Some(list));
    }
    if conversion::version_of(value).is_none_or(|version| version == to) {
        return Ok(None);
    }
    let converted = conversion::convert(value.clone(), to)
        .with_context(|| format!("{} cannot be converted to {}", title(value), to.as_str()))?;
    if carried(&converted).is_some() && carried(value).is_none() {
        notes.push(format!(
            "{}: {} cannot say all of it; the rest is in annotation {}, which has to stay",
            title(value),
            to.as_str(),
            conversion::ANNOTATION
        ));
    }
    Ok(Some(converted))
}

/// What an object carries along for the other version.
fn carried(object: &Value) -> Option<&Value> {
    object
        .get("metadata")?
        .get("annotations")?
        .get(conversion::ANNOTATION)
}

/// Where the value at `path` of a document is after its conversion.
fn moved(document: &Value, path: &Path, to: Version) -> Path {
    let (object, start) = match (items(document), path.as_slice()) {
        (Some(items), [_, Step::Index(index), ..]) => match items.get(*index) {
            Some(item) => (item, 2),
            None => return path.clone(),
        },
        (Some(_), _) => return path.clone(),
        (None, _) => (document, 0),
    };
    let (outside, inside) = path.split_at(start.min(path.len()));
    // Fields only move as a whole and lists keep their order, so what follows the first index stays.
    let fields = inside.iter().map_while(|step| match step {
        Step::Key(key) => Some(key.as_str()),
        Step::Index(_) => None,
    });
    let fields: Vec<_> = fields.collect();
    let rest = inside.get(fields.len()..).unwrap_or_default();
    let target = conversion::moved(object, &fields, to);
    let target = target.into_iter().map(Step::Key);
    outside
        .iter()
        .cloned()
        .chain(target)
        .chain(rest.iter().cloned())
        .collect()
}
