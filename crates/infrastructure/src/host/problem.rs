//! Why something did not work on a host, in the words that a user reads.

use std::{collections::BTreeMap, time::Duration};

use super::{Answer, redact::Secrets, script::BOOTSTRAP_STEP};

/// One failure: what the condition and the event say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Reason of the condition and of the event, in CamelCase.
    pub reason: &'static str,
    /// What happened and what to do about it, without secrets.
    pub message: String,
    /// Trying again is of no use before somebody acted. It is tried all the same, since what they do on a host has no
    /// event; at the slowest pace.
    pub stuck: bool,
}

impl Problem {
    /// A failure that may heal by itself.
    pub fn passing(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            stuck: false,
        }
    }

    /// A failure that somebody has to do something about.
    pub fn lasting(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            stuck: true,
        }
    }

    /// As `error` says it; when a host is not the one it was, with what `on_changed_key` says of it.
    pub fn of_ssh(error: &k0smotron_ssh::Error, on_changed_key: &BTreeMap<String, String>) -> Self {
        let mut message = error.to_string();
        if let k0smotron_ssh::Error::HostKeyMismatch { address, .. } = error
            && let Some(remedy) = on_changed_key.get(address)
        {
            message.push_str("; ");
            message.push_str(remedy);
        }
        Self {
            reason: error.reason(),
            message,
            stuck: !error.is_retryable(),
        }
    }

    /// What an answer means that is not the one that was hoped for. `work` is what was asked of the host: "bootstrap"
    /// or "clean-up"; `steps` how many commands that has.
    pub fn of_answer(answer: Answer, endpoint: &str, work: &str, steps: usize, secrets: &Secrets) -> Self {
        let said = |printed: &str| match secrets.redact(printed) {
            nothing if nothing.is_empty() => "it printed nothing".to_owned(),
            text => format!("it printed: {text}"),
        };
        match answer {
            Answer::Failed { step, exit, printed } => Self::passing(
                "CommandFailed",
                format!(
                    "command {step} of {steps} of the {work} on {endpoint} ended with exit status {exit}; {}",
                    said(&printed)
                ),
            ),
            Answer::Expired { step, printed } => Self::passing(
                "CommandTimedOut",
                format!(
                    "command {step} of {steps} of the {work} on {endpoint} did not end in time and was killed; {}",
                    said(&printed)
                ),
            ),
            Answer::InUse(by) => Self::lasting(
                "HostInUse",
                format!(
                    "{endpoint} is in use: {by}. Delete what uses it; if that is long gone, run `k0s stop` and \
                     `k0s reset` on the host and remove /var/lib/k0smotron there"
                ),
            ),
            Answer::Foreign(by) => Self::lasting(
                "HostInUse",
                format!("{endpoint} was not cleaned, since it belongs to something else: {by}"),
            ),
            Answer::NoSentinel => Self::lasting(
                "SentinelMissing",
                format!(
                    "every command of the {work} succeeded on {endpoint}, but none made \
                     /run/cluster-api/bootstrap-success.complete; the bootstrap data must end with making it"
                ),
            ),
            Answer::Aborted(why) => Self::passing(
                "HostNotUsable",
                format!("the {work} cannot run on {endpoint}: {}", secrets.redact(&why)),
            ),
            Answer::Interrupted => Self::passing(
                "Interrupted",
                format!("the {work} on {endpoint} was ended from outside"),
            ),
            Answer::Running => Self::passing(
                "StillRunning",
                format!(
                    "the {work} on {endpoint} runs for longer than {}",
                    hours(BOOTSTRAP_STEP, steps)
                ),
            ),
            // The opposite of a problem; whoever asked for the other work gets what it did not ask for.
            Answer::Done { .. } | Answer::Clean => Self::passing(
                "UnexpectedAnswer",
                format!("{endpoint} gave an answer to another question than {work}"),
            ),
        }
    }
}

fn hours(step: Duration, steps: usize) -> String {
    let seconds = step
        .as_secs()
        .saturating_mul(u64::try_from(steps).unwrap_or(u64::MAX));
    format!("{seconds} s")
}
