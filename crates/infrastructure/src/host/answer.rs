//! What a script said about a host.

/// The answer of a script. Text that commands printed is redacted by whoever shows it ([`super::redact`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Everything ran, and the sentinel is there. `adopted`: it was so before we came.
    Done { adopted: bool },
    /// Another machine's host; who says so.
    InUse(String),
    /// Every command succeeded and none made the sentinel.
    NoSentinel,
    /// Step number `step` (from 1) ended with a status other than 0.
    Failed { step: u32, exit: i32, printed: String },
    /// Step number `step` took longer than it may, and was killed.
    Expired { step: u32, printed: String },
    /// Still at it; ask again.
    Running,
    /// Whatever ran was ended from outside (a reboot); begin again.
    Interrupted,
    /// The host lacks something; what.
    Aborted(String),
    /// Nothing of the machine is left.
    Clean,
    /// Cleaning would destroy another machine; who says so.
    Foreign(String),
}

const MARK: &str = "k0smotron-answer ";

impl Answer {
    /// Finds the answer in what a script printed. Login shells may print before it.
    pub fn parse(printed: &str) -> Option<Self> {
        let at = printed.find(MARK)?;
        // Only a whole line is an answer.
        if !(at == 0 || printed.get(..at)?.ends_with('\n')) {
            return None;
        }
        let answer = printed.get(at + MARK.len()..)?;
        let (line, text) = answer.split_once('\n')?;
        let value = |key: &str| {
            line.split(' ')
                .find_map(|pair| pair.split_once('=').filter(|(name, _)| *name == key))
                .map(|(_, value)| value)
        };
        let step = || value("step").and_then(|step| step.parse().ok());
        let text = text.to_owned();
        Some(match value("state")? {
            "done" => Self::Done {
                adopted: value("adopted") == Some("yes"),
            },
            "in-use" => Self::InUse(text),
            "no-sentinel" => Self::NoSentinel,
            "failed" => Self::Failed {
                step: step()?,
                exit: value("exit")?.parse().ok()?,
                printed: text,
            },
            "expired" => Self::Expired {
                step: step()?,
                printed: text,
            },
            "running" => Self::Running,
            "interrupted" => Self::Interrupted,
            "aborted" => Self::Aborted(text),
            "clean" => Self::Clean,
            "foreign" => Self::Foreign(text),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_found_behind_a_banner() {
        let printed = "Welcome!\nk0smotron-answer state=failed step=0003 exit=7\nno such file\n";
        assert_eq!(
            Answer::parse(printed),
            Some(Answer::Failed {
                step: 3,
                exit: 7,
                printed: "no such file\n".into()
            })
        );
        assert_eq!(
            Answer::parse("k0smotron-answer state=done adopted=yes\n"),
            Some(Answer::Done { adopted: true })
        );
    }

    #[test]
    fn anything_else_is_no_answer() {
        for printed in [
            "",
            "state=done\n",
            "k0smotron-answer state=done",
            "echo k0smotron-answer state=done\n",
            "k0smotron-answer state=new\n",
            "k0smotron-answer state=failed step=x exit=1\n",
        ] {
            assert_eq!(Answer::parse(printed), None, "{printed:?}");
        }
    }
}
