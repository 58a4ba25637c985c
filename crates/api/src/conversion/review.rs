//! What the API server asks of a conversion webhook, and the answer.
//!
//! A list of thousands of objects arrives as one request. [`answer`] reads it object by object and writes each converted one at once, so
//! that it needs little more memory than request and answer have bytes; parsed as a whole they would take ten times that.

use std::fmt;

use kube::core::{
    Status,
    conversion::{ConversionRequest, ConversionResponse, ConversionReview},
};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;

use super::{ConversionError, Version, convert};

/// So many objects are named in the message of a failed review.
const NAMED: usize = 5;

/// The body is not a ConversionReview with a request, so that there is nobody to answer.
#[derive(Debug, thiserror::Error)]
#[error("the body is not a ConversionReview of apiextensions.k8s.io/v1 with a request: {0}")]
pub struct MalformedReview(#[from] serde_json::Error);

/// Answers a review in the form in which it arrives and leaves.
///
/// Objects that cannot be converted fail the whole review, as its definition wants it, with a message that names them.
///
/// # Errors
/// When the body is not a review.
pub fn answer(body: &[u8]) -> Result<Vec<u8>, MalformedReview> {
    // Two passes: the version asked for may stand behind the objects.
    let head: Head = serde_json::from_slice(body)?;
    let Identity {
        api_version,
        kind,
        request,
    } = head;
    let mut out = Vec::with_capacity(body.len() + body.len() / 8 + 1024);
    out.extend_from_slice(br#"{"apiVersion":"#);
    serde_json::to_writer(&mut out, &api_version)?;
    out.extend_from_slice(br#","kind":"#);
    serde_json::to_writer(&mut out, &kind)?;
    out.extend_from_slice(br#","response":{"uid":"#);
    serde_json::to_writer(&mut out, &request.uid)?;
    out.extend_from_slice(br#","convertedObjects":["#);
    let before = out.len();
    let mut writing = Writing {
        desired: &request.desired_api_version,
        out: &mut out,
        failures: Failures::default(),
        count: 0,
    };
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    InField("request", InField("objects", &mut writing)).deserialize(&mut deserializer)?;
    let result = writing.failures.into_status();
    if result.is_failure() {
        out.truncate(before);
    }
    out.extend_from_slice(br#"],"result":"#);
    serde_json::to_writer(&mut out, &result)?;
    out.extend_from_slice(b"}}");
    Ok(out)
}

/// Answers a review that has been parsed. See [`answer`] for one that has not.
#[must_use]
pub fn review(request: &ConversionReview) -> ConversionReview {
    let Some(asked) = &request.request else {
        let status = Status::failure("the ConversionReview has no request", "BadRequest");
        return ConversionResponse::invalid(status).into_review();
    };
    let mut failures = Failures::default();
    let mut converted = Vec::with_capacity(asked.objects.len());
    for object in &asked.objects {
        match convert_to(object.clone(), &asked.desired_api_version) {
            Ok(object) => converted.push(object),
            Err(message) => failures.add(message),
        }
    }
    let response = ConversionResponse::for_request(ConversionRequest {
        types: Some(request.types.clone()),
        uid: asked.uid.clone(),
        desired_api_version: String::new(),
        objects: Vec::new(),
    });
    let status = failures.into_status();
    let response = if status.is_failure() {
        response.failure(status)
    } else {
        response.success(converted)
    };
    response.into_review()
}

/// Converts an object to an `apiVersion`; a failure names the object.
fn convert_to(object: Value, desired: &str) -> Result<Value, String> {
    let name = describe(&object);
    let group = object
        .get("apiVersion")
        .and_then(Value::as_str)
        .and_then(|api_version| api_version.split_once('/'))
        .map(|(group, _)| group.to_owned());
    let converted = match Version::parse(desired) {
        Some((desired_group, version)) if group.as_deref().is_none_or(|group| group == desired_group) => {
            convert(object, version)
        }
        _ => Err(ConversionError::Desired {
            desired: desired.to_owned(),
        }),
    };
    converted.map_err(|error| format!("{name} cannot be converted to {desired}: {error}"))
}

/// Kind, namespace and name, as far as there are any.
fn describe(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let kind = text("/kind").unwrap_or("object");
    let name = text("/metadata/name").unwrap_or("without a name");
    match text("/metadata/namespace") {
        Some(namespace) => format!("{kind} {namespace}/{name}"),
        None => format!("{kind} {name}"),
    }
}

#[derive(Default)]
struct Failures {
    messages: Vec<String>,
    more: usize,
}

impl Failures {
    fn add(&mut self, message: String) {
        if self.messages.len() < NAMED {
            self.messages.push(message);
        } else {
            self.more += 1;
        }
    }

    fn any(&self) -> bool {
        !self.messages.is_empty()
    }

    fn into_status(self) -> Status {
        if !self.any() {
            return Status::success();
        }
        let mut message = self.messages.join("; ");
        if self.more > 0 {
            message.push_str(&format!("; and {} more", self.more));
        }
        Status::failure(&message, "ConversionFailed")
    }
}

/// A review without its objects.
type Head = Identity<Request>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Identity<R> {
    api_version: String,
    kind: String,
    request: R,
}

#[derive(Deserialize)]
struct Request {
    uid: String,
    #[serde(rename = "desiredAPIVersion")]
    desired_api_version: String,
    /// There and a list or null is all that is asked here.
    #[serde(rename = "objects")]
    _objects: Option<IgnoredAny>,
}

/// Finds one field of an object and ignores all others.
struct InField<S>(&'static str, S);

impl<'de, S: DeserializeSeed<'de, Value = ()>> DeserializeSeed<'de> for InField<S> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, S: DeserializeSeed<'de, Value = ()>> Visitor<'de> for InField<S> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "an object with the field {}", self.0)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self(field, seed) = self;
        let mut seed = Some(seed);
        while let Some(name) = map.next_key::<String>()? {
            match seed.take_if(|_| name == field) {
                Some(seed) => map.next_value_seed(seed)?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// Converts and writes each element of the list of objects.
struct Writing<'a> {
    desired: &'a str,
    out: &'a mut Vec<u8>,
    failures: Failures,
    count: usize,
}

impl<'de> DeserializeSeed<'de> for &mut Writing<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Writing<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of objects")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(object) = list.next_element::<Value>()? {
            match convert_to(object, self.desired) {
                // Nothing of a failed review is sent, so there is nothing to write any more.
                Ok(_) if self.failures.any() => {}
                Ok(object) => {
                    if self.count > 0 {
                        self.out.push(b',');
                    }
                    self.count += 1;
                    object
                        .serialize(&mut serde_json::Serializer::new(&mut *self.out))
                        .map_err(serde::de::Error::custom)?;
                }
                Err(message) => self.failures.add(message),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answered(review: &Value) -> Value {
        serde_json::from_slice(&answer(review.to_string().as_bytes()).unwrap()).unwrap()
    }

    fn asked(objects: &Value) -> Value {
        json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "ConversionReview",
            "request": {"uid": "u", "desiredAPIVersion": "infrastructure.cluster.x-k8s.io/v1beta2", "objects": objects},
        })
    }

    #[test]
    fn failures_name_the_object_and_nothing_is_converted() {
        let objects = json!([
            {"apiVersion": "infrastructure.cluster.x-k8s.io/v1beta1", "kind": "Nonsense", "metadata": {"namespace": "n", "name": "x"}},
            {"apiVersion": "k0smotron.io/v1beta1", "kind": "Cluster", "metadata": {"name": "y"}},
            7,
        ]);
        for answer in [
            answered(&asked(&objects)),
            json!(review(&serde_json::from_value(asked(&objects)).unwrap())),
        ] {
            let response = &answer["response"];
            assert_eq!(answer["kind"], "ConversionReview");
            assert_eq!(answer["apiVersion"], "apiextensions.k8s.io/v1");
            assert_eq!(response["uid"], "u");
            assert_eq!(response["convertedObjects"], json!([]));
            assert_eq!(response["result"]["status"], "Failure");
            let message = response["result"]["message"].as_str().unwrap();
            assert!(message.contains("Nonsense n/x"), "{message}");
            assert!(message.contains("Cluster y"), "{message}");
            assert!(message.contains("object without a name"), "{message}");
        }
    }

    #[test]
    fn many_failures_are_summed_up() {
        let objects = Value::Array(vec![json!({"kind": "K"}); 100]);
        let message = answered(&asked(&objects))["response"]["result"]["message"].to_string();
        assert!(message.contains("and 95 more"), "{message}");
    }

    #[test]
    fn bodies_that_are_no_reviews_are_refused() {
        for body in [
            "",
            "{",
            "[]",
            "null",
            "{}",
            r#"{"apiVersion":"a","kind":"b","request":null}"#,
            r#"{"apiVersion":"a","kind":"b","request":{"uid":"u","desiredAPIVersion":"x","objects":7}}"#,
        ] {
            assert!(answer(body.as_bytes()).is_err(), "{body}");
        }
    }
}
