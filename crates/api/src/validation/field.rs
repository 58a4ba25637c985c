//! A place in an object: where it is and what is there.

use serde_json::Value;

static ABSENT: Value = Value::Null;

/// A field of an object, there or not. Asking a field for what it does not have gives an absent field, so rules read like the field's
/// path and any JSON can be asked.
#[derive(Clone, Debug)]
pub struct Field<'a> {
    path: String,
    value: &'a Value,
}

impl<'a> Field<'a> {
    /// The object itself; its path is empty.
    pub fn root(value: &'a Value) -> Self {
        Self {
            path: String::new(),
            value,
        }
    }

    /// The field of this name in this one.
    pub fn get(&self, name: &str) -> Self {
        let path = match self.path.as_str() {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        };
        Self {
            path,
            value: self.value.get(name).unwrap_or(&ABSENT),
        }
    }

    /// The value of this key in a map whose keys are data rather than names of fields, such as annotations.
    pub fn key(&self, key: &str) -> Self {
        Self {
            path: format!("{}[{key:?}]", self.path),
            value: self.value.get(key).unwrap_or(&ABSENT),
        }
    }

    /// The elements of a list; none for anything else.
    pub fn items(&self) -> impl Iterator<Item = Self> + use<'a> {
        let path = self.path.clone();
        let items = self.value.as_array().map(Vec::as_slice).unwrap_or_default();
        items.iter().enumerate().map(move |(index, value)| Self {
            path: format!("{path}[{index}]"),
            value,
        })
    }

    /// The keys of a map, each with its value; none for anything else.
    pub fn keys(&self) -> impl Iterator<Item = (&'a str, Self)> + use<'a> {
        let path = self.path.clone();
        let entries = self.value.as_object().into_iter().flatten();
        entries.map(move |(key, value)| {
            let path = format!("{path}[{key:?}]");
            (key.as_str(), Self { path, value })
        })
    }

    /// Path from the root of the object, such as `spec.files[0].path`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What is there; null when nothing is.
    pub fn value(&self) -> &'a Value {
        self.value
    }

    /// Whether anything but null is there.
    pub fn is_set(&self) -> bool {
        !self.value.is_null()
    }

    /// The text that is there, unless it is empty.
    pub fn text(&self) -> Option<&'a str> {
        self.value.as_str().filter(|text| !text.is_empty())
    }

    /// The integer that is there.
    pub fn integer(&self) -> Option<i64> {
        self.value.as_i64()
    }

    /// Whether this is `true`.
    pub fn is_true(&self) -> bool {
        self.value.as_bool() == Some(true)
    }
}
