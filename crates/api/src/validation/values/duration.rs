//! Durations as Go writes them, which is what k0s and Kubernetes read: `90s`, `1h30m`, `1.5h`, `0`.
//!
//! The parser of the kube crate reads the same, and panics where a duration is longer than it can hold; here users' text arrives.

use std::time::Duration;

/// Longest text that is read.
const MAX_LENGTH: usize = 64;

/// The duration that a text says.
///
/// # Errors
/// When it is not one, is negative or is longer than Go can hold (about 292 years), with what to write instead.
pub fn parse(text: &str) -> Result<Duration, String> {
    let remedy = || "is not a duration; write one such as 30m, 24h or 1h30m".to_owned();
    if text.len() > MAX_LENGTH {
        return Err(remedy());
    }
    if text.starts_with('-') {
        return Err("is negative; write a duration such as 30m, 24h or 1h30m".to_owned());
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(remedy());
    }
    let mut nanoseconds = 0.0;
    while !rest.is_empty() {
        let end = rest
            .find(|character: char| !character.is_ascii_digit() && character != '.')
            .ok_or_else(remedy)?;
        let (number, after) = rest.split_at(end);
        let (unit, after) = unit(after).ok_or_else(remedy)?;
        // Digits and dots are left; `f64` takes everything that Go does of those, and "." is neither's.
        nanoseconds += number.parse::<f64>().map_err(|_| remedy())? * unit;
        rest = after;
    }
    if nanoseconds > i64::MAX as f64 {
        return Err("is longer than 292 years; write a shorter duration".to_owned());
    }
    Ok(Duration::from_nanos(nanoseconds as u64))
}

/// The unit that a text begins with, in nanoseconds, and what follows it.
fn unit(text: &str) -> Option<(f64, &str)> {
    let units = [
        ("ns", 1.0),
        ("us", 1e3),
        ("µs", 1e3),
        ("μs", 1e3),
        ("ms", 1e6),
        ("s", 1e9),
        ("m", 60e9),
        ("h", 3600e9),
    ];
    units
        .into_iter()
        .find_map(|(name, nanoseconds)| Some((nanoseconds, text.strip_prefix(name)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_reads() {
        for (text, expected) in [
            ("0", Duration::ZERO),
            ("0s", Duration::ZERO),
            ("90s", Duration::from_secs(90)),
            ("1h30m", Duration::from_secs(5400)),
            ("1.5h", Duration::from_secs(5400)),
            (".5s", Duration::from_millis(500)),
            ("+24h0m0s", Duration::from_secs(86400)),
            ("1ms", Duration::from_millis(1)),
            ("2µs", Duration::from_micros(2)),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn refuses_the_rest() {
        for text in [
            "",
            "1",
            "s",
            ".s",
            "1d",
            "-1s",
            "1h 30m",
            "1..5s",
            "99999999999h",
            "1s; reboot",
            "$(id)",
            &"1h".repeat(100),
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
