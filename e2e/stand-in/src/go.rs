//! Values as k0s' Go libraries read them.

use anyhow::{Result, bail};

/// Splits `--a=b --c` into flags and values. k0s does the same: at blanks, without any quoting.
pub fn split_flags(text: &str) -> std::collections::BTreeMap<String, String> {
    text.split_whitespace()
        .map(|flag| match flag.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => (flag.to_owned(), String::new()),
        })
        .collect()
}

/// A Go duration such as `1h30m`, `24h` or `0s`.
pub fn parse_duration(text: &str) -> Result<std::time::Duration> {
    let mut rest = text;
    let mut total = 0.0_f64;
    if rest == "0" {
        return Ok(std::time::Duration::ZERO);
    }
    while !rest.is_empty() {
        let digits = rest
            .find(|character: char| !character.is_ascii_digit() && character != '.')
            .filter(|&end| end > 0);
        let Some((number, after)) = digits.and_then(|end| rest.split_at_checked(end)) else {
            bail!("time: invalid duration {text:?}");
        };
        let unit_length = after
            .find(|character: char| character.is_ascii_digit() || character == '.')
            .unwrap_or(after.len());
        let Some((unit, remainder)) = after.split_at_checked(unit_length) else {
            bail!("time: invalid duration {text:?}");
        };
        let seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => bail!("time: unknown unit {unit:?} in duration {text:?}"),
        };
        total += number.parse::<f64>()? * seconds;
        rest = remainder;
    }
    if text.is_empty() {
        bail!("time: invalid duration \"\"");
    }
    Ok(std::time::Duration::from_secs_f64(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_go() {
        assert_eq!(parse_duration("1h30m").unwrap().as_secs(), 5400);
        assert_eq!(parse_duration("300ms").unwrap().as_millis(), 300);
        assert_eq!(parse_duration("0s").unwrap().as_secs(), 0);
        assert!(parse_duration("5").is_err());
        assert!(parse_duration("5y").is_err());
    }
}
