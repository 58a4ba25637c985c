//! Conditions of objects, with the semantics of `meta.SetStatusCondition`: the transition time changes with the
//! status only (contract G9).

use k8s_controller::conditions::{self, DesiredCondition};
pub use k8s_controller::conditions::{ConditionStatus, find};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

/// The API refuses longer messages.
const MAX_MESSAGE_BYTES: usize = 32 * 1024;

/// The conditions of one object while they are computed, for the generation that was read.
#[derive(Clone, Debug)]
pub struct Conditions {
    current: Vec<Condition>,
    generation: Option<i64>,
}

impl Conditions {
    /// Begins with what the object says now.
    pub fn of(current: &[Condition], generation: Option<i64>) -> Self {
        Self {
            current: current.to_vec(),
            generation,
        }
    }

    /// Sets one condition. `reason` must not be empty.
    pub fn set(&mut self, type_: &str, status: ConditionStatus, reason: &str, message: impl Into<String>) {
        let mut message = message.into();
        if message.len() > MAX_MESSAGE_BYTES {
            message.truncate(message.floor_char_boundary(MAX_MESSAGE_BYTES));
        }
        let desired =
            DesiredCondition::new(type_, status, reason, message).observed_generation(self.generation);
        // Whether anything is written is decided over the whole status.
        let _ = conditions::set(&mut self.current, desired);
    }

    pub fn set_true(&mut self, type_: &str, reason: &str, message: impl Into<String>) {
        self.set(type_, ConditionStatus::True, reason, message);
    }

    pub fn set_false(&mut self, type_: &str, reason: &str, message: impl Into<String>) {
        self.set(type_, ConditionStatus::False, reason, message);
    }

    pub fn set_unknown(&mut self, type_: &str, reason: &str, message: impl Into<String>) {
        self.set(type_, ConditionStatus::Unknown, reason, message);
    }

    /// Takes a condition away that does not apply any more.
    pub fn remove(&mut self, type_: &str) {
        conditions::remove(&mut self.current, type_);
    }

    pub fn get(&self, type_: &str) -> Option<&Condition> {
        find(&self.current, type_)
    }

    /// Whether the condition is there and True.
    pub fn is_true(&self, type_: &str) -> bool {
        is_true(&self.current, type_)
    }

    pub fn into_vec(self) -> Vec<Condition> {
        self.current
    }
}

/// Whether the condition is there and True.
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    find(conditions, type_).is_some_and(|condition| condition.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transition_time_moves_with_the_status_only() {
        let mut before = Conditions::of(&[], Some(1));
        before.set_true("Ready", "Ready", "");
        let mut before = before.into_vec();
        before[0].last_transition_time.0 = "2020-01-01T00:00:00Z".parse().unwrap();

        let mut same = Conditions::of(&before, Some(2));
        same.set_true("Ready", "StillReady", "text");
        assert_eq!(
            same.get("Ready").unwrap().last_transition_time,
            before[0].last_transition_time
        );
        assert_eq!(same.get("Ready").unwrap().observed_generation, Some(2));

        same.set_false("Ready", "NotReady", "");
        assert_ne!(
            same.get("Ready").unwrap().last_transition_time,
            before[0].last_transition_time
        );
    }

    #[test]
    fn long_messages_are_cut_between_characters() {
        let mut conditions = Conditions::of(&[], None);
        conditions.set_false("Ready", "Long", "é".repeat(MAX_MESSAGE_BYTES));
        assert!(conditions.get("Ready").unwrap().message.len() <= MAX_MESSAGE_BYTES);
    }
}
