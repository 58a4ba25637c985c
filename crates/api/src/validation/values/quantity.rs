//! Quantities of Kubernetes, as far as they are compared: `10Gi`, `1.5G`, `1e9`, `500m`.

/// The number that a quantity says; `None` when it is none. Exact enough to compare two that differ.
#[must_use]
pub fn parse(text: &str) -> Option<f64> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let end = text
        .find(|character: char| !character.is_ascii_digit() && character != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at_checked(end)?;
    let number: f64 = number.parse().ok()?;
    let factor = match suffix {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1024f64.powi(2),
        "Gi" => 1024f64.powi(3),
        "Ti" => 1024f64.powi(4),
        "Pi" => 1024f64.powi(5),
        "Ei" => 1024f64.powi(6),
        exponent => 10f64.powi(exponent.strip_prefix(['e', 'E'])?.parse().ok()?),
    };
    Some(number * factor)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn quantities() {
        for (text, number) in [
            ("0", 0.0),
            ("1Gi", 1_073_741_824.0),
            ("1.5G", 1.5e9),
            ("1e9", 1e9),
            ("2E3", 2000.0),
            ("1E", 1e18),
            ("500m", 0.5),
        ] {
            assert_eq!(parse(text), Some(number), "{text}");
        }
        for text in ["", "Gi", "1gb", "-1Gi", "1 Gi", "1eGi", "é", "1é"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
