//! What the hosts on the way have to prove: what the spec says of them, else the keys that were kept when they were first
//! met. Those are kept on the object that stands for the host, in annotations: move and restore leave nothing else. Pure.

use std::{collections::BTreeMap, sync::Arc};

use k0smotron_api::{
    infrastructure::v1beta2::{HostKeys, PooledRemoteMachine},
    names::annotations,
};
use k0smotron_ssh::{HostKey, HostKeyPolicy, NewHost, ParseHostKeyError, Pins, Target, known_hosts};
use kube::ResourceExt;

use super::observed::Observed;
use crate::{host::Problem, pool};

const INVALID_PIN: &str = "InvalidHostKeyPin";

/// What the host itself has to prove.
///
/// # Errors
/// When what is said of it cannot be read.
pub fn of_target(observed: &Observed, target: &Target) -> Result<HostKeyPolicy, Problem> {
    match &observed.machine.spec.host_keys {
        Some(stated) => stated_keys(stated, target, "spec.hostKeys"),
        None => {
            let kept = pinned_key(observed).unwrap_or_default();
            kept_keys(observed, annotations::SSH_HOST_KEY, parse_pins(kept))
        }
    }
}

/// What the jump host with this number has to prove.
///
/// # Errors
/// As [`of_target`].
pub fn of_jump_host(observed: &Observed, index: usize, hop: &Target) -> Result<HostKeyPolicy, Problem> {
    let jump = observed.machine.spec.jump_hosts.get(index);
    match jump.and_then(|jump| jump.host_keys.as_ref()) {
        Some(stated) => stated_keys(stated, hop, &format!("spec.jumpHosts[{index}].hostKeys")),
        None => {
            let kept = holder_annotations(observed).get(annotations::SSH_JUMP_HOST_KEYS);
            let keys = keys_of(kept.map_or("", String::as_str), &hop.endpoint());
            kept_keys(observed, annotations::SSH_JUMP_HOST_KEYS, keys)
        }
    }
}

fn stated_keys(stated: &HostKeys, host: &Target, field: &str) -> Result<HostKeyPolicy, Problem> {
    let invalid = |path: &str, why: &dyn std::fmt::Display| {
        Problem::lasting(INVALID_PIN, format!("{field}.{path} cannot be read: {why}"))
    };
    let mut pins = Pins::default();
    for (index, text) in stated.fingerprints.iter().enumerate() {
        // Some tools leave the padding on.
        let key = text.trim_end_matches('=').parse();
        pins.keys
            .push(key.map_err(|why: ParseHostKeyError| invalid(&format!("fingerprints[{index}]"), &why))?);
    }
    if let Some(text) = &stated.known_hosts {
        pins.extend(known_hosts(text, host.host(), host.port).map_err(|why| invalid("knownHosts", &why))?);
    }
    for (index, text) in stated.authorities.iter().enumerate() {
        pins.add_authority(text)
            .map_err(|why| invalid(&format!("authorities[{index}]"), &why))?;
    }
    if pins.is_empty() {
        let message = format!(
            "{field} says nothing about {}, so it cannot be known; add its fingerprint, as `ssh-keygen -lf \
             /etc/ssh/ssh_host_ed25519_key.pub` prints it there, or its line of known_hosts",
            host.endpoint()
        );
        return Err(Problem::lasting(INVALID_PIN, message));
    }
    Ok(HostKeyPolicy::Pinned(pins))
}

fn kept_keys(
    observed: &Observed,
    annotation: &str,
    kept: Result<Vec<HostKey>, ParseHostKeyError>,
) -> Result<HostKeyPolicy, Problem> {
    match kept {
        Ok(keys) if keys.is_empty() => Ok(HostKeyPolicy::FirstUse),
        Ok(keys) => Ok(HostKeyPolicy::Pinned(keys.into())),
        Err(why) => Err(Problem::lasting(
            INVALID_PIN,
            format!(
                "the annotation {annotation} of {} cannot be read: {why}",
                holder(observed)
            ),
        )),
    }
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

/// The keys of one of several hosts: lines of `address:port` and a key.
fn keys_of(text: &str, endpoint: &str) -> Result<Vec<HostKey>, ParseHostKeyError> {
    text.lines()
        .filter_map(|line| line.trim().split_once(' '))
        .filter(|(host, _)| *host == endpoint)
        .map(|(_, key)| key.parse())
        .collect()
}

/// What has to be added to annotations so that they have the keys of hosts that were just met. `None`: one of them has
/// another key there.
pub fn to_keep(
    present: &BTreeMap<String, String>,
    new: &[NewHost],
) -> Option<BTreeMap<&'static str, String>> {
    let mut changes = BTreeMap::new();
    let mut of_jump_hosts = present
        .get(annotations::SSH_JUMP_HOST_KEYS)
        .cloned()
        .unwrap_or_default();
    for host in new {
        let kept = match present.get(annotations::SSH_HOST_KEY) {
            Some(text) if host.is_target => parse_pins(text),
            None if host.is_target => Ok(Vec::new()),
            _ => keys_of(&of_jump_hosts, &host.endpoint),
        };
        match kept.ok()?.as_slice() {
            [] if host.is_target => {
                changes.insert(annotations::SSH_HOST_KEY, host.host_key.to_string());
            }
            [] => {
                let line = format!("{} {}", host.endpoint, host.host_key);
                let lines = of_jump_hosts.lines().filter(|line| !line.trim().is_empty());
                of_jump_hosts = lines.chain([line.as_str()]).collect::<Vec<_>>().join("\n");
                changes.insert(annotations::SSH_JUMP_HOST_KEYS, of_jump_hosts.clone());
            }
            kept if kept.iter().any(|pin| pin.matches(&host.host_key)) => {}
            _ => return None,
        }
    }
    Some(changes)
}

/// The pool entry whose host the machine uses, while it exists.
pub fn entry(observed: &Observed) -> Option<&Arc<PooledRemoteMachine>> {
    let name = pool::entry_of(&observed.machine)?;
    observed.entries.iter().find(|entry| entry.name_any() == name)
}

/// Of the object that stands for the host: the pool entry if there is one, else the machine itself.
fn holder_annotations(observed: &Observed) -> &BTreeMap<String, String> {
    match entry(observed) {
        Some(entry) => entry.annotations(),
        None => observed.machine.annotations(),
    }
}

/// How messages call that object.
fn holder(observed: &Observed) -> String {
    match entry(observed) {
        Some(entry) => format!("PooledRemoteMachine {}", entry.name_any()),
        None => format!("RemoteMachine {}", observed.machine.name_any()),
    }
}

/// The key of the host that was kept.
pub fn pinned_key(observed: &Observed) -> Option<&str> {
    let kept = holder_annotations(observed).get(annotations::SSH_HOST_KEY);
    kept.map(String::as_str).filter(|text| !text.trim().is_empty())
}

/// All keys that were kept, of the host and of those on the way.
pub fn all_kept(observed: &Observed) -> Option<String> {
    let jump_hosts = holder_annotations(observed).get(annotations::SSH_JUMP_HOST_KEYS);
    let all: Vec<&str> = pinned_key(observed)
        .into_iter()
        .chain(jump_hosts.map(String::as_str))
        .collect();
    (!all.is_empty()).then(|| all.join("\n"))
}

/// Whether a command may have run on the host: none does before its key is kept, unless the spec has it.
pub fn may_have_been_used(observed: &Observed) -> bool {
    pinned_key(observed).is_some() || observed.machine.spec.host_keys.is_some()
}

/// What to do about a host whose key changed, by the `address:port` of each host on the way.
pub fn on_changed_key(observed: &Observed, target: &Target) -> BTreeMap<String, String> {
    let spec = &observed.machine.spec;
    let jump_hosts = spec.jump_hosts.iter().enumerate();
    let stated = jump_hosts
        .map(|(index, jump)| {
            (
                format!("spec.jumpHosts[{index}].hostKeys"),
                jump.host_keys.is_some(),
            )
        })
        .chain([("spec.hostKeys".to_owned(), spec.host_keys.is_some())]);
    let hops = target.hops().into_iter().zip(stated);
    hops.map(|(hop, (field, is_stated))| {
        let remedy = if is_stated {
            format!(
                "to accept the new key, change {field} of RemoteMachine {}",
                observed.machine.name_any()
            )
        } else if std::ptr::eq(hop, target) {
            let annotation = annotations::SSH_HOST_KEY;
            format!(
                "to accept the new key, remove the annotation {annotation} from {}",
                holder(observed)
            )
        } else {
            let annotation = annotations::SSH_JUMP_HOST_KEYS;
            format!(
                "to accept the new key, remove the line of {} from the annotation {annotation} of {}",
                hop.endpoint(),
                holder(observed)
            )
        };
        (hop.endpoint(), remedy)
    })
    .collect()
}
