//! The cluster's PKI: certificate authorities, service account keys and client certificates.
//!
//! Generated authorities are ECDSA P-256; supplied ones may be RSA or ECDSA, their keys in PKCS#1, SEC1 or PKCS#8. A
//! key that was loaded is never written out again: the PEM text it came from is what goes on, because re-encoding
//! changes the container format and not all readers take every one. Nothing is stored here.

mod peer;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PublicKeyData, RsaKeySize,
};
use secrecy::{ExposeSecret, SecretString};
use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo, X509Certificate};

pub use self::peer::{PeerFault, PeerRequest, peer_certificate, peer_fault};

/// Life of a generated authority, in days.
pub const CA_DAYS: i64 = 3650;
/// Certificates are valid from a little earlier, for hosts whose clock is behind.
const BACKDATED: SignedDuration = SignedDuration::from_mins(5);

/// A certificate authority as stored in `<cluster>-ca`, `-etcd` and `-proxy`: the texts of `tls.crt` and `tls.key`.
#[derive(Clone, Debug)]
pub struct CertificateAuthority {
    pub cert_pem: String,
    pub key_pem: SecretString,
}

/// The key pair that signs and verifies service account tokens, as stored in `<cluster>-sa`.
#[derive(Clone, Debug)]
pub struct ServiceAccountKeys {
    /// `PUBLIC KEY`; `tls.crt` of the Secret, `sa.pub` on the host.
    pub public_pem: String,
    /// `tls.key` of the Secret, `sa.key` on the host.
    pub private_pem: SecretString,
}

/// A client certificate with its key.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    pub cert_pem: String,
    pub key_pem: SecretString,
}

/// When a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    pub not_before: Timestamp,
    pub not_after: Timestamp,
}

/// What is wrong with PKI material. Says nothing of keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PkiError {
    #[error("the certificate is not readable PEM: {0}; store a CERTIFICATE block")]
    Certificate(String),
    #[error("the private key {0}; store an unencrypted RSA or ECDSA key in PEM (PKCS#1, SEC1 or PKCS#8)")]
    Key(String),
    #[error("the public key is not readable PEM; store a PUBLIC KEY block")]
    PublicKey,
    #[error(
        "private key and certificate do not belong together; store the key the certificate was issued for"
    )]
    Mismatch,
    #[error("{subject:?} is no certificate authority: {problem}")]
    NotAuthority { subject: String, problem: &'static str },
    #[error("{subject:?} is not valid at {now}, only from {not_before} to {not_after}; renew it")]
    NotValid {
        subject: String,
        now: Timestamp,
        not_before: Timestamp,
        not_after: Timestamp,
    },
    #[error(
        "certificates of {0:?} cannot be issued: its name does not survive being written; use plain UTF-8 names"
    )]
    Name(String),
    #[error("a certificate could not be made: {0}")]
    Encoding(String),
}

impl Validity {
    /// Whether more than half of the life is over.
    pub fn is_half_over(&self, now: Timestamp) -> bool {
        let life = self.not_after.duration_since(self.not_before);
        now.duration_since(self.not_before) > life / 2
    }
}

/// A self-signed authority, valid for [`CA_DAYS`].
pub fn generate_ca(common_name: &str, now: Timestamp) -> Result<CertificateAuthority, PkiError> {
    let mut params = certificate(common_name, CA_DAYS, now)?;
    // No authority below it, as kubeadm and the original have it.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
    ];
    let key = KeyPair::generate().map_err(encoding)?;
    let cert = params.self_signed(&key).map_err(encoding)?;
    Ok(CertificateAuthority {
        cert_pem: cert.pem(),
        key_pem: key.serialize_pem().into(),
    })
}

/// RSA 2048, as k0s generates them. Takes about 0.1 s.
pub fn generate_service_account_keys() -> Result<ServiceAccountKeys, PkiError> {
    let key = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048).map_err(encoding)?;
    Ok(ServiceAccountKeys {
        public_pem: key.public_key_pem(),
        private_pem: key.serialize_pem().into(),
    })
}

/// A client certificate with a new key, valid for `days`.
pub fn client_certificate(
    ca: &CertificateAuthority,
    common_name: &str,
    organization: &str,
    days: i64,
    now: Timestamp,
) -> Result<ClientCertificate, PkiError> {
    let mut params = certificate(common_name, days, now)?;
    params
        .distinguished_name
        .push(DnType::OrganizationName, organization);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    issue(ca, params, now)
}

/// Signs a certificate for a new key.
fn issue(
    ca: &CertificateAuthority,
    mut params: CertificateParams,
    now: Timestamp,
) -> Result<ClientCertificate, PkiError> {
    validate_ca(ca, now)?;
    let authority = first_certificate(&ca.cert_pem)?;
    let issuer = Issuer::from_ca_cert_der(&authority.contents.as_slice().into(), load_key(&ca.key_pem)?)
        .map_err(|error| PkiError::Certificate(error.to_string()))?;

    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyEncipherment,
    ];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate().map_err(encoding)?;
    let cert = params.signed_by(&key, &issuer).map_err(encoding)?;

    // Verifiers compare names byte by byte, and a supplied authority's name may use encodings we do not write.
    let authority = parse(&authority)?;
    let (_, issued) =
        X509Certificate::from_der(cert.der()).map_err(|error| PkiError::Encoding(error.to_string()))?;
    if issued.issuer().as_raw() != authority.subject().as_raw() {
        return Err(PkiError::Name(authority.subject().to_string()));
    }
    Ok(ClientCertificate {
        cert_pem: cert.pem(),
        key_pem: key.serialize_pem().into(),
    })
}

/// When the first certificate of a PEM text is valid.
pub fn validity(cert_pem: &str) -> Result<Validity, PkiError> {
    validity_of(&parse(&first_certificate(cert_pem)?)?)
}

/// End of life of the first certificate of a PEM text.
pub fn expiry(cert_pem: &str) -> Result<Timestamp, PkiError> {
    validity(cert_pem).map(|validity| validity.not_after)
}

/// Checks that an authority can sign: it is one, it is valid now, and the key is its own.
pub fn validate_ca(ca: &CertificateAuthority, now: Timestamp) -> Result<Validity, PkiError> {
    let pem = first_certificate(&ca.cert_pem)?;
    let cert = parse(&pem)?;
    let subject = cert.subject().to_string();

    if !cert.is_ca() {
        let problem = "it lacks the CA basic constraint";
        return Err(PkiError::NotAuthority { subject, problem });
    }
    if let Ok(Some(usage)) = cert.key_usage()
        && !usage.value.key_cert_sign()
    {
        let problem = "its key usage does not allow signing certificates";
        return Err(PkiError::NotAuthority { subject, problem });
    }
    let validity = validity_of(&cert)?;
    let Validity {
        not_before,
        not_after,
    } = validity;
    if now < not_before || now > not_after {
        return Err(PkiError::NotValid {
            subject,
            now,
            not_before,
            not_after,
        });
    }
    if same_key(cert.public_key().raw, &load_key(&ca.key_pem)?) {
        Ok(validity)
    } else {
        Err(PkiError::Mismatch)
    }
}

/// Checks that the two halves of a service account key pair belong together.
pub fn validate_service_account_keys(keys: &ServiceAccountKeys) -> Result<(), PkiError> {
    let block = block(&keys.public_pem, |label| label == "PUBLIC KEY").ok_or(PkiError::PublicKey)?;
    let pem = first_pem(block).ok_or(PkiError::PublicKey)?;
    let (_, public) = SubjectPublicKeyInfo::from_der(&pem.contents).map_err(|_| PkiError::PublicKey)?;
    if same_key(public.raw, &load_key(&keys.private_pem)?) {
        Ok(())
    } else {
        Err(PkiError::Mismatch)
    }
}

fn certificate(common_name: &str, days: i64, now: Timestamp) -> Result<CertificateParams, PkiError> {
    let out_of_range = |error: jiff::Error| PkiError::Encoding(error.to_string());
    let start = now.checked_sub(BACKDATED).map_err(out_of_range)?;
    let end = now
        .checked_add(SignedDuration::from_hours(24 * days))
        .map_err(out_of_range)?;
    // Not `default()` alone: it has a common name of its own and is valid for millennia.
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = rcgen::date_time_ymd(1970, 1, 1) + since_epoch(start);
    params.not_after = rcgen::date_time_ymd(1970, 1, 1) + since_epoch(end);
    Ok(params)
}

fn since_epoch(time: Timestamp) -> Duration {
    Duration::from_secs(u64::try_from(time.as_second()).unwrap_or(0))
}

fn validity_of(cert: &X509Certificate<'_>) -> Result<Validity, PkiError> {
    let timestamp = |time: x509_parser::time::ASN1Time| {
        Timestamp::from_second(time.timestamp()).map_err(|error| PkiError::Certificate(error.to_string()))
    };
    let validity = cert.validity();
    Ok(Validity {
        not_before: timestamp(validity.not_before)?,
        not_after: timestamp(validity.not_after)?,
    })
}

fn same_key(spki_der: &[u8], key: &KeyPair) -> bool {
    key.subject_public_key_info() == spki_der
}

fn first_certificate(pem: &str) -> Result<Pem, PkiError> {
    let block = block(pem, |label| label == "CERTIFICATE");
    let error = || PkiError::Certificate("it holds no CERTIFICATE block".to_owned());
    block.and_then(first_pem).ok_or_else(error)
}

fn parse(pem: &Pem) -> Result<X509Certificate<'_>, PkiError> {
    pem.parse_x509()
        .map_err(|error| PkiError::Certificate(error.to_string()))
}

fn first_pem(text: &str) -> Option<Pem> {
    Pem::iter_from_buffer(text.as_bytes()).next()?.ok()
}

/// Loads a private key. The result is for signing and comparing only, never for writing.
fn load_key(pem: &SecretString) -> Result<KeyPair, PkiError> {
    let pem = pem.expose_secret();
    // `openssl ecparam -genkey` puts an EC PARAMETERS block in front of the key.
    let block = block(pem, |label| label.ends_with("PRIVATE KEY"))
        .ok_or_else(|| PkiError::Key("is missing".to_owned()))?;
    if block.contains("ENCRYPTED") {
        return Err(PkiError::Key("is encrypted".to_owned()));
    }
    KeyPair::from_pem(block).map_err(|error| PkiError::Key(format!("cannot be read ({error})")))
}

/// The first PEM block whose label is accepted, markers included.
fn block(text: &str, accept: impl Fn(&str) -> bool) -> Option<&str> {
    const BEGIN: &str = "-----BEGIN ";
    let mut rest = text;
    loop {
        rest = rest.get(rest.find(BEGIN)?..)?;
        let (label, _) = rest.get(BEGIN.len()..)?.split_once("-----")?;
        let end = format!("-----END {label}-----");
        let length = rest.find(&end)? + end.len();
        if accept(label) {
            return rest.get(..length);
        }
        rest = rest.get(length..)?;
    }
}

fn encoding(error: rcgen::Error) -> PkiError {
    PkiError::Encoding(error.to_string())
}

#[cfg(test)]
mod tests;
