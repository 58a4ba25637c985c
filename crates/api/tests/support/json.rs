//! Walking through JSON.

use serde_json::Value;

/// A place in a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    Field(String),
    Index(usize),
}

/// Every value that is not an object or a list with something in it, with its place.
pub fn leaves(value: &Value) -> Vec<(Vec<Step>, Value)> {
    fn walk(value: &Value, path: &mut Vec<Step>, found: &mut Vec<(Vec<Step>, Value)>) {
        let below: Vec<(Step, &Value)> = match value {
            Value::Object(object) => object
                .iter()
                .map(|(name, value)| (Step::Field(name.clone()), value))
                .collect(),
            Value::Array(items) => items
                .iter()
                .enumerate()
                .map(|(index, value)| (Step::Index(index), value))
                .collect(),
            _ => Vec::new(),
        };
        if below.is_empty() {
            found.push((path.clone(), value.clone()));
        }
        for (step, value) in below {
            path.push(step);
            walk(value, path, found);
            path.pop();
        }
    }
    let mut found = Vec::new();
    walk(value, &mut Vec::new(), &mut found);
    found
}

pub fn at<'a>(value: &'a Value, path: &[Step]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, step| match step {
        Step::Field(name) => value.as_object()?.get(name),
        Step::Index(index) => value.as_array()?.get(*index),
    })
}

pub fn at_mut<'a>(value: &'a mut Value, path: &[Step]) -> Option<&'a mut Value> {
    path.iter().try_fold(value, |value, step| match step {
        Step::Field(name) => value.as_object_mut()?.get_mut(name),
        Step::Index(index) => value.as_array_mut()?.get_mut(*index),
    })
}

/// Another value of the same type.
pub fn changed(value: &Value) -> Value {
    match value {
        Value::Null | Value::Object(_) | Value::Array(_) => Value::from("edited"),
        Value::Bool(value) => Value::from(!value),
        Value::Number(number) => number.as_i64().map_or_else(
            || Value::from(0.5),
            |number| Value::from(if number == 7 { 8 } else { 7 }),
        ),
        Value::String(text) => Value::from(format!("{text}-edited")),
    }
}
