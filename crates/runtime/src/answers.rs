//! What is believed of an API server that is asked again and again: often while an answer is awaited, slowly afterwards. Pure but for
//! the clock; who asks is elsewhere.

use std::time::Duration;

use tokio::time::Instant;

/// How often is asked who does not answer yet, and after [`PATIENCE`].
pub const EAGER: Duration = Duration::from_millis(250);
pub const PATIENT: Duration = Duration::from_secs(1);
/// Who was not up by then is not asked four times a second any more.
const PATIENCE: Duration = Duration::from_secs(300);
/// How often is asked who does answer.
const CALM: Duration = Duration::from_secs(5);
/// How long an answer may take. Who is awaited is asked again soon; who answered before may be busy.
const AWAITED_TIMEOUT: Duration = Duration::from_millis(1500);
const CALM_TIMEOUT: Duration = Duration::from_secs(5);
/// Failures in a row after which an API server that answered counts as away: away is told within 20 s.
const FAILURES: u32 = 2;

/// What an API server said last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Answer {
    /// Not asked yet by this process.
    #[default]
    NotAsked,
    /// It answered; the UID of the `kube-system` namespace names the cluster.
    Yes { cluster_uid: String },
    /// It did not, for this reason.
    No(String),
}

/// What is believed, and how soon to ask again.
#[derive(Debug)]
pub struct Course {
    answer: Answer,
    failures: u32,
    begun: Instant,
}

impl Default for Course {
    fn default() -> Self {
        Self {
            answer: Answer::NotAsked,
            failures: 0,
            begun: Instant::now(),
        }
    }
}

impl Course {
    /// What is believed.
    #[must_use]
    pub const fn answer(&self) -> &Answer {
        &self.answer
    }

    /// Takes in what was heard: the UID of the `kube-system` namespace, or why there is none. Returns whether that changes what is
    /// believed.
    pub fn hear(&mut self, heard: Result<String, String>) -> bool {
        let answer = match (heard, &self.answer) {
            (Ok(cluster_uid), _) => {
                self.failures = 0;
                Answer::Yes { cluster_uid }
            }
            // The texts of failed connections vary from try to try; the first one stands.
            (Err(_), Answer::No(_)) => return false,
            (Err(reason), Answer::NotAsked) => Answer::No(reason),
            (Err(reason), Answer::Yes { .. }) => {
                self.failures = self.failures.saturating_add(1);
                // One lost answer is not an outage.
                if self.failures < FAILURES {
                    return false;
                }
                self.begun = Instant::now();
                Answer::No(reason)
            }
        };
        let changed = answer != self.answer;
        self.answer = answer;
        changed
    }

    /// How long the next answer may take.
    #[must_use]
    pub const fn timeout(&self) -> Duration {
        match self.answer {
            Answer::Yes { .. } => CALM_TIMEOUT,
            Answer::No(_) | Answer::NotAsked => AWAITED_TIMEOUT,
        }
    }

    /// How long to wait before the next question.
    #[must_use]
    pub fn wait(&self) -> Duration {
        match self.answer {
            Answer::Yes { .. } if self.failures == 0 => CALM,
            Answer::Yes { .. } => PATIENT,
            Answer::No(_) | Answer::NotAsked if self.begun.elapsed() < PATIENCE => EAGER,
            Answer::No(_) | Answer::NotAsked => PATIENT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn yes() -> Result<String, String> {
        Ok("uid".to_owned())
    }

    fn no(text: &str) -> Result<String, String> {
        Err(text.to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn an_awaited_server_is_asked_often_and_one_that_is_up_slowly() {
        let mut course = Course::default();
        assert!(course.hear(no("refused")));
        assert_eq!(course.wait(), EAGER);
        assert!(!course.hear(no("another text")), "varying texts are no news");
        assert!(course.hear(yes()));
        assert_eq!(course.wait(), CALM);
        assert!(!course.hear(yes()), "the same answer is no news");
    }

    #[tokio::test(start_paused = true)]
    async fn one_lost_answer_is_no_outage_and_two_are() {
        let mut course = Course::default();
        course.hear(yes());
        assert!(!course.hear(no("lost")));
        assert_eq!(course.wait(), PATIENT);
        assert!(course.hear(no("lost")));
        assert_eq!(*course.answer(), Answer::No("lost".to_owned()));
        assert_eq!(course.wait(), EAGER);
    }

    #[tokio::test(start_paused = true)]
    async fn patience_comes_with_time() {
        let mut course = Course::default();
        course.hear(no("refused"));
        tokio::time::advance(PATIENCE).await;
        assert_eq!(course.wait(), PATIENT);
    }

    #[tokio::test(start_paused = true)]
    async fn away_is_told_within_twenty_seconds_and_back_within_five() {
        let mut course = Course::default();
        assert!(course.hear(no("refused")));
        assert!(!course.hear(no("another text")), "varying texts are no news");
        assert!(course.hear(yes()));
        assert!(!course.hear(yes()), "the same answer is no news");
        // It goes away right after an answer.
        let mut told = course.wait() + course.timeout();
        assert!(!course.hear(no("lost")), "one lost answer is no outage");
        told += course.wait() + course.timeout();
        assert!(course.hear(no("lost")));
        assert!(told <= Duration::from_secs(20), "{told:?}");
        assert!(course.wait() + course.timeout() <= Duration::from_secs(5));
        tokio::time::advance(PATIENCE).await;
        assert!(course.wait() + course.timeout() <= Duration::from_secs(5));
    }
}
