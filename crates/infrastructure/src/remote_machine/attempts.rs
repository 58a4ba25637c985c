//! Attempts on hosts: run as tasks, at most one per machine, and what came of the last one.

use std::{
    collections::{HashMap, HashSet},
    future::Future,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{FutureExt, Stream};
use jiff::Timestamp;
use k0smotron_api::infrastructure::v1beta2::RemoteMachine;
use k0smotron_runtime::tasks::{TaskState, Tasks};
use kube::{ResourceExt, runtime::reflector::ObjectRef};
use tokio::sync::Semaphore;

use super::turns::Turns;
use crate::host::Problem;

/// An attempt that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How many there were before it in a row with the same inputs.
    pub number: u32,
    pub inputs: Inputs,
    pub at: Timestamp,
    pub result: Result<(), Problem>,
}

/// What the outcome of an attempt depends on, as far as it is written in the API. When that changes, there is no reason
/// to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inputs {
    /// Digest of all but the host key.
    pub digest: u64,
    /// The host key that is expected; an attempt without one keeps the first that it sees.
    pub host_key: Option<String>,
}

impl Inputs {
    fn changed(&self, now: &Self) -> bool {
        self.digest != now.digest || (self.host_key.is_some() && self.host_key != now.host_key)
    }
}

/// What is known of a machine's attempts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    pub running: bool,
    pub last: Option<Ended>,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Begin this attempt.
    Begin { number: u32 },
    /// One is under way; its end brings the object back.
    Await,
    /// The last one failed; the next one is due after this time.
    Wait(Duration),
    /// The last one succeeded.
    Done,
}

impl History {
    /// What to do next, given the inputs of an attempt that would begin now.
    pub fn next(&self, inputs: &Inputs, now: Timestamp) -> Next {
        if self.running {
            return Next::Await;
        }
        let Some(last) = &self.last else {
            return Next::Begin { number: 0 };
        };
        match &last.result {
            Ok(()) => Next::Done,
            Err(_) if last.inputs.changed(inputs) => Next::Begin { number: 0 },
            Err(problem) => {
                let waited = Duration::try_from(now.duration_since(last.at)).unwrap_or_default();
                match backoff(last.number, problem).checked_sub(waited) {
                    Some(left) if !left.is_zero() => Next::Wait(left),
                    _ => Next::Begin {
                        number: last.number.saturating_add(1),
                    },
                }
            }
        }
    }

    /// What the last attempt failed with.
    pub fn problem(&self) -> Option<&Problem> {
        self.last.as_ref()?.result.as_ref().err()
    }
}

/// From 1 s doubling to a minute; to be slow is enough where somebody has to act first.
fn backoff(number: u32, problem: &Problem) -> Duration {
    let (first, most) = if problem.stuck { (15, 120) } else { (1, 60) };
    let seconds = 2_u64.saturating_pow(number).saturating_mul(first).min(most);
    Duration::from_secs(seconds)
}

/// The attempts of all machines. Cheap to clone.
#[derive(Clone)]
pub struct Attempts {
    tasks: Tasks<RemoteMachine, ()>,
    turns: Turns,
    ended: Arc<Mutex<HashMap<String, Ended>>>,
    over: Arc<Mutex<HashSet<String>>>,
}

impl Attempts {
    /// At most `at_once` run at the same time. The stream names the machines whose attempt is over.
    pub fn new(
        at_once: usize,
    ) -> (
        Self,
        impl Stream<Item = ObjectRef<RemoteMachine>> + Send + 'static,
    ) {
        // Those who wait for their turn are many, and hold nothing.
        let (tasks, over) = Tasks::new(Semaphore::MAX_PERMITS);
        (
            Self {
                tasks,
                turns: Turns::new(at_once),
                ended: Arc::default(),
                over: Arc::default(),
            },
            over,
        )
    }

    fn ended(&self) -> MutexGuard<'_, HashMap<String, Ended>> {
        // Only inserts and removals happen under the lock.
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn history(&self, machine: &RemoteMachine) -> History {
        let running = matches!(self.tasks.state(machine), TaskState::Running);
        History {
            running,
            last: self.ended().get(&key(machine)).cloned(),
        }
    }

    /// Begins an attempt unless one runs.
    pub fn begin(
        &self,
        machine: &RemoteMachine,
        number: u32,
        inputs: Inputs,
        work: impl Future<Output = Result<(), Problem>> + Send + 'static,
    ) {
        let (ended, key, turns) = (self.ended.clone(), key(machine), self.turns.clone());
        let jump_host = machine.spec.jump_hosts.first();
        let jump_host = jump_host.map(|host| format!("{}:{}", host.address, host.port));
        self.tasks.start(machine, async move {
            let _turn = turns.take(jump_host.as_deref()).await;
            // A panic is a failure like any other: tried again, ever more slowly.
            let result = AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| {
                tracing::error!("an attempt on a host panicked");
                Err(Problem::passing(
                    "Panicked",
                    "the controller panicked; this is a defect, see its log",
                ))
            });
            let over = Ended {
                number,
                inputs,
                at: Timestamp::now(),
                result,
            };
            ended
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(key, over);
        });
    }

    /// Whether the machine was let go: a watch that lags behind may show it for a moment as it was before, and its host
    /// may be another machine's by now.
    pub fn is_over(&self, machine: &RemoteMachine) -> bool {
        self.over().contains(&key(machine))
    }

    /// The machine was let go. `left`: the machines that the watch still shows; of others nothing need be remembered.
    pub fn over_for(&self, machine: &RemoteMachine, left: &[Arc<RemoteMachine>]) {
        self.forget(machine);
        let mut over = self.over();
        over.retain(|known| left.iter().any(|machine| key(machine) == *known));
        over.insert(key(machine));
    }

    fn over(&self) -> MutexGuard<'_, HashSet<String>> {
        self.over.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cuts a running attempt off and forgets what came of earlier ones.
    pub fn forget(&self, machine: &RemoteMachine) {
        self.tasks.forget(machine);
        self.ended().remove(&key(machine));
    }
}

fn key(machine: &RemoteMachine) -> String {
    machine.uid().unwrap_or_else(|| {
        format!(
            "{}/{}",
            machine.namespace().unwrap_or_default(),
            machine.name_any()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_machine_that_was_let_go_is_remembered_while_a_watch_may_show_it() {
        let machine = |name: &str| {
            let mut machine = RemoteMachine::new(name, Default::default());
            machine.metadata.uid = Some(name.to_owned());
            machine
        };
        let (attempts, _over) = Attempts::new(1);
        let (first, second) = (machine("first"), machine("second"));
        attempts.over_for(&first, &[Arc::new(first.clone()), Arc::new(second.clone())]);
        assert!(attempts.is_over(&first) && !attempts.is_over(&second));
        attempts.over_for(&second, &[Arc::new(second.clone())]);
        assert!(!attempts.is_over(&first) && attempts.is_over(&second));
    }

    fn inputs(digest: u64, host_key: Option<&str>) -> Inputs {
        Inputs {
            digest,
            host_key: host_key.map(str::to_owned),
        }
    }

    fn history(number: u32, result: Result<(), Problem>) -> History {
        let inputs = inputs(7, Some("a"));
        History {
            running: false,
            last: Some(Ended {
                number,
                inputs,
                at: Timestamp::UNIX_EPOCH,
                result,
            }),
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn failures_are_retried_ever_more_slowly() {
        let same = inputs(7, Some("a"));
        let passing = || Err(Problem::passing("HostUnreachable", ""));
        let lasting = || Err(Problem::lasting("AuthenticationFailed", ""));
        assert_eq!(History::default().next(&same, at(0)), Next::Begin { number: 0 });
        assert_eq!(
            history(0, passing()).next(&same, at(0)),
            Next::Wait(Duration::from_secs(1))
        );
        assert_eq!(
            history(0, passing()).next(&same, at(1)),
            Next::Begin { number: 1 }
        );
        assert_eq!(
            history(3, passing()).next(&same, at(2)),
            Next::Wait(Duration::from_secs(6))
        );
        assert_eq!(
            history(500, passing()).next(&same, at(0)),
            Next::Wait(Duration::from_secs(60))
        );
        assert_eq!(
            history(0, lasting()).next(&same, at(0)),
            Next::Wait(Duration::from_secs(15))
        );
        // A clock that was set back must not make anybody wait for years.
        assert_eq!(
            history(0, passing()).next(&same, at(-1000)),
            Next::Wait(Duration::from_secs(1))
        );
    }

    #[test]
    fn what_somebody_changed_is_tried_at_once() {
        let failed = history(9, Err(Problem::lasting("X", "")));
        for changed in [inputs(8, Some("a")), inputs(7, Some("b")), inputs(7, None)] {
            assert_eq!(failed.next(&changed, at(0)), Next::Begin { number: 0 });
        }
        assert_eq!(
            History {
                running: true,
                ..failed
            }
            .next(&inputs(8, None), at(0)),
            Next::Await
        );
    }

    #[test]
    fn a_key_that_the_attempt_kept_itself_changes_nothing() {
        let mut failed = history(0, Err(Problem::passing("X", "")));
        failed.last.as_mut().unwrap().inputs.host_key = None;
        assert_eq!(
            failed.next(&inputs(7, Some("a")), at(0)),
            Next::Wait(Duration::from_secs(1))
        );
        assert_eq!(
            history(0, Ok(())).next(&inputs(8, None), at(0)),
            Next::Done,
            "done is done"
        );
    }
}
