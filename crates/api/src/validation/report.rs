//! What the rules found.

use std::{
    collections::HashMap,
    fmt::{self, Write as _},
};

use serde_json::Value;

use super::Field;

/// How much of a value is repeated in a message, in characters.
const SHOWN: usize = 100;
/// How many errors, and how many warnings, are passed on. The API server passes on no more than 4096 bytes of warnings.
const MOST: usize = 30;
/// Longest message of a finding, in characters.
const LONGEST: usize = 400;

/// Something that is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Path of the field, such as `spec.files[0].path`.
    pub field: String,
    /// What the field says, as JSON; shortened when long, empty when the field is missing.
    pub value: String,
    /// What is wrong with it, and what to do about it.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.value.as_str() {
            "" => write!(f, "{}: {}", self.field, self.message),
            value => write!(f, "{}: {value}: {}", self.field, self.message),
        }
    }
}

/// Everything that the rules found in an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Why the object is refused; it is accepted when there are none.
    pub errors: Vec<Finding>,
    /// What the user should know, although it is accepted.
    pub warnings: Vec<String>,
}

/// Findings while they are being gathered.
#[derive(Debug, Default)]
pub struct Report {
    errors: Vec<(Identity, Finding)>,
    warnings: Vec<String>,
}

/// What makes two findings in two states of an object the same: place, value and rule. The place and the message go without indices,
/// so that removing one element of a list does not make those behind it new.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Identity {
    field: String,
    value: String,
    message: String,
}

impl Report {
    /// The field is wrong. The message ends with the remedy.
    pub fn error(&mut self, field: &Field<'_>, message: impl Into<String>) {
        let message = shortened(&message.into(), LONGEST);
        let value = if field.is_set() {
            field.value().to_string()
        } else {
            String::new()
        };
        let finding = Finding {
            field: field.path().to_owned(),
            value: shortened(&value, SHOWN),
            message,
        };
        let identity = Identity {
            field: without_indices(&finding.field),
            value,
            message: without_indices(&finding.message),
        };
        self.errors.push((identity, finding));
    }

    /// The field is wrong when the result says so, with the result's message.
    pub fn check<T, E: fmt::Display>(&mut self, field: &Field<'_>, result: Result<T, E>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(message) => {
                self.error(field, message.to_string());
                None
            }
        }
    }

    /// The field is odd, and works.
    pub fn warn(&mut self, field: &Field<'_>, message: impl fmt::Display) {
        let warning = shortened(&format!("{}: {message}", field.path()), LONGEST);
        // What is odd about many elements alike needs saying once for each, and not twice.
        if self.warnings.len() < MOST && !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// Turns the errors that were there before into warnings.
    pub fn forgive(&mut self, before: Self) {
        let mut known: HashMap<Identity, usize> = HashMap::new();
        for (identity, _) in before.errors {
            *known.entry(identity).or_default() += 1;
        }
        let errors = std::mem::take(&mut self.errors);
        for (identity, finding) in errors {
            match known.get_mut(&identity).filter(|count| **count > 0) {
                Some(count) => {
                    *count -= 1;
                    if self.warnings.len() < MOST {
                        self.warnings
                            .push(format!("{finding} (kept, because it was there before)"));
                    }
                }
                None => self.errors.push((identity, finding)),
            }
        }
    }

    /// The findings, of which there may be too many to pass on.
    pub fn into_findings(mut self) -> Findings {
        let more = self.errors.len().saturating_sub(MOST);
        self.errors.truncate(MOST);
        let mut errors: Vec<_> = self.errors.into_iter().map(|(_, finding)| finding).collect();
        if more > 0
            && let Some(last) = errors.last_mut()
        {
            let _ = write!(last.message, " ({more} more problems are not shown)");
        }
        Findings {
            errors,
            warnings: self.warnings,
        }
    }
}

/// A value as it is shown in messages, in quotes where it is text.
pub fn shown(value: &Value) -> String {
    shortened(&value.to_string(), SHOWN)
}

fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// `files[3].path` as `files[].path`; other brackets, such as those of annotation keys, stay.
fn without_indices(text: &str) -> String {
    let mut pieces = text.split('[');
    let mut result = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        result.push('[');
        result.push_str(piece.trim_start_matches(|character: char| character.is_ascii_digit()));
    }
    result
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report(object: &Value) -> Report {
        let mut report = Report::default();
        for item in Field::root(object).get("list").items() {
            if item.value() == "bad" {
                report.error(&item, format!("{} is bad", item.path()));
            }
        }
        report
    }

    fn errors(new: &Value, old: &Value) -> usize {
        let mut found = report(new);
        found.forgive(report(old));
        found.into_findings().errors.len()
    }

    #[test]
    fn what_was_there_before_is_forgiven_wherever_it_has_moved() {
        let old = json!({"list": ["good", "bad"]});
        assert_eq!(errors(&old, &old), 0);
        assert_eq!(errors(&json!({"list": ["bad"]}), &old), 0);
        assert_eq!(errors(&json!({"list": ["bad", "bad"]}), &old), 1);
        assert_eq!(errors(&json!({"list": ["bad"]}), &json!({"list": []})), 1);
    }

    #[test]
    fn long_values_and_many_findings_stay_readable() {
        let object = json!({"list": vec!["bad"; 1000], "long": "x".repeat(100_000)});
        let mut report = report(&object);
        report.error(&Field::root(&object).get("long"), "y".repeat(100_000));
        let findings = report.into_findings();
        assert_eq!(findings.errors.len(), MOST);
        assert!(
            findings
                .errors
                .iter()
                .all(|finding| finding.to_string().len() < 1000)
        );
        assert!(
            findings.errors[MOST - 1]
                .message
                .contains("971 more problems are not shown")
        );
    }
}
