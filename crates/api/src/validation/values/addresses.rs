//! Hosts and networks.

use std::net::IpAddr;

/// Checks that a text is an IP address or a DNS name, and nothing more than that.
///
/// # Errors
/// What is wrong with it, with what to write instead.
pub fn host(text: &str) -> Result<(), String> {
    // A zone belongs to a link-local address: fe80::1%eth0.
    let address = text.split_once('%').map_or(text, |(address, _)| address);
    if address.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    let hint = if text.contains("://") || text.contains('/') {
        "write the host alone, without scheme and path"
    } else if text.contains('[') || text.contains(']') {
        "write the IPv6 address without brackets"
    } else if text
        .split_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok())
    {
        "write the host alone and the port in the field of its own"
    } else {
        "write one such as 192.0.2.7 or k0s.example.com"
    };
    // Underscores are no part of host names and yet work in most places; digits and dots only are a mistyped address.
    let name = text.strip_suffix('.').unwrap_or(text);
    let well_formed = name.len() <= 253
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        })
        && !name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if well_formed {
        return Ok(());
    }
    Err(format!("is not an IP address or DNS name; {hint}"))
}

/// Checks that a text is a network in CIDR notation.
///
/// # Errors
/// What is wrong with it, with what to write instead.
pub fn network(text: &str) -> Result<(), String> {
    let remedy = || "is not a network; write one such as 10.244.0.0/16 or fd00::/108".to_owned();
    let (address, prefix) = text.split_once('/').ok_or_else(remedy)?;
    let address: IpAddr = address.parse().map_err(|_| remedy())?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    match prefix.parse::<u8>() {
        Ok(prefix) if prefix <= bits => Ok(()),
        _ => Err(remedy()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for text in [
            "192.0.2.7",
            "2001:db8::1",
            "fe80::1%eth0",
            "host",
            "k0s.example.com",
            "k0s.example.com.",
            "Node_1",
            "1host",
        ] {
            assert_eq!(host(text), Ok(()), "{text}");
        }
        for (text, hint) in [
            ("https://k0s.example.com:6443", "without scheme"),
            ("k0s.example.com/path", "without scheme"),
            ("k0s.example.com:6443", "the port in the field of its own"),
            ("[2001:db8::1]", "without brackets"),
            ("192.0.2.700", "such as 192.0.2.7"),
            ("", "such as"),
            ("two words", "such as"),
            ("-a.example.com", "such as"),
            ("a..b", "such as"),
            ("$(reboot)", "such as"),
        ] {
            assert!(host(text).unwrap_err().contains(hint), "{text}");
        }
    }

    #[test]
    fn networks() {
        for text in ["10.244.0.0/16", "fd00::/108", "0.0.0.0/0"] {
            assert_eq!(network(text), Ok(()), "{text}");
        }
        for text in [
            "10.244.0.0",
            "10.244.0.0/33",
            "fd00::/129",
            "a/8",
            "10.0.0.0/-1",
            "/",
        ] {
            assert!(network(text).is_err(), "{text}");
        }
    }
}
