//! Values as YAML with the keys in the order in which a person wrote them.

use std::collections::HashMap;

use anyhow::{Result, anyhow};
use regex::Regex;
use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::Value;

use crate::path::{Path, Step};

/// `value` as YAML. Keys come in the order of `positions`; a key without one comes where the first of what it holds comes, and behind
/// everything else if that has none either.
///
/// # Errors
/// The value cannot be written, which would be a fault of the writer.
pub fn to_yaml(value: &Value, positions: &HashMap<Path, usize>) -> Result<String> {
    let (value, _) = ordered(value, &mut Path::new(), positions);
    quoted(&serde_yaml::to_string(&value)?)
}

/// What is a text in YAML 1.2, which is written here, and something else in YAML 1.1, which kubectl reads: truth values, numbers with
/// underscores or to the base of 60, binary numbers, times, and the keys of merging and of default values.
const SOMETHING_ELSE: &str = r"^(?x:
    [yYnN] | yes | Yes | YES | no | No | NO | on | On | ON | off | Off | OFF
    | [-+]? [0-9] [0-9]* [_:] [0-9_:]* (?: \. [0-9_]* )?
    | [-+]? 0[bB] [01_]+
    | [0-9]{4} - [0-9]{1,2} - [0-9]{1,2} .*
    | = | <<
)$";

/// The text with such words in quotes. None that are meant come without: the emitter writes values of other types in one way only.
fn quoted(yaml: &str) -> Result<String> {
    let something_else = Regex::new(SOMETHING_ELSE)?;
    let mut quotes = Vec::new();
    for event in Parser::new_from_str(yaml) {
        let (event, span) = event.map_err(|error| anyhow!("{error}"))?;
        if let Event::Scalar(value, ScalarStyle::Plain, ..) = event
            && something_else.is_match(&value)
        {
            quotes.extend([span.start.index(), span.start.index() + value.chars().count()]);
        }
    }
    let mut quotes = quotes.into_iter().peekable();
    let mut written = String::with_capacity(yaml.len());
    for (position, character) in yaml.chars().enumerate() {
        while quotes.next_if_eq(&position).is_some() {
            written.push('\'');
        }
        written.push(character);
    }
    Ok(written)
}

/// The value in order, and its position.
fn ordered(value: &Value, path: &mut Path, positions: &HashMap<Path, usize>) -> (serde_yaml::Value, usize) {
    let own = positions.get(path).copied().unwrap_or(usize::MAX);
    match value {
        Value::Object(fields) => {
            let mut entries: Vec<_> = fields
                .iter()
                .map(|(key, value)| {
                    path.push(Step::Key(key.clone()));
                    let (value, position) = ordered(value, path, positions);
                    path.pop();
                    (position, key, value)
                })
                .collect();
            entries.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)));
            let first = entries.first().map_or(usize::MAX, |entry| entry.0);
            let mapping = entries
                .into_iter()
                .map(|(_, key, value)| (key.clone().into(), value));
            (serde_yaml::Value::Mapping(mapping.collect()), own.min(first))
        }
        Value::Array(items) => {
            let mut first = own;
            let items = items.iter().enumerate().map(|(index, item)| {
                path.push(Step::Index(index));
                let (item, position) = ordered(item, path, positions);
                path.pop();
                first = first.min(position);
                item
            });
            (serde_yaml::Value::Sequence(items.collect()), first)
        }
        // Scalars look the same in both.
        scalar => (serde_yaml::to_value(scalar).unwrap_or_default(), own),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::Index;

    #[test]
    fn keys_keep_their_order() {
        let text = "kind: A\napiVersion: b\nlist:\n- z: 1\n  a: 2\n";
        let value: Value = serde_yaml::from_str(text).unwrap();
        let places = Index::of(text).unwrap().places;
        let positions = places
            .into_iter()
            .enumerate()
            .map(|(n, place)| (place.path, n))
            .collect();
        assert_eq!(to_yaml(&value, &positions).unwrap(), text);
    }

    #[test]
    fn a_new_key_comes_where_what_it_holds_comes() {
        let path = |keys: &[&str]| {
            keys.iter()
                .map(|key| Step::Key((*key).to_owned()))
                .collect::<Path>()
        };
        let positions = [(path(&["z"]), 0), (path(&["new", "moved"]), 1), (path(&["a"]), 2)].into();
        let value = serde_json::json!({"a": 1, "added": 2, "new": {"moved": 3}, "z": 4});
        assert_eq!(
            to_yaml(&value, &positions).unwrap(),
            "z: 4\nnew:\n  moved: 3\na: 1\nadded: 2\n"
        );
    }

    #[test]
    fn texts_are_texts_for_kubectl_too() {
        let words = [
            "yes",
            "Off",
            "n",
            "1_000",
            "12:30:45",
            "+1:30",
            "0b11",
            "2030-01-31",
            "<<",
            "=",
        ];
        for word in words {
            let value = serde_json::json!({"a": [word, word], word: 1});
            let text = to_yaml(&value, &HashMap::new()).unwrap();
            assert_eq!(text.matches(&format!("'{word}'")).count(), 3, "{text}");
            assert_eq!(serde_yaml::from_str::<Value>(&text).unwrap(), value);
        }
        let value = serde_json::json!({"a": ["true story", "yes\nno", "é yes", "v1.36.3", "192.0.2.1", "a:b"], "b": [true, null, 1.5, "on"]});
        let text = to_yaml(&value, &HashMap::new()).unwrap();
        assert_eq!(text.matches('\'').count(), 2, "{text}");
        assert_eq!(serde_yaml::from_str::<Value>(&text).unwrap(), value);
    }
}
