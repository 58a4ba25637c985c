//! Certificates and keys of one management plane, made once and kept in its directory.

use std::fs;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// Names by which the API server is called: by us, and by clients that believe to be in a pod.
const API_SERVER_NAMES: [&str; 4] = ["127.0.0.1", "localhost", "kubernetes.default.svc", "10.96.0.1"];
/// More than one address of loopback: one process may serve what others served at a port each.
const WEBHOOK_NAMES: [&str; 5] = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4", "localhost"];

/// The files, by path. One CA signs clients, the API server and the webhooks.
pub(crate) struct Pki {
    directory: PathBuf,
}

/// A certificate and the path of its key, both PEM.
pub(crate) struct Pair {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Pki {
    /// The PKI in `directory`, made there when missing: complete or not at all.
    pub(crate) fn open(directory: PathBuf) -> Result<Self> {
        if !directory.is_dir() {
            let partial = directory.with_extension("partial");
            if partial.is_dir() {
                fs::remove_dir_all(&partial)?;
            }
            create(&partial).with_context(|| format!("cannot make certificates in {}", partial.display()))?;
            fs::rename(&partial, &directory)?;
        }
        Ok(Self { directory })
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.directory.join("ca.crt")
    }

    pub(crate) fn api_server(&self) -> Pair {
        self.pair("apiserver")
    }

    pub(crate) fn admin(&self) -> Pair {
        self.pair("admin")
    }

    pub(crate) fn controller_manager(&self) -> Pair {
        self.pair("controller-manager")
    }

    /// Holds `tls.crt` and `tls.key`, the names that webhook servers look for.
    pub(crate) fn webhook_directory(&self) -> PathBuf {
        self.directory.join("webhook")
    }

    /// Key of ServiceAccount tokens: to sign with, and to check with.
    pub(crate) fn service_account_key(&self) -> PathBuf {
        self.directory.join("sa.key")
    }

    pub(crate) fn service_account_public_key(&self) -> PathBuf {
        self.directory.join("sa.pub")
    }

    fn pair(&self, name: &str) -> Pair {
        Pair {
            certificate: self.directory.join(format!("{name}.crt")),
            key: self.directory.join(format!("{name}.key")),
        }
    }
}

/// A server's certificate with the authority that signed it, all PEM.
pub(crate) struct ServerIdentity {
    pub(crate) authority: String,
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// A certificate for `names`, and an authority for it alone.
pub(crate) fn server_identity(names: &[String]) -> Result<ServerIdentity> {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (authority, issuer) = authority()?;
    let mut params = named("webhooks", None, &names)?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let (certificate, key) = signed(params, &issuer)?;
    Ok(ServerIdentity {
        authority,
        certificate,
        key,
    })
}

/// A new authority: its certificate, and what signs with it.
fn authority() -> Result<(String, Issuer<'static, KeyPair>)> {
    let mut params = named("k0smotron-e2e", None, &[])?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?.pem();
    Ok((certificate, Issuer::new(params, key)))
}

fn create(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory.join("webhook"))?;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700))?;

    let (ca, issuer) = authority()?;
    write(directory, "ca.crt", &ca)?;
    write(directory, "ca.key", &issuer.key().serialize_pem())?;

    let server = |name: &str, names: &[&str]| {
        let mut params = named(name, None, names)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        signed(params, &issuer)
    };
    let client = |name: &str, organization: Option<&str>| {
        let mut params = named(name, organization, &[])?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        signed(params, &issuer)
    };
    for (file, (certificate, key)) in [
        ("apiserver", server("kube-apiserver", &API_SERVER_NAMES)?),
        ("admin", client("kubernetes-admin", Some("system:masters"))?),
        (
            "controller-manager",
            client("system:kube-controller-manager", None)?,
        ),
        ("webhook/tls", server("webhooks", &WEBHOOK_NAMES)?),
    ] {
        write(directory, &format!("{file}.crt"), &certificate)?;
        write(directory, &format!("{file}.key"), &key)?;
    }

    let service_accounts = KeyPair::generate()?;
    write(directory, "sa.key", &service_accounts.serialize_pem())?;
    write(directory, "sa.pub", &service_accounts.public_key_pem())
}

fn named(common_name: &str, organization: Option<&str>, names: &[&str]) -> Result<CertificateParams> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, common_name);
    if let Some(organization) = organization {
        params
            .distinguished_name
            .push(DnType::OrganizationName, organization);
    }
    Ok(params)
}

/// Certificate and key as PEM.
fn signed(mut params: CertificateParams, issuer: &Issuer<'_, KeyPair>) -> Result<(String, String)> {
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let key = KeyPair::generate()?;
    Ok((params.signed_by(&key, issuer)?.pem(), key.serialize_pem()))
}

fn write(directory: &Path, name: &str, content: &str) -> Result<()> {
    write_private(&directory.join(name), content)
}

/// A file that only its owner may read.
pub(crate) fn write_private(path: &Path, content: &str) -> Result<()> {
    use std::io::Write as _;
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options
        .open(path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    file.write_all(content.as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))
}
