//! What is run on a host, and what came of it.

use std::fmt;

use crate::quote::join;
use crate::transport::{ExitStatus, RawOutput};

/// A piece of POSIX shell to run on a host with `sh -c`.
///
/// The text may be up to about 100 KiB long (Linux limits one argument to 128 KiB); what is longer belongs
/// into a file or on stdin. Secrets belong on stdin as well: a command line can be read by every user of the
/// host. `Debug` shows neither text nor stdin.
#[derive(Clone)]
pub struct Command {
    pub(crate) line: String,
    pub(crate) stdin: Vec<u8>,
    pub(crate) name: String,
}

impl Command {
    /// Shell text as it stands: the caller has quoted what is not meant for the shell (see
    /// [`quote`](crate::quote)).
    pub fn new(shell_text: impl Into<String>) -> Self {
        Self {
            line: shell_text.into(),
            stdin: Vec::new(),
            name: "running a command".to_owned(),
        }
    }

    /// A program and its arguments, each of which reaches the program unchanged.
    pub fn args<I, S>(words: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: AsRef<str>,
    {
        Self::new(join(words))
    }

    /// Bytes for the standard input. Without this it is empty (end of file at once).
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// What errors call this command, for example "starting k0s". Must not contain secrets.
    #[must_use]
    pub fn named(mut self, what: impl Into<String>) -> Self {
        self.name = what.into();
        self
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// How a command ended, and what it printed.
///
/// Of each stream the first and the last 32 KiB are kept; what is between is replaced by a line that says how
/// much was left out. Bytes that are not UTF-8 are replaced by U+FFFD.
#[derive(Clone, PartialEq, Eq)]
pub struct Output {
    /// Exit status of the command. As in a shell, 128 plus the number for one that was ended by a signal (255
    /// for a signal that SSH has no name for).
    pub exit_status: i32,
    /// Name of the signal that ended the command, without `SIG`: "KILL", "TERM".
    pub signal: Option<String>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// True if the command ended with status 0.
    pub fn success(&self) -> bool {
        self.exit_status == 0
    }

    /// The last line that says something, of stderr or else of stdout: what fits into a message for a user.
    pub fn last_line(&self) -> &str {
        fn last(text: &str) -> Option<&str> {
            text.lines().rev().map(str::trim).find(|line| !line.is_empty())
        }
        last(&self.stderr).or_else(|| last(&self.stdout)).unwrap_or("")
    }
}

/// Shows how the command ended, not what it printed: output can contain secrets.
impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output")
            .field("exit_status", &self.exit_status)
            .field("signal", &self.signal)
            .finish_non_exhaustive()
    }
}

impl From<RawOutput> for Output {
    fn from(raw: RawOutput) -> Self {
        let (exit_status, signal) = match raw.exit {
            ExitStatus::Code(code) => (i32::try_from(code).unwrap_or(255), None),
            ExitStatus::Signal(name) => (128 + signal_number(&name).unwrap_or(127), Some(name)),
        };
        Self {
            exit_status,
            signal,
            stdout: raw.stdout.to_text(),
            stderr: raw.stderr.to_text(),
        }
    }
}

/// Linux numbers of the signals that SSH names (RFC 4254 section 6.10).
fn signal_number(name: &str) -> Option<i32> {
    Some(match name {
        "HUP" => 1,
        "INT" => 2,
        "QUIT" => 3,
        "ILL" => 4,
        "ABRT" => 6,
        "FPE" => 8,
        "KILL" => 9,
        "USR1" => 10,
        "SEGV" => 11,
        "USR2" => 12,
        "PIPE" => 13,
        "ALRM" => 14,
        "TERM" => 15,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Captured;

    fn raw(exit: ExitStatus, stdout: &str, stderr: &str) -> Output {
        let captured = |text: &str| {
            let mut captured = Captured::with_limit(1024);
            captured.push(text.as_bytes());
            captured
        };
        RawOutput {
            exit,
            stdout: captured(stdout),
            stderr: captured(stderr),
        }
        .into()
    }

    #[test]
    fn a_signal_counts_as_failure_with_the_shells_number() {
        let output = raw(ExitStatus::Signal("KILL".into()), "", "");
        assert_eq!(
            (output.exit_status, output.signal.as_deref()),
            (137, Some("KILL"))
        );
        assert_eq!(
            raw(ExitStatus::Signal("SYS@openssh.com".into()), "", "").exit_status,
            255
        );
        assert!(!output.success());
        assert!(raw(ExitStatus::Code(0), "", "").success());
    }

    #[test]
    fn the_last_line_prefers_stderr() {
        assert_eq!(
            raw(ExitStatus::Code(1), "out\n", "first\n  last  \n\n").last_line(),
            "last"
        );
        assert_eq!(raw(ExitStatus::Code(1), "one\ntwo\n", " \n").last_line(), "two");
        assert_eq!(raw(ExitStatus::Code(1), "", "").last_line(), "");
    }

    #[test]
    fn debug_shows_neither_text_nor_input_nor_output() {
        let command = Command::new("echo hunter2").stdin("hunter2").named("greeting");
        assert_eq!(format!("{command:?}"), "Command { name: \"greeting\", .. }");
        assert!(!format!("{:?}", raw(ExitStatus::Code(0), "hunter2", "hunter2")).contains("hunter2"));
    }

    #[test]
    fn arguments_are_quoted() {
        assert_eq!(Command::args(["k0s", "token", "a b"]).line, "k0s token 'a b'");
    }
}
