//! YAML streams as people write them: split into documents whose text is kept, so that what is not ours comes out as it went in.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// One document of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document<'a> {
    /// The line that begins it (`---` and what stands beside it), with its end of line; empty where there is none.
    pub marker: &'a str,
    /// Its text, with comments.
    pub text: &'a str,
    /// Line of the stream on which its text begins, counted from 1.
    pub line: usize,
}

/// Splits a stream at its document markers. `marker` and `text` of all documents together are the stream again.
pub fn split(stream: &str) -> Vec<Document<'_>> {
    let mut documents = Vec::new();
    let (mut marker, mut text_start, mut first_line) = ("", 0, 1);
    let mut offset = 0;
    for (number, line) in (1..).zip(stream.split_inclusive('\n')) {
        // At the beginning of a line three dashes end a document, whatever it is in the middle of (YAML 1.2, 9.1.2).
        if is_marker(line) {
            documents.push(Document {
                marker,
                text: stream.get(text_start..offset).unwrap_or_default(),
                line: first_line,
            });
            marker = line;
            text_start = offset + line.len();
            first_line = number + 1;
        }
        offset += line.len();
    }
    documents.push(Document {
        marker,
        text: stream.get(text_start..).unwrap_or_default(),
        line: first_line,
    });
    documents.retain(|document| !document.marker.is_empty() || !document.text.is_empty());
    documents
}

fn is_marker(line: &str) -> bool {
    line.strip_prefix("---")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
}

impl Document<'_> {
    /// What it says; nothing if it has comments only.
    ///
    /// # Errors
    /// The text is no YAML, or has a key twice.
    pub fn value(&self) -> Result<Option<Value>> {
        let read = || -> Result<Value> {
            let mut value: serde_yaml::Value = serde_yaml::from_str(self.text)?;
            value.apply_merge()?;
            Ok(serde_json::to_value(value)?)
        };
        let beside = self.marker.trim_start_matches('-').trim();
        ensure!(
            beside.is_empty() || beside.starts_with('#'),
            "line {}: kubectl drops what stands beside ---; write it on a line of its own",
            self.line - 1
        );
        let value =
            read().with_context(|| format!("the document that begins on line {} is no YAML", self.line))?;
        Ok((!value.is_null()).then_some(value))
    }
}

/// The objects of a stream, those of a `List` one by one, each with the line on which its document begins.
///
/// # Errors
/// A document cannot be read.
pub fn objects(stream: &str) -> Result<Vec<(usize, Value)>> {
    let mut objects = Vec::new();
    for document in split(stream) {
        match document.value()? {
            Some(value) if items(&value).is_some() => {
                objects.extend(
                    items(&value)
                        .into_iter()
                        .flatten()
                        .map(|item| (document.line, item.clone())),
                );
            }
            Some(value) => objects.push((document.line, value)),
            None => {}
        }
    }
    Ok(objects)
}

/// The items of a `List`.
pub fn items(value: &Value) -> Option<&Vec<Value>> {
    (value.get("kind").and_then(Value::as_str) == Some("List"))
        .then(|| value.get("items").and_then(Value::as_array))
        .flatten()
}

/// `Kind/name`, as kubectl prints it, for messages.
pub fn title(object: &Value) -> String {
    let text = |pointer| object.pointer(pointer).and_then(Value::as_str);
    let name = text("/metadata/name").or_else(|| text("/metadata/generateName"));
    format!("{}/{}", text("/kind").unwrap_or("?"), name.unwrap_or("?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "# first\na: 1\n--- # second\nb: |\n  ---\n  text\n---\n---\nc: 3";

    #[test]
    fn nothing_is_lost_by_splitting() {
        let documents = split(STREAM);
        assert_eq!(documents.len(), 4);
        assert_eq!(documents.iter().map(|d| d.line).collect::<Vec<_>>(), [1, 4, 8, 9]);
        let together: String = documents.iter().flat_map(|d| [d.marker, d.text]).collect();
        assert_eq!(together, STREAM);
    }

    #[test]
    fn documents_say_what_they_hold() {
        let values: Vec<_> = split(STREAM).iter().map(|d| d.value().unwrap()).collect();
        assert_eq!(values[1].as_ref().unwrap()["b"], "---\ntext\n");
        assert_eq!(values[2], None);
    }

    #[test]
    fn merged_keys_are_followed() {
        let text = "base: &base {a: 1}\nmore:\n  <<: *base\n  b: 2\n";
        let value = split(text)[0].value().unwrap().unwrap();
        assert_eq!(value["more"], serde_json::json!({"a": 1, "b": 2}));
    }

    #[test]
    fn lists_are_what_they_hold() {
        let stream = "kind: A\n---\nkind: List\nitems: [{kind: B}, {kind: C}]\n";
        let kinds: Vec<_> = objects(stream)
            .unwrap()
            .into_iter()
            .map(|(line, object)| (line, object["kind"].clone()))
            .collect();
        assert_eq!(kinds, [(1, "A".into()), (3, "B".into()), (3, "C".into())]);
    }

    #[test]
    fn nothing_is_dropped_in_silence() {
        assert!(
            objects("--- {kind: A}\n")
                .unwrap_err()
                .to_string()
                .contains("line 1")
        );
    }

    #[test]
    fn an_unreadable_document_is_named_by_its_line() {
        let error = split("a: 1\n---\nb: [\n")[1].value().unwrap_err();
        assert!(error.to_string().contains("line 3"), "{error}");
    }
}
