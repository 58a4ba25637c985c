//! The signal on a node's object: what the node is asked to do, and how far it has come. Two annotations, of which one
//! holds JSON; both are k0s' own format `v2`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const VERSION_ANNOTATION: &str = "k0sproject.io/autopilot-signal-version";
const DATA_ANNOTATION: &str = "k0sproject.io/autopilot-signal-data";
const VERSION: &str = "v2";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Signal {
    pub plan_id: String,
    pub created: String,
    pub command: Command,
    /// Absent until the node has seen the signal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Index of the command in the Plan.
    pub id: usize,
    /// Absent in signals of other commands, which are not for us.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub k0supdate: Option<Update>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    pub url: String,
    pub version: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sha256: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forceupdate: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub status: Phase,
    pub timestamp: String,
}

/// How far a node has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    Downloading,
    FailedDownload,
    Cordoning,
    ApplyingUpdate,
    Restart,
    UnCordoning,
    Completed,
    Failed,
}

impl Signal {
    /// A new signal, which no node has seen.
    pub fn new(plan_id: &str, command: usize, update: Update) -> Self {
        Self {
            plan_id: plan_id.to_owned(),
            created: now(),
            command: Command {
                id: command,
                k0supdate: Some(update),
            },
            status: None,
        }
    }

    /// The signal on an object; none when there is no valid one.
    pub fn read(annotations: &BTreeMap<String, String>) -> Option<Self> {
        if annotations.get(VERSION_ANNOTATION)? != VERSION {
            return None;
        }
        serde_json::from_str(annotations.get(DATA_ANNOTATION)?).ok()
    }

    /// The annotations that hold it.
    pub fn annotations(&self) -> Value {
        let data = serde_json::to_string(self).unwrap_or_default();
        json!({VERSION_ANNOTATION: VERSION, DATA_ANNOTATION: data})
    }

    pub fn phase(&self) -> Option<Phase> {
        self.status.as_ref().map(|status| status.status)
    }

    /// The same signal one step further.
    pub fn at(&self, phase: Phase) -> Self {
        Self {
            status: Some(Status {
                status: phase,
                timestamp: now(),
            }),
            ..self.clone()
        }
    }
}

/// The present in RFC 3339, in whole seconds.
pub fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As real k0s wrote it.
    const REAL: &str = r#"{"planId":"id-1","created":"2026-11-23T09:15:07Z","command":{"id":0,"k0supdate":{"url":"http://10.88.40.1:8080/k0s","version":"v1.36.3+k0s.3"}},"status":{"status":"Completed","timestamp":"2026-11-23T09:15:36Z"}}"#;

    fn annotations(version: &str, data: &str) -> BTreeMap<String, String> {
        BTreeMap::from([
            (VERSION_ANNOTATION.to_owned(), version.to_owned()),
            (DATA_ANNOTATION.to_owned(), data.to_owned()),
        ])
    }

    #[test]
    fn what_k0s_writes_is_read_and_written_again_to_the_letter() {
        let signal = Signal::read(&annotations("v2", REAL)).unwrap();
        assert_eq!(signal.phase(), Some(Phase::Completed));
        assert_eq!(signal.annotations()[DATA_ANNOTATION], REAL);
    }

    #[test]
    fn anything_else_is_no_signal() {
        assert_eq!(Signal::read(&BTreeMap::new()), None);
        assert_eq!(Signal::read(&annotations("v1", REAL)), None);
        assert_eq!(Signal::read(&annotations("v2", "{}")), None);
    }
}
