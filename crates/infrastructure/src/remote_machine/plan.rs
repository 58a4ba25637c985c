//! What is made of what was read: bootstrap data of the Secret, the way to the host, scripts, patches. Pure.

use std::{
    collections::{BTreeMap, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    sync::Arc,
};

use k0smotron_api::{
    infrastructure::v1beta2::{ElevationMethod, PooledRemoteMachine, RemoteMachine, RemoteMachineSpec},
    names::{
        annotations,
        conditions::reasons::{INVALID_BOOTSTRAP_DATA, UNSUPPORTED},
    },
};
use k0smotron_k0s::{cloud_config, plan::InstallPlan};
use k0smotron_ssh::{Elevation, HostKey, HostKeyPolicy, ParseHostKeyError, Target, quote};
use kube::ResourceExt;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::{
    attempts::Inputs,
    observed::{Data, Key, Observed, Work},
};
use crate::{
    host::{
        Problem,
        redact::Secrets,
        script::{Bootstrap, Cleanup, HostFile, Identity},
    },
    pool,
};

/// Reads bootstrap data: the value of its Secret, and the format that the Secret names.
///
/// # Errors
/// [`INVALID_BOOTSTRAP_DATA`], with what is wrong.
pub fn work(text: &SecretString, format: Option<&str>, spec: &RemoteMachineSpec) -> Result<Work, Problem> {
    let invalid = |message: String| Problem::lasting(INVALID_BOOTSTRAP_DATA, message);
    if let Some(format) = format.filter(|format| !format.is_empty() && *format != "cloud-config") {
        return Err(invalid(format!(
            "the bootstrap data is in the format {format}, and a RemoteMachine takes cloud-config only; set \
             provisioner.type of the bootstrap config to cloud-config"
        )));
    }
    let parsed = cloud_config::parse(text.expose_secret()).map_err(|error| invalid(error.to_string()))?;
    let InstallPlan { files, mut commands } = parsed.plan;
    let mut secrets = Secrets::default();
    let mut host_files = Vec::new();
    for file in files {
        let mode = file
            .mode()
            .map_err(|error| invalid(format!("write_files {}: {error}", file.path)))?;
        let problem = match file.path.as_str() {
            path if !path.starts_with('/') => Some("is not absolute"),
            path if path.contains(['\n', '\0']) => Some("contains a line break or a NUL"),
            path if path.ends_with('/') => Some("ends like a directory"),
            _ => None,
        };
        if let Some(problem) = problem {
            return Err(invalid(format!(
                "write_files: the path {:?} {problem}",
                file.path
            )));
        }
        if mode & 0o077 == 0 {
            secrets.add(file.content.as_bytes());
        }
        host_files.push(HostFile {
            path: file.path,
            mode,
            owner: file.owner,
            append: file.append,
            content: file.content.into_bytes(),
        });
    }
    if commands.is_empty() {
        return Err(invalid(
            "the bootstrap data has no runcmd, so nothing would become of the host".to_owned(),
        ));
    }
    if spec.commands_as_script {
        let path = format!("{}/k0s_install.sh", spec.working_dir.trim_end_matches('/'));
        if !path.starts_with('/') {
            return Err(invalid(format!(
                "spec.workingDir {:?} is not absolute",
                spec.working_dir
            )));
        }
        host_files.push(HostFile {
            path: path.clone(),
            mode: 0o700,
            owner: None,
            append: false,
            content: format!("#!/bin/sh\nset -e\n\n{}\n", commands.join("\n")).into_bytes(),
        });
        commands = vec![format!("exec sh {}", quote(&path))];
    }
    Ok(Work {
        bootstrap: Bootstrap {
            files: host_files,
            commands,
        },
        secrets,
        ignored: parsed.ignored,
    })
}

/// Who asks the host.
pub fn identity(observed: &Observed) -> Identity {
    let machine = &observed.machine;
    let (namespace, name) = (machine.namespace().unwrap_or_default(), machine.name_any());
    let owner = observed
        .owner
        .as_ref()
        .map_or_else(|| name.clone(), |(owner, _)| owner.clone());
    let cluster = observed
        .cluster
        .as_ref()
        .map(|cluster| cluster.name_any())
        .unwrap_or_default();
    Identity {
        install_id: machine
            .annotations()
            .get(annotations::INSTALL_ID)
            .cloned()
            .unwrap_or_default(),
        owner: format!("RemoteMachine {namespace}/{name} of cluster {cluster}"),
        machine: owner,
    }
}

/// The way to the host.
///
/// # Errors
/// When a pinned host key cannot be read, or the port is none.
pub fn target(observed: &Observed) -> Result<Target, Problem> {
    let machine = &observed.machine;
    let spec = &machine.spec;
    let key = match &observed.key {
        Key::Ready(key) => key.clone(),
        Key::Unread | Key::Missing(_) | Key::Empty(_) => SecretString::default(),
    };
    let pinned = pinned_key(observed);
    let host_keys = match pinned {
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
        port: u16::try_from(spec.port)
            .map_err(|_| Problem::lasting("InvalidPort", format!("spec.port {} is no port", spec.port)))?,
        user: spec.user.clone(),
        key,
        elevation: match spec.elevation_method() {
            ElevationMethod::Sudo => Elevation::Sudo,
            ElevationMethod::None => Elevation::None,
            ElevationMethod::Doas => {
                return Err(Problem::lasting(
                    UNSUPPORTED,
                    "spec.elevation.method: doas: not supported by this version yet; set it to sudo or none",
                ));
            }
        },
        host_keys,
    })
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

/// How the host is cleaned up. Bootstrap providers other than ours clean up with the user's commands or not at all.
pub fn cleanup(observed: &Observed) -> Cleanup {
    if let Some(commands) = &observed.machine.spec.clean_up_commands {
        return Cleanup::Commands(commands.clone());
    }
    let kind = observed
        .owner
        .as_ref()
        .and_then(|(_, owner)| owner.as_ref())
        .and_then(|owner| owner.spec.bootstrap.config_ref.as_ref())
        .map(|config| config.kind.as_str());
    match kind {
        // Unknown: what is installed on the host decides.
        None | Some("K0sWorkerConfig" | "K0sControllerConfig") => Cleanup::Reset,
        Some(_) => Cleanup::Commands(Vec::new()),
    }
}

/// What an attempt depends on.
pub fn inputs(observed: &Observed) -> Inputs {
    let spec = &observed.machine.spec;
    let mut hasher = DefaultHasher::new();
    (
        &spec.address,
        spec.port,
        &spec.user,
        spec.elevation_method() == ElevationMethod::Sudo,
        &spec.clean_up_commands,
    )
        .hash(&mut hasher);
    if let Key::Ready(key) = &observed.key {
        key.expose_secret().hash(&mut hasher);
    }
    if let Data::Ready(work) = &observed.data {
        work.bootstrap.commands.hash(&mut hasher);
        for file in &work.bootstrap.files {
            (&file.path, file.mode, &file.content).hash(&mut hasher);
        }
    }
    Inputs {
        digest: hasher.finish(),
        host_key: pinned_key(observed).map(str::to_owned),
    }
}

/// The provider ID of the host (facts: machine 21.20). The port is always there.
pub fn provider_id(spec: &RemoteMachineSpec) -> String {
    format!(
        "remote-machine://{}:{}",
        spec.address.as_deref().unwrap_or_default(),
        spec.port
    )
}

/// What claiming a host writes into the RemoteMachine: the install id, and from the pool entry all that connects to the
/// host, which users look up here, and labels and annotations where the machine has none.
pub fn claim(machine: &RemoteMachine, entry: Option<&PooledRemoteMachine>, install_id: &str) -> Value {
    let mut new_annotations = BTreeMap::new();
    let mut labels = BTreeMap::new();
    let mut spec = json!({});
    if let Some(entry) = entry {
        labels = missing(entry.labels(), machine.labels());
        new_annotations = missing(entry.annotations(), machine.annotations());
        new_annotations.insert(annotations::POOLED_MACHINE.to_owned(), entry.name_any());
        let host = &entry.spec.machine;
        spec = json!({
            "address": host.address,
            "port": host.port,
            "user": host.user,
            "useSudo": host.use_sudo,
            "commandsAsScript": host.commands_as_script,
            "workingDir": host.working_dir,
            "sshKeyRef": host.ssh_key_ref,
        });
        if let Value::Object(spec) = &mut spec {
            if let (None, Some(commands)) = (&machine.spec.clean_up_commands, &host.clean_up_commands) {
                spec.insert("cleanUpCommands".to_owned(), json!(commands));
            }
            // What the template says holds only where the entry says neither; the two must not contradict each other.
            if host.elevation.is_some() || (host.use_sudo && machine.spec.elevation.is_some()) {
                spec.insert("elevation".to_owned(), json!(host.elevation));
            }
            if let Some(domain) = &host.failure_domain {
                spec.insert("failureDomain".to_owned(), json!(domain));
            }
        }
    }
    if !machine.annotations().contains_key(annotations::INSTALL_ID) {
        new_annotations.insert(annotations::INSTALL_ID.to_owned(), install_id.to_owned());
    }
    json!({
        "metadata": {
            "resourceVersion": machine.resource_version(),
            "annotations": new_annotations,
            "labels": labels,
        },
        "spec": spec,
    })
}

/// Labels and annotations that go on to an object which has none of these names. What belongs to the object they are
/// on stays there.
pub fn missing(
    from: &BTreeMap<String, String>,
    present: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    const OWN: [&str; 6] = [
        "cluster.x-k8s.io/",
        "clusterctl.cluster.x-k8s.io/",
        "topology.cluster.x-k8s.io/",
        "in-place-updates.internal.cluster.x-k8s.io/",
        "k0smotron.io/",
        "kubectl.kubernetes.io/",
    ];
    from.iter()
        .filter(|(key, _)| !present.contains_key(*key) && !OWN.iter().any(|prefix| key.starts_with(prefix)))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}
