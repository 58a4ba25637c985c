//! The API server's audit log: every request that writes, and who sent it. Reads are not recorded.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

const POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
    verbs: [create, update, patch, delete, deletecollection]
  - level: None
";

/// The log of one plane.
#[derive(Clone, Debug)]
pub struct AuditLog {
    path: PathBuf,
}

/// A place in the log; see [`AuditLog::mark`].
#[derive(Clone, Copy, Debug)]
pub struct Mark(u64);

/// One request that wrote, or tried to.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Write {
    /// `create`, `update`, `patch`, `delete` or `deletecollection`.
    pub verb: String,
    #[serde(rename = "requestURI")]
    pub request_uri: String,
    pub user: User,
    pub user_agent: Option<String>,
    pub object_ref: Option<ObjectRef>,
    pub response_status: Option<ResponseStatus>,
    /// RFC 3339 with microseconds.
    pub stage_timestamp: String,
}

/// Who asked.
#[derive(Clone, Debug, Deserialize)]
pub struct User {
    /// For example `system:serviceaccount:k0smotron:<name>`.
    pub username: String,
}

/// What was written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectRef {
    /// Plural, lower case.
    pub resource: String,
    pub subresource: String,
    pub api_group: String,
    pub namespace: String,
    pub name: String,
}

/// What came of it.
#[derive(Clone, Debug, Deserialize)]
pub struct ResponseStatus {
    /// The HTTP status.
    pub code: Option<u16>,
}

impl AuditLog {
    pub(crate) fn of(directory: &Path) -> Self {
        Self {
            path: directory.join("audit.log"),
        }
    }

    /// The end of the log now, for [`AuditLog::since`]. The file is never rotated.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn mark(&self) -> Result<Mark> {
        let found =
            fs::metadata(&self.path).with_context(|| format!("cannot read {}", self.path.display()))?;
        Ok(Mark(found.len()))
    }

    /// Every write that ended after `mark`, in the order of their ends. An event can come a moment after its answer.
    ///
    /// # Errors
    /// The log cannot be read, or holds something that is no audit event.
    pub fn since(&self, mark: Mark) -> Result<Vec<Write>> {
        let mut file =
            File::open(&self.path).with_context(|| format!("cannot read {}", self.path.display()))?;
        file.seek(SeekFrom::Start(mark.0))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        // The last line may be half written.
        let complete = text.rsplit_once('\n').map_or("", |(complete, _)| complete);
        complete
            .lines()
            .map(|line| serde_json::from_str(line).with_context(|| format!("no audit event: {line}")))
            .collect()
    }
}

/// Arguments that make kube-apiserver write the log of the plane in `directory`.
pub(crate) fn arguments(directory: &Path) -> Result<Vec<String>> {
    let policy = directory.join("audit-policy.yaml");
    fs::write(&policy, POLICY).with_context(|| format!("cannot write {}", policy.display()))?;
    Ok(vec![
        format!("--audit-policy-file={}", policy.display()),
        format!("--audit-log-path={}", AuditLog::of(directory).path.display()),
    ])
}
