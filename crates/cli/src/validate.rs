//! `k0smotronctl validate`: what an API server with our schemas and webhooks would say to each object, without one.

use std::collections::HashMap;

use anyhow::Result;
use k0smotron_api::{
    conversion::{self, Version},
    validation,
};
use serde_json::Value;

use crate::{
    document::{self, title},
    metadata,
    schema::{Problem, Schema, Schemas},
};

/// What was found in a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// One line each: `<line>: <Kind>/<name>: error|warning: <field>: <message>`.
    pub lines: Vec<String>,
    pub errors: usize,
    pub warnings: usize,
    /// Objects of ours that were looked at.
    pub objects: usize,
}

/// What an API server says to one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Why it is refused; it is accepted when there are none.
    pub errors: Vec<String>,
    pub warnings: Vec<String>,
}

impl Findings {
    fn refused(problems: Vec<Problem>) -> Self {
        Self {
            errors: problems.iter().map(ToString::to_string).collect(),
            warnings: Vec::new(),
        }
    }
}

/// Objects as they are in a cluster already.
#[derive(Clone, Debug, Default)]
pub struct Known(HashMap<[String; 4], Value>);

impl Known {
    /// Takes note of every object in a stream.
    ///
    /// # Errors
    /// A document cannot be read.
    pub fn learn(&mut self, text: &str) -> Result<()> {
        for object in document::objects(text)? {
            self.add(object.1);
        }
        Ok(())
    }

    /// Takes note of an object; one that was known under its name is replaced.
    pub fn add(&mut self, object: Value) {
        self.0.insert(key(&object), object);
    }

    /// The object of the same kind and name, as it is.
    #[must_use]
    pub fn get(&self, object: &Value) -> Option<&Value> {
        self.0.get(&key(object))
    }
}

/// Group, kind, namespace and name.
fn key(object: &Value) -> [String; 4] {
    let text = |pointer: &str| {
        object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let group = text("/apiVersion").split('/').next().unwrap_or_default();
    [
        group,
        text("/kind"),
        text("/metadata/namespace"),
        text("/metadata/name"),
    ]
    .map(str::to_owned)
}

/// Validates every object of ours in the stream; others are passed over.
///
/// # Errors
/// A document cannot be read.
pub fn stream(text: &str, known: &Known, schemas: &Schemas) -> Result<Report> {
    let mut report = Report::default();
    for (line, object) in document::objects(text)? {
        if !schemas.serve(&object) {
            continue;
        }
        report.objects += 1;
        let findings = findings(&object, known.get(&object), schemas);
        report.errors += findings.errors.len();
        report.warnings += findings.warnings.len();
        let errors = findings.errors.into_iter().map(|text| ("error", text));
        let warnings = findings.warnings.into_iter().map(|text| ("warning", text));
        let title = title(&object);
        let lines = errors
            .chain(warnings)
            .map(|(severity, text)| format!("{line}: {title}: {severity}: {text}"));
        report.lines.extend(lines);
    }
    Ok(report)
}

/// What is to be said of one object of ours, in the order in which an API server looks: fields, defaults, schema and its rules, then the
/// rules of webhooks. Later steps are not asked when an earlier one refuses.
#[must_use]
pub fn findings(object: &Value, old: Option<&Value>, schemas: &Schemas) -> Findings {
    let Some(schema) = schemas.of(object) else {
        let version = object.get("apiVersion").cloned().unwrap_or_default();
        let problem = format!(
            "apiVersion: {version} is not served; use version {}",
            Version::V1Beta2.as_str()
        );
        return Findings {
            errors: vec![problem],
            warnings: Vec::new(),
        };
    };
    let mut unknown = schema.unknown(object);
    unknown.extend(metadata::check(object));
    if !unknown.is_empty() {
        return Findings::refused(unknown);
    }
    let (object, old) = match defaulted(object, old, schema) {
        Ok(states) => states,
        Err(error) => {
            return Findings {
                errors: vec![error.to_string()],
                warnings: Vec::new(),
            };
        }
    };
    let problems = schemas.check(schema, &object, old.as_ref());
    if !problems.is_empty() {
        return Findings::refused(problems);
    }
    let findings = validation::validate(&object, old.as_ref());
    Findings {
        errors: findings.errors.iter().map(ToString::to_string).collect(),
        warnings: findings.warnings,
    }
}

/// The object with the defaults of its schema and of the mutating webhooks, which see it at v1beta2; and the one before, in the same version.
fn defaulted(
    object: &Value,
    old: Option<&Value>,
    schema: &Schema,
) -> Result<(Value, Option<Value>), conversion::ConversionError> {
    let version = conversion::version_of(object).unwrap_or(Version::V1Beta2);
    let latest = |object: Value| conversion::convert(object, Version::V1Beta2);
    let old = old.cloned().map(latest).transpose()?;
    let mut object = latest(schema.defaulted(object.clone()))?;
    validation::apply_defaults_over(&mut object, old.as_ref());
    let old = old.map(|old| conversion::convert(old, version)).transpose()?;
    Ok((
        conversion::convert(object, version)?,
        old.map(|old| schema.defaulted(old)),
    ))
}
