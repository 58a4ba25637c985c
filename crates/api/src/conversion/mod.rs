//! Conversion between the versions of our kinds, without loss in either direction.
//!
//! For: objects as the API server holds them, as JSON, so that an odd stored object never stands in the way of a whole list. Not for:
//! types, which have stricter ideas; defaults, which are the API server's; the server that is asked to convert, see
//! [`review`] for what it answers.
//!
//! An object is converted in three steps:
//! 1. *Plainly*: [`rules`] rename and compute; what the other version does not have is dropped, by its generated schema ([`known`]).
//! 2. What an earlier conversion in the other direction has left in the annotation is put back ([`lost`]).
//! 3. The result is converted plainly back. Where that differs from the object given, the difference is what the other version cannot
//!    say, and goes into the annotation.
//!
//! So nothing has to be listed for a field to survive, and the rules decide only how readable the other version is. Step 3 is also why a
//! stale annotation cannot override an edit: each difference names the value it replaces, and is put back only where that value stands.
//!
//! # Size
//! The API server refuses a converted object with more than 256 KiB of annotations, and a whole list with it. An object that has more
//! than that to keep is therefore still readable at v1beta1, with a mark instead of what is missing, and cannot be written through
//! v1beta1 ([`ConversionError::Omitted`]): reading never fails, and writing never loses anything.

mod kinds;
mod known;
mod lost;
mod managed_fields;
mod places;
mod registry;
mod review;
mod rules;

use serde_json::Value;

pub use managed_fields::managed_fields;
pub use places::{moved, version_of};
pub use review::{MalformedReview, answer, review};

use lost::Lost;
use registry::Kind;
use rules::Object;

/// Holds what the version of the object cannot say. Nobody needs to read or keep it, except whoever copies objects between versions.
pub const ANNOTATION: &str = "k0smotron.io/conversion-data";

/// What the API server accepts of annotations, in bytes of names and values together (`TotalAnnotationSizeLimitB`).
const ANNOTATIONS_LIMIT: usize = 256 * 1024;

/// A version of our kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Served for clients that have not moved on.
    V1Beta1,
    /// Stored, and what the controllers speak.
    V1Beta2,
}

impl Version {
    /// The version as in `apiVersion`, behind the group.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1Beta1 => "v1beta1",
            Self::V1Beta2 => "v1beta2",
        }
    }

    fn other(self) -> Self {
        match self {
            Self::V1Beta1 => Self::V1Beta2,
            Self::V1Beta2 => Self::V1Beta1,
        }
    }

    /// Group and version of an `apiVersion`.
    fn parse(api_version: &str) -> Option<(&str, Self)> {
        match api_version.split_once('/')? {
            (group, "v1beta1") => Some((group, Self::V1Beta1)),
            (group, "v1beta2") => Some((group, Self::V1Beta2)),
            _ => None,
        }
    }
}

/// Why an object cannot be converted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConversionError {
    /// Not an object of an API.
    #[error("it has no apiVersion or no kind")]
    NotAnObject,
    /// Not one of our kinds, or not a version of it.
    #[error(
        "{api_version} {kind} is not converted here; k0smotron's kinds have the versions v1beta1 and v1beta2"
    )]
    Unknown {
        /// The object's `apiVersion`.
        api_version: String,
        /// The object's `kind`.
        kind: String,
    },
    /// Versions of one group only can be converted into each other.
    #[error("it cannot become {desired}, which is another group or not a version of it")]
    Desired {
        /// The `apiVersion` asked for.
        desired: String,
    },
    /// There is no place for the annotation.
    #[error("its metadata or its annotations are not an object")]
    Metadata,
    /// Not even a mark fits.
    #[error(
        "its annotations would have {0} bytes, and the API server accepts 262144; remove some of its annotations"
    )]
    TooLarge(usize),
    /// Written through v1beta1 although v1beta1 could not hold all of it.
    #[error(
        "v1beta1 does not hold all of it, because what v1beta1 has no fields for is larger than annotations can be; change it through v1beta2"
    )]
    Omitted,
}

/// Converts an object of any of our kinds. One that has the version already is given back as it is.
///
/// # Errors
/// See [`ConversionError`]; a stored object of our kinds fails only if it has hardly any room for annotations left.
pub fn convert(object: Value, to: Version) -> Result<Value, ConversionError> {
    let Value::Object(object) = object else {
        return Err(ConversionError::NotAnObject);
    };
    let (Some(api_version), Some(name)) = (rules::text(&object, "apiVersion"), rules::text(&object, "kind"))
    else {
        return Err(ConversionError::NotAnObject);
    };
    let unknown = || ConversionError::Unknown {
        api_version: api_version.to_owned(),
        kind: name.to_owned(),
    };
    let (group, from) = Version::parse(api_version).ok_or_else(unknown)?;
    let kind = registry::kind(group, name).ok_or_else(unknown)?;
    if from == to {
        return Ok(object.into());
    }
    let api_version = format!("{group}/{}", to.as_str());
    kind.convert(object, to, api_version).map(Value::Object)
}

impl Kind {
    fn convert(
        &self,
        mut object: Object,
        to: Version,
        api_version: String,
    ) -> Result<Object, ConversionError> {
        // Metadata is the same in all versions, and large: it is set aside, but for the annotations that take part.
        let name = object.remove("kind");
        object.remove("apiVersion");
        let mut metadata = object.remove("metadata");
        let kept = take_annotation(metadata.as_mut(), ANNOTATION);
        let had_annotation = kept.is_some();
        let mut lost = kept
            .as_ref()
            .and_then(Value::as_str)
            .and_then(|text| serde_json::from_str::<Lost>(text).ok())
            .unwrap_or_default();
        if lost.omitted && to == Version::V1Beta2 {
            return Err(ConversionError::Omitted);
        }
        lost.check_status(object.get("status"));
        let mut annotations = Object::new();
        for name in self.rules.annotations {
            if let Some(value) = take_annotation(metadata.as_mut(), name) {
                annotations.insert((*name).to_owned(), value);
            }
        }
        let took_annotations = had_annotation || !annotations.is_empty();

        let from = to.other();
        self.rules.adopt(&mut object, &mut annotations, from);
        let mut converted = object.clone();
        self.plainly(&mut converted, &mut annotations, to);
        lost.restore(&mut converted);
        let mut back = converted.clone();
        self.plainly(&mut back, &mut annotations.clone(), from);
        let mut lost = Lost::between(&back, &object);
        if to == Version::V1Beta2 && lost.concerns_status() {
            lost.status = Some(converted.get("status").map_or(Value::Null, lost::witness));
        }

        put_annotations(&mut metadata, annotations, took_annotations)?;
        if !lost.is_empty() {
            put_lost(&mut metadata, &lost, to)?;
        }
        converted.insert("apiVersion".to_owned(), api_version.into());
        converted.extend(name.map(|name| ("kind".to_owned(), name)));
        converted.extend(metadata.map(|metadata| ("metadata".to_owned(), metadata)));
        Ok(converted)
    }

    /// Without regard to what is lost.
    fn plainly(&self, content: &mut Object, annotations: &mut Object, to: Version) {
        self.rules.apply(content, annotations, to);
        self.known(to).prune_object(content);
    }
}

fn take_annotation(metadata: Option<&mut Value>, name: &str) -> Option<Value> {
    metadata?.get_mut("annotations")?.as_object_mut()?.remove(name)
}

/// Gives the annotations back; a map of them that only held what was taken goes.
fn put_annotations(
    metadata: &mut Option<Value>,
    annotations: Object,
    took: bool,
) -> Result<(), ConversionError> {
    if !annotations.is_empty() {
        all_annotations(metadata)
            .ok_or(ConversionError::Metadata)?
            .extend(annotations);
    } else if took
        && let Some(Value::Object(metadata)) = metadata
        && metadata
            .get("annotations")
            .and_then(Value::as_object)
            .is_some_and(Object::is_empty)
    {
        metadata.remove("annotations");
    }
    Ok(())
}

fn put_lost(metadata: &mut Option<Value>, lost: &Lost, to: Version) -> Result<(), ConversionError> {
    let annotations = all_annotations(metadata).ok_or(ConversionError::Metadata)?;
    let others: usize = annotations
        .iter()
        .map(|(name, value)| name.len() + value.as_str().map_or(0, str::len))
        .sum();
    let size = |text: &str| others + ANNOTATION.len() + text.len();
    let mut text = encode(lost);
    let wanted = size(&text);
    if wanted > ANNOTATIONS_LIMIT && to == Version::V1Beta1 {
        text = encode(&Lost {
            omitted: true,
            ..Lost::default()
        });
    }
    if size(&text) > ANNOTATIONS_LIMIT {
        return Err(ConversionError::TooLarge(wanted));
    }
    annotations.insert(ANNOTATION.to_owned(), text.into());
    Ok(())
}

/// Strings, lists and maps with names for keys: writing them as JSON cannot fail.
fn encode(lost: &Lost) -> String {
    serde_json::to_string(lost).unwrap_or_default()
}

fn all_annotations(metadata: &mut Option<Value>) -> Option<&mut Object> {
    let metadata = or_empty(metadata.get_or_insert_default())?;
    or_empty(metadata.entry("annotations").or_insert_with(Value::default))
}

/// Null stands for an empty object.
fn or_empty(value: &mut Value) -> Option<&mut Object> {
    if value.is_null() {
        *value = Value::Object(Object::new());
    }
    value.as_object_mut()
}
