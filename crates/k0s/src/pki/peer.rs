//! Certificates of programs that are servers and clients to one another, as the members of etcd are: issued, and looked
//! at for whether they still do.

use std::{collections::BTreeSet, fmt, net::IpAddr};

use jiff::Timestamp;
use rcgen::{DnType, ExtendedKeyUsagePurpose, SanType};
use secrecy::SecretString;
use x509_parser::{
    certificate::X509Certificate,
    extensions::{GeneralName, ParsedExtension},
};

use super::{
    CertificateAuthority, ClientCertificate, PkiError, certificate, first_certificate, issue, load_key,
    parse, same_key, validity_of,
};

/// What a certificate is to say.
#[derive(Clone, Debug)]
pub struct PeerRequest {
    /// Common name and organization, which are the same.
    pub name: String,
    /// DNS names and IP addresses, wildcards allowed.
    pub sans: BTreeSet<String>,
    /// Life, in days.
    pub days: i64,
}

/// Why a certificate is to be issued anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerFault {
    /// It or its key cannot be read, or they do not belong together.
    Unreadable,
    /// Another authority has signed it.
    OtherAuthority,
    /// Names are missing.
    Names,
    /// More than half of its life is over.
    Expiring,
}

impl fmt::Display for PeerFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Unreadable => "it cannot be read",
            Self::OtherAuthority => "the authority has changed",
            Self::Names => "names are missing in it",
            Self::Expiring => "more than half of its life is over",
        })
    }
}

/// A certificate for servers and clients, with a new key.
///
/// # Errors
/// The authority cannot sign, or a name is none.
pub fn peer_certificate(
    ca: &CertificateAuthority,
    request: &PeerRequest,
    now: Timestamp,
) -> Result<ClientCertificate, PkiError> {
    let mut params = certificate(&request.name, request.days, now)?;
    params
        .distinguished_name
        .push(DnType::OrganizationName, request.name.as_str());
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    let names = request.sans.iter().map(|san| match san.parse::<IpAddr>() {
        Ok(address) => Ok(SanType::IpAddress(address)),
        Err(_) => san
            .as_str()
            .try_into()
            .map(SanType::DnsName)
            .map_err(|_| PkiError::Name(san.clone())),
    });
    params.subject_alt_names = names.collect::<Result<_, _>>()?;
    issue(ca, params, now)
}

/// What is wrong with a certificate of such a request; `None` when it does.
#[must_use]
pub fn peer_fault(
    cert_pem: &str,
    key_pem: &SecretString,
    ca_pem: &str,
    request: &PeerRequest,
    now: Timestamp,
) -> Option<PeerFault> {
    examine(cert_pem, key_pem, ca_pem, request, now).unwrap_or(Some(PeerFault::Unreadable))
}

fn examine(
    cert_pem: &str,
    key_pem: &SecretString,
    ca_pem: &str,
    request: &PeerRequest,
    now: Timestamp,
) -> Result<Option<PeerFault>, PkiError> {
    let (leaf, authority) = (first_certificate(cert_pem)?, first_certificate(ca_pem)?);
    let (leaf, authority) = (parse(&leaf)?, parse(&authority)?);
    if !same_key(leaf.public_key().raw, &load_key(key_pem)?) {
        return Ok(Some(PeerFault::Unreadable));
    }
    if !is_signed_by(&leaf, &authority) {
        return Ok(Some(PeerFault::OtherAuthority));
    }
    if !request.sans.is_subset(&sans(&leaf)) {
        return Ok(Some(PeerFault::Names));
    }
    let expiring = validity_of(&leaf)?.is_half_over(now);
    Ok(expiring.then_some(PeerFault::Expiring))
}

/// By name and, where both tell it, by key: an authority made again bears the same name.
fn is_signed_by(leaf: &X509Certificate<'_>, authority: &X509Certificate<'_>) -> bool {
    let signer = leaf
        .extensions()
        .iter()
        .find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref().map(|id| id.0),
            _ => None,
        });
    let own = authority
        .extensions()
        .iter()
        .find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0),
            _ => None,
        });
    let same_key = match (signer, own) {
        (Some(signer), Some(own)) => signer == own,
        _ => true,
    };
    same_key && leaf.issuer().as_raw() == authority.subject().as_raw()
}

fn sans(leaf: &X509Certificate<'_>) -> BTreeSet<String> {
    let Ok(Some(names)) = leaf.subject_alternative_name() else {
        return BTreeSet::new();
    };
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
        _ => None,
    };
    names.value.general_names.iter().filter_map(text).collect()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::super::generate_ca;
    use super::*;

    fn now() -> Timestamp {
        "2027-06-01T12:00:00Z".parse().unwrap()
    }

    fn request(sans: &[&str]) -> PeerRequest {
        PeerRequest {
            name: "etcd-server".to_owned(),
            sans: sans.iter().map(|san| (*san).to_owned()).collect(),
            days: 365,
        }
    }

    #[test]
    fn what_was_issued_does_until_half_of_its_life_is_over() {
        let ca = generate_ca("kubernetes", now()).unwrap();
        let request = request(&["127.0.0.1", "fd00::1", "localhost", "*.kmc-a-etcd.ns.svc"]);
        let made = peer_certificate(&ca, &request, now()).unwrap();
        let fault = |days: i64| {
            let later = now() + SignedDuration::from_hours(24 * days);
            peer_fault(&made.cert_pem, &made.key_pem, &ca.cert_pem, &request, later)
        };
        assert_eq!(fault(0), None);
        assert_eq!(fault(182), None);
        assert_eq!(fault(183), Some(PeerFault::Expiring));
    }

    #[test]
    fn other_names_authorities_and_keys_are_faults() {
        let ca = generate_ca("kubernetes", now()).unwrap();
        // Of the same name, as an authority that was made again has.
        let other = generate_ca("kubernetes", now()).unwrap();
        let asked = request(&["localhost"]);
        let made = peer_certificate(&ca, &asked, now()).unwrap();
        let fault = |key: &SecretString, ca: &str, sans: &[&str]| {
            peer_fault(&made.cert_pem, key, ca, &request(sans), now())
        };
        assert_eq!(
            fault(&made.key_pem, &other.cert_pem, &["localhost"]),
            Some(PeerFault::OtherAuthority)
        );
        assert_eq!(
            fault(&made.key_pem, &ca.cert_pem, &["localhost", "x"]),
            Some(PeerFault::Names)
        );
        assert_eq!(
            fault(&other.key_pem, &ca.cert_pem, &["localhost"]),
            Some(PeerFault::Unreadable)
        );
        assert_eq!(
            peer_fault("", &made.key_pem, &ca.cert_pem, &asked, now()),
            Some(PeerFault::Unreadable)
        );
    }
}
