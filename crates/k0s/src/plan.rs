//! What is to be done on a host to make it a k0s node: files to write, then commands to run.
//!
//! The plan says nothing about how it gets there; [`crate::cloud_config`] carries it as bootstrap data. Debug output of
//! everything here shows counts at most: users put secrets into files and commands.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Mode of a file whose permissions are not given, as cloud-init has it.
pub const DEFAULT_MODE: u32 = 0o644;

/// A file to write on the host, parent directories included.
///
/// `Debug` shows neither content nor anything derived from it: files carry join tokens and private keys.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Absolute path on the host.
    pub path: String,
    pub content: String,
    /// Octal text such as `0600`, kept as the user wrote it; empty for the default (0644).
    #[serde(default)]
    pub permissions: String,
    /// `user` or `user:group`; the writing user's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Add to the file instead of replacing it (cloud-init's `append`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub append: bool,
}

/// Files to write, in order, then commands to run, in order, each one line for `sh -c`.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstallPlan {
    pub files: Vec<File>,
    pub commands: Vec<String>,
}

/// An install plan whose commands are still told apart.
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
pub struct Steps {
    pub files: Vec<File>,
    pub commands: Commands,
}

/// The commands of an installation by what they are for, in the order in which they run.
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
pub struct Commands {
    /// The user's, before anything else.
    pub before: Vec<String>,
    /// Fetches the k0s binary; none when it is on the host already.
    pub download: Option<String>,
    pub install: String,
    pub start: String,
    /// The user's, once k0s was started.
    pub after: Vec<String>,
    /// Says that the bootstrap is over.
    pub done: String,
}

impl Commands {
    /// A single command that does everything.
    pub(crate) fn one(command: &str) -> Self {
        Self {
            install: command.to_owned(),
            ..Self::default()
        }
    }

    /// All of them, in order.
    pub fn all(&self) -> Vec<String> {
        let Self {
            before,
            download,
            install,
            start,
            after,
            done,
        } = self;
        let mut all = before.clone();
        all.extend(download.clone());
        all.extend([install.clone(), start.clone()]);
        all.extend(after.iter().cloned());
        all.push(done.clone());
        all.retain(|command| !command.is_empty());
        all
    }
}

impl From<Steps> for InstallPlan {
    fn from(steps: Steps) -> Self {
        Self {
            commands: steps.commands.all(),
            files: steps.files,
        }
    }
}

/// Why a plan cannot be made; the message names the field and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error(
        "downloadURL {url:?} {problem}; write an http(s):// URL of the k0s binary, oci://<registry>/<repository>@<digest>, or leave it out"
    )]
    DownloadUrl { url: String, problem: &'static str },
    #[error("{field} {value:?} {problem}")]
    Path {
        field: &'static str,
        value: String,
        problem: &'static str,
    },
    #[error("file {path:?}: {source}")]
    Permissions { path: String, source: PermissionsError },
    #[error("{field} contains a NUL character, which no command line can carry; remove it")]
    Nul { field: &'static str },
    #[error("no version is given; set spec.version, or the version of the Machine")]
    NoVersion,
    #[error("the k0s configuration cannot be written as JSON: {0}")]
    Config(String),
}

/// Permissions that are not an octal mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("permissions {0:?} are not an octal mode between 0 and 7777; write them such as \"0600\"")]
pub struct PermissionsError(pub String);

impl File {
    pub fn new(path: impl Into<String>, content: impl Into<String>, permissions: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            content: content.into(),
            permissions: permissions.into(),
            ..Self::default()
        }
    }

    /// The mode as a number; [`DEFAULT_MODE`] when none is given.
    pub fn mode(&self) -> Result<u32, PermissionsError> {
        parse_mode(&self.permissions)
    }

    pub(crate) fn validate(&self) -> Result<(), PlanError> {
        absolute("files[].path", &self.path)?;
        self.validate_permissions()
    }

    pub(crate) fn validate_permissions(&self) -> Result<(), PlanError> {
        let permissions = |source| PlanError::Permissions {
            path: self.path.clone(),
            source,
        };
        self.mode().map(drop).map_err(permissions)
    }
}

/// Reads octal text (`0600`, `600`, `0o600`); empty means [`DEFAULT_MODE`].
fn parse_mode(text: &str) -> Result<u32, PermissionsError> {
    let error = || PermissionsError(text.to_owned());
    let text = text.trim();
    if text.is_empty() {
        return Ok(DEFAULT_MODE);
    }
    let digits = text.strip_prefix("0o").unwrap_or(text);
    // `from_str_radix` alone would take a sign.
    let octal = digits.bytes().all(|b| b.is_ascii_digit());
    let mode = octal
        .then(|| u32::from_str_radix(digits, 8).ok())
        .flatten()
        .ok_or_else(error)?;
    if mode > 0o7777 { Err(error()) } else { Ok(mode) }
}

/// Paths end up in files, units and command lines: absolute, and on one line.
pub(crate) fn absolute(field: &'static str, value: &str) -> Result<(), PlanError> {
    path(field, value, value.starts_with('/'))
}

/// The same with a drive, or on the current one.
pub(crate) fn absolute_on_windows(field: &'static str, value: &str) -> Result<(), PlanError> {
    let rest = match value.split_once(':') {
        Some((drive, rest)) if drive.len() == 1 => rest,
        _ => value,
    };
    path(field, value, rest.starts_with(['/', '\\']))
}

fn path(field: &'static str, value: &str, is_absolute: bool) -> Result<(), PlanError> {
    let problem = if !is_absolute {
        "is not an absolute path; start it with /"
    } else if value.contains(char::is_control) {
        "contains a control character; remove it"
    } else {
        return Ok(());
    };
    Err(PlanError::Path {
        field,
        value: value.to_owned(),
        problem,
    })
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File")
            .field("path", &self.path)
            .field("permissions", &self.permissions)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Steps({} files)", self.files.len())
    }
}

impl fmt::Debug for Commands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Commands")
    }
}

impl fmt::Debug for InstallPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "InstallPlan({} files, {} commands)",
            self.files.len(),
            self.commands.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_octal_modes() {
        for (text, mode) in [
            ("0600", 0o600),
            ("644", 0o644),
            ("0o755", 0o755),
            ("1777", 0o1777),
            ("", 0o644),
        ] {
            assert_eq!(File::new("/a", "", text).mode(), Ok(mode), "{text}");
        }
        for text in ["rw", "0888", "-600", "+600", "17777", "0x1", "99999999999999"] {
            assert!(File::new("/a", "", text).mode().is_err(), "{text}");
        }
    }

    #[test]
    fn refuses_paths_that_are_no_paths() {
        assert!(File::new("/etc/a b", "", "").validate().is_ok());
        for path in ["", "etc/a", "/a\nb", "/a\0"] {
            assert!(File::new(path, "", "").validate().is_err(), "{path:?}");
        }
    }

    #[test]
    fn debug_output_shows_no_content() {
        let plan = InstallPlan {
            files: vec![File::new("/etc/k0s.token", "c2VjcmV0", "0600")],
            commands: vec!["login --password c2VjcmV0".into()],
        };
        assert!(!format!("{plan:?} {:?}", plan.files[0]).contains("c2VjcmV0"));
    }
}
