//! The Ignition config that carries an install plan, and the user's Butane merged into it.
//!
//! Ignition writes files before the host's first boot and runs nothing itself: the commands go into a script, and a unit
//! runs the script. None of our values is in the unit, so none has to be quoted for systemd.
//!
//! The result is what users of the original know: a config that merges two others, ours and the user's, so that the
//! user's wins.

mod butane;
mod spec;

use std::io::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::{Compression, write::GzEncoder};
use ignition_config::v3_0;
use serde_json::{Value, json};

pub use butane::ButaneError;
pub use spec::SpecError;

use crate::plan::{File, InstallPlan, PermissionsError};
use crate::shell::quote;

/// The unit that runs the script; users add to it and order theirs by it.
const UNIT: &str = "k0s-bootstrap.service";
/// Runs the commands. Readable by root only: users put secrets into commands.
const SCRIPT: &str = "/etc/k0smotron/bootstrap.sh";
/// There once all commands have succeeded, so that no later boot runs them again.
const DONE: &str = "/var/lib/k0smotron/bootstrap.done";
/// The first version in which a merged config may be compressed. All have one digit in each place.
const FIRST_TO_COMPRESS: &str = "3.1.0";
/// What every cloud takes as user data, in bytes.
const TAKEN_BY_ALL: usize = 16 * 1024;

/// Why there is no Ignition config.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IgnitionError {
    #[error(transparent)]
    Spec(#[from] SpecError),
    #[error("additionalConfig: {0}")]
    Additional(#[from] ButaneError),
    #[error(
        "additionalConfig becomes Ignition {additional} and the rest {ours}: use the variant and version that \
         provisioner.ignition has"
    )]
    Versions {
        ours: &'static str,
        additional: &'static str,
    },
    #[error("file {path}: {source}")]
    Permissions { path: String, source: PermissionsError },
    #[error("the config cannot be written as JSON: {0}")]
    Json(String),
}

/// The plan as an Ignition config for a Butane variant and version; `additional` is Butane YAML to merge over it.
///
/// A config that not every cloud takes is written with ours gzipped, where the version allows that.
///
/// # Errors
/// There is no such variant and version, or the user's Butane is not of the subset that is translated here.
pub fn render(
    plan: &InstallPlan,
    variant: &str,
    version: &str,
    additional: Option<&str>,
) -> Result<String, IgnitionError> {
    let ignition = spec::version(variant, version)?;
    let ours = ours(plan, ignition)?;
    let additional = additional.filter(|text| !text.trim().is_empty());
    let additional = additional.map(butane::translate).transpose()?;
    if let Some(other) = additional.as_ref().filter(|other| other.version != ignition) {
        return Err(IgnitionError::Versions {
            ours: ignition,
            additional: other.version,
        });
    }
    let write = |gzip: bool| {
        let mut merge = vec![source(&ours, gzip)?];
        if let Some(additional) = &additional {
            merge.push(source(&additional.config, false)?);
        }
        let all = json!({ "ignition": { "version": ignition, "config": { "merge": merge } } });
        Ok(all.to_string())
    };
    let text = write(false)?;
    if text.len() > TAKEN_BY_ALL && ignition >= FIRST_TO_COMPRESS {
        return write(true);
    }
    Ok(text)
}

/// A config to be merged, in the place where it is referred to.
fn source(config: &Value, gzip: bool) -> Result<Value, IgnitionError> {
    let text = config.to_string();
    if !gzip {
        return Ok(json!({ "source": data_url("application/json", text.as_bytes()) }));
    }
    let failed = |error: std::io::Error| IgnitionError::Json(error.to_string());
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(text.as_bytes()).map_err(failed)?;
    let gzipped = gzip.finish().map_err(failed)?;
    Ok(json!({ "source": data_url("application/json", &gzipped), "compression": "gzip" }))
}

/// Content in a URL (RFC 2397), as Ignition reads it.
fn data_url(kind: &str, content: &[u8]) -> String {
    format!("data:{kind};base64,{}", BASE64_STANDARD.encode(content))
}

fn ours(plan: &InstallPlan, version: &str) -> Result<Value, IgnitionError> {
    let mut files = plan.files.iter().map(file).collect::<Result<Vec<_>, _>>()?;
    let mut config = v3_0::Config::default();
    // Everything in here is in 3.0 and has stayed what it is.
    config.ignition.version = Some(version.to_owned());
    if !plan.commands.is_empty() {
        files.push(file(&File::new(SCRIPT, script(&plan.commands), "0700"))?);
        let mut unit = v3_0::Unit::new(UNIT.to_owned());
        unit.enabled = Some(true);
        unit.contents = Some(format!(
            "[Unit]\n\
             Description=Makes this host a k0s node\n\
             Wants=network-online.target\n\
             After=network-online.target\n\
             ConditionPathExists=!{DONE}\n\n\
             [Service]\n\
             Type=oneshot\n\
             RemainAfterExit=true\n\
             ExecStart=/bin/sh {SCRIPT}\n\n\
             [Install]\n\
             WantedBy=multi-user.target\n"
        ));
        config.systemd = Some(v3_0::Systemd {
            units: Some(vec![unit]),
        });
    }
    config.storage = Some(v3_0::Storage {
        files: Some(files),
        ..v3_0::Storage::default()
    });
    let config = serde_json::to_value(config).map_err(|error| IgnitionError::Json(error.to_string()))?;
    Ok(without_nulls(config))
}

fn file(file: &File) -> Result<v3_0::File, IgnitionError> {
    let File {
        path,
        content,
        owner,
        append,
        ..
    } = file;
    let mode = file.mode().map_err(|source| IgnitionError::Permissions {
        path: path.clone(),
        source,
    })?;
    let content = v3_0::FileContents {
        source: Some(data_url("", content.as_bytes())),
        ..v3_0::FileContents::default()
    };
    let mut entry = v3_0::File::new(path.clone());
    entry.mode = Some(i64::from(mode));
    if *append {
        entry.append = Some(vec![content]);
    } else {
        // An image may bring a file of the name, and Ignition would fail.
        entry.overwrite = Some(true);
        entry.contents = Some(content);
    }
    if let Some(owner) = owner {
        let (user, group) = owner
            .split_once(':')
            .map_or((owner.as_str(), None), |(user, group)| (user, Some(group)));
        entry.user = Some(v3_0::NodeUser {
            name: Some(user.to_owned()),
            ..v3_0::NodeUser::default()
        });
        entry.group = group.map(|group| v3_0::NodeGroup {
            name: Some(group.to_owned()),
            ..v3_0::NodeGroup::default()
        });
    }
    Ok(entry)
}

/// Each command in a shell of its own, as users of the original know it, until one fails.
pub(crate) fn script(commands: &[String]) -> String {
    let mut script = String::from("#!/bin/sh\nset -e\n");
    for command in commands {
        script.extend(["/bin/sh -c ", &quote(command), "\n"]);
    }
    script.push_str(&format!("mkdir -p \"$(dirname {DONE})\"\ntouch {DONE}\n"));
    script
}

/// What is not set is left out.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(entries) => entries
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key, without_nulls(value)))
            .collect(),
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        value => value,
    }
}

#[cfg(test)]
mod tests;
