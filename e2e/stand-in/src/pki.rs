//! Certificates below `<data-dir>/pki`: the authorities that are missing, and a leaf for every component.
//!
//! Authorities that lie there already are used as they are. Leaves are made anew at every start, as k0s does for
//! those that its own authorities issued. Leaf keys are ECDSA here (RSA in k0s), because that saves a second.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_RSA_SHA256, RsaKeySize,
};
use time::OffsetDateTime;

/// Mode of certificates.
const PUBLIC: u32 = 0o644;
/// Mode of keys.
const SECRET: u32 = 0o640;
/// k0s' life of a leaf certificate.
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// A certificate with its key, both PEM.
pub struct Identity {
    pub certificate: String,
    pub key: String,
}

/// What a leaf is for.
pub struct Leaf<'a> {
    /// File name without extension, relative to the PKI directory.
    pub name: &'a str,
    pub common_name: &'a str,
    pub organization: &'a str,
    pub hosts: &'a [String],
}

/// Makes `<name>.crt` and `<name>.key` unless both are there.
pub fn ensure_authority(directory: &Path, name: &str, common_name: &str) -> Result<()> {
    let (certificate, key) = files(directory, name);
    if certificate.exists() && key.exists() {
        return Ok(());
    }
    let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    set_validity(&mut params, YEAR * 10);
    let issued = params.self_signed(&pair)?;
    write_atomically(&key, &pair.serialize_pem(), SECRET)?;
    write_atomically(&certificate, &issued.pem(), PUBLIC)
}

/// Makes the key pair `sa.key` and `sa.pub` for service account tokens unless both are there.
pub fn ensure_service_account_keys(directory: &Path) -> Result<()> {
    let (key, public) = (directory.join("sa.key"), directory.join("sa.pub"));
    if key.exists() && public.exists() {
        return Ok(());
    }
    let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?;
    write_atomically(&key, &pair.serialize_pem(), SECRET)?;
    write_atomically(&public, &pair.public_key_pem(), PUBLIC)
}

/// Issues a leaf with `authority` (a name below the PKI directory), for servers and clients alike, and writes it.
pub fn issue(directory: &Path, authority: &str, leaf: &Leaf<'_>) -> Result<Identity> {
    let identity = sign(directory, authority, leaf, YEAR)
        .with_context(|| format!("certificate {} cannot be issued by {authority}", leaf.name))?;
    let (certificate, key) = files(directory, leaf.name);
    write_atomically(&key, &identity.key, SECRET)?;
    write_atomically(&certificate, &identity.certificate, PUBLIC)?;
    Ok(identity)
}

/// Issues a leaf without writing it.
pub fn sign(directory: &Path, authority: &str, leaf: &Leaf<'_>, life: Duration) -> Result<Identity> {
    let (ca_certificate, ca_key) = files(directory, authority);
    let issuer = Issuer::from_ca_cert_pem(&read(&ca_certificate)?, KeyPair::from_pem(&read(&ca_key)?)?)?;
    let pair = KeyPair::generate()?;
    let mut params = CertificateParams::new(leaf.hosts)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    if !leaf.organization.is_empty() {
        params
            .distinguished_name
            .push(DnType::OrganizationName, leaf.organization);
    }
    params
        .distinguished_name
        .push(DnType::CommonName, leaf.common_name);
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyEncipherment,
    ];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    params.use_authority_key_identifier_extension = true;
    set_validity(&mut params, life);
    let issued = params.signed_by(&pair, &issuer)?;
    Ok(Identity {
        certificate: issued.pem(),
        key: pair.serialize_pem(),
    })
}

/// A signing request for a node's client certificate, and its key, both PEM.
pub fn node_client_request(node: &str) -> Result<Identity> {
    let pair = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::OrganizationName, "system:nodes");
    params
        .distinguished_name
        .push(DnType::CommonName, format!("system:node:{node}"));
    let request = params.serialize_request(&pair)?;
    Ok(Identity {
        certificate: request.pem()?,
        key: pair.serialize_pem(),
    })
}

fn set_validity(params: &mut CertificateParams, life: Duration) {
    let now = OffsetDateTime::now_utc();
    // Hosts' clocks differ; five minutes is what everybody in this field allows for.
    params.not_before = now - Duration::from_secs(300);
    params.not_after = now + life;
}

fn files(directory: &Path, name: &str) -> (std::path::PathBuf, std::path::PathBuf) {
    (
        directory.join(format!("{name}.crt")),
        directory.join(format!("{name}.key")),
    )
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
}

/// Writes a file so that a reader sees the old content or the new one, and never with a wider mode than given.
pub fn write_atomically(path: &Path, content: &str, mode: u32) -> Result<()> {
    let write = || -> std::io::Result<()> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
        let mut file = fs::OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(mode)
            .open(&temporary)?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.write_all(content.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().with_context(|| format!("{} cannot be written", path.display()))
}

#[cfg(test)]
mod tests {
    use x509_parser::{pem::parse_x509_pem, prelude::GeneralName};

    use super::*;

    fn scratch(name: &str) -> std::path::PathBuf {
        let directory = std::env::temp_dir().join(format!("stand-in-pki-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).unwrap();
        directory
    }

    #[test]
    fn a_leaf_is_signed_by_the_authority_that_lies_there() {
        let directory = scratch("leaf");
        ensure_authority(&directory, "etcd/ca", "etcd-ca").unwrap();
        let before = fs::read_to_string(directory.join("etcd/ca.crt")).unwrap();
        ensure_authority(&directory, "etcd/ca", "etcd-ca").unwrap();
        assert_eq!(
            fs::read_to_string(directory.join("etcd/ca.crt")).unwrap(),
            before,
            "made once"
        );

        let hosts = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let leaf = Leaf {
            name: "etcd/server",
            common_name: "etcd-server",
            organization: "etcd-server",
            hosts: &hosts,
        };
        let identity = issue(&directory, "etcd/ca", &leaf).unwrap();
        let (_, pem) = parse_x509_pem(identity.certificate.as_bytes()).unwrap();
        let certificate = pem.parse_x509().unwrap();
        let (_, authority) = parse_x509_pem(before.as_bytes()).unwrap();
        certificate
            .verify_signature(Some(authority.parse_x509().unwrap().public_key()))
            .unwrap();
        let names = certificate.subject_alternative_name().unwrap().unwrap().value;
        assert!(
            names
                .general_names
                .contains(&GeneralName::IPAddress(&[127, 0, 0, 1]))
        );
        assert!(names.general_names.contains(&GeneralName::DNSName("localhost")));
        let mode = fs::metadata(directory.join("etcd/server.key"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, SECRET);
        fs::remove_dir_all(directory).unwrap();
    }
}
