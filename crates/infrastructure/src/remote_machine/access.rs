//! The way to a host: what the spec says of it, the Secrets that this names, and the key that was kept of it. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use k0smotron_api::{
    infrastructure::v1beta2::{ElevationMethod, PooledRemoteMachine, RemoteMachineSpec, SshKeyReference},
    names::{
        annotations,
        conditions::reasons::{INVALID_PASSWORD, MISSING_FIELDS, PASSWORD_NOT_FOUND, SSH_KEY_NOT_FOUND},
    },
};
use k0smotron_ssh::{Elevation, HostKey, HostKeyPolicy, ParseHostKeyError, Target};
use kube::ResourceExt;
use secrecy::{ExposeSecret, SecretString};

use super::observed::Observed;
use crate::{host::Problem, pool};

/// Key of a Secret under which the SSH private key is.
const PRIVATE_KEY: &str = "value";

/// Texts of Secrets, by their names and keys. `None`: there is no such Secret.
pub type Secrets = BTreeMap<String, Option<BTreeMap<String, SecretString>>>;

/// Names of the Secrets that the way to the host needs.
pub fn secrets(spec: &RemoteMachineSpec) -> BTreeSet<&str> {
    let key = spec.ssh_key_ref.as_ref().map(|reference| reference.name.as_str());
    let password = spec
        .elevation
        .as_ref()
        .and_then(|elevation| elevation.password_ref.as_ref());
    let password = password.map(|reference| reference.name.as_str());
    key.into_iter()
        .chain(password)
        .filter(|name| !name.is_empty())
        .collect()
}

/// The way to the host.
///
/// # Errors
/// With what is missing of it or cannot be read, and the remedy. Nothing of that heals by itself.
pub fn target(observed: &Observed) -> Result<Target, Problem> {
    let spec = &observed.machine.spec;
    let key = spec
        .ssh_key_ref
        .as_ref()
        .filter(|reference| !reference.name.is_empty());
    let Some(key) = key else {
        return Err(Problem::lasting(
            MISSING_FIELDS,
            "spec.sshKeyRef is not set; name the Secret that has the SSH private key under its key value",
        ));
    };
    let host_keys = match pinned_key(observed) {
        None => HostKeyPolicy::FirstUse,
        Some(text) => HostKeyPolicy::Pinned(parse_pins(text).map_err(|why| {
            Problem::lasting(
                "InvalidHostKeyPin",
                format!(
                    "the annotation {} of {} cannot be read: {why}",
                    annotations::SSH_HOST_KEY,
                    pin_holder(observed)
                ),
            )
        })?),
    };
    Ok(Target {
        address: spec.address.clone().unwrap_or_default(),
        port: port(spec.port, "spec.port")?,
        user: spec.user.clone(),
        key: private_key(&observed.secrets, key)?,
        elevation: elevation(&observed.secrets, spec)?,
        host_keys,
    })
}

fn port(number: i32, field: &str) -> Result<u16, Problem> {
    u16::try_from(number).map_err(|_| Problem::lasting("InvalidPort", format!("{field} {number} is no port")))
}

fn private_key(secrets: &Secrets, reference: &SshKeyReference) -> Result<SecretString, Problem> {
    text(secrets, &reference.name, PRIVATE_KEY, "the SSH private key")
        .map_err(|message| Problem::lasting(SSH_KEY_NOT_FOUND, message))
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
            // As editors and `echo` leave it.
            let password = password.expose_secret().trim_end_matches(['\r', '\n']);
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

/// One key a line (or separated by commas).
///
/// # Errors
/// With the first part that is no key.
pub fn parse_pins(text: &str) -> Result<Vec<HostKey>, ParseHostKeyError> {
    text.split(['\n', ','])
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(str::parse)
        .collect()
}

/// The pool entry whose host the machine uses, while it exists.
pub fn entry(observed: &Observed) -> Option<&Arc<PooledRemoteMachine>> {
    let name = pool::entry_of(&observed.machine)?;
    observed.entries.iter().find(|entry| entry.name_any() == name)
}

/// The key pinned on the object that stands for the host: the pool entry if there is one, else the machine itself.
pub fn pinned_key(observed: &Observed) -> Option<&str> {
    let annotations = match entry(observed) {
        Some(entry) => entry.annotations(),
        None => observed.machine.annotations(),
    };
    annotations
        .get(annotations::SSH_HOST_KEY)
        .map(String::as_str)
        .filter(|text| !text.trim().is_empty())
}

/// How messages call that object.
fn pin_holder(observed: &Observed) -> String {
    match entry(observed) {
        Some(entry) => format!("PooledRemoteMachine {}", entry.name_any()),
        None => format!("RemoteMachine {}", observed.machine.name_any()),
    }
}

/// What to do about a host whose key changed.
pub fn on_changed_key(observed: &Observed) -> String {
    format!(
        "to accept the new key, remove the annotation {} from {}",
        annotations::SSH_HOST_KEY,
        pin_holder(observed)
    )
}
