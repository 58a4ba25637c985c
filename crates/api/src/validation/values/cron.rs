//! Schedules of CronJobs.
//!
//! Kubernetes reads the five standard fields and a few words. Parsers of cron at large also take seconds, years, `L`, `W`, `#` and
//! Sunday as 7, all of which a CronJob refuses, so the grammar is written down here.

/// Longest text that is read.
const MAX_LENGTH: usize = 256;

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// What a field of a schedule holds: lowest and highest number, and the names of the numbers from the lowest on.
struct Unit {
    name: &'static str,
    low: u32,
    high: u32,
    names: &'static [&'static str],
}

const UNITS: [Unit; 5] = [
    Unit {
        name: "minute",
        low: 0,
        high: 59,
        names: &[],
    },
    Unit {
        name: "hour",
        low: 0,
        high: 23,
        names: &[],
    },
    Unit {
        name: "day of the month",
        low: 1,
        high: 31,
        names: &[],
    },
    Unit {
        name: "month",
        low: 1,
        high: 12,
        names: &MONTHS,
    },
    Unit {
        name: "day of the week",
        low: 0,
        high: 6,
        names: &DAYS,
    },
];

/// Checks that a CronJob would take the text as its schedule.
///
/// # Errors
/// What is wrong with it, with what to write instead.
pub fn check(text: &str) -> Result<(), String> {
    if text.len() > MAX_LENGTH {
        return Err("is too long for a schedule; write one such as \"0 12 * * *\"".to_owned());
    }
    if text.contains("TZ=") {
        return Err(
            "names a time zone, which a schedule cannot; write it in UTC, such as \"0 12 * * *\"".to_owned(),
        );
    }
    if let Some(word) = text.strip_prefix('@') {
        return match word {
            "yearly" | "annually" | "monthly" | "weekly" | "daily" | "midnight" | "hourly" => Ok(()),
            _ => match word.strip_prefix("every ").map(super::duration::parse) {
                Some(Ok(every)) if every.as_secs() > 0 => Ok(()),
                _ => {
                    Err("is not a schedule; write one such as @daily, @every 6h or \"0 12 * * *\"".to_owned())
                }
            },
        };
    }
    let fields: Vec<_> = text.split_whitespace().collect();
    if fields.len() != UNITS.len() {
        return Err(format!(
            "has {} fields instead of 5 (minute, hour, day of the month, month, day of the week); write one such as \"0 12 * * *\"",
            fields.len()
        ));
    }
    for (field, unit) in fields.iter().zip(&UNITS) {
        if !field.split(',').all(|part| unit.takes(part)) {
            return Err(format!(
                "says {field:?} for the {}, which goes from {} to {}; write a schedule such as \"0 12 * * *\"",
                unit.name, unit.low, unit.high
            ));
        }
    }
    Ok(())
}

impl Unit {
    /// `*`, `5`, `1-5`, `mon-fri`, each with `/2` or without.
    fn takes(&self, part: &str) -> bool {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (part, None),
        };
        let step_is_right = step.is_none_or(|step| number(step).is_some_and(|step| step > 0));
        let range_is_right = match range.split_once('-') {
            _ if range == "*" || range == "?" => true,
            Some((from, to)) => {
                matches!((self.value(from), self.value(to)), (Some(from), Some(to)) if from <= to)
            }
            None => self.value(range).is_some(),
        };
        step_is_right && range_is_right
    }

    fn value(&self, text: &str) -> Option<u32> {
        let lower = text.to_ascii_lowercase();
        let named = self
            .names
            .iter()
            .zip(self.low..)
            .find(|(name, _)| **name == lower);
        named
            .map(|(_, value)| value)
            .or_else(|| number(text))
            .filter(|value| (self.low..=self.high).contains(value))
    }
}

fn number(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn takes_what_a_cron_job_takes() {
        for text in [
            "0 12 * * *",
            "*/15 0-6,22-23 1,15 jan-MAR mon-fri",
            "? ? ? ? 0",
            "5/10 * * * *",
            "@daily",
            "@every 6h",
            "  0  0 1 1 sun ",
        ] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn refuses_what_a_cron_job_refuses() {
        for text in [
            "",
            "* * * *",
            "0 0 12 * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 7",
            "* * L * *",
            "* * 15W * *",
            "* * * * fri#2",
            "5-1 * * * *",
            "*/0 * * * *",
            "+5 * * * *",
            ", * * * *",
            "@sometimes",
            "@every",
            "@every 0s",
            "TZ=UTC 0 12 * * *",
            "CRON_TZ=UTC 0 12 * * *",
        ] {
            assert!(check(text).is_err(), "{text}");
        }
    }
}
