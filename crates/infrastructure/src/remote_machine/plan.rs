//! What is made of what was read: bootstrap data of the Secret, scripts, patches. Pure. The way to the host is in
//! [`super::access`].

use std::{
    collections::{BTreeMap, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
};

use k0smotron_api::{
    infrastructure::v1beta2::{PooledMachineSpec, PooledRemoteMachine, RemoteMachine, RemoteMachineSpec},
    names::{annotations, conditions::reasons::INVALID_BOOTSTRAP_DATA},
};
use k0smotron_k0s::{cloud_config, plan::InstallPlan};
use k0smotron_runtime::status;
use k0smotron_ssh::quote;
use kube::ResourceExt;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::{
    attempts::Inputs,
    observed::{Data, Observed, Work},
    trust,
};
use crate::host::{
    Problem,
    redact::Secrets,
    script::{Bootstrap, Cleanup, HostFile, Identity},
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
    let way = json!([
        spec.address,
        spec.port,
        spec.user,
        spec.use_sudo,
        spec.elevation,
        spec.ssh_key_ref,
        spec.host_keys,
        spec.jump_hosts,
        spec.clean_up_commands,
    ]);
    way.to_string().hash(&mut hasher);
    for (name, texts) in &observed.secrets {
        name.hash(&mut hasher);
        for (key, text) in texts.iter().flatten() {
            (key, text.expose_secret()).hash(&mut hasher);
        }
    }
    if let Data::Ready(work) = &observed.data {
        work.bootstrap.commands.hash(&mut hasher);
        for file in &work.bootstrap.files {
            (&file.path, file.mode, &file.content).hash(&mut hasher);
        }
    }
    Inputs {
        digest: hasher.finish(),
        host_key: trust::all_kept(observed),
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
    let mut spec = None;
    if let Some(entry) = entry {
        labels = missing(entry.labels(), machine.labels());
        new_annotations = missing(entry.annotations(), machine.annotations());
        new_annotations.insert(annotations::POOLED_MACHINE.to_owned(), entry.name_any());
        let with_host = with_host(&machine.spec, &entry.spec.machine);
        spec = status::merge_patch(&json!(machine.spec), &json!(with_host));
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
        "spec": spec.unwrap_or_else(|| json!({})),
    })
}

/// The spec of a machine that has this host of a pool. What the entry says of its host goes before what the template said.
pub fn with_host(spec: &RemoteMachineSpec, host: &PooledMachineSpec) -> RemoteMachineSpec {
    let mut spec = spec.clone();
    spec.address = Some(host.address.clone());
    spec.port = host.port;
    spec.user.clone_from(&host.user);
    spec.use_sudo = host.use_sudo;
    spec.commands_as_script = host.commands_as_script;
    spec.working_dir.clone_from(&host.working_dir);
    spec.ssh_key_ref = Some(host.ssh_key_ref.clone());
    spec.clean_up_commands = spec.clean_up_commands.or_else(|| host.clean_up_commands.clone());
    // What the template says holds only where the entry says neither; the two must not contradict each other.
    if host.elevation.is_some() || host.use_sudo {
        spec.elevation.clone_from(&host.elevation);
    }
    if host.host_keys.is_some() {
        spec.host_keys.clone_from(&host.host_keys);
    }
    if !host.jump_hosts.is_empty() {
        spec.jump_hosts.clone_from(&host.jump_hosts);
    }
    if host.failure_domain.is_some() {
        spec.failure_domain.clone_from(&host.failure_domain);
    }
    spec
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
