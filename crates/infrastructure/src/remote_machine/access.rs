//! The way to a host: what the spec says of it and of the hosts before it, and the Secrets that this names. Pure.

use std::collections::{BTreeMap, BTreeSet};

use k0smotron_api::{
    infrastructure::v1beta2::{ElevationMethod, RemoteMachineSpec, SshKeyReference},
    names::conditions::reasons::{INVALID_PASSWORD, MISSING_FIELDS, PASSWORD_NOT_FOUND, SSH_KEY_NOT_FOUND},
};
use k0smotron_ssh::{Elevation, HostKeyPolicy, Target};
use secrecy::{ExposeSecret, SecretString};

use super::{observed::Observed, trust};
use crate::host::Problem;

/// Key of a Secret under which the SSH private key is.
const PRIVATE_KEY: &str = "value";

/// Texts of Secrets, by their names and keys. `None`: there is no such Secret.
pub type Secrets = BTreeMap<String, Option<BTreeMap<String, SecretString>>>;

/// Names of the Secrets that the way to the host needs.
pub fn secrets(spec: &RemoteMachineSpec) -> BTreeSet<&str> {
    let elevation = spec.elevation.as_ref();
    let password = elevation.and_then(|elevation| elevation.password_ref.as_ref());
    let jump_hosts = spec
        .jump_hosts
        .iter()
        .filter_map(|host| host.ssh_key_ref.as_ref());
    let keys = spec
        .ssh_key_ref
        .iter()
        .chain(jump_hosts)
        .map(|reference| &reference.name);
    keys.chain(password.map(|reference| &reference.name))
        .map(String::as_str)
        .filter(|name| !name.is_empty())
        .collect()
}

/// The way to the host.
///
/// # Errors
/// With what is missing of it or cannot be read, and the remedy. Nothing of that heals by itself.
pub fn target(observed: &Observed) -> Result<Target, Problem> {
    let spec = &observed.machine.spec;
    let Some(key) = named(spec.ssh_key_ref.as_ref()) else {
        return Err(Problem::lasting(
            MISSING_FIELDS,
            "spec.sshKeyRef is not set; name the Secret that has the SSH private key under its key value",
        ));
    };
    let mut via = None;
    for (index, jump) in spec.jump_hosts.iter().enumerate() {
        let key = named(jump.ssh_key_ref.as_ref()).unwrap_or(key);
        let mut hop = Target {
            address: jump.address.clone(),
            port: port(jump.port, &format!("spec.jumpHosts[{index}].port"))?,
            user: jump.user.clone(),
            via,
            ..logged_in(&observed.secrets, key)?
        };
        hop.host_keys = trust::of_jump_host(observed, index, &hop)?;
        via = Some(Box::new(hop));
    }
    let mut target = Target {
        address: spec.address.clone().unwrap_or_default(),
        port: port(spec.port, "spec.port")?,
        user: spec.user.clone(),
        elevation: elevation(&observed.secrets, spec)?,
        via,
        ..logged_in(&observed.secrets, key)?
    };
    target.host_keys = trust::of_target(observed, &target)?;
    Ok(target)
}

/// The reference, if it is one.
fn named(reference: Option<&SshKeyReference>) -> Option<&SshKeyReference> {
    reference.filter(|reference| !reference.name.is_empty())
}

fn port(number: i32, field: &str) -> Result<u16, Problem> {
    u16::try_from(number).map_err(|_| Problem::lasting("InvalidPort", format!("{field} {number} is no port")))
}

/// Somewhere, with what the Secret says about logging in there.
fn logged_in(secrets: &Secrets, reference: &SshKeyReference) -> Result<Target, Problem> {
    let read = |key: &str, what| {
        text(secrets, &reference.name, key, what)
            .map_err(|message| Problem::lasting(SSH_KEY_NOT_FOUND, message))
    };
    let passphrase = reference.passphrase_key.as_deref();
    let certificate = reference.certificate_key.as_deref();
    let certificate = certificate.map(|key| read(key, "the certificate of the SSH private key"));
    Ok(Target {
        address: String::new(),
        port: 0,
        user: String::new(),
        key: read(PRIVATE_KEY, "the SSH private key")?,
        passphrase: passphrase
            .map(|key| read(key, "the passphrase of the SSH private key"))
            .transpose()?
            .map(|text| without_line_end(&text).into()),
        certificate: certificate
            .transpose()?
            .map(|text| text.expose_secret().to_owned()),
        elevation: Elevation::None,
        host_keys: HostKeyPolicy::FirstUse,
        via: None,
    })
}

/// Without what editors and `echo` leave behind.
fn without_line_end(text: &SecretString) -> &str {
    text.expose_secret().trim_end_matches(['\r', '\n'])
}

/// How commands become root.
///
/// # Errors
/// As [`target`].
pub fn elevation(secrets: &Secrets, spec: &RemoteMachineSpec) -> Result<Elevation, Problem> {
    let password = spec
        .elevation
        .as_ref()
        .and_then(|elevation| elevation.password_ref.as_ref());
    Ok(match (spec.elevation_method(), password) {
        (ElevationMethod::None, _) => Elevation::None,
        (ElevationMethod::Doas, _) => Elevation::Doas,
        (ElevationMethod::Sudo, None) => Elevation::Sudo(None),
        (ElevationMethod::Sudo, Some(reference)) => {
            let what = format!("the password of {}", spec.user);
            let password = text(secrets, &reference.name, &reference.key, &what)
                .map_err(|message| Problem::lasting(PASSWORD_NOT_FOUND, message))?;
            let password = without_line_end(&password);
            if password.contains(['\r', '\n', '\0']) {
                let message = format!(
                    "{what} in Secret {} has several lines; it must be one",
                    reference.name
                );
                return Err(Problem::lasting(INVALID_PASSWORD, message));
            }
            Elevation::Sudo(Some(password.into()))
        }
    })
}

/// A text of a Secret, or what to do about its absence.
fn text(secrets: &Secrets, name: &str, key: &str, what: &str) -> Result<SecretString, String> {
    let Some(Some(texts)) = secrets.get(name) else {
        return Err(format!(
            "Secret {name} does not exist; make it, with {what} under its key {key}"
        ));
    };
    let found = texts
        .get(key)
        .filter(|text| !text.expose_secret().trim().is_empty());
    found
        .cloned()
        .ok_or_else(|| format!("Secret {name} has no text under its key {key}, where {what} is expected"))
}
