//! The fixtures are authorities made with the openssl command line, one per container format a user may store. They
//! protect nothing.

use x509_parser::prelude::ParsedExtension;

use super::*;

const RSA_PKCS1: CertificateAuthorityText = (
    include_str!("fixtures/rsa-pkcs1.crt"),
    include_str!("fixtures/rsa-pkcs1.key"),
);
const RSA_PKCS8: CertificateAuthorityText = (
    include_str!("fixtures/rsa-pkcs8.crt"),
    include_str!("fixtures/rsa-pkcs8.key"),
);
const EC_SEC1: CertificateAuthorityText = (
    include_str!("fixtures/ec-sec1.crt"),
    include_str!("fixtures/ec-sec1.key"),
);
const EC_PKCS8: CertificateAuthorityText = (
    include_str!("fixtures/ec-pkcs8.crt"),
    include_str!("fixtures/ec-pkcs8.key"),
);
const TWO_UNITS: CertificateAuthorityText = (
    include_str!("fixtures/two-units.crt"),
    include_str!("fixtures/two-units.key"),
);

type CertificateAuthorityText = (&'static str, &'static str);

fn now() -> Timestamp {
    "2027-06-01T12:00:00Z".parse().unwrap()
}

fn authority((cert, key): CertificateAuthorityText) -> CertificateAuthority {
    CertificateAuthority {
        cert_pem: cert.to_owned(),
        key_pem: key.to_owned().into(),
    }
}

fn days(days: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * days)
}

#[test]
fn a_generated_authority_is_what_kubernetes_expects() {
    let ca = generate_ca("kubernetes", now()).unwrap();
    let pem = first_certificate(&ca.cert_pem).unwrap();
    let cert = parse(&pem).unwrap();

    assert_eq!(cert.subject().to_string(), "CN=kubernetes");
    assert_eq!(cert.issuer().as_raw(), cert.subject().as_raw());
    cert.verify_signature(None).unwrap();
    let constraints = cert.basic_constraints().unwrap().unwrap();
    assert!(constraints.critical && constraints.value.ca);
    assert_eq!(constraints.value.path_len_constraint, Some(0));
    let usage = cert.key_usage().unwrap().unwrap().value;
    assert!(usage.key_cert_sign() && usage.digital_signature() && usage.crl_sign());
    assert!(cert.subject_alternative_name().unwrap().is_none());

    let validity = validate_ca(&ca, now()).unwrap();
    assert_eq!(validity.not_before, now() - SignedDuration::from_mins(5));
    assert_eq!(validity.not_after, now() + days(3650));
    assert_eq!(expiry(&ca.cert_pem).unwrap(), validity.not_after);
    assert!(
        ca.key_pem
            .expose_secret()
            .starts_with("-----BEGIN PRIVATE KEY-----")
    );
}

#[test]
fn two_authorities_never_share_a_key() {
    let one = generate_ca("kubernetes", now()).unwrap();
    let two = generate_ca("kubernetes", now()).unwrap();
    assert_ne!(one.cert_pem, two.cert_pem);
    assert_eq!(
        validate_ca(
            &CertificateAuthority {
                key_pem: two.key_pem,
                ..one
            },
            now()
        ),
        Err(PkiError::Mismatch)
    );
}

#[test]
fn issues_client_certificates_of_every_authority() {
    let generated = generate_ca("kubernetes", now()).unwrap();
    let supplied = [RSA_PKCS1, RSA_PKCS8, EC_SEC1, EC_PKCS8].map(authority);
    for ca in supplied.into_iter().chain([generated]) {
        let client = client_certificate(&ca, "kubernetes-admin", "system:masters", 365, now()).unwrap();
        let (ca_pem, client_pem) = (
            first_certificate(&ca.cert_pem).unwrap(),
            first_certificate(&client.cert_pem).unwrap(),
        );
        let (ca_cert, cert) = (parse(&ca_pem).unwrap(), parse(&client_pem).unwrap());

        cert.verify_signature(Some(ca_cert.public_key())).unwrap();
        assert_eq!(cert.issuer().as_raw(), ca_cert.subject().as_raw());
        assert_eq!(
            cert.subject().to_string(),
            "CN=kubernetes-admin, O=system:masters"
        );
        assert!(!cert.is_ca());
        let usage = cert.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.client_auth && !usage.server_auth);
        assert_eq!(key_identifiers(&cert).1, key_identifiers(&ca_cert).0);
        assert!(same_key(
            cert.public_key().raw,
            &load_key(&client.key_pem).unwrap()
        ));

        let validity = validity(&client.cert_pem).unwrap();
        assert_eq!(validity.not_before, now() - SignedDuration::from_mins(5));
        assert_eq!(validity.not_after, now() + days(365));
    }
}

/// Subject and authority key identifier.
fn key_identifiers(cert: &X509Certificate<'_>) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
    let mut identifiers = (None, None);
    for extension in cert.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => identifiers.0 = Some(id.0.to_vec()),
            ParsedExtension::AuthorityKeyIdentifier(authority) => {
                identifiers.1 = authority.key_identifier.as_ref().map(|id| id.0.to_vec());
            }
            _ => {}
        }
    }
    identifiers
}

#[test]
fn an_authority_may_come_with_its_chain() {
    let ca = authority(EC_SEC1);
    let chained = CertificateAuthority {
        cert_pem: format!(
            "subject=kubernetes\n{}\n{}",
            ca.cert_pem,
            authority(RSA_PKCS1).cert_pem
        ),
        ..ca
    };
    client_certificate(&chained, "a", "b", 1, now()).unwrap();
}

#[test]
fn says_what_is_wrong_with_an_authority() {
    let ca = generate_ca("kubernetes", now()).unwrap();
    let problem = |ca: &CertificateAuthority, now| validate_ca(ca, now).unwrap_err().to_string();
    let with_key = |key: &str| CertificateAuthority {
        key_pem: key.to_owned().into(),
        ..ca.clone()
    };

    let client = client_certificate(&ca, "someone", "group", 365, now()).unwrap();
    let leaf = CertificateAuthority {
        cert_pem: client.cert_pem,
        key_pem: client.key_pem,
    };
    assert_eq!(
        problem(&leaf, now()),
        "\"CN=someone, O=group\" is no certificate authority: it lacks the CA basic constraint"
    );
    let later = now() + days(3651);
    assert!(
        problem(&ca, later).starts_with("\"CN=kubernetes\" is not valid at 2037-"),
        "{}",
        problem(&ca, later)
    );
    assert!(client_certificate(&ca, "a", "b", 1, later).is_err());
    assert_eq!(
        problem(&with_key(""), now()),
        "the private key is missing; store an unencrypted RSA or ECDSA key in PEM (PKCS#1, SEC1 or PKCS#8)"
    );
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n";
    assert!(problem(&with_key(encrypted), now()).starts_with("the private key is encrypted;"));
    let damaged = "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n";
    assert!(problem(&with_key(damaged), now()).starts_with("the private key cannot be read"));
    let no_cert = CertificateAuthority {
        cert_pem: "x".into(),
        ..ca.clone()
    };
    assert!(problem(&no_cert, now()).contains("store a CERTIFICATE block"));
}

#[test]
fn never_issues_below_a_name_it_cannot_repeat() {
    let ca = authority(TWO_UNITS);
    validate_ca(&ca, now()).unwrap();
    let error = client_certificate(&ca, "a", "b", 1, now()).unwrap_err();
    assert_eq!(error, PkiError::Name("OU=a, OU=b, CN=kubernetes".into()));
}

#[test]
fn service_account_keys_are_rsa_and_belong_together() {
    let keys = generate_service_account_keys().unwrap();
    assert!(keys.public_pem.starts_with("-----BEGIN PUBLIC KEY-----"));
    assert!(
        keys.private_pem
            .expose_secret()
            .starts_with("-----BEGIN PRIVATE KEY-----")
    );
    validate_service_account_keys(&keys).unwrap();
    let pem = first_pem(&keys.public_pem).unwrap();
    let (_, public) = SubjectPublicKeyInfo::from_der(&pem.contents).unwrap();
    assert_eq!(public.parsed().unwrap().key_size(), 2048);

    let others = ServiceAccountKeys {
        private_pem: RSA_PKCS1.1.to_owned().into(),
        ..keys
    };
    assert_eq!(validate_service_account_keys(&others), Err(PkiError::Mismatch));
    let damaged = ServiceAccountKeys {
        public_pem: RSA_PKCS1.0.to_owned(),
        ..others
    };
    assert_eq!(validate_service_account_keys(&damaged), Err(PkiError::PublicKey));
}

#[test]
fn half_of_a_life() {
    let validity = Validity {
        not_before: now(),
        not_after: now() + days(10),
    };
    assert!(!validity.is_half_over(now() + days(5)));
    assert!(validity.is_half_over(now() + days(5) + SignedDuration::from_secs(1)));
}

#[test]
fn debug_output_shows_no_key() {
    let ca = generate_ca("kubernetes", now()).unwrap();
    let keys = generate_service_account_keys().unwrap();
    let client = client_certificate(&ca, "a", "b", 1, now()).unwrap();
    assert!(!format!("{ca:?} {keys:?} {client:?}").contains("PRIVATE KEY"));
}
